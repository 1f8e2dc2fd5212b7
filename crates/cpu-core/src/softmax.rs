//! Softmax over the rows of a matrix, and its gradient.

use crate::error::{check_len, volume};
use crate::math::{Kernel, Lanes, WIDEST, dispatch, map, map_in_place, zip_map};
use crate::segment_sum::sum;
use crate::{Real, Result, parallel};

/// `y[r, c] = exp(x[r, c] - max_r) / sum_c exp(x[r, c] - max_r)`, for `x` and `y [rows, cols]`. A NaN in a row makes the
/// row NaN.
///
/// # Errors
/// [`crate::Error::Length`] where `x` or `y` does not have its shape's length.
pub fn softmax_forward<T: Real>(rows: usize, cols: usize, x: &[T], y: &mut [T]) -> Result<()> {
    let op = "softmax_forward";
    let len = volume(op, &[rows, cols])?;
    check_len(op, "x", len, x.len())?;
    check_len(op, "y", len, y.len())?;
    let chunk = parallel::COMPUTE.chunk(len, cols);
    parallel::share_out(x.chunks(chunk).zip(y.chunks_mut(chunk)), |(x, y)| dispatch(Forward { cols, x, y }));
    Ok(())
}

/// `dx[r, c] = y[r, c] * (dy[r, c] - sum_k y[r, k] dy[r, k])`, for `y` (the output of the forward pass), `dy` and
/// `dx [rows, cols]`.
///
/// # Errors
/// [`crate::Error::Length`] where a slice does not have its shape's length.
pub fn softmax_backward<T: Real>(rows: usize, cols: usize, y: &[T], dy: &[T], dx: &mut [T]) -> Result<()> {
    let op = "softmax_backward";
    let len = volume(op, &[rows, cols])?;
    check_len(op, "y", len, y.len())?;
    check_len(op, "dy", len, dy.len())?;
    check_len(op, "dx", len, dx.len())?;
    let chunk = parallel::MEMORY.chunk(len, cols);
    let inputs = y.chunks(chunk).zip(dy.chunks(chunk));
    parallel::share_out(inputs.zip(dx.chunks_mut(chunk)), |((y, dy), dx)| {
        dispatch(Backward { cols, y, dy, dx });
    });
    Ok(())
}

/// The largest value of a row.
#[inline(always)]
pub(crate) fn row_max<S: Lanes>(s: S, x: &[S::T]) -> S::T {
    let lowest = -S::T::INFINITY;
    let mut largest = s.splat(lowest);
    let mut vectors = x.chunks_exact(S::N);
    for x in &mut vectors {
        largest = s.max(largest, s.load(x));
    }
    let end = vectors.remainder();
    if !end.is_empty() {
        let mut pad = [lowest; WIDEST];
        pad[..end.len()].copy_from_slice(end);
        largest = s.max(largest, s.load(&pad));
    }
    let mut lanes = [lowest; WIDEST];
    s.store(&mut lanes, largest);
    lanes[1..S::N].iter().fold(lanes[0], |a, &b| if a > b { a } else { b })
}

/// `y = exp(x - shift)`; returns the sum.
#[inline(always)]
pub(crate) fn exponentials<S: Lanes>(s: S, shift: S::T, x: &[S::T], y: &mut [S::T]) -> S::T {
    let shift = s.splat(shift);
    map(
        s,
        x,
        y,
        #[inline(always)]
        |x| s.exp(s.sub(x, shift)),
    );
    sum(
        s,
        y,
        S::T::ZERO,
        #[inline(always)]
        |sum, y| s.add(sum, y),
    )
}

struct Forward<'a, T> {
    cols: usize,
    x: &'a [T],
    y: &'a mut [T],
}

impl<T: Real> Kernel<T> for Forward<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Lanes<T = T>>(self, s: S) {
        for (x, y) in self.x.chunks_exact(self.cols).zip(self.y.chunks_exact_mut(self.cols)) {
            let total = exponentials(s, row_max(s, x), x, y);
            let total = s.splat(total);
            map_in_place(
                s,
                y,
                #[inline(always)]
                |y| s.div(y, total),
            );
        }
    }
}

struct Backward<'a, T> {
    cols: usize,
    y: &'a [T],
    dy: &'a [T],
    dx: &'a mut [T],
}

impl<T: Real> Kernel<T> for Backward<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Lanes<T = T>>(self, s: S) {
        let rows = self.y.chunks_exact(self.cols).zip(self.dy.chunks_exact(self.cols));
        for ((y, dy), dx) in rows.zip(self.dx.chunks_exact_mut(self.cols)) {
            zip_map(
                s,
                y,
                dy,
                dx,
                #[inline(always)]
                |y, dy| s.mul(y, dy),
            );
            let dot = sum(
                s,
                dx,
                T::ZERO,
                #[inline(always)]
                |sum, x| s.add(sum, x),
            );
            let dot = s.splat(dot);
            zip_map(
                s,
                y,
                dy,
                dx,
                #[inline(always)]
                |y, dy| s.mul(y, s.sub(dy, dot)),
            );
        }
    }
}
