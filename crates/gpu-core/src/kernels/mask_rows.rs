//! Rows that a flag replaces.
use super::operands::{ELEMENT_GROUP, apart, elements, size};
use crate::buffer::expect_len;
use crate::{Call, Groups, Recorder, Result, Slice};
use rnn_shaders::mask_rows::{KERNEL, Params};

/// `y[r, :] = x[r, :]` where `flags[r]` has VALID, else `fill`, whatever `x` holds there. With 0 the same call on the
/// gradient of `y` gives that of `x`. `flags [rows]`, `x` and `y [rows, cols]`.
///
/// # Errors
/// [`ShapeMismatch`](crate::Error::ShapeMismatch).
pub fn mask_rows(
    rec: &mut Recorder,
    rows: usize,
    cols: usize,
    fill: f32,
    flags: &Slice,
    x: &Slice,
    y: &Slice,
) -> Result<()> {
    const NAME: &str = "mask_rows";
    expect_len(NAME, "flags", flags, rows)?;
    expect_len(NAME, "x", x, elements(&[rows, cols]))?;
    expect_len(NAME, "y", y, x.len())?;
    if y.is_empty() {
        return Ok(());
    }
    let flags = apart(rec, flags, &[y])?;
    let x = apart(rec, x, &[y])?;
    rec.call(Call {
        kernel: &KERNEL,
        overrides: &[],
        buffers: &[&flags, &x, y],
        params: bytemuck::bytes_of(&Params {
            n: size(NAME, y.len())?,
            cols: size(NAME, cols)?,
            fill,
            ..Default::default()
        }),
        groups: Groups::linear(y.len(), ELEMENT_GROUP),
        flops: y.len() as f64,
    })
}
