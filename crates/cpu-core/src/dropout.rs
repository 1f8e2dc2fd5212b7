//! Dropout by a counter-based random stream: the backward pass draws the same numbers again instead of keeping a mask.

use crate::error::check_len;
use crate::math::{Kernel, Lanes, dispatch};
use crate::random::{RUN, Stream};
use crate::{Error, Real, Result, StepParams, parallel};

const OP: &str = "dropout";

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
    check_len(OP, "y", x.len(), y.len())?;
    if !(rate >= T::ZERO && rate < T::ONE) {
        return Err(Error::Invalid { op: OP, reason: "the rate must be at least 0 and below 1" });
    }
    Stream::check(OP, x.len())?;
    let (stream, scale) = (Stream::new(seed, stream, step), T::ONE / (T::ONE - rate));
    let rate = rate.to_f32();
    let chunk = parallel::COMPUTE.chunk(x.len(), RUN);
    parallel::share_out(x.chunks(chunk).zip(y.chunks_mut(chunk)).enumerate(), |(i, (x, y))| {
        dispatch(Dropout { rate, scale, stream, first: i * chunk, x, y });
    });
    Ok(())
}

struct Dropout<'a, T> {
    rate: f32,
    scale: T,
    stream: Stream,
    /// The number of the first element, a multiple of [`RUN`].
    first: usize,
    x: &'a [T],
    y: &'a mut [T],
}

impl<T: Real> Kernel<T> for Dropout<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Lanes<T = T>>(self, _: S) {
        for (i, (x, y)) in self.x.chunks(RUN).zip(self.y.chunks_mut(RUN)).enumerate() {
            let uniform = self.stream.run(self.first + i * RUN);
            for ((&x, y), u) in x.iter().zip(y).zip(uniform) {
                *y = if u >= self.rate { x * self.scale } else { T::ZERO };
            }
        }
    }
}
