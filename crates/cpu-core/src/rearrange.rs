//! Moves values without changing them: copy, repeat, reverse, transpose, shift.

use crate::error::{check_len, volume};
use crate::math::WIDEST;
use crate::{Real, Result, parallel};

/// `y[i] = x[i]`
///
/// # Errors
/// [`crate::Error::Length`] where `y` is not as long as `x`.
pub fn copy<T: Real>(x: &[T], y: &mut [T]) -> Result<()> {
    check_len("copy", "y", x.len(), y.len())?;
    let chunk = parallel::COPY.chunk(x.len(), WIDEST);
    parallel::share_out(x.chunks(chunk).zip(y.chunks_mut(chunk)), |(x, y)| y.copy_from_slice(x));
    Ok(())
}

/// A copy in new memory, made by the threads that have just computed its parts.
pub fn to_vec<T: Real>(x: &[T]) -> Vec<T> {
    let chunk = parallel::COPY.chunk(x.len(), WIDEST);
    let mut y = Vec::with_capacity(x.len());
    // Zeros first would bring all of it into one core's cache.
    let places = &mut y.spare_capacity_mut()[..x.len()];
    parallel::share_out(x.chunks(chunk).zip(places.chunks_mut(chunk)), |(x, y)| {
        for (y, x) in y.iter_mut().zip(x) {
            y.write(*x);
        }
    });
    // SAFETY: chunks of equal length cover both, so each of the first `x.len()` places has been written.
    unsafe { y.set_len(x.len()) };
    y
}

/// `y[t, :] = x` for `x [n]` and `y [time, n]`. The gradient is [`crate::sum_rows`].
///
/// # Errors
/// [`crate::Error::Length`] where `x` or `y` does not have its shape's length.
pub fn repeat_vector<T: Real>(time: usize, n: usize, x: &[T], y: &mut [T]) -> Result<()> {
    check_len("repeat_vector", "x", n, x.len())?;
    check_len("repeat_vector", "y", volume("repeat_vector", &[time, n])?, y.len())?;
    if n > 0 {
        y.chunks_exact_mut(n).for_each(|y| y.copy_from_slice(x));
    }
    Ok(())
}

/// `y[t, :] = x[time - 1 - t, :]` for `x` and `y [time, n]`.
///
/// # Errors
/// [`crate::Error::Length`] where `x` or `y` does not have its shape's length.
pub fn reverse_time<T: Real>(time: usize, n: usize, x: &[T], y: &mut [T]) -> Result<()> {
    let len = volume("reverse_time", &[time, n])?;
    check_len("reverse_time", "x", len, x.len())?;
    check_len("reverse_time", "y", len, y.len())?;
    if n > 0 {
        x.chunks_exact(n).rev().zip(y.chunks_exact_mut(n)).for_each(|(x, y)| y.copy_from_slice(x));
    }
    Ok(())
}

/// `y[t] = x[t + 1]` and `y[time - 1] = new`, for `x` and `y [time, n]` and `new [n]`: the window of a forecast moves on.
///
/// # Errors
/// [`crate::Error::Length`] where a slice does not have its shape's length.
pub fn shift_append<T: Real>(time: usize, n: usize, x: &[T], new: &[T], y: &mut [T]) -> Result<()> {
    let len = volume("shift_append", &[time, n])?;
    check_len("shift_append", "x", len, x.len())?;
    check_len("shift_append", "new", n, new.len())?;
    check_len("shift_append", "y", len, y.len())?;
    if len > 0 {
        y[..len - n].copy_from_slice(&x[n..]);
        y[len - n..].copy_from_slice(new);
    }
    Ok(())
}

/// Side of the square block in which single values are transposed: two blocks of rows fit the L1 cache.
const BLOCK: usize = 32;

/// `y[j, i, :] = x[i, j, :]` for `x [a, b, f]` and `y [b, a, f]`: batch-major to time-major and back.
///
/// # Errors
/// [`crate::Error::Length`] where `x` or `y` does not have its shape's length.
pub fn transpose01<T: Real>(a: usize, b: usize, f: usize, x: &[T], y: &mut [T]) -> Result<()> {
    let len = volume("transpose01", &[a, b, f])?;
    check_len("transpose01", "x", len, x.len())?;
    check_len("transpose01", "y", len, y.len())?;
    if len == 0 {
        return Ok(());
    }
    if a == 1 || b == 1 {
        y.copy_from_slice(x);
        return Ok(());
    }
    // A band is up to BLOCK rows j of y, each [a, f].
    let band_len = BLOCK * a * f;
    let chunk = parallel::MEMORY.chunk(len, band_len);
    parallel::share_out(y.chunks_mut(chunk).enumerate(), |(piece, y)| {
        for (band, y) in y.chunks_mut(band_len).enumerate() {
            let first = piece * chunk / (a * f) + band * BLOCK;
            for i0 in (0..a).step_by(BLOCK) {
                for (row, y) in y.chunks_exact_mut(a * f).enumerate() {
                    for i in i0..(i0 + BLOCK).min(a) {
                        let from = &x[(i * b + first + row) * f..][..f];
                        let to = &mut y[i * f..][..f];
                        if f == 1 { to[0] = from[0] } else { to.copy_from_slice(from) }
                    }
                }
            }
        }
    });
    Ok(())
}
