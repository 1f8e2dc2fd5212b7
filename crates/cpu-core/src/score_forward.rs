//! Losses and metrics of every row.

use crate::error::check_len;
use crate::math::{Kernel, Lanes, dispatch};
use crate::score::{
    self, Numbers, at_least, class_index, clip, hinge_label, inverse_norm, margin, power, probability_range,
    sum_of, tiny,
};
use crate::segment_sum::sum;
use crate::softmax::row_max;
use crate::{Real, Result, Score, parallel};

const OP: &str = "score_forward";

/// `out[r] = weights[r] * score(target[r, :], pred[r, :])`, for `pred [rows, cols]`, `target [rows, cols]` or, where
/// [`Score::target_is_index`], `[rows]`, and `out [rows]`; a weight is 1 where none are given.
///
/// A NaN among the predictions gives NaN, for accuracies too, and so does a class index that is none of `0 .. cols - 1`.
///
/// # Errors
/// [`crate::Error::Length`] where a slice does not have its shape's length.
pub fn score_forward<T: Real>(
    score: Score,
    rows: usize,
    cols: usize,
    pred: &[T],
    target: &[T],
    weights: Option<&[T]>,
    out: &mut [T],
) -> Result<()> {
    let target_cols = score::check(OP, score, rows, cols, pred, target, weights)?;
    check_len(OP, "out", rows, out.len())?;
    if cols == 0 {
        out.fill(T::ZERO);
        return Ok(());
    }
    let chunk = parallel::COMPUTE.chunk(pred.len(), cols);
    let rows = (chunk / cols).max(1);
    let inputs = pred.chunks(chunk).zip(target.chunks(rows * target_cols));
    parallel::share_out(inputs.zip(out.chunks_mut(rows)), |((pred, target), out)| {
        dispatch(Forward { score, cols, target_cols, pred, target, out });
    });
    if let Some(weights) = weights {
        out.iter_mut().zip(weights).for_each(|(out, &weight)| *out *= weight);
    }
    Ok(())
}

struct Forward<'a, T> {
    score: Score,
    cols: usize,
    target_cols: usize,
    pred: &'a [T],
    target: &'a [T],
    out: &'a mut [T],
}

impl<T: Real> Forward<'_, T> {
    /// `out[r] = row(pred[r, :], target[r, :])`
    #[inline(always)]
    fn rows(self, row: impl Fn(&[T], &[T]) -> T) {
        let rows = self.pred.chunks_exact(self.cols).zip(self.target.chunks_exact(self.target_cols));
        for ((pred, target), out) in rows.zip(self.out) {
            *out = row(pred, target);
        }
    }

    /// `out[r]` = mean of `term(pred[r, c], target[r, c])`
    #[inline(always)]
    fn means(self, term: impl Fn(T, T) -> T) {
        let cols = T::from_usize(self.cols);
        self.rows(
            #[inline(always)]
            |pred, target| sum_of(pred.len(), |c| term(pred[c], target[c])) / cols,
        );
    }
}

