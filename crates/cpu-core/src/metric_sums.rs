//! Sums that metrics are made of, where a mean of scores is not enough.

use crate::error::{check_len, volume};
use crate::sum_rows::accumulate;
use crate::{ColumnTerms, Error, Real, Result};

/// Adds to the running sums `acc [4 n]` for `n` thresholds (laid out as [`crate::accumulate`] has it for `2 n` columns): of the
/// positives, elements of `target [rows, cols]` that are not 0, the weights of those whose prediction is above each
/// threshold; then the same of the negatives. With `class` only that column counts. `weights [rows]` are 1 where absent.
/// A NaN among the predictions makes the sums NaN.
///
/// # Errors
/// [`Error::Length`]; [`Error::OutOfRange`] where there is no such class.
pub fn threshold_counts<T: Real>(
    thresholds: &[f32],
    class: Option<usize>,
    rows: usize,
    cols: usize,
    pred: &[T],
    target: &[T],
    weights: Option<&[T]>,
    acc: &mut [T],
) -> Result<()> {
    let op = "threshold_counts";
    check(op, rows, cols, pred, target, weights)?;
    let n = thresholds.len();
    check_len(op, "acc", 4 * n, acc.len())?;
    if let Some(class) = class
        && class >= cols
    {
        return Err(Error::OutOfRange { op, what: "the class", got: class as f64, limit: cols });
    }
    let columns = class.map_or(0..cols, |class| class..class + 1);
    // Where each threshold stands among the sorted ones; an element counts for all below it.
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by(|&a, &b| thresholds[a].total_cmp(&thresholds[b]));
    let sorted: Vec<T> = order.iter().map(|&i| T::from_f32(thresholds[i])).collect();
    let mut steps = [vec![T::ZERO; n + 1], vec![T::ZERO; n + 1]];
    for row in 0..rows {
        let weight = weights.map_or(T::ONE, |weights| weights[row]);
        for at in columns.clone().map(|c| row * cols + c) {
            let side = &mut steps[usize::from(target[at] == T::ZERO)];
            let p = pred[at];
            if p.is_nan() {
                side[n] += p;
                continue;
            }
            side[sorted.partition_point(|&t| p > t)] += weight;
        }
    }
    let mut counts = vec![T::ZERO; 2 * n];
    for (side, counts) in steps.iter().zip(counts.chunks_exact_mut(n.max(1))) {
        let mut above = T::ZERO;
        for i in (0..n).rev() {
            above += side[i + 1];
            counts[order[i]] = above;
        }
    }
    accumulate(1, 2 * n, &counts, T::ONE, None, acc)
}

/// Adds the sums over the rows of the three terms of each element ([`ColumnTerms`]) to the running sums `acc [6 cols]`, laid
/// out as [`crate::accumulate`] has it for `3 cols` columns. `pred`, `target [rows, cols]`; `weights [rows]` are 1 where
/// absent.
///
/// # Errors
/// [`Error::Length`].
pub fn column_terms<T: Real>(
    terms: ColumnTerms,
    rows: usize,
    cols: usize,
    pred: &[T],
    target: &[T],
    weights: Option<&[T]>,
    acc: &mut [T],
) -> Result<()> {
    let op = "column_terms";
    check(op, rows, cols, pred, target, weights)?;
    check_len(op, "acc", volume(op, &[6, cols])?, acc.len())?;
    if rows == 0 || cols == 0 {
        return Ok(());
    }
    let mut all = vec![T::ZERO; 3 * pred.len()];
    let rows_of = pred.chunks_exact(cols).zip(target.chunks_exact(cols));
    for (row, ((pred, target), out)) in rows_of.zip(all.chunks_exact_mut(3 * cols)).enumerate() {
        let weight = weights.map_or(T::ONE, |weights| weights[row]);
        let largest = pred.iter().fold(-T::INFINITY, |m, &p| if p > m { p } else { m });
        for (c, (&p, &y)) in pred.iter().zip(target).enumerate() {
            let values = match terms {
                ColumnTerms::Squares => [y, y * y, (y - p) * (y - p)],
                ColumnTerms::Hits { threshold } => {
                    let chosen = match threshold {
                        Some(threshold) => p > T::from_f32(threshold),
                        None => p >= largest && p.abs() > T::from_f64(1e-9),
                    };
                    let q = if p.is_nan() {
                        p
                    } else if chosen {
                        T::ONE
                    } else {
                        T::ZERO
                    };
                    [y * q, q, y]
                }
            };
            for (i, value) in values.into_iter().enumerate() {
                out[i * cols + c] = weight * value;
            }
        }
    }
    accumulate(rows, 3 * cols, &all, T::ONE, None, acc)
}

fn check<T: Real>(
    op: &'static str,
    rows: usize,
    cols: usize,
    pred: &[T],
    target: &[T],
    weights: Option<&[T]>,
) -> Result<()> {
    check_len(op, "pred", volume(op, &[rows, cols])?, pred.len())?;
    check_len(op, "target", pred.len(), target.len())?;
    weights.map_or(Ok(()), |weights| check_len(op, "weights", rows, weights.len()))
}
