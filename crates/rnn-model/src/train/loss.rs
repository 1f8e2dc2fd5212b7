//! Losses and metrics by Keras's names.

use rnn_shaders::vocabulary::Score;
use serde::{Deserialize, Serialize};

/// What training makes small: the mean of a score over samples and steps.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Loss {
    /// `mean((y - p)^2)`
    MeanSquaredError,
    /// `mean(|y - p|)`
    MeanAbsoluteError,
    /// Squared within `delta`, linear outside (Huber 1964).
    Huber {
        /// where the square turns into a line; Keras has 1
        delta: f32,
    },
    /// For probabilities or logits of independent yes/no targets.
    BinaryCrossentropy {
        /// the model gives logits
        from_logits: bool,
    },
    /// For one-hot targets.
    CategoricalCrossentropy {
        /// the model gives logits
        from_logits: bool,
    },
    /// For targets that are class indices.
    SparseCategoricalCrossentropy {
        /// the model gives logits
        from_logits: bool,
    },
    /// `sum(y ln(y / p))`
    KlDivergence,
}

impl Loss {
    pub(crate) fn score(self) -> Score {
        match self {
            Loss::MeanSquaredError => Score::MeanSquaredError,
            Loss::MeanAbsoluteError => Score::MeanAbsoluteError,
            Loss::Huber { delta } => Score::Huber { delta },
            Loss::BinaryCrossentropy { from_logits } => {
                Score::BinaryCrossentropy { from_logits, label_smoothing: 0.0 }
            }
            Loss::CategoricalCrossentropy { from_logits } => {
                Score::CategoricalCrossentropy { from_logits, label_smoothing: 0.0 }
            }
            Loss::SparseCategoricalCrossentropy { from_logits } => {
                Score::SparseCategoricalCrossentropy { from_logits }
            }
            Loss::KlDivergence => Score::KlDivergence,
        }
    }
}

/// What is shown beside the loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
}

impl Metric {
    /// Its name in logs.
    pub fn name(self) -> &'static str {
        match self {
            Metric::MeanAbsoluteError => "mae",
            Metric::MeanSquaredError => "mse",
            Metric::RootMeanSquaredError => "rmse",
            Metric::Accuracy => "accuracy",
            Metric::BinaryAccuracy => "binary_accuracy",
            Metric::CategoricalAccuracy => "categorical_accuracy",
            Metric::SparseCategoricalAccuracy => "sparse_categorical_accuracy",
        }
    }

    /// The score whose mean it is; `loss` and `classes` (the last axis of the output) decide what accuracy means.
    pub(crate) fn score(self, loss: Loss, classes: usize) -> Score {
        match self {
            Metric::MeanAbsoluteError => Score::MeanAbsoluteError,
            Metric::MeanSquaredError | Metric::RootMeanSquaredError => Score::MeanSquaredError,
            Metric::BinaryAccuracy => Score::BinaryAccuracy { threshold: 0.5 },
            Metric::CategoricalAccuracy => Score::CategoricalAccuracy,
            Metric::SparseCategoricalAccuracy => Score::SparseCategoricalAccuracy,
            Metric::Accuracy if loss.score().target_is_index() => Score::SparseCategoricalAccuracy,
            Metric::Accuracy if classes == 1 || matches!(loss, Loss::BinaryCrossentropy { .. }) => {
                Score::BinaryAccuracy { threshold: 0.5 }
            }
            Metric::Accuracy => Score::CategoricalAccuracy,
        }
    }

    /// The shown number from the mean of the score.
    pub(crate) fn finish(self, mean: f64) -> f64 {
        if self == Metric::RootMeanSquaredError { mean.sqrt() } else { mean }
    }
}