impl<T: Real> Kernel<T> for Forward<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Lanes<T = T>>(self, s: S) {
        let range = probability_range::<T>();
        let half = T::from_f64(0.5);
        let numbers = Numbers::<T>::new(self.score, self.cols);
        match self.score {
            Score::MeanSquaredError => self.means(
                #[inline(always)]
                |p, y| (y - p) * (y - p),
            ),
            Score::MeanAbsoluteError => self.means(
                #[inline(always)]
                |p, y| (y - p).abs(),
            ),
            Score::Huber { .. } => {
                let delta = numbers.shape;
                self.means(|p, y| {
                    let e = (y - p).abs();
                    if e <= delta { half * e * e } else { delta * (e - half * delta) }
                });
            }
            Score::BinaryCrossentropy { from_logits: false, .. } => {
                self.means(|p, y| binary_entropy(clip(p, range), numbers.smooth(y)));
            }
            // ln(1 + e^x) - x y
            Score::BinaryCrossentropy { from_logits: true, .. } => self.means(|x, y| {
                let y = numbers.smooth(y);
                at_least(T::ZERO, x) - x * y + (-x.abs()).exp().ln_1p()
            }),
            Score::CategoricalCrossentropy { from_logits: false, .. } => self.rows(|pred, target| {
                let total = total(s, pred);
                sum_of(pred.len(), |c| minus_y_ln_q(numbers.smooth(target[c]), clip(pred[c] / total, range)))
            }),
            Score::SparseCategoricalCrossentropy { from_logits: false } => self.rows(|pred, target| {
                // The total is NaN where any prediction is.
                class_index(target[0], pred.len())
                    .map_or(nan(), |class| -clip(pred[class] / total(s, pred), range).ln())
            }),
            Score::CategoricalCrossentropy { from_logits: true, .. } => self.rows(|pred, target| {
                let shift = log_sum_exp(s, pred);
                sum_of(pred.len(), |c| -numbers.smooth(target[c]) * (pred[c] - shift))
            }),
            Score::SparseCategoricalCrossentropy { from_logits: true } => self.rows(|pred, target| {
                class_index(target[0], pred.len()).map_or(nan(), |class| log_sum_exp(s, pred) - pred[class])
            }),
            Score::KlDivergence => {
                let range = (range.0, T::ONE);
                self.rows(|pred, target| {
                    sum_of(pred.len(), |c| {
                        let (q, y) = (clip(pred[c], range), clip(target[c], range));
                        y * (y / q).ln()
                    })
                });
            }
            Score::MeanAbsolutePercentageError => {
                self.means(|p, y| T::from_f64(100.0) * ((y - p).abs() / at_least(tiny(), y.abs())));
            }
            Score::MeanSquaredLogarithmicError => self.means(|p, y| {
                let e = at_least(tiny(), p).ln_1p() - at_least(tiny(), y).ln_1p();
                e * e
            }),
            // |e| + ln(1 + exp(-2 |e|)) - ln 2
            Score::LogCosh => self.means(|p, y| {
                let e = (p - y).abs();
                e + (-(e + e)).exp().ln_1p() - T::from_f64(std::f64::consts::LN_2)
            }),
            Score::Poisson => self.means(|p, y| p - y * (p + tiny()).ln()),
            Score::CosineSimilarity => self.rows(|pred, target| {
                let (p, y) = (inverse_norm(pred).0, inverse_norm(target).0);
                -(sum_of(pred.len(), |c| pred[c] * target[c]) * p * y)
            }),
            Score::Hinge => self.means(|p, y| at_least(T::ZERO, T::ONE - hinge_label(y) * p)),
            Score::SquaredHinge => self.means(|p, y| {
                let e = at_least(T::ZERO, T::ONE - hinge_label(y) * p);
                e * e
            }),
            Score::CategoricalHinge => self.rows(|pred, target| at_least(T::ZERO, margin(pred, target).0)),
            Score::Quantile { .. } => self.means(|p, y| {
                let e = y - p;
                if e < T::ZERO { (numbers.shape - T::ONE) * e } else { numbers.shape * e }
            }),
            Score::BinaryFocalCrossentropy { from_logits, .. } => self.means(|p, y| {
                let (p, y) = (if from_logits { p.sigmoid() } else { p }, numbers.smooth(y));
                let miss = y * (T::ONE - p) + (T::ONE - y) * p;
                let entropy = binary_entropy(clip(p, range), y);
                numbers.class_weight(y) * power(miss, numbers.shape) * entropy
            }),
            Score::CategoricalFocalCrossentropy { from_logits, .. } => self.rows(|pred, target| {
                let norm = if from_logits { log_sum_exp(s, pred) } else { total(s, pred) };
                let sum = sum_of(pred.len(), |c| {
                    let q = if from_logits { (pred[c] - norm).exp() } else { pred[c] / norm };
                    let (q, y) = (clip(q, range), numbers.smooth(target[c]));
                    -y * power(T::ONE - q, numbers.shape) * q.ln()
                });
                numbers.alpha() * sum
            }),
            Score::BinaryAccuracy { .. } => self.means(|p, y| {
                if p.is_nan() {
                    return p;
                }
                let class = if p > numbers.shape { T::ONE } else { T::ZERO };
                if class == y { T::ONE } else { T::ZERO }
            }),
            Score::CategoricalAccuracy => {
                self.rows(|pred, target| accuracy(pred, |class| argmax(target) == Some(class)));
            }
            Score::SparseCategoricalAccuracy => self.rows(|pred, target| {
                class_index(target[0], pred.len()).map_or(nan(), |class| accuracy(pred, |best| best == class))
            }),
            Score::TopKCategoricalAccuracy { k } => {
                self.rows(|pred, target| argmax(target).map_or(nan(), |class| top_k(pred, class, k)));
            }
            Score::SparseTopKCategoricalAccuracy { k } => self.rows(|pred, target| {
                class_index(target[0], pred.len()).map_or(nan(), |class| top_k(pred, class, k))
            }),
        }
    }
}

fn nan<T: Real>() -> T {
    T::from_f64(f64::NAN)
}

/// `-y ln q - (1 - y) ln(1 - q)`
#[inline(always)]
fn binary_entropy<T: Real>(q: T, y: T) -> T {
    -y * q.ln() - (T::ONE - y) * (T::ONE - q).ln()
}

/// `-y ln q`; without the logarithm where `y` is 0, as most of a one-hot row is (`q` is clipped, so finite or NaN).
#[inline(always)]
fn minus_y_ln_q<T: Real>(y: T, q: T) -> T {
    if y == T::ZERO && !q.is_nan() { T::ZERO } else { -y * q.ln() }
}

/// The sum of a row.
#[inline(always)]
pub(crate) fn total<S: Lanes>(s: S, x: &[S::T]) -> S::T {
    sum(
        s,
        x,
        S::T::ZERO,
        #[inline(always)]
        |sum, x| s.add(sum, x),
    )
}

/// `ln sum exp(x)`
#[inline(always)]
pub(crate) fn log_sum_exp<S: Lanes>(s: S, x: &[S::T]) -> S::T {
    let largest = row_max(s, x);
    let shift = s.splat(largest);
    let total = sum(
        s,
        x,
        -S::T::INFINITY,
        #[inline(always)]
        |sum, x| s.add(sum, s.exp(s.sub(x, shift))),
    );
    largest + total.ln()
}

/// 1 where the best class is the right one, else 0; NaN where a prediction is.
fn accuracy<T: Real>(pred: &[T], right: impl Fn(usize) -> bool) -> T {
    match argmax(pred) {
        None => nan(),
        Some(class) => {
            if right(class) {
                T::ONE
            } else {
                T::ZERO
            }
        }
    }
}

/// 1 where fewer than `k` predictions are larger than that of `class`, else 0; NaN where a prediction is.
fn top_k<T: Real>(pred: &[T], class: usize, k: u32) -> T {
    if pred.iter().any(|p| p.is_nan()) {
        return nan();
    }
    let above = pred.iter().filter(|&&p| p > pred[class]).count();
    if above < k as usize { T::ONE } else { T::ZERO }
}

/// The first of the largest values, or nothing where one is NaN.
fn argmax<T: Real>(x: &[T]) -> Option<usize> {
    let mut best = 0;
    for (i, value) in x.iter().enumerate() {
        if value.is_nan() {
            return None;
        }
        if *value > x[best] {
            best = i;
        }
    }
    Some(best)
}
