//! Dropout and Gaussian noise.
use super::operands::{ELEMENT_GROUP, apart, size};
use crate::buffer::expect_len;
use crate::{Call, Error, Groups, Recorder, Result, Slice};
use rnn_shaders::noise::{KERNEL, Params};
use rnn_shaders::vocabulary::{Draw, Noise, NoiseTerms};

/// `y = x / (1 - rate)` where the stream's uniform number is at least `rate`, else 0. The numbers are those of
/// [`random_uniform`](super::random_uniform) with this seed and stream at the step record's `rng_step`, so the same call
/// on `dy` gives `dx`.
///
/// # Errors
/// [`ShapeMismatch`](Error::ShapeMismatch) where the lengths differ, [`InvalidArgument`](Error::InvalidArgument) where
/// `rate` is not in `[0, 1)`.
pub fn dropout(rec: &mut Recorder, rate: f32, seed: u64, stream: u32, x: &Slice, y: &Slice) -> Result<()> {
    dropout_from(rec, rate, seed, stream, 0, x, y)
}

/// As [`dropout`] does it with elements `first ..` of a longer array.
///
/// # Errors
/// As `dropout`, and [`InvalidArgument`](Error::InvalidArgument) where `first` is not a multiple of 4.
pub fn dropout_from(
    rec: &mut Recorder,
    rate: f32,
    seed: u64,
    stream: u32,
    first: usize,
    x: &Slice,
    y: &Slice,
) -> Result<()> {
    let draw = Draw { seed, stream, part: 0 };
    record(rec, "dropout", Noise::Dropout { rate }, false, 1, draw, first, x, y)
}

/// `y = ` [`Noise`] on `x`, or with `backward` what that does to a gradient. `x` and `y` are `repeats` arrays one after the
/// other, which share one array of draws: with `repeats` = time, a sequence's every step sees the same numbers. `first`, a
/// multiple of 4, is the number of the first draw: of a part of a longer array.
///
/// # Errors
/// [`ShapeMismatch`](Error::ShapeMismatch) where the lengths differ, [`InvalidArgument`](Error::InvalidArgument) where a rate
/// or deviation is out of its range or `repeats` does not divide the length.
pub fn noise(
    rec: &mut Recorder,
    noise: Noise,
    backward: bool,
    repeats: usize,
    draw: Draw,
    first: usize,
    x: &Slice,
    y: &Slice,
) -> Result<()> {
    record(rec, "noise", noise, backward, repeats, draw, first, x, y)
}

#[allow(clippy::too_many_arguments)]
fn record(
    rec: &mut Recorder,
    operation: &'static str,
    noise: Noise,
    backward: bool,
    repeats: usize,
    draw: Draw,
    first: usize,
    x: &Slice,
    y: &Slice,
) -> Result<()> {
    expect_len(operation, "x", x, y.len())?;
    let invalid = |reason: String| Error::InvalidArgument { operation, reason };
    if !first.is_multiple_of(4) {
        return Err(invalid(format!("the first element's number must be a multiple of 4, got {first}")));
    }
    let terms = noise.terms(backward).ok_or_else(|| {
        invalid(match noise {
            Noise::Gaussian { stddev } => format!("a deviation of {stddev} is not finite and at least 0"),
            Noise::Dropout { rate } | Noise::GaussianDropout { rate } | Noise::AlphaDropout { rate } => {
                format!("a rate of {rate} is not at least 0 and below 1")
            }
        })
    })?;
    if repeats == 0 || !y.len().is_multiple_of(repeats) {
        return Err(invalid(format!("{repeats} repeats do not divide {} elements", y.len())));
    }
    if y.is_empty() {
        return Ok(());
    }
    let x = apart(rec, x, &[y])?;
    let period = y.len() / repeats;
    let mut params = Params {
        period: size(operation, period)?,
        repeats: size(operation, repeats)?,
        seed_lo: draw.seed as u32,
        seed_hi: (draw.seed >> 32) as u32,
        stream: draw.stream,
        part: draw.part,
        first_block: size(operation, first / 4)?,
        ..Default::default()
    };
    let mode = match terms {
        NoiseTerms::Drop { rate, scale, shift, dropped } => {
            (params.rate, params.scale) = (rate, scale as f32);
            (params.shift, params.dropped) = (shift as f32, dropped as f32);
            0.0
        }
        NoiseTerms::Add { stddev } => {
            params.scale = stddev as f32;
            1.0
        }
        NoiseTerms::Multiply { stddev } => {
            params.scale = stddev as f32;
            2.0
        }
    };
    rec.call(Call {
        kernel: &KERNEL,
        overrides: &[("MODE", mode)],
        buffers: &[&x, y],
        params: bytemuck::bytes_of(&params),
        groups: Groups::linear(period.div_ceil(4) * repeats, ELEMENT_GROUP),
        flops: 50.0 * y.len() as f64,
    })
}
