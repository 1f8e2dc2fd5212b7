//! Losses and metrics of a row of predictions.

/// A number per row of predictions: a loss before its mean, or a metric.
///
/// `y` is the target row, `p` the prediction row of `cols` values; every score is a mean over the row where the row
/// has several independent values, as Keras has it. `epsilon` is Keras's 1e-7.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Score {
    /// `mean((y - p)^2)`
    MeanSquaredError,
    /// `mean(|y - p|)`; derivative 0 at 0
    MeanAbsoluteError,
    /// `mean(e^2 / 2 where |e| <= delta, else delta |e| - delta^2 / 2)`
    Huber {
        /// where the square turns into a line; Keras 1.0
        delta: f32,
    },
    /// `mean(-y ln p - (1 - y) ln(1 - p))`, `p` clipped to `[epsilon, 1 - epsilon]`, or from logits without a clip
    BinaryCrossentropy {
        /// predictions are logits
        from_logits: bool,
        /// `s`: the target is `y (1 - s) + s / 2`
        label_smoothing: f32,
    },
    /// `-sum(y ln p)`, `p` divided by its sum and clipped to `[epsilon, 1 - epsilon]`, or from logits by log-softmax
    CategoricalCrossentropy {
        /// predictions are logits
        from_logits: bool,
        /// `s`: the target is `y (1 - s) + s / cols`
        label_smoothing: f32,
    },
    /// As categorical, the target one class index (a whole number kept as a float) per row
    SparseCategoricalCrossentropy {
        /// predictions are logits
        from_logits: bool,
    },
    /// `sum(y ln(y / p))`, both clipped to `[epsilon, 1]`
    KlDivergence,
    /// `100 mean(|y - p| / max(|y|, epsilon))`; derivative 0 at `y`
    MeanAbsolutePercentageError,
    /// `mean((ln(max(p, epsilon) + 1) - ln(max(y, epsilon) + 1))^2)`
    MeanSquaredLogarithmicError,
    /// `mean(ln cosh(p - y))`
    LogCosh,
    /// `mean(p - y ln(p + epsilon))`
    Poisson,
    /// `-sum(y p) / (|y| |p|)`, between -1 (same direction) and 1
    CosineSimilarity,
    /// `mean(max(1 - y p, 0))` for `y` -1 or 1; 0 counts as -1
    Hinge,
    /// `mean(max(1 - y p, 0)^2)`, `y` as for hinge
    SquaredHinge,
    /// `max(max((1 - y) p) - sum(y p) + 1, 0)` for one-hot `y`
    CategoricalHinge,
    /// The pinball loss `mean(max(q e, (q - 1) e))` with `e = y - p` (Koenker and Bassett 1978); derivative 0 at 0
    Quantile {
        /// `q`, between 0 and 1: the share of targets that should lie below the prediction
        quantile: f32,
    },
    /// Binary cross-entropy `b` of the clipped `p`, times `(1 - p_t)^gamma` with `p_t = y p + (1 - y)(1 - p)` (Lin et al.
    /// 2017), times `y alpha + (1 - y)(1 - alpha)` where classes are balanced; the mean of it. Logits go through a
    /// sigmoid first.
    BinaryFocalCrossentropy {
        /// weigh the classes by `alpha`
        apply_class_balancing: bool,
        /// Keras 0.25
        alpha: f32,
        /// Keras 2.0
        gamma: f32,
        /// predictions are logits
        from_logits: bool,
        /// `s`: the target is `y (1 - s) + s / 2`
        label_smoothing: f32,
    },
    /// `sum(-alpha y (1 - q)^gamma ln q)`, `q` the prediction divided by its sum and clipped to `[epsilon, 1 - epsilon]`.
    /// Logits go through a softmax first.
    CategoricalFocalCrossentropy {
        /// Keras 0.25
        alpha: f32,
        /// Keras 2.0
        gamma: f32,
        /// predictions are logits
        from_logits: bool,
        /// `s`: the target is `y (1 - s) + s / cols`
        label_smoothing: f32,
    },
    /// `mean((p > threshold) == y)`; metric only
    BinaryAccuracy {
        /// Keras 0.5
        threshold: f32,
    },
    /// `argmax p == argmax y`, the first of equals; metric only
    CategoricalAccuracy,
    /// `argmax p == y`; metric only
    SparseCategoricalAccuracy,
    /// Fewer than `k` predictions are larger than that of the class `argmax y`; metric only
    TopKCategoricalAccuracy {
        /// Keras 5
        k: u32,
    },
    /// Fewer than `k` predictions are larger than that of the class `y`; metric only
    SparseTopKCategoricalAccuracy {
        /// Keras 5
        k: u32,
    },
}

