//! The largest values of each row.
use super::operands::{ELEMENT_GROUP, apart, elements, size};
use crate::buffer::expect_len;
use crate::{Call, Error, Groups, Recorder, Result, Slice};
use rnn_shaders::keep_largest::{KERNEL, Params};

/// `y = x` where it is among the `k` largest of its row, of equal ones those in front, else `fill`. A NaN stays. `x` and `y`
/// are `[rows, cols]`.
///
/// # Errors
/// [`ShapeMismatch`](Error::ShapeMismatch); [`InvalidArgument`](Error::InvalidArgument) where rows are too long for a software
/// adapter.
pub fn keep_largest(
    rec: &mut Recorder,
    k: u32,
    fill: f32,
    rows: usize,
    cols: usize,
    x: &Slice,
    y: &Slice,
) -> Result<()> {
    const NAME: &str = "keep_largest";
    expect_len(NAME, "x", x, elements(&[rows, cols]))?;
    expect_len(NAME, "y", y, x.len())?;
    if y.is_empty() {
        return Ok(());
    }
    if cols > 10_000
        && let Some(limit) = rec.context().loop_limit()?
        && cols > limit as usize
    {
        return Err(Error::InvalidArgument {
            operation: NAME,
            reason: format!("rows of {cols} are longer than the {limit} that this adapter loops over"),
        });
    }
    let x = apart(rec, x, &[y])?;
    rec.call(Call {
        kernel: &KERNEL,
        overrides: &[],
        buffers: &[&x, y],
        params: bytemuck::bytes_of(&Params {
            n: size(NAME, y.len())?,
            cols: size(NAME, cols)?,
            k,
            fill,
            ..Default::default()
        }),
        groups: Groups::linear(y.len(), ELEMENT_GROUP),
        flops: 2.0 * y.len() as f64 * cols as f64,
    })
}
