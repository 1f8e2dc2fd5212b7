//! Sums, products, quotients and extremes of whole arrays.

use crate::error::check_len;
use crate::math::{Kernel, Lanes, WIDEST, dispatch, map, zip_map};
use crate::{Real, Result, parallel};

/// `y[i] = a[i] + b[i]`
///
/// # Errors
/// [`crate::Error::Length`] where `b` or `y` is not as long as `a`.
pub fn add<T: Real>(a: &[T], b: &[T], y: &mut [T]) -> Result<()> {
    check_len("add", "b", a.len(), b.len())?;
    check_len("add", "y", a.len(), y.len())?;
    let chunk = parallel::MEMORY.chunk(a.len(), WIDEST);
    let inputs = a.chunks(chunk).zip(b.chunks(chunk));
    parallel::share_out(inputs.zip(y.chunks_mut(chunk)), |((a, b), y)| dispatch(Add { a, b, y }));
    Ok(())
}

/// `y[i] = a[i] - b[i]`
///
/// # Errors
/// [`crate::Error::Length`] where `b` or `y` is not as long as `a`.
pub fn sub<T: Real>(a: &[T], b: &[T], y: &mut [T]) -> Result<()> {
    check_len("sub", "b", a.len(), b.len())?;
    check_len("sub", "y", a.len(), y.len())?;
    let chunk = parallel::MEMORY.chunk(a.len(), WIDEST);
    let inputs = a.chunks(chunk).zip(b.chunks(chunk));
    parallel::share_out(inputs.zip(y.chunks_mut(chunk)), |((a, b), y)| dispatch(Sub { a, b, y }));
    Ok(())
}

/// `y[i] = a[i] * b[i]`
///
/// # Errors
/// [`crate::Error::Length`] where `b` or `y` is not as long as `a`.
pub fn mul<T: Real>(a: &[T], b: &[T], y: &mut [T]) -> Result<()> {
    check_len("mul", "b", a.len(), b.len())?;
    check_len("mul", "y", a.len(), y.len())?;
    let chunk = parallel::MEMORY.chunk(a.len(), WIDEST);
    let inputs = a.chunks(chunk).zip(b.chunks(chunk));
    parallel::share_out(inputs.zip(y.chunks_mut(chunk)), |((a, b), y)| dispatch(Mul { a, b, y }));
    Ok(())
}

/// `y[i] = a[i] / b[i]`
///
/// # Errors
/// [`crate::Error::Length`] where `b` or `y` is not as long as `a`.
pub fn div<T: Real>(a: &[T], b: &[T], y: &mut [T]) -> Result<()> {
    check_len("div", "b", a.len(), b.len())?;
    check_len("div", "y", a.len(), y.len())?;
    let chunk = parallel::MEMORY.chunk(a.len(), WIDEST);
    let inputs = a.chunks(chunk).zip(b.chunks(chunk));
    parallel::share_out(inputs.zip(y.chunks_mut(chunk)), |((a, b), y)| dispatch(Div { a, b, y }));
    Ok(())
}

/// `y[i] = max(a[i], b[i])`, NaN where either is NaN.
///
/// # Errors
/// [`crate::Error::Length`] where `b` or `y` is not as long as `a`.
pub fn maximum<T: Real>(a: &[T], b: &[T], y: &mut [T]) -> Result<()> {
    check_len("maximum", "b", a.len(), b.len())?;
    check_len("maximum", "y", a.len(), y.len())?;
    let chunk = parallel::MEMORY.chunk(a.len(), WIDEST);
    let inputs = a.chunks(chunk).zip(b.chunks(chunk));
    parallel::share_out(inputs.zip(y.chunks_mut(chunk)), |((a, b), y)| dispatch(Maximum { a, b, y }));
    Ok(())
}

/// `y[i] = min(a[i], b[i])`, NaN where either is NaN.
///
/// # Errors
/// [`crate::Error::Length`] where `b` or `y` is not as long as `a`.
pub fn minimum<T: Real>(a: &[T], b: &[T], y: &mut [T]) -> Result<()> {
    check_len("minimum", "b", a.len(), b.len())?;
    check_len("minimum", "y", a.len(), y.len())?;
    let chunk = parallel::MEMORY.chunk(a.len(), WIDEST);
    let inputs = a.chunks(chunk).zip(b.chunks(chunk));
    parallel::share_out(inputs.zip(y.chunks_mut(chunk)), |((a, b), y)| dispatch(Minimum { a, b, y }));
    Ok(())
}

