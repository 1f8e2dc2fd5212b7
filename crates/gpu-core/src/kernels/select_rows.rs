//! Rows from one array or another, as a flag says.
use super::operands::{ELEMENT_GROUP, apart, elements, size};
use crate::buffer::expect_len;
use crate::{Call, Groups, Recorder, Result, Slice};
use rnn_shaders::select_rows::{KERNEL, Params};

/// `y[r, :] = a[r, :]` where `flags[r]` has `bit`, else `b[r, :]`; zeros stand for an array that is not there. The same call
/// on `dy` as `a` alone gives the gradient by `a`, as `b` alone that by `b`. `flags [rows]`, the others `[rows, cols]`.
///
/// # Errors
/// [`ShapeMismatch`](crate::Error::ShapeMismatch).
pub fn select_rows(
    rec: &mut Recorder,
    rows: usize,
    cols: usize,
    bit: u32,
    flags: &Slice,
    a: Option<&Slice>,
    b: Option<&Slice>,
    y: &Slice,
) -> Result<()> {
    const NAME: &str = "select_rows";
    expect_len(NAME, "flags", flags, rows)?;
    expect_len(NAME, "y", y, elements(&[rows, cols]))?;
    for (name, array) in [("a", a), ("b", b)] {
        if let Some(array) = array {
            expect_len(NAME, name, array, y.len())?;
        }
    }
    if y.is_empty() {
        return Ok(());
    }
    let flags = apart(rec, flags, &[y])?;
    let mut given = |array: Option<&Slice>| match array {
        Some(array) => apart(rec, array, &[y]),
        None => rec.nothing(),
    };
    let (from_a, from_b) = (given(a)?, given(b)?);
    rec.call(Call {
        kernel: &KERNEL,
        overrides: &[],
        buffers: &[&flags, &from_a, &from_b, y],
        params: bytemuck::bytes_of(&Params {
            n: size(NAME, y.len())?,
            cols: size(NAME, cols)?,
            bit,
            has_a: a.is_some().into(),
            has_b: b.is_some().into(),
            ..Default::default()
        }),
        groups: Groups::linear(y.len(), ELEMENT_GROUP),
        flops: y.len() as f64,
    })
}
