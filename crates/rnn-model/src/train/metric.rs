//! Metrics by Keras's names.
//!
//! Every metric is a set of sums that grow on the device batch by batch ([`Tally`]), and a number made of them on the host
//! when it is shown. Nothing is read in between.

use super::Loss;
use super::curve::{Confusion, auc};
use rnn_shaders::vocabulary::{ColumnTerms, Score};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// What is shown beside the loss. Predictions are probabilities where the docs say so.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Metric {
    /// Mean absolute error, `mae`.
    MeanAbsoluteError,
    /// Mean squared error, `mse`.
    MeanSquaredError,
    /// Root of the mean squared error over the epoch, `rmse`.
    RootMeanSquaredError,
    /// The accuracy that fits the loss, `accuracy`.
    Accuracy,
    /// `p > 0.5` equals the target, `binary_accuracy`.
    BinaryAccuracy,
    /// The largest prediction is where the largest target is, `categorical_accuracy`.
    CategoricalAccuracy,
    /// The largest prediction is at the target index, `sparse_categorical_accuracy`.
    SparseCategoricalAccuracy,
    /// The mean of a loss, under the loss's name: `mean_absolute_percentage_error`, `poisson`, `hinge`.
    Mean(Loss),
    /// `sum(y p) / (|y| |p|)`, `cosine_similarity`: 1 for the same direction.
    CosineSimilarity,
    /// Fewer than `k` predictions are larger than that of the largest target's class, `top_k_categorical_accuracy`.
    TopKCategoricalAccuracy {
        /// Keras 5
        k: u32,
    },
    /// The same for targets that are class indices, `sparse_top_k_categorical_accuracy`.
    SparseTopKCategoricalAccuracy {
        /// Keras 5
        k: u32,
    },
    /// Of the elements predicted above the threshold, the share whose target is not 0, `precision`; 0 where there are none.
    /// Another threshold than 0.5 is in its name: `precision@0.3`. Of several thresholds, each is a metric of its own
    /// ([`Metric::precision_at`]).
    Precision {
        /// Keras 0.5; `None` is 0.5 too, or with `top_k` no threshold at all
        #[serde(default)]
        threshold: Option<f32>,
        /// only the largest so many predictions of a row count as above; of equal ones those in front
        #[serde(default)]
        top_k: Option<u32>,
        /// only this column counts
        #[serde(default)]
        class_id: Option<usize>,
    },
    /// Of the elements whose target is not 0, the share predicted above the threshold, `recall`; 0 where there are none. Named
    /// as precision is.
    Recall {
        /// Keras 0.5; `None` is 0.5 too, or with `top_k` no threshold at all
        #[serde(default)]
        threshold: Option<f32>,
        /// only the largest so many predictions of a row count as above; of equal ones those in front
        #[serde(default)]
        top_k: Option<u32>,
        /// only this column counts
        #[serde(default)]
        class_id: Option<usize>,
    },
    /// Harmonic mean of precision and recall of each column, `f1_score`.
    F1Score {
        /// how columns become one number
        average: Average,
        /// a prediction counts above it; without one, the largest of its row does
        threshold: Option<f32>,
    },
    /// Area under a curve over thresholds between 0 and 1, `auc`, from Riemann sums with interpolation as Keras has them.
    Auc {
        /// which curve
        curve: Curve,
        /// Keras 200
        num_thresholds: u32,
        /// predictions are logits
        from_logits: bool,
    },
    /// The coefficient of determination, 1 less the ratio of squared errors and variance, `r2_score`; the mean over the columns.
    R2Score,
    /// `exp` of the mean cross-entropy of the classes, `perplexity`.
    Perplexity {
        /// predictions are logits
        from_logits: bool,
    },
}

/// Keras's threshold where none is given.
const USUAL_THRESHOLD: f32 = 0.5;

