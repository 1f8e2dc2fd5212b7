//! Gradients of the losses with respect to the predictions.

use crate::error::check_len;
use crate::math::{Kernel, Lanes, dispatch};
use crate::score::{
    self, Numbers, TINY, at_least, class_index, clip, hinge_label, inside, inverse_norm, margin, power,
    probability_range, sum_of, tiny,
};
use crate::score_forward::{log_sum_exp, total};
use crate::softmax::{exponentials, row_max};
use crate::{Error, Real, Result, Score, parallel};

const OP: &str = "score_backward";

/// `dpred[r, c] = scale * weights[r] * d score(target[r, :], pred[r, :]) / d pred[r, c]`; shapes as in
/// [`crate::score_forward`], `dpred [rows, cols]`.
///
/// The gradient is 0 where a clip is active. Categorical from probabilities, with `S = sum p`, `q = p / S` and `a = 1`
/// where `q` is not clipped, else 0: `(sum_k a_k y_k - a_c y_c / q_c) / S`; from logits: `softmax(x)_c sum(y) - y_c`.
/// A class index that is none of `0 .. cols - 1` makes its row NaN.
///
/// # Errors
/// [`Error::Length`] where a slice does not have its shape's length, [`Error::Invalid`] where the score has no gradient.
pub fn score_backward<T: Real>(
    score: Score,
    rows: usize,
    cols: usize,
    pred: &[T],
    target: &[T],
    weights: Option<&[T]>,
    scale: T,
    dpred: &mut [T],
) -> Result<()> {
    if !score.is_loss() {
        return Err(Error::Invalid { op: OP, reason: "an accuracy has no gradient; use a loss" });
    }
    let target_cols = score::check(OP, score, rows, cols, pred, target, weights)?;
    check_len(OP, "dpred", pred.len(), dpred.len())?;
    if cols == 0 {
        return Ok(());
    }
    let chunk = parallel::COMPUTE.chunk(pred.len(), cols);
    let rows = (chunk / cols).max(1);
    let inputs = pred.chunks(chunk).zip(target.chunks(rows * target_cols));
    parallel::share_out(inputs.zip(dpred.chunks_mut(chunk)).enumerate(), |(i, ((pred, target), dpred))| {
        let weights = weights.map(|weights| &weights[i * rows..]);
        dispatch(Backward { score, cols, target_cols, pred, target, weights, scale, dpred });
    });
    Ok(())
}

struct Backward<'a, T> {
    score: Score,
    cols: usize,
    target_cols: usize,
    pred: &'a [T],
    target: &'a [T],
    /// From the first row on.
    weights: Option<&'a [T]>,
    scale: T,
    dpred: &'a mut [T],
}

impl<T: Real> Backward<'_, T> {
    /// `row(factor, pred[r, :], target[r, :], dpred[r, :])` with `factor = scale * weight`.
    #[inline(always)]
    fn rows(self, row: impl Fn(T, &[T], &[T], &mut [T])) {
        let rows = self.pred.chunks_exact(self.cols).zip(self.target.chunks_exact(self.target_cols));
        for (r, ((pred, target), dpred)) in rows.zip(self.dpred.chunks_exact_mut(self.cols)).enumerate() {
            let factor = self.weights.map_or(self.scale, |weights| self.scale * weights[r]);
            row(factor, pred, target, dpred);
        }
    }

    /// `dpred[r, c] = factor / divisor * slope(pred[r, c], target[r, c])`
    #[inline(always)]
    fn terms(self, divisor: usize, slope: impl Fn(T, T) -> T) {
        let divisor = T::from_usize(divisor);
        self.rows(
            #[inline(always)]
            |factor, pred, target, dpred| {
                let factor = factor / divisor;
                for ((dpred, &p), &y) in dpred.iter_mut().zip(pred).zip(target) {
                    *dpred = factor * slope(p, y);
                }
            },
        );
    }
}