/// The numbers that a score's formula takes, as both devices' kernels have them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Constants {
    /// `delta`, `quantile`, `gamma`, `threshold` or `k`
    pub shape: f64,
    /// weight of a target of 1: `alpha`
    pub on: f64,
    /// weight of a target of 0
    pub off: f64,
    /// a target `y` counts as `keep y + lift`
    pub keep: f64,
    /// see `keep`
    pub lift: f64,
}

impl Score {
    /// The code that WGSL sees.
    pub fn code(self) -> u32 {
        match self {
            Score::MeanSquaredError => 0,
            Score::MeanAbsoluteError => 1,
            Score::Huber { .. } => 2,
            Score::BinaryCrossentropy { from_logits: false, .. } => 3,
            Score::BinaryCrossentropy { from_logits: true, .. } => 4,
            Score::CategoricalCrossentropy { from_logits: false, .. } => 5,
            Score::CategoricalCrossentropy { from_logits: true, .. } => 6,
            Score::SparseCategoricalCrossentropy { from_logits: false } => 7,
            Score::SparseCategoricalCrossentropy { from_logits: true } => 8,
            Score::KlDivergence => 9,
            Score::BinaryAccuracy { .. } => 10,
            Score::CategoricalAccuracy => 11,
            Score::SparseCategoricalAccuracy => 12,
            Score::TopKCategoricalAccuracy { .. } => 13,
            Score::SparseTopKCategoricalAccuracy { .. } => 14,
            Score::MeanAbsolutePercentageError => 15,
            Score::MeanSquaredLogarithmicError => 16,
            Score::LogCosh => 17,
            Score::Poisson => 18,
            Score::CosineSimilarity => 19,
            Score::Hinge => 20,
            Score::SquaredHinge => 21,
            Score::CategoricalHinge => 22,
            Score::Quantile { .. } => 23,
            Score::BinaryFocalCrossentropy { from_logits: false, .. } => 24,
            Score::BinaryFocalCrossentropy { from_logits: true, .. } => 25,
            Score::CategoricalFocalCrossentropy { from_logits: false, .. } => 26,
            Score::CategoricalFocalCrossentropy { from_logits: true, .. } => 27,
        }
    }

    /// The numbers of its formula, for rows of `cols` values.
    pub fn constants(self, cols: usize) -> Constants {
        let plain = Constants { shape: 0.0, on: 1.0, off: 1.0, keep: 1.0, lift: 0.0 };
        let shape = |shape: f32| Constants { shape: shape.into(), ..plain };
        let smooth = |constants, smoothing: f32, classes: usize| {
            let smoothing = f64::from(smoothing);
            Constants { keep: 1.0 - smoothing, lift: smoothing / classes as f64, ..constants }
        };
        match self {
            Score::Huber { delta } => shape(delta),
            Score::Quantile { quantile } => shape(quantile),
            Score::BinaryAccuracy { threshold } => shape(threshold),
            Score::TopKCategoricalAccuracy { k } | Score::SparseTopKCategoricalAccuracy { k } => {
                Constants { shape: k.into(), ..plain }
            }
            Score::BinaryCrossentropy { label_smoothing, .. } => smooth(plain, label_smoothing, 2),
            Score::CategoricalCrossentropy { label_smoothing, .. } => smooth(plain, label_smoothing, cols),
            Score::BinaryFocalCrossentropy {
                apply_class_balancing, alpha, gamma, label_smoothing, ..
            } => {
                let alpha = f64::from(alpha);
                let [on, off] = if apply_class_balancing { [alpha, 1.0 - alpha] } else { [1.0, 1.0] };
                smooth(Constants { on, off, ..shape(gamma) }, label_smoothing, 2)
            }
            Score::CategoricalFocalCrossentropy { alpha, gamma, label_smoothing, .. } => {
                smooth(Constants { on: alpha.into(), ..shape(gamma) }, label_smoothing, cols)
            }
            _ => plain,
        }
    }

    /// Whether the target has one class index per row in place of `cols` values.
    pub fn target_is_index(self) -> bool {
        matches!(
            self,
            Score::SparseCategoricalCrossentropy { .. }
                | Score::SparseCategoricalAccuracy
                | Score::SparseTopKCategoricalAccuracy { .. }
        )
    }

    /// Whether the score has a gradient, so that it can be a loss.
    pub fn is_loss(self) -> bool {
        !matches!(self.code(), 10..=14)
    }
}

/// Three numbers per element, whose sums over the rows a metric per column is made of; `w` is the row's weight.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ColumnTerms {
    /// `w y`, `w y^2`, `w (y - p)^2`
    Squares,
    /// `w y q`, `w q`, `w y` with `q` 1 where `p > threshold`, or, without one, where `p` is the largest of its row and
    /// `|p| > 1e-9`; else 0
    Hits {
        /// where a prediction counts
        threshold: Option<f32>,
    },
}
