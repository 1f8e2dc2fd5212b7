//! Dropout.
use super::operands::{ELEMENT_GROUP, apart, size};
use crate::buffer::expect_len;
use crate::{Call, Error, Groups, Recorder, Result, Slice};
use rnn_shaders::dropout::{KERNEL, Params};

/// `y = x / (1 - rate)` where the stream's uniform number is at least `rate`, else 0. The numbers are those of
/// [`random_uniform`](super::random_uniform) with this seed and stream at the step record's `rng_step`, so the same call
/// on `dy` gives `dx`.
///
/// # Errors
/// [`ShapeMismatch`](Error::ShapeMismatch) where the lengths differ, [`InvalidArgument`](Error::InvalidArgument) where
/// `rate` is not in `[0, 1)`.
pub fn dropout(rec: &mut Recorder, rate: f32, seed: u64, stream: u32, x: &Slice, y: &Slice) -> Result<()> {
    expect_len("dropout", "x", x, y.len())?;
    if !(0.0..1.0).contains(&rate) {
        return Err(Error::InvalidArgument {
            operation: "dropout",
            reason: format!("a rate of {rate} is not at least 0 and below 1"),
        });
    }
    if y.is_empty() {
        return Ok(());
    }
    let x = apart(rec, x, &[y])?;
    rec.call(Call {
        kernel: &KERNEL,
        overrides: &[],
        buffers: &[&x, y],
        params: bytemuck::bytes_of(&Params {
            n: size("dropout", y.len())?,
            seed_lo: seed as u32,
            seed_hi: (seed >> 32) as u32,
            stream,
            rate,
            scale: 1.0 / (1.0 - rate),
            ..Default::default()
        }),
        groups: Groups::linear(y.len().div_ceil(4), ELEMENT_GROUP),
        flops: 50.0 * y.len() as f64,
    })
}
