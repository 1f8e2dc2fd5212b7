//! A mixture of two arrays: zoneout (Krueger et al. 2017), where a state keeps some of its old values.

use crate::error::check_len;
use crate::math::{Kernel, Lanes, dispatch};
use crate::random::{RUN, Stream};
use crate::{Draw, Error, Real, Result, StepParams, parallel};

/// `y = m a + (1 - m) b`. With `draw`, `m[i]` is 1 where the random number of element `i` is below `rate`, else 0; without,
/// `m` is `rate` everywhere, what is to be expected.
///
/// # Errors
/// [`Error::Length`], [`Error::Invalid`] where `rate` is not in `[0, 1]`, [`Error::TooLarge`] past `2^34` elements.
pub fn blend<T: Real>(
    rate: T,
    draw: Option<Draw>,
    step: &StepParams,
    a: &[T],
    b: &[T],
    y: &mut [T],
) -> Result<()> {
    check_len("blend", "a", y.len(), a.len())?;
    check_len("blend", "b", y.len(), b.len())?;
    let mix = Mix::new("blend", rate, draw, step, y.len())?;
    let chunk = parallel::COMPUTE.chunk(y.len(), RUN);
    let inputs = a.chunks(chunk).zip(b.chunks(chunk));
    parallel::share_out(inputs.zip(y.chunks_mut(chunk)).enumerate(), |(i, ((a, b), y))| {
        dispatch(Forward { mix, first: i * chunk, a, b, y });
    });
    Ok(())
}

/// The gradient of [`blend`] by `a` (`d = m dy`), or, where not `of_a`, by `b` (`d = (1 - m) dy`).
///
/// # Errors
/// As [`blend`].
pub fn blend_backward<T: Real>(
    rate: T,
    draw: Option<Draw>,
    of_a: bool,
    step: &StepParams,
    dy: &[T],
    d: &mut [T],
) -> Result<()> {
    check_len("blend_backward", "dy", d.len(), dy.len())?;
    let mix = Mix::new("blend_backward", rate, draw, step, d.len())?;
    let chunk = parallel::COMPUTE.chunk(d.len(), RUN);
    parallel::share_out(dy.chunks(chunk).zip(d.chunks_mut(chunk)).enumerate(), |(i, (dy, d))| {
        dispatch(Backward { mix, first: i * chunk, of_a, dy, d });
    });
    Ok(())
}

/// What `m` is.
#[derive(Clone, Copy)]
struct Mix<T> {
    rate: T,
    stream: Option<Stream>,
}

impl<T: Real> Mix<T> {
    fn new(op: &'static str, rate: T, draw: Option<Draw>, step: &StepParams, n: usize) -> Result<Self> {
        if !(rate >= T::ZERO && rate <= T::ONE) {
            return Err(Error::Invalid { op, reason: "the rate must be at least 0 and at most 1" });
        }
        Stream::check(op, n)?;
        Ok(Mix { rate, stream: draw.map(|draw| Stream::of(draw, step)) })
    }

    /// `m` of the elements `first .. first + RUN`.
    #[inline(always)]
    fn run(self, first: usize) -> [T; RUN] {
        match self.stream {
            Some(stream) => {
                let rate = self.rate.to_f32();
                stream.run(first).map(|u| if u < rate { T::ONE } else { T::ZERO })
            }
            None => [self.rate; RUN],
        }
    }
}

struct Forward<'a, T> {
    mix: Mix<T>,
    /// The number of the first element, a multiple of [`RUN`].
    first: usize,
    a: &'a [T],
    b: &'a [T],
    y: &'a mut [T],
}

impl<T: Real> Kernel<T> for Forward<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Lanes<T = T>>(self, _: S) {
        let drawn = self.mix.stream.is_some();
        let inputs = self.a.chunks(RUN).zip(self.b.chunks(RUN));
        for (i, ((a, b), y)) in inputs.zip(self.y.chunks_mut(RUN)).enumerate() {
            let mix = self.mix.run(self.first + i * RUN);
            for (((&a, &b), y), m) in a.iter().zip(b).zip(y).zip(mix) {
                // What is not chosen does not matter, NaN included.
                *y = if !drawn {
                    m * a + (T::ONE - m) * b
                } else if m == T::ONE {
                    a
                } else {
                    b
                };
            }
        }
    }
}

struct Backward<'a, T> {
    mix: Mix<T>,
    first: usize,
    of_a: bool,
    dy: &'a [T],
    d: &'a mut [T],
}

impl<T: Real> Kernel<T> for Backward<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Lanes<T = T>>(self, _: S) {
        for (i, (dy, d)) in self.dy.chunks(RUN).zip(self.d.chunks_mut(RUN)).enumerate() {
            let mix = self.mix.run(self.first + i * RUN);
            for ((&dy, d), m) in dy.iter().zip(d).zip(mix) {
                *d = dy * if self.of_a { m } else { T::ONE - m };
            }
        }
    }
}
