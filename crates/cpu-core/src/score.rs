//! What [`crate::score_forward`] and [`crate::score_backward`] share. Formulas are those of [`Score`], as Keras 3 has them.

use crate::error::{check_len, volume};
use crate::{Real, Result, Score};

/// Keras's epsilon.
pub(crate) const TINY: f64 = 1e-7;

/// `[epsilon, 1 - epsilon]`
pub(crate) fn probability_range<T: Real>() -> (T, T) {
    (T::from_f64(TINY), T::from_f64(1.0 - TINY))
}

/// `x` within the range; NaN passes through.
pub(crate) fn clip<T: Real>(x: T, (low, high): (T, T)) -> T {
    if x < low {
        low
    } else if x > high {
        high
    } else {
        x
    }
}

/// The derivative of [`clip`]: 1 inside, bounds included.
pub(crate) fn inside<T: Real>(x: T, (low, high): (T, T)) -> bool {
    x >= low && x <= high
}

/// The class index that a target holds (a fraction is cut off), or nothing where there is no such class.
pub(crate) fn class_index<T: Real>(target: T, cols: usize) -> Option<usize> {
    let target = target.to_f64();
    // NaN is neither.
    (target > -1.0 && target < cols as f64).then_some(target as usize)
}

/// Sum of `term(0) .. term(n - 1)`, in eight sums that are joined pairwise.
#[inline(always)]
pub(crate) fn sum_of<T: Real>(n: usize, term: impl Fn(usize) -> T) -> T {
    let mut sums = [T::ZERO; 8];
    let whole = n / 8 * 8;
    for first in (0..whole).step_by(8) {
        for (lane, sum) in sums.iter_mut().enumerate() {
            *sum += term(first + lane);
        }
    }
    for i in whole..n {
        sums[i - whole] += term(i);
    }
    let [a, b, c, d, e, f, g, h] = sums;
    ((a + b) + (c + d)) + ((e + f) + (g + h))
}

/// Checks the slices that both directions read; returns the values in a target's row.
pub(crate) fn check<T: Real>(
    op: &'static str,
    score: Score,
    rows: usize,
    cols: usize,
    pred: &[T],
    target: &[T],
    weights: Option<&[T]>,
) -> Result<usize> {
    let target_cols = if score.target_is_index() { 1 } else { cols };
    check_len(op, "pred", volume(op, &[rows, cols])?, pred.len())?;
    check_len(op, "target", rows * target_cols, target.len())?;
    weights.map_or(Ok(()), |weights| check_len(op, "weights", rows, weights.len()))?;
    Ok(target_cols)
}