/// How the scores of several columns become one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Average {
    /// Their mean.
    #[default]
    Macro,
    /// The score of all columns' elements together.
    Micro,
    /// Their mean, each by the weight of its targets.
    Weighted,
}

/// A curve over thresholds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Curve {
    /// True positive rate over false positive rate.
    #[default]
    #[serde(rename = "ROC")]
    Roc,
    /// Precision over recall.
    #[serde(rename = "PR")]
    Pr,
}

/// What a device adds up for a metric. In memory: the sums, what their rounding lost, and a count in two such parts.
pub(crate) enum Tally {
    /// the scores and their number, by weights where there are any
    Mean(Score),
    /// positives, then negatives above each threshold and not above the next, in ascending order; no count
    Thresholds { thresholds: Arc<[f32]>, top_k: Option<u32>, class: Option<usize> },
    /// three terms of each column, and the number of rows
    Columns(ColumnTerms),
}

impl Tally {
    /// Sums that it takes, for outputs of `cols` values.
    pub fn sums(&self, cols: usize) -> usize {
        match self {
            Tally::Mean(_) => 1,
            Tally::Thresholds { thresholds, .. } => 2 * thresholds.len(),
            Tally::Columns(_) => 3 * cols,
        }
    }
}

/// Places in memory of `sums` running sums and their count.
pub(crate) fn places(sums: usize) -> usize {
    2 * sums + 2
}

/// Sums and count from their places.
pub(crate) fn read(places: &[f64]) -> (Vec<f64>, f64) {
    let sums = places.len() / 2 - 1;
    let whole = |i: usize| {
        // An infinite sum has lost nothing that counts.
        if places[i].is_finite() { places[i] + places[i + sums] } else { places[i] }
    };
    ((0..sums).map(whole).collect(), places[2 * sums] + places[2 * sums + 1])
}

impl Metric {
    /// [`Metric::TopKCategoricalAccuracy`] with Keras's 5.
    pub fn top_k(k: u32) -> Metric {
        Metric::TopKCategoricalAccuracy { k }
    }

    /// Precision at a threshold of 0.5 over all columns.
    pub fn precision() -> Metric {
        Metric::Precision { threshold: None, top_k: None, class_id: None }
    }

    /// Recall at a threshold of 0.5 over all columns.
    pub fn recall() -> Metric {
        Metric::Recall { threshold: None, top_k: None, class_id: None }
    }

    /// Precision at each of these thresholds: Keras's list of them.
    ///
    /// ```
    /// use rnn_model::Metric;
    /// let names: Vec<String> = Metric::precision_at(&[0.25, 0.5]).iter().map(Metric::shown_name).collect();
    /// assert_eq!(names, ["precision@0.25", "precision"]);
    /// ```
    pub fn precision_at(thresholds: &[f32]) -> Vec<Metric> {
        let at = |&t: &f32| Metric::Precision { threshold: Some(t), top_k: None, class_id: None };
        thresholds.iter().map(at).collect()
    }

    /// Recall at each of these thresholds.
    pub fn recall_at(thresholds: &[f32]) -> Vec<Metric> {
        let at = |&t: &f32| Metric::Recall { threshold: Some(t), top_k: None, class_id: None };
        thresholds.iter().map(at).collect()
    }

    /// The F1 score of the largest predictions, the mean over the columns.
    pub fn f1_score() -> Metric {
        Metric::F1Score { average: Average::Macro, threshold: None }
    }

    /// The area under the receiver operating characteristic, over 200 thresholds.
    pub fn auc() -> Metric {
        Metric::Auc { curve: Curve::Roc, num_thresholds: 200, from_logits: false }
    }

    /// Its name in logs: [`name`](Self::name), with a threshold of its own behind it.
    pub fn shown_name(&self) -> String {
        match self {
            Metric::Precision { threshold: Some(t), .. } | Metric::Recall { threshold: Some(t), .. }
                if *t != USUAL_THRESHOLD =>
            {
                format!("{}@{t}", self.name())
            }
            _ => self.name().to_owned(),
        }
    }

