//! The regulariser `l1 |x| + l2 x^2`, of weights and of outputs.

use crate::error::check_len;
use crate::{Real, Result, parallel};

/// Values that are added one by one.
const RUN: usize = 256;

/// `out[0] += sum of l1 |x| + l2 x^2`, in runs of 256 values.
///
/// # Errors
/// [`crate::Error::Length`] where `out` is not one element.
pub fn penalty<T: Real>(l1: T, l2: T, x: &[T], out: &mut [T]) -> Result<()> {
    check_len("penalty", "out", 1, out.len())?;
    let run = |x: &[T]| x.iter().map(|&x| l1 * x.abs() + l2 * x * x).sum::<T>();
    out[0] += x.chunks(RUN).map(run).sum::<T>();
    Ok(())
}

/// `dx += scale (l1 sign(x) + 2 l2 x)` with `sign(0) = 0`: the gradient of [`penalty`] times `scale`.
///
/// # Errors
/// [`crate::Error::Length`] where `dx` is not as long as `x`.
pub fn penalty_backward<T: Real>(l1: T, l2: T, scale: T, x: &[T], dx: &mut [T]) -> Result<()> {
    check_len("penalty_backward", "dx", x.len(), dx.len())?;
    let chunk = parallel::MEMORY.chunk(x.len(), 1);
    parallel::share_out(x.chunks(chunk).zip(dx.chunks_mut(chunk)), |(x, dx)| {
        for (&x, dx) in x.iter().zip(dx) {
            let above = if x > T::ZERO { l1 } else { T::ZERO };
            let below = if x < T::ZERO { l1 } else { T::ZERO };
            *dx += scale * (above - below + (l2 + l2) * x);
        }
    });
    Ok(())
}
