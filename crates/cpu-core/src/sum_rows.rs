//! Sums of columns: the gradient of a bias, and of a repeated vector.
//!
//! Columns are worked on in tiles of 256. Of each tile, runs of at most 64 rows are added one after another and runs are
//! joined pairwise, so the rounding error grows with `log2 rows`, and the order depends on the shape alone. Narrow arrays
//! are read as if several rows stood side by side in one, and these are added at the end.

use crate::elementwise::AddAssign;
use crate::error::{check_len, volume};
use crate::math::dispatch;
use crate::segment_sum::pairwise;
use crate::{Real, Result, parallel};

const OP: &str = "sum_rows";
/// Columns that are summed together: their sums stay in the L1 cache.
const TILE: usize = 256;
/// Rows that are added without dividing further.
const RUN: usize = 64;

/// `out[c]` = sum over the rows of `x [rows, cols]`, or with `accumulate` added to what `out [cols]` holds.
///
/// # Errors
/// [`crate::Error::Length`] where `x` or `out` does not have its shape's length.
pub fn sum_rows<T: Real>(rows: usize, cols: usize, x: &[T], out: &mut [T], accumulate: bool) -> Result<()> {
    check_len(OP, "x", volume(OP, &[rows, cols])?, x.len())?;
    check_len(OP, "out", cols, out.len())?;
    if cols == 1 {
        let sum = pairwise(x, false);
        out[0] = if accumulate { out[0] + sum } else { sum };
        return Ok(());
    }
    if !accumulate {
        out.fill(T::ZERO);
    }
    if rows == 0 || cols == 0 {
        return Ok(());
    }
    if cols <= TILE / 4 {
        narrow(rows, cols, x, out);
    } else {
        // Threads take whole tiles.
        let chunk = parallel::MEMORY.chunk(x.len(), rows * TILE) / rows;
        parallel::share_out(out.chunks_mut(chunk).enumerate(), |(piece, out)| {
            for (i, out) in out.chunks_mut(TILE).enumerate() {
                add_tile(Rows { x, cols, first: piece * chunk + i * TILE }, rows, out);
            }
        });
    }
    Ok(())
}

/// Running sums that stay exact over many batches: `acc[c] += scale * sum over r of x[r, c]` for `x [rows, cols]`, and
/// `acc[cols + c]` gathers what the rounding of `acc[c]` lost, so that the two together are the sum. With a `count`,
/// `acc[2 cols]` and `acc[2 cols + 1]` are one more such number, to which the count is added. Counts of whole numbers
/// are exact up to `2^48` in `f32`.
///
/// # Errors
/// [`crate::Error::Length`] where `x` is not `[rows, cols]`, or `acc` not `2 cols` elements, two more with a count.
pub fn accumulate<T: Real>(
    rows: usize,
    cols: usize,
    x: &[T],
    scale: T,
    count: Option<T>,
    acc: &mut [T],
) -> Result<()> {
    let op = "accumulate";
    check_len(op, "x", volume(op, &[rows, cols])?, x.len())?;
    let places = volume(op, &[2, cols])? + if count.is_some() { 2 } else { 0 };
    check_len(op, "acc", places, acc.len())?;
    if x.is_empty() {
        return Ok(());
    }
    let (sums, count_at) = acc.split_at_mut(2 * cols);
    let (sums, rests) = sums.split_at_mut(cols);
    let mut own = [T::ZERO; TILE];
    let mut many = Vec::new();
    let columns = match own.get_mut(..cols) {
        Some(columns) => columns,
        None => {
            many.resize(cols, T::ZERO);
            &mut many[..]
        }
    };
    sum_rows(rows, cols, x, columns, false)?;
    for ((sum, rest), &mut column) in sums.iter_mut().zip(rests).zip(columns) {
        add_in_two_parts(sum, rest, scale * column);
    }
    if let (Some(count), [sum, rest]) = (count, count_at) {
        add_in_two_parts(sum, rest, count);
    }
    Ok(())
}

/// `sum += value`, with the error of that addition (Dekker's fast two-sum) added to `rest`.
fn add_in_two_parts<T: Real>(sum: &mut T, rest: &mut T, value: T) {
    let (larger, smaller) = if value.abs() > sum.abs() { (value, *sum) } else { (*sum, value) };
    *sum = larger + smaller;
    if sum.is_finite() {
        *rest += smaller - (*sum - larger);
    }
}

/// Several rows side by side count as one wide row.
fn narrow<T: Real>(rows: usize, cols: usize, x: &[T], out: &mut [T]) {
    let beside = TILE / cols;
    let (wide, rest) = x.split_at(rows / beside * beside * cols);
    let mut sums = [T::ZERO; TILE];
    let sums = &mut sums[..beside * cols];
    add_tile(Rows { x: wide, cols: beside * cols, first: 0 }, rows / beside, sums);
    // The wide rows are few where the array is short: fewer than `beside` rows stay over.
    dispatch(AddAssign { x: rest, y: &mut sums[..rest.len()] });
    for part in sums.chunks_exact(cols) {
        dispatch(AddAssign { x: part, y: out });
    }
}

/// A tile's columns within rows of `cols`.
#[derive(Clone, Copy)]
struct Rows<'a, T> {
    x: &'a [T],
    cols: usize,
    /// The tile's first column.
    first: usize,
}

impl<'a, T> Rows<'a, T> {
    fn split_at(self, rows: usize) -> (Self, Self) {
        let (a, b) = self.x.split_at(rows * self.cols);
        (Rows { x: a, ..self }, Rows { x: b, ..self })
    }
}

/// Adds the sums of the tile's columns to `out`.
fn add_tile<T: Real>(x: Rows<'_, T>, rows: usize, out: &mut [T]) {
    let mut sums = [T::ZERO; TILE];
    let sums = &mut sums[..out.len()];
    tile(x, rows, sums);
    dispatch(AddAssign { x: sums, y: out });
}

/// The sums of the tile's columns into `out`, which holds zeros.
fn tile<T: Real>(x: Rows<'_, T>, rows: usize, out: &mut [T]) {
    if rows <= RUN {
        for row in x.x.chunks_exact(x.cols) {
            dispatch(AddAssign { x: &row[x.first..][..out.len()], y: out });
        }
        return;
    }
    let half = rows.div_ceil(RUN).div_ceil(2) * RUN;
    let (a, b) = x.split_at(half);
    let mut right = [T::ZERO; TILE];
    let right = &mut right[..out.len()];
    tile(a, half, out);
    tile(b, rows - half, right);
    dispatch(AddAssign { x: right, y: out });
}