    /// What it is called, whatever its options.
    pub fn name(&self) -> &'static str {
        match self {
            Metric::MeanAbsoluteError => "mae",
            Metric::MeanSquaredError => "mse",
            Metric::RootMeanSquaredError => "rmse",
            Metric::Accuracy => "accuracy",
            Metric::BinaryAccuracy => "binary_accuracy",
            Metric::CategoricalAccuracy => "categorical_accuracy",
            Metric::SparseCategoricalAccuracy => "sparse_categorical_accuracy",
            Metric::Mean(loss) => loss.name(),
            Metric::CosineSimilarity => "cosine_similarity",
            Metric::TopKCategoricalAccuracy { .. } => "top_k_categorical_accuracy",
            Metric::SparseTopKCategoricalAccuracy { .. } => "sparse_top_k_categorical_accuracy",
            Metric::Precision { .. } => "precision",
            Metric::Recall { .. } => "recall",
            Metric::F1Score { .. } => "f1_score",
            Metric::Auc { .. } => "auc",
            Metric::R2Score => "r2_score",
            Metric::Perplexity { .. } => "perplexity",
        }
    }

    /// What is added up; `loss` and `cols` (the last axis of the output) decide what accuracy and perplexity mean.
    pub(crate) fn tally(&self, loss: Loss, cols: usize) -> Tally {
        let index = loss.score().target_is_index();
        Tally::Mean(match *self {
            Metric::MeanAbsoluteError => Score::MeanAbsoluteError,
            Metric::MeanSquaredError | Metric::RootMeanSquaredError => Score::MeanSquaredError,
            Metric::BinaryAccuracy => Score::BinaryAccuracy { threshold: 0.5 },
            Metric::CategoricalAccuracy => Score::CategoricalAccuracy,
            Metric::SparseCategoricalAccuracy => Score::SparseCategoricalAccuracy,
            Metric::Accuracy if index => Score::SparseCategoricalAccuracy,
            Metric::Accuracy if cols == 1 || loss.is_binary() => Score::BinaryAccuracy { threshold: 0.5 },
            Metric::Accuracy => Score::CategoricalAccuracy,
            Metric::Mean(loss) => loss.score(),
            Metric::CosineSimilarity => Score::CosineSimilarity,
            Metric::TopKCategoricalAccuracy { k } => Score::TopKCategoricalAccuracy { k },
            Metric::SparseTopKCategoricalAccuracy { k } => Score::SparseTopKCategoricalAccuracy { k },
            Metric::Perplexity { from_logits } if index => {
                Score::SparseCategoricalCrossentropy { from_logits }
            }
            Metric::Perplexity { from_logits } => {
                Score::CategoricalCrossentropy { from_logits, label_smoothing: 0.0 }
            }
            Metric::Precision { threshold, top_k, class_id }
            | Metric::Recall { threshold, top_k, class_id } => {
                let usual = if top_k.is_some() { f32::MIN } else { USUAL_THRESHOLD };
                // The lowest counts all there are.
                let thresholds = Arc::new([f32::NEG_INFINITY, threshold.unwrap_or(usual)]);
                return Tally::Thresholds { thresholds, top_k, class: class_id };
            }
            Metric::Auc { num_thresholds, from_logits, .. } => {
                let thresholds = super::curve::thresholds(num_thresholds, from_logits);
                return Tally::Thresholds { thresholds, top_k: None, class: None };
            }
            Metric::F1Score { threshold, .. } => return Tally::Columns(ColumnTerms::Hits { threshold }),
            Metric::R2Score => return Tally::Columns(ColumnTerms::Squares),
        })
    }

    /// What is wrong with it beside this loss and outputs of `cols` values, if anything.
    pub(crate) fn problem(&self, loss: Loss, cols: usize) -> Option<String> {
        let index = loss.score().target_is_index();
        match self.tally(loss, cols) {
            Tally::Mean(score) if score.target_is_index() && !index => {
                Some(format!("{} needs a sparse loss, whose targets are class indices", self.name()))
            }
            Tally::Mean(score) if !score.target_is_index() && index => {
                Some(format!("{} can not compare class indices; take a sparse metric", self.name()))
            }
            Tally::Thresholds { .. } | Tally::Columns(_) if index => {
                Some(format!("{} needs targets of the outputs' shape, not class indices", self.name()))
            }
            Tally::Thresholds { class: Some(class), .. } if class >= cols => {
                Some(format!("{} of class {class}, but there are {cols} columns", self.name()))
            }
            Tally::Thresholds { top_k: Some(k), .. } if !(1..=cols).contains(&(k as usize)) => {
                Some(format!("{} of the {k} largest of a row, which has {cols} columns", self.name()))
            }
            _ => match *self {
                Metric::Precision { threshold: Some(t), .. } | Metric::Recall { threshold: Some(t), .. }
                    if t.is_nan() =>
                {
                    Some(format!("{} needs a threshold that is a number", self.name()))
                }
                Metric::Auc { num_thresholds, .. } if num_thresholds < 3 => {
                    Some(format!("auc needs at least 3 thresholds, got {num_thresholds}"))
                }
                Metric::TopKCategoricalAccuracy { k: 0 } | Metric::SparseTopKCategoricalAccuracy { k: 0 } => {
                    Some("k must be at least 1".to_owned())
                }
                Metric::Mean(loss) => loss.problem(),
                _ => None,
            },
        }
    }

    /// The shown number.
    pub(crate) fn finish(&self, sums: &[f64], count: f64) -> f64 {
        match *self {
            Metric::RootMeanSquaredError => (sums[0] / count).sqrt(),
            Metric::Perplexity { .. } => (sums[0] / count).exp(),
            // The loss is its negative.
            Metric::CosineSimilarity => -sums[0] / count,
            Metric::Precision { .. } => Confusion::of(sums).precision(1),
            Metric::Recall { .. } => Confusion::of(sums).recall(1),
            Metric::Auc { curve, .. } => auc(curve, &Confusion::of(sums)),
            Metric::F1Score { average, .. } => f1(average, sums),
            Metric::R2Score => r2(sums, count),
            _ => sums[0] / count,
        }
    }
}

