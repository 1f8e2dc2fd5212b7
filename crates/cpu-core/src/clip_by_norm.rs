//! Gradient clipping by norm: Keras's `clipnorm` (per variable) and `global_clipnorm`.

use crate::error::check_len;
use crate::math::{Kernel, Lanes, WIDEST, dispatch, map_in_place};
use crate::segment_sum::{check_segments, ranges};
use crate::{Real, Result, parallel};

/// Where a segment's norm exceeds `max_norm`, the segment of `x` is multiplied by `max_norm / norm`. The norm is
/// `sqrt(sumsq[s])`, or with `global` the root of the sum of all `sumsq`, the same for every segment. `segments` holds
/// pairs (offset, length); `sumsq` comes from [`crate::segment_norms`]. A norm of NaN makes its segments NaN.
///
/// # Errors
/// [`crate::Error::Length`] where `segments` is not made of pairs or `sumsq` is not as long as there are segments;
/// [`crate::Error::OutOfRange`] where a segment ends past the end of `x`.
pub fn clip_by_norm<T: Real>(
    segments: &[u32],
    sumsq: &[T],
    max_norm: T,
    global: bool,
    x: &mut [T],
) -> Result<()> {
    let op = "clip_by_norm";
    check_segments(op, segments, x.len())?;
    check_len(op, "sumsq", segments.len() / 2, sumsq.len())?;
    let total: T = sumsq.iter().copied().sum();
    for (range, &own) in ranges(segments).zip(sumsq) {
        let norm = (if global { total } else { own }).sqrt();
        if norm <= max_norm {
            continue;
        }
        let (factor, x) = (max_norm / norm, &mut x[range]);
        let chunk = parallel::MEMORY.chunk(x.len(), WIDEST);
        parallel::share_out(x.chunks_mut(chunk), |x| dispatch(Scale { factor, x }));
    }
    Ok(())
}

struct Scale<'a, T> {
    factor: T,
    x: &'a mut [T],
}

impl<T: Real> Kernel<T> for Scale<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Lanes<T = T>>(self, s: S) {
        let factor = s.splat(self.factor);
        map_in_place(
            s,
            self.x,
            #[inline(always)]
            |x| s.mul(factor, x),
        );
    }
}