/// `da[i] = dy[i]` where `a[i] > b[i]`, half of it where they are equal, else 0: the gradient of [`maximum`] by `a`. That by `b`
/// is the same with the two exchanged, and so is that of [`minimum`] by `a`.
///
/// # Errors
/// [`crate::Error::Length`] where the lengths differ.
pub fn maximum_backward<T: Real>(a: &[T], b: &[T], dy: &[T], da: &mut [T]) -> Result<()> {
    const OP: &str = "maximum_backward";
    check_len(OP, "b", a.len(), b.len())?;
    check_len(OP, "dy", a.len(), dy.len())?;
    check_len(OP, "da", a.len(), da.len())?;
    let half = T::from_f64(0.5);
    let chunk = parallel::MEMORY.chunk(a.len(), WIDEST);
    let inputs = a.chunks(chunk).zip(b.chunks(chunk)).zip(dy.chunks(chunk));
    parallel::share_out(inputs.zip(da.chunks_mut(chunk)), |(((a, b), dy), da)| {
        for (((&a, &b), &dy), da) in a.iter().zip(b).zip(dy).zip(da) {
            *da = if a > b {
                dy
            } else if a == b {
                half * dy
            } else {
                T::ZERO
            };
        }
    });
    Ok(())
}

/// `y[i] = factor * x[i]`
///
/// # Errors
/// [`crate::Error::Length`] where `y` is not as long as `x`.
pub fn scale<T: Real>(factor: T, x: &[T], y: &mut [T]) -> Result<()> {
    check_len("scale", "y", x.len(), y.len())?;
    let chunk = parallel::MEMORY.chunk(x.len(), WIDEST);
    parallel::share_out(x.chunks(chunk).zip(y.chunks_mut(chunk)), |(x, y)| dispatch(Scale { factor, x, y }));
    Ok(())
}

/// `y[i] += x[i]`
///
/// # Errors
/// [`crate::Error::Length`] where `y` is not as long as `x`.
pub fn add_assign<T: Real>(x: &[T], y: &mut [T]) -> Result<()> {
    check_len("add_assign", "y", x.len(), y.len())?;
    let chunk = parallel::MEMORY.chunk(x.len(), WIDEST);
    parallel::share_out(x.chunks(chunk).zip(y.chunks_mut(chunk)), |(x, y)| dispatch(AddAssign { x, y }));
    Ok(())
}

/// A kernel of two inputs, `y = a <op> b`.
macro_rules! pairwise {
    ($name:ident, $op:ident) => {
        struct $name<'a, T> {
            a: &'a [T],
            b: &'a [T],
            y: &'a mut [T],
        }

        impl<T: Real> Kernel<T> for $name<'_, T> {
            type Output = ();
            #[inline(always)]
            fn run<S: Lanes<T = T>>(self, s: S) {
                zip_map(
                    s,
                    self.a,
                    self.b,
                    self.y,
                    #[inline(always)]
                    |a, b| s.$op(a, b),
                );
            }
        }
    };
}

pairwise!(Add, add);
pairwise!(Sub, sub);
pairwise!(Mul, mul);
pairwise!(Div, div);

/// A kernel of two inputs of which one is the result: the first where it is NaN or `a <op> b`.
macro_rules! extreme {
    ($name:ident, $op:tt) => {
        struct $name<'a, T> {
            a: &'a [T],
            b: &'a [T],
            y: &'a mut [T],
        }

        impl<T: Real> Kernel<T> for $name<'_, T> {
            type Output = ();
            // A comparison per element: the compiler vectorises this for the level that it is compiled for.
            #[inline(always)]
            fn run<S: Lanes<T = T>>(self, _: S) {
                for ((&a, &b), y) in self.a.iter().zip(self.b).zip(self.y) {
                    *y = if a.is_nan() || a $op b { a } else { b };
                }
            }
        }
    };
}

extreme!(Maximum, >);
extreme!(Minimum, <);

struct Scale<'a, T> {
    factor: T,
    x: &'a [T],
    y: &'a mut [T],
}

impl<T: Real> Kernel<T> for Scale<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Lanes<T = T>>(self, s: S) {
        let factor = s.splat(self.factor);
        map(
            s,
            self.x,
            self.y,
            #[inline(always)]
            |x| s.mul(factor, x),
        );
    }
}

pub(crate) struct AddAssign<'a, T> {
    pub x: &'a [T],
    pub y: &'a mut [T],
}

impl<T: Real> Kernel<T> for AddAssign<'_, T> {
    type Output = ();
    // One addition per element: the compiler vectorises this for the level that it is compiled for.
    #[inline(always)]
    fn run<S: Lanes<T = T>>(self, _: S) {
        for (y, &x) in self.y.iter_mut().zip(self.x) {
            *y += x;
        }
    }
}
