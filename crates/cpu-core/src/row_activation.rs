//! Log softmax and sparsemax over the rows of a matrix, and their gradients.

use crate::error::{check_len, volume};
use crate::{Real, Result, RowActivation, parallel};
use std::cmp::Ordering;

/// `y[r, :] = kind(x[r, :])`, for `x` and `y [rows, cols]`; formulas of [`RowActivation`]. A NaN in a row makes the row
/// NaN.
///
/// # Errors
/// [`crate::Error::Length`] where `x` or `y` does not have its shape's length.
pub fn row_activation_forward<T: Real>(
    kind: RowActivation,
    rows: usize,
    cols: usize,
    x: &[T],
    y: &mut [T],
) -> Result<()> {
    let op = "row_activation_forward";
    let len = volume(op, &[rows, cols])?;
    check_len(op, "x", len, x.len())?;
    check_len(op, "y", len, y.len())?;
    if len == 0 {
        return Ok(());
    }
    let chunk = parallel::COMPUTE.chunk(len, cols);
    parallel::share_out(x.chunks(chunk).zip(y.chunks_mut(chunk)), |(x, y)| {
        let mut sorted = Vec::with_capacity(cols);
        for (x, y) in x.chunks_exact(cols).zip(y.chunks_exact_mut(cols)) {
            let largest = x.iter().fold(x[0], |a, &b| if a > b { a } else { b });
            match kind {
                RowActivation::LogSoftmax => {
                    let shift = x.iter().map(|&x| (x - largest).exp()).sum::<T>().ln();
                    y.iter_mut().zip(x).for_each(|(y, &x)| *y = x - largest - shift);
                }
                RowActivation::Sparsemax => {
                    sorted.clear();
                    sorted.extend(x.iter().map(|&x| x - largest));
                    let tau = threshold(&mut sorted);
                    for (y, &x) in y.iter_mut().zip(x) {
                        let value = x - largest - tau;
                        *y = if value < T::ZERO { T::ZERO } else { value };
                    }
                }
            }
        }
    });
    Ok(())
}

/// Tau of sparsemax: `sum(max(d - tau, 0)) = 1`. Takes the values in any order; NaN where one of them is.
fn threshold<T: Real>(d: &mut [T]) -> T {
    // A comparison can not see NaN; the sum can.
    let all: T = d.iter().copied().sum();
    if all.is_nan() {
        return all;
    }
    d.sort_unstable_by(|a, b| b.partial_cmp(a).unwrap_or(Ordering::Equal));
    let (mut sum, mut tau) = (T::ZERO, T::ZERO);
    for (k, &value) in d.iter().enumerate() {
        let next = (sum + value - T::ONE) / T::from_usize(k + 1);
        if value <= next {
            break;
        }
        sum += value;
        tau = next;
    }
    tau
}

/// The gradient of [`row_activation_forward`] from its output `y`, for `y`, `dy` and `dx [rows, cols]`.
///
/// # Errors
/// [`crate::Error::Length`] where a slice does not have its shape's length.
pub fn row_activation_backward<T: Real>(
    kind: RowActivation,
    rows: usize,
    cols: usize,
    y: &[T],
    dy: &[T],
    dx: &mut [T],
) -> Result<()> {
    let op = "row_activation_backward";
    let len = volume(op, &[rows, cols])?;
    check_len(op, "y", len, y.len())?;
    check_len(op, "dy", len, dy.len())?;
    check_len(op, "dx", len, dx.len())?;
    if len == 0 {
        return Ok(());
    }
    let chunk = parallel::COMPUTE.chunk(len, cols);
    let inputs = y.chunks(chunk).zip(dy.chunks(chunk));
    parallel::share_out(inputs.zip(dx.chunks_mut(chunk)), |((y, dy), dx)| {
        let rows = y.chunks_exact(cols).zip(dy.chunks_exact(cols));
        for ((y, dy), dx) in rows.zip(dx.chunks_exact_mut(cols)) {
            let pairs = || y.iter().copied().zip(dy.iter().copied());
            match kind {
                RowActivation::LogSoftmax => {
                    let total: T = dy.iter().copied().sum();
                    dx.iter_mut().zip(pairs()).for_each(|(dx, (y, dy))| *dx = dy - y.exp() * total);
                }
                RowActivation::Sparsemax => {
                    // 0 * y lets a NaN through.
                    let inside = || pairs().filter(|(y, _)| *y > T::ZERO || y.is_nan());
                    let sum: T = inside().map(|(y, dy)| dy + T::ZERO * y).sum();
                    let mean = sum / T::from_usize(inside().count());
                    for (dx, (y, dy)) in dx.iter_mut().zip(pairs()) {
                        *dx = if y <= T::ZERO { T::ZERO * mean } else { dy - mean };
                    }
                }
            }
        }
    });
    Ok(())
}
