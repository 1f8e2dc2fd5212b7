//! Dropout and Gaussian noise by a counter-based random stream: the backward pass draws the same numbers again instead of
//! keeping a mask.

use crate::error::check_len;
use crate::math::{Kernel, Lanes, dispatch};
use crate::random::{RUN, Stream};
use crate::{Draw, Error, Noise, Real, Result, StepParams, parallel};
use rnn_shaders::vocabulary::NoiseTerms;

/// `y[i] = x[i] / (1 - rate)` where the random number of element `i` ([`crate::random`]) is at least `rate`, else 0.
/// The same call on the gradient of `y` gives the gradient of `x`.
///
/// # Errors
/// [`Error::Length`] where `y` is not as long as `x`, [`Error::Invalid`] where `rate` is not in `[0, 1)`,
/// [`Error::TooLarge`] past `2^34` elements.
pub fn dropout<T: Real>(
    rate: T,
    seed: u64,
    stream: u32,
    step: &StepParams,
    x: &[T],
    y: &mut [T],
) -> Result<()> {
    dropout_from(rate, seed, stream, 0, step, x, y)
}

/// As [`dropout`] does it with elements `first ..` of a longer array; `first` is a multiple of 4.
///
/// # Errors
/// As `dropout`, and [`Error::Invalid`] where `first` is not a multiple of 4.
pub fn dropout_from<T: Real>(
    rate: T,
    seed: u64,
    stream: u32,
    first: usize,
    step: &StepParams,
    x: &[T],
    y: &mut [T],
) -> Result<()> {
    let draw = Draw { seed, stream, part: 0 };
    run("dropout", Noise::Dropout { rate: rate.to_f32() }, false, 1, draw, first, step, x, y)
}

/// `y = ` [`Noise`] on `x`, or with `backward` what that does to a gradient. `x` and `y` are `repeats` arrays one after the
/// other, which share one array of draws: with `repeats` = time, a sequence's every step sees the same numbers. `first`, a
/// multiple of 4, is the number of the first draw: of a part of a longer array.
///
/// # Errors
/// [`Error::Length`] where `y` is not as long as `x`, [`Error::Invalid`] where a rate or deviation is out of its range or
/// `repeats` does not divide the length, [`Error::TooLarge`] past `2^34` draws.
#[allow(clippy::too_many_arguments)]
pub fn noise<T: Real>(
    noise: Noise,
    backward: bool,
    repeats: usize,
    draw: Draw,
    first: usize,
    step: &StepParams,
    x: &[T],
    y: &mut [T],
) -> Result<()> {
    run("noise", noise, backward, repeats, draw, first, step, x, y)
}

#[allow(clippy::too_many_arguments)]
fn run<T: Real>(
    op: &'static str,
    noise: Noise,
    backward: bool,
    repeats: usize,
    draw: Draw,
    first: usize,
    step: &StepParams,
    x: &[T],
    y: &mut [T],
) -> Result<()> {
    if !first.is_multiple_of(4) {
        return Err(Error::Invalid { op, reason: "the first element's number must be a multiple of 4" });
    }
    check_len(op, "y", x.len(), y.len())?;
    let reason = "a rate must be at least 0 and below 1, a deviation finite and not negative";
    let terms = noise.terms(backward).ok_or(Error::Invalid { op, reason })?;
    if repeats == 0 || !x.len().is_multiple_of(repeats) {
        return Err(Error::Invalid { op, reason: "the repeats must divide the length" });
    }
    if x.is_empty() {
        return Ok(());
    }
    let period = x.len() / repeats;
    Stream::check(op, first.saturating_add(period))?;
    let stream = Stream::of(draw, step);
    // Within one array parts are divided at whole runs of draws; several arrays are dealt whole, and drawn by each thread.
    let chunk = parallel::COMPUTE.chunk(x.len(), if repeats == 1 { RUN } else { period });
    parallel::share_out(x.chunks(chunk).zip(y.chunks_mut(chunk)).enumerate(), |(i, (x, y))| {
        let (period, first) = if repeats == 1 { (x.len(), first + i * chunk) } else { (period, first) };
        dispatch(Run { terms, stream, first, period, x, y });
    });
    Ok(())
}

struct Run<'a, T> {
    terms: NoiseTerms,
    stream: Stream,
    /// The number of the first draw, a multiple of 4.
    first: usize,
    period: usize,
    x: &'a [T],
    y: &'a mut [T],
}

impl<T: Real> Kernel<T> for Run<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Lanes<T = T>>(self, _: S) {
        for at in (0..self.period).step_by(RUN) {
            let end = (at + RUN).min(self.period);
            let draws = match self.terms {
                NoiseTerms::Drop { .. } => self.stream.run(self.first + at),
                NoiseTerms::Add { .. } | NoiseTerms::Multiply { .. } => self.stream.normals(self.first + at),
            };
            let arrays = self.x.chunks_exact(self.period).zip(self.y.chunks_exact_mut(self.period));
            for (x, y) in arrays {
                apply(self.terms, &x[at..end], &draws, &mut y[at..end]);
            }
        }
    }
}

#[inline(always)]
fn apply<T: Real>(terms: NoiseTerms, x: &[T], draws: &[f32; RUN], y: &mut [T]) {
    let elements = x.iter().zip(y).zip(draws);
    match terms {
        NoiseTerms::Drop { rate, scale, shift, dropped } => {
            let [scale, shift, dropped] = [scale, shift, dropped].map(T::from_f64);
            elements.for_each(|((&x, y), &u)| *y = if u >= rate { x * scale + shift } else { dropped });
        }
        NoiseTerms::Add { stddev } => {
            let stddev = T::from_f64(stddev);
            elements.for_each(|((&x, y), &z)| *y = x + stddev * T::from_f32(z));
        }
        NoiseTerms::Multiply { stddev } => {
            let stddev = T::from_f64(stddev);
            elements.for_each(|((&x, y), &z)| *y = x * (T::ONE + stddev * T::from_f32(z)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_dropped_as_within_the_whole() {
        let step = StepParams { rng_step: 3, ..StepParams::default() };
        let x: Vec<f64> = (0..1000).map(|i| 1.0 + f64::from(i)).collect();
        let mut whole = vec![0.0; x.len()];
        dropout(0.4, 7, 2, &step, &x, &mut whole).unwrap();
        for (from, to) in [(0, 1000), (4, 5), (64, 999), (500, 1000), (996, 1000)] {
            let mut part = vec![0.0; to - from];
            dropout_from(0.4, 7, 2, from, &step, &x[from..to], &mut part).unwrap();
            assert_eq!(part, whole[from..to]);
        }
        assert!(dropout_from(0.4, 7, 2, 2, &step, &x[2..], &mut whole[2..]).is_err());
    }
}