impl<T: Real> Kernel<T> for Backward<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Lanes<T = T>>(self, s: S) {
        let (cols, range) = (self.cols, probability_range::<T>());
        let numbers = Numbers::<T>::new(self.score, cols);
        match self.score {
            Score::MeanSquaredError => self.terms(
                cols,
                #[inline(always)]
                |p, y| T::from_f64(2.0) * (p - y),
            ),
            Score::MeanAbsoluteError => self.terms(cols, |p, y| sign(p - y)),
            Score::Huber { .. } => {
                let delta = numbers.shape;
                self.terms(cols, |p, y| {
                    let e = p - y;
                    if e.abs() > delta { delta * sign(e) } else { e }
                });
            }
            Score::BinaryCrossentropy { from_logits: false, .. } => {
                self.terms(cols, |p, y| binary_slope(p, numbers.smooth(y)));
            }
            Score::BinaryCrossentropy { from_logits: true, .. } => {
                self.terms(cols, |x, y| x.sigmoid() - numbers.smooth(y));
            }
            Score::KlDivergence => {
                let range = (T::from_f64(TINY), T::ONE);
                self.terms(1, |p, y| {
                    let slope = -clip(y, range) / p;
                    if inside(p, range) || p.is_nan() { slope } else { T::ZERO }
                });
            }
            Score::CategoricalCrossentropy { from_logits: false, .. } => {
                self.rows(|factor, pred, target, dpred| {
                    let total = total(s, pred);
                    let active = sum_of(cols, |c| {
                        if inside(pred[c] / total, range) { numbers.smooth(target[c]) } else { T::ZERO }
                    });
                    // The total is NaN where any prediction is, and so is all that is divided by it.
                    for ((dpred, &p), &y) in dpred.iter_mut().zip(pred).zip(target) {
                        let q = p / total;
                        let own = if inside(q, range) { numbers.smooth(y) / q } else { T::ZERO };
                        *dpred = factor * ((active - own) / total);
                    }
                })
            }
            Score::SparseCategoricalCrossentropy { from_logits: false } => {
                self.rows(|factor, pred, target, dpred| {
                    let Some(class) = class_index(target[0], cols) else {
                        return dpred.fill(T::from_f64(f64::NAN));
                    };
                    let total = total(s, pred);
                    let q = pred[class] / total;
                    if inside(q, range) || q.is_nan() {
                        dpred.fill(factor / total);
                        dpred[class] = factor * ((T::ONE - T::ONE / q) / total);
                    } else {
                        dpred.fill(T::ZERO);
                    }
                });
            }
            Score::CategoricalCrossentropy { from_logits: true, .. } => {
                self.rows(|factor, pred, target, dpred| {
                    let sum = exponentials(s, row_max(s, pred), pred, dpred);
                    // The sum of smoothed targets is keep sum(y) + cols lift.
                    let targets = numbers.smooth(total(s, target))
                        + (numbers.smooth(T::ZERO) * T::from_usize(cols.saturating_sub(1)));
                    let share = targets / sum;
                    for (d, &y) in dpred.iter_mut().zip(target) {
                        *d = factor * (*d * share - numbers.smooth(y));
                    }
                })
            }
            Score::SparseCategoricalCrossentropy { from_logits: true } => {
                self.rows(|factor, pred, target, dpred| {
                    let Some(class) = class_index(target[0], cols) else {
                        return dpred.fill(T::from_f64(f64::NAN));
                    };
                    let sum = exponentials(s, row_max(s, pred), pred, dpred);
                    let share = factor / sum;
                    dpred.iter_mut().for_each(|d| *d *= share);
                    dpred[class] -= factor;
                });
            }
            Score::MeanAbsolutePercentageError => {
                self.terms(cols, |p, y| T::from_f64(100.0) * sign(p - y) / at_least(tiny(), y.abs()))
            }
            Score::MeanSquaredLogarithmicError => self.terms(cols, |p, y| {
                let e = at_least(tiny(), p).ln_1p() - at_least(tiny(), y).ln_1p();
                if p < tiny() { T::ZERO } else { (e + e) / (p + T::ONE) }
            }),
            Score::LogCosh => self.terms(cols, |p, y| (p - y).tanh()),
            Score::Poisson => self.terms(cols, |p, y| T::ONE - y / (p + tiny())),
            Score::CosineSimilarity => self.rows(|factor, pred, target, dpred| {
                let ((p_scale, bound), y_scale) = (inverse_norm(pred), inverse_norm(target).0);
                let cosine = sum_of(cols, |c| pred[c] * target[c]) * p_scale * y_scale;
                // Keras's bound on 1 / |p| is a constant.
                let back = if bound { T::ZERO } else { cosine * p_scale };
                for ((dpred, &p), &y) in dpred.iter_mut().zip(pred).zip(target) {
                    *dpred = -factor * p_scale * (y * y_scale - back * p);
                }
            }),
            Score::Hinge => self.terms(cols, |p, y| {
                let y = hinge_label(y);
                if p.is_nan() {
                    p
                } else if y * p < T::ONE {
                    -y
                } else {
                    T::ZERO
                }
            }),
            Score::SquaredHinge => self.terms(cols, |p, y| {
                let y = hinge_label(y);
                -(y + y) * at_least(T::ZERO, T::ONE - y * p)
            }),
            Score::CategoricalHinge => self.rows(|factor, pred, target, dpred| {
                let (margin, largest) = margin(pred, target);
                if margin.is_nan() {
                    return dpred.fill(margin);
                }
                let factor = if margin > T::ZERO { factor } else { T::ZERO };
                // Equals share the gradient of the largest.
                let is_largest = |c: usize| (T::ONE - target[c]) * pred[c] == largest;
                let equals = T::from_usize((0..cols).filter(|&c| is_largest(c)).count());
                for (c, (dpred, &y)) in dpred.iter_mut().zip(target).enumerate() {
                    let other = if is_largest(c) { (T::ONE - y) / equals } else { T::ZERO };
                    *dpred = factor * (other - y);
                }
            }),
            Score::Quantile { .. } => self.terms(cols, |p, y| {
                let e = p - y;
                if e > T::ZERO {
                    T::ONE - numbers.shape
                } else if e < T::ZERO {
                    -numbers.shape
                } else {
                    e
                }
            }),
            Score::BinaryFocalCrossentropy { from_logits, .. } => self.terms(cols, |x, y| {
                let (p, y) = (if from_logits { x.sigmoid() } else { x }, numbers.smooth(y));
                let q = clip(p, range);
                let entropy = -y * q.ln() - (T::ONE - y) * (T::ONE - q).ln();
                let miss = y * (T::ONE - p) + (T::ONE - y) * p;
                let slope = power(miss, numbers.shape) * binary_slope(p, y)
                    + power_slope(miss, numbers.shape) * (T::ONE - (y + y)) * entropy;
                let inner = if from_logits { p * (-x).sigmoid() } else { T::ONE };
                numbers.class_weight(y) * slope * inner
            }),
            Score::CategoricalFocalCrossentropy { from_logits, .. } => {
                self.rows(|factor, pred, target, dpred| {
                    let norm = if from_logits { log_sum_exp(s, pred) } else { total(s, pred) };
                    let share = |p: T| if from_logits { (p - norm).exp() } else { p / norm };
                    for ((dpred, &p), &y) in dpred.iter_mut().zip(pred).zip(target) {
                        let q = share(p);
                        let slope = if inside(q, range) || q.is_nan() {
                            power_slope(T::ONE - q, numbers.shape) * q.ln()
                                - power(T::ONE - q, numbers.shape) / q
                        } else {
                            T::ZERO
                        };
                        *dpred = numbers.alpha() * numbers.smooth(y) * slope;
                    }
                    let mean = sum_of(cols, |c| dpred[c] * share(pred[c]));
                    for (dpred, &p) in dpred.iter_mut().zip(pred) {
                        let inner = if from_logits { share(p) } else { T::ONE / norm };
                        *dpred = factor * inner * (*dpred - mean);
                    }
                });
            }
            // Refused above.
            Score::BinaryAccuracy { .. }
            | Score::CategoricalAccuracy
            | Score::SparseCategoricalAccuracy
            | Score::TopKCategoricalAccuracy { .. }
            | Score::SparseTopKCategoricalAccuracy { .. } => {}
        }
    }
}

/// -1, 0 or 1; NaN passes through.
#[inline(always)]
fn sign<T: Real>(x: T) -> T {
    if x > T::ZERO {
        T::ONE
    } else if x < T::ZERO {
        -T::ONE
    } else {
        x
    }
}

/// The derivative of binary cross-entropy by the probability; 0 where that is clipped.
#[inline(always)]
fn binary_slope<T: Real>(p: T, y: T) -> T {
    let slope = (T::ONE - y) / (T::ONE - p) - y / p;
    if inside(p, probability_range()) || p.is_nan() { slope } else { T::ZERO }
}

/// `gamma x^(gamma - 1)`
#[inline(always)]
fn power_slope<T: Real>(x: T, gamma: T) -> T {
    if gamma == T::ZERO { T::ZERO } else { gamma * power(x, gamma - T::ONE) }
}
