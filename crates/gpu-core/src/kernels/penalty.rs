//! The regulariser `l1 |x| + l2 x^2`, of weights and of outputs.
use super::operands::{ELEMENT_GROUP, apart, size};
use super::sum_all;
use crate::buffer::expect_len;
use crate::{Call, Groups, Recorder, Result, Slice};
use rnn_shaders::penalty::{KERNEL, Params};

/// Values that an invocation adds.
const RUN: usize = 16;

/// `out[0] += sum of l1 |x| + l2 x^2`, in a fixed order.
///
/// # Errors
/// [`ShapeMismatch`](crate::Error::ShapeMismatch) where `out` is not one element.
pub fn penalty(rec: &mut Recorder, l1: f32, l2: f32, x: &Slice, out: &Slice) -> Result<()> {
    expect_len("penalty", "out", out, 1)?;
    if x.is_empty() {
        return Ok(());
    }
    let sums = x.len().div_ceil(RUN);
    let part = rec.scratch(sums)?;
    rec.call(Call {
        kernel: &KERNEL,
        overrides: &[],
        buffers: &[x, &part],
        params: bytemuck::bytes_of(&Params {
            n: size("penalty", x.len())?,
            sums: size("penalty", sums)?,
            l1,
            l2,
            ..Default::default()
        }),
        groups: Groups::linear(sums, ELEMENT_GROUP),
        flops: 4.0 * x.len() as f64,
    })?;
    sum_all(rec, &part, out, true)
}

/// `dx += scale (l1 sign(x) + 2 l2 x)` with `sign(0) = 0`: the gradient of [`penalty`] times `scale`.
///
/// # Errors
/// [`ShapeMismatch`](crate::Error::ShapeMismatch) where `dx` is not as long as `x`.
pub fn penalty_backward(
    rec: &mut Recorder,
    l1: f32,
    l2: f32,
    scale: f32,
    x: &Slice,
    dx: &Slice,
) -> Result<()> {
    expect_len("penalty_backward", "dx", dx, x.len())?;
    if x.is_empty() {
        return Ok(());
    }
    let x = apart(rec, x, &[dx])?;
    rec.call(Call {
        kernel: &KERNEL,
        overrides: &[("BACKWARD", 1.0)],
        buffers: &[&x, dx],
        params: bytemuck::bytes_of(&Params {
            n: size("penalty_backward", x.len())?,
            l1,
            l2,
            scale,
            ..Default::default()
        }),
        groups: Groups::linear(x.len(), ELEMENT_GROUP),
        flops: 4.0 * x.len() as f64,
    })
}
