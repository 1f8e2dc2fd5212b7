//! A step along a direction, as far as the norms of each variable allow.

use crate::error::check_len;
use crate::math::{Kernel, Lanes, WIDEST, dispatch};
use crate::segment_sum::{check_segments, ranges};
use crate::{HOLD, Real, Result, StepParams, Trust, parallel};

/// `params -= rate direction` for each segment (pairs of offset and length), its rate by [`Trust`] from the sums of squares
/// that [`crate::segment_norms`] gives for the weights and for the direction. In a step on [`HOLD`] nothing is written.
///
/// # Errors
/// [`crate::Error::Length`] where a slice does not have its shape's length; [`crate::Error::OutOfRange`] where a segment ends
/// past the end.
pub fn trust_step<T: Real>(
    trust: Trust,
    step: &StepParams,
    segments: &[u32],
    weight_sumsq: &[T],
    direction_sumsq: &[T],
    direction: &[T],
    params: &mut [T],
) -> Result<()> {
    let op = "trust_step";
    check_segments(op, segments, params.len())?;
    check_len(op, "direction", params.len(), direction.len())?;
    check_len(op, "weight_sumsq", segments.len() / 2, weight_sumsq.len())?;
    check_len(op, "direction_sumsq", segments.len() / 2, direction_sumsq.len())?;
    if step.phase & HOLD != 0 {
        return Ok(());
    }
    for ((range, &ww), &xx) in ranges(segments).zip(weight_sumsq).zip(direction_sumsq) {
        let rate = rate(trust, step, T::from_usize(range.len()), ww, xx);
        let (x, w) = (&direction[range.clone()], &mut params[range]);
        let chunk = parallel::MEMORY.chunk(w.len(), WIDEST);
        parallel::share_out(w.chunks_mut(chunk).zip(x.chunks(chunk)), |(w, x)| dispatch(Step { rate, w, x }));
    }
    Ok(())
}

fn rate<T: Real>(trust: Trust, step: &StepParams, n: T, ww: T, xx: T) -> T {
    match trust {
        Trust::Lamb => {
            let lr = T::from_f32(step.lr);
            if ww > T::ZERO && xx > T::ZERO { lr * (ww.sqrt() / xx.sqrt()) } else { lr }
        }
        Trust::Adafactor { epsilon_2, clip_threshold } => {
            let size = (ww / n).sqrt();
            let smallest = T::from_f64(epsilon_2);
            let size = if size < smallest { smallest } else { size };
            let clip = (xx / n).sqrt() / T::from_f64(clip_threshold);
            let clip = if clip < T::ONE { T::ONE } else { clip };
            size * T::from_f32(step.alpha) / clip
        }
    }
}

struct Step<'a, T> {
    rate: T,
    w: &'a mut [T],
    x: &'a [T],
}

impl<T: Real> Kernel<T> for Step<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Lanes<T = T>>(self, s: S) {
        let rate = s.neg(s.splat(self.rate));
        let mut w = self.w.chunks_exact_mut(S::N);
        let mut x = self.x.chunks_exact(S::N);
        for (w, x) in (&mut w).zip(&mut x) {
            s.store(w, s.fma(rate, s.load(x), s.load(w)));
        }
        let (w, x) = (w.into_remainder(), x.remainder());
        s.store_part(w, s.fma(rate, s.load_part(x), s.load_part(w)));
    }
}
