// table_row: the row of a table that an id kept as f32 names, shared by embedding and its gradient. Fractions are cut off.
// `rows` (at most 2^24, so exact in f32) where the table has no such row, and for NaN.
fn table_row(id: f32, rows: u32) -> u32 {
    let inside = id > -1.0 && id < f32(rows) && !is_nan(id);
    return select(rows, u32(max(select(0.0, id, inside), 0.0)), inside);
}
