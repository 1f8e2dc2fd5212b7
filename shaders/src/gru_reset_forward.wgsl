// gru_reset_forward: first half of a step of GRU without reset_after,
//   z, r = rec_act(xw + hp U)   q = r hp
// gates [T, B, 4U] come as x W + b in the blocks z, r, n; z, r and q leave in blocks 0, 1 and 3. A mask is on hp in both.

alias Tile = mat2x4<f32>;
alias Place = vec2<u32>;
const COLS = 2u;
const GATED = true;

fn tile_at(k: u32, col: u32) -> Tile {
    let at = params.w_at / 4u + k * params.ldw + col;
    return Tile(w[at], w[at + params.block]);
}

fn put(at: u32, tile: Tile) {
    put_4(at, tile[0]);
    put_4(at + 4u, tile[1]);
}

fn either(a: Tile, b: Tile, second: bool) -> Tile {
    return Tile(select(a[0], b[0], second), select(a[1], b[1], second));
}

fn of_unit(tile: Tile, j: u32) -> vec4<f32> {
    return vec4(tile[0][j], tile[1][j], 0.0, 0.0);
}

fn left_row(t: u32, row: u32) -> Place {
    return state_row(t, row);
}

fn left(place: Place, k: u32) -> f32 {
    return state_at(place, k);
}

fn left_4(place: Place, k: u32) -> vec4<f32> {
    return state_4(place, k);
}

fn given(t: u32, row: u32, col: u32) -> Tile {
    let at = gates_of(t, row) + col * 4u;
    return Tile(gates_4(at, col), gates_4(at + params.units, col));
}

fn finish(t: u32, row: u32, unit: u32, sums: vec4<f32>, given: vec4<f32>) {
    let kept = (flag_of(t, row) & RESET) == 0u;
    let p = select(vec4<f32>(), sums, kept);
    let gate = gates_of(t, row) + unit;
    let r = rec_act(limited(given.y + p.y));
    set_gate(gate, rec_act(limited(given.x + p.x)));
    set_gate(gate + params.units, r);
    set_gate(gate + 3u * params.units, r * select(0.0, state_at(state_row(t, row), unit), kept));
}
