//! Sums that metrics are made of, where a mean of scores is not enough.

use crate::error::{check_len, volume};
use crate::sum_rows::accumulate;
use crate::{ColumnTerms, Error, Real, Result};

/// Adds to the running sums `acc [4 n]` for `n` thresholds in ascending order (laid out as [`crate::accumulate`] has it for `2 n`
/// columns): of the positives, elements of `target [rows, cols]` that are not 0, the weights of those whose prediction is
/// above a threshold and not above the next one; then the same of the negatives. So what lies above a threshold is the sum from
/// its place on. With `class` only that column counts. `weights [rows]` are 1 where absent. A NaN among the predictions
/// makes the sum of the last threshold NaN.
///
/// # Errors
/// [`Error::Length`]; [`Error::OutOfRange`] where there is no such class; [`Error::Invalid`] where the thresholds do not ascend.
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
    if !thresholds.is_sorted() {
        return Err(Error::Invalid { op, reason: "thresholds must ascend" });
    }
    let columns = class.map_or(0..cols, |class| class..class + 1);
    let thresholds: Vec<T> = thresholds.iter().map(|&t| T::from_f32(t)).collect();
    // By how many thresholds lie below; what lies above none counts nowhere.
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
            side[thresholds.partition_point(|&t| p > t)] += weight;
        }
    }
    let counts = steps.map(|steps| steps[1..].to_vec()).concat();
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
