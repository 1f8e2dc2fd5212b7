//! Gradients gathered over several steps, and the moving average of weights.
use super::operands::{ELEMENT_GROUP, size};
use crate::buffer::expect_len;
use crate::{Call, Groups, Recorder, Result, Slice};
use rnn_shaders::step_blend::{KERNEL, Params};

/// In a step on HOLD `gathered += grads`; else `grads = (grads + gathered) / steps`, `gathered = 0`.
///
/// # Errors
/// [`ShapeMismatch`](crate::Error::ShapeMismatch) where the lengths differ.
pub fn gather_gradients(rec: &mut Recorder, steps: u32, grads: &Slice, gathered: &Slice) -> Result<()> {
    expect_len("gather_gradients", "gathered", gathered, grads.len())?;
    record(rec, "gather_gradients", 0.0, steps as f32, 0.0, grads, gathered)
}

/// `average = momentum average + (1 - momentum) weights`, with a momentum of 0 in a step of EMA_START; in one of
/// EMA_OVERWRITE then `weights = average`.
///
/// # Errors
/// [`ShapeMismatch`](crate::Error::ShapeMismatch) where the lengths differ.
pub fn weight_average(rec: &mut Recorder, momentum: f64, weights: &Slice, average: &Slice) -> Result<()> {
    expect_len("weight_average", "average", average, weights.len())?;
    record(rec, "weight_average", 1.0, momentum as f32, (1.0 - momentum) as f32, weights, average)
}

fn record(
    rec: &mut Recorder,
    operation: &'static str,
    average: f64,
    share: f32,
    rest: f32,
    a: &Slice,
    b: &Slice,
) -> Result<()> {
    if a.is_empty() {
        return Ok(());
    }
    rec.call(Call {
        kernel: &KERNEL,
        overrides: &[("AVERAGE", average)],
        buffers: &[a, b],
        params: bytemuck::bytes_of(&Params {
            n: size(operation, a.len())?,
            share,
            rest,
            ..Default::default()
        }),
        groups: Groups::linear(a.len(), ELEMENT_GROUP),
        flops: 3.0 * a.len() as f64,
    })
}