/// Keras's epsilon.
const EPSILON: f64 = 1e-7;

/// `sums`: hits, predicted and actual of each column.
fn f1(average: Average, sums: &[f64]) -> f64 {
    let cols = sums.len() / 3;
    let score = |hits: f64, predicted: f64, actual: f64| {
        let (precision, recall) = (hits / (predicted + EPSILON), hits / (actual + EPSILON));
        2.0 * precision * recall / (precision + recall + EPSILON)
    };
    let (hits, rest) = sums.split_at(cols);
    let (predicted, actual) = rest.split_at(cols);
    let total = |x: &[f64]| x.iter().sum::<f64>();
    let scores = (0..cols).map(|c| score(hits[c], predicted[c], actual[c]));
    match average {
        Average::Macro => scores.sum::<f64>() / cols as f64,
        Average::Micro => score(total(hits), total(predicted), total(actual)),
        Average::Weighted => {
            let all = total(actual) + EPSILON;
            scores.zip(actual).map(|(score, actual)| score * actual / all).sum()
        }
    }
}

/// `sums`: targets, their squares and the squared errors of each column; `count` rows.
fn r2(sums: &[f64], count: f64) -> f64 {
    let cols = sums.len() / 3;
    let score = |c: usize| {
        let (sum, squares, errors) = (sums[c], sums[cols + c], sums[2 * cols + c]);
        let score = 1.0 - errors / (squares - sum * (sum / count));
        if score.is_infinite() { 0.0 } else { score }
    };
    (0..cols).map(score).sum::<f64>() / cols as f64
}
