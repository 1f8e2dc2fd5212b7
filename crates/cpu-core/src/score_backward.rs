//! Gradients of the losses with respect to the predictions.

use crate::error::check_len;
use crate::math::{Kernel, Lanes, dispatch};
use crate::score::{self, TINY, class_index, clip, inside, probability_range, sum_of};
use crate::score_forward::total;
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
        match self.score {
            Score::MeanSquaredError => self.terms(
                cols,
                #[inline(always)]
                |p, y| T::from_f64(2.0) * (p - y),
            ),
            Score::MeanAbsoluteError => self.terms(cols, |p, y| sign(p - y)),
            Score::Huber { delta } => {
                let delta = T::from_f32(delta);
                self.terms(cols, |p, y| {
                    let e = p - y;
                    if e.abs() > delta { delta * sign(e) } else { e }
                });
            }
            Score::BinaryCrossentropy { from_logits: false } => self.terms(cols, |p, y| {
                let slope = (T::ONE - y) / (T::ONE - p) - y / p;
                if inside(p, range) || p.is_nan() { slope } else { T::ZERO }
            }),
            Score::BinaryCrossentropy { from_logits: true } => self.terms(cols, |x, y| x.sigmoid() - y),
            Score::KlDivergence => {
                let range = (T::from_f64(TINY), T::ONE);
                self.terms(1, |p, y| {
                    let slope = -clip(y, range) / p;
                    if inside(p, range) || p.is_nan() { slope } else { T::ZERO }
                });
            }
            Score::CategoricalCrossentropy { from_logits: false } => {
                self.rows(|factor, pred, target, dpred| {
                    let total = total(s, pred);
                    let active =
                        sum_of(cols, |c| if inside(pred[c] / total, range) { target[c] } else { T::ZERO });
                    // The total is NaN where any prediction is, and so is all that is divided by it.
                    for ((dpred, &p), &y) in dpred.iter_mut().zip(pred).zip(target) {
                        let q = p / total;
                        let own = if inside(q, range) { y / q } else { T::ZERO };
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
            Score::CategoricalCrossentropy { from_logits: true } => {
                self.rows(|factor, pred, target, dpred| {
                    let sum = exponentials(s, row_max(s, pred), pred, dpred);
                    let share = total(s, target) / sum;
                    for (d, &y) in dpred.iter_mut().zip(target) {
                        *d = factor * (*d * share - y);
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
            // Refused above.
            Score::BinaryAccuracy | Score::CategoricalAccuracy | Score::SparseCategoricalAccuracy => {}
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
