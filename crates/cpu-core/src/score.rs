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

/// What formulas take of [`rnn_shaders::vocabulary::Constants`], in the kernel's precision.
#[derive(Clone, Copy)]
pub(crate) struct Numbers<T> {
    /// `delta`, `quantile`, `gamma` or `threshold`
    pub shape: T,
    on: T,
    off: T,
    keep: T,
    lift: T,
}

impl<T: Real> Numbers<T> {
    pub fn new(score: Score, cols: usize) -> Self {
        let c = score.constants(cols);
        let [shape, on, off, keep, lift] = [c.shape, c.on, c.off, c.keep, c.lift].map(T::from_f64);
        Numbers { shape, on, off, keep, lift }
    }

    /// The target with its label smoothing.
    #[inline(always)]
    pub fn smooth(self, y: T) -> T {
        y * self.keep + self.lift
    }

    /// The weight of a binary target: `on` for 1, `off` for 0.
    #[inline(always)]
    pub fn class_weight(self, y: T) -> T {
        y * self.on + (T::ONE - y) * self.off
    }

    /// The weight of a class.
    #[inline(always)]
    pub fn alpha(self) -> T {
        self.on
    }
}

/// The label of a hinge: 0 counts as -1.
#[inline(always)]
pub(crate) fn hinge_label<T: Real>(y: T) -> T {
    if y == T::ZERO { -T::ONE } else { y }
}

/// `x^exponent` for `x >= 0`.
#[inline(always)]
pub(crate) fn power<T: Real>(x: T, exponent: T) -> T {
    if exponent == T::ZERO && !x.is_nan() {
        T::ONE
    } else if x <= T::ZERO {
        // 0^-1 too, where a focal factor is linear: 0 to the power of gamma - 1.
        if exponent > T::ZERO { T::ZERO } else { T::INFINITY }
    } else {
        (exponent * x.ln()).exp()
    }
}

/// Keras's epsilon.
pub(crate) fn tiny<T: Real>() -> T {
    T::from_f64(TINY)
}

/// `x`, or `low` where that is larger; NaN passes through.
#[inline(always)]
pub(crate) fn at_least<T: Real>(low: T, x: T) -> T {
    if x < low { low } else { x }
}

/// `1 / |x|` of a row, at most `1 / epsilon`, and whether it is that bound.
#[inline(always)]
pub(crate) fn inverse_norm<T: Real>(x: &[T]) -> (T, bool) {
    let squares = sum_of(x.len(), |c| x[c] * x[c]);
    if squares < tiny::<T>() * tiny() { (T::ONE / tiny(), true) } else { (T::ONE / squares.sqrt(), false) }
}

/// Of a categorical hinge: `max((1 - y) p) - sum(y p) + 1` before it is cut at 0, and the first of these.
#[inline(always)]
pub(crate) fn margin<T: Real>(pred: &[T], target: &[T]) -> (T, T) {
    let mut largest = -T::INFINITY;
    for (&p, &y) in pred.iter().zip(target) {
        largest = at_least(largest, (T::ONE - y) * p);
    }
    // NaN times 0 is NaN, so this sum shows any.
    let own = sum_of(pred.len(), |c| target[c] * pred[c]);
    (largest - own + T::ONE, largest)
}
