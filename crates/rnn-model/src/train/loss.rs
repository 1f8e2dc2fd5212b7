//! Losses by Keras's names.

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
        /// how far targets move from 0 and 1 to 0.5, from 0 to 1; Keras 0
        #[serde(default)]
        label_smoothing: f32,
    },
    /// For one-hot targets.
    CategoricalCrossentropy {
        /// the model gives logits
        from_logits: bool,
        /// how far targets move from one-hot to all alike, from 0 to 1; Keras 0
        #[serde(default)]
        label_smoothing: f32,
    },
    /// For targets that are class indices.
    SparseCategoricalCrossentropy {
        /// the model gives logits
        from_logits: bool,
    },
    /// `sum(y ln(y / p))`
    KlDivergence,
    /// `100 mean(|y - p| / |y|)`, a target below 1e-7 counting as that
    MeanAbsolutePercentageError,
    /// `mean((ln(p + 1) - ln(y + 1))^2)`, both at least 1e-7
    MeanSquaredLogarithmicError,
    /// `mean(ln cosh(p - y))`
    LogCosh,
    /// `mean(p - y ln p)`, for counts
    Poisson,
    /// `-sum(y p) / (|y| |p|)`: from 1 down to -1 for the same direction
    CosineSimilarity,
    /// `mean(max(1 - y p, 0))` for targets -1 and 1, or 0 and 1
    Hinge,
    /// `mean(max(1 - y p, 0)^2)` for targets -1 and 1, or 0 and 1
    SquaredHinge,
    /// `max(max((1 - y) p) - sum(y p) + 1, 0)` for one-hot targets
    CategoricalHinge,
    /// The pinball loss (Koenker and Bassett 1978), least where the share `quantile` of targets lies below the prediction.
    Quantile {
        /// between 0 and 1; 0.5 is half the absolute error
        quantile: f32,
    },
    /// Binary cross-entropy times `(1 - p_t)^gamma`, `p_t` the probability given to the truth (Lin et al. 2017).
    BinaryFocalCrossentropy {
        /// weigh targets of 1 by `alpha`, of 0 by `1 - alpha`; Keras false
        apply_class_balancing: bool,
        /// Keras 0.25
        alpha: f32,
        /// how much easy samples are made light of; Keras 2
        gamma: f32,
        /// the model gives logits
        from_logits: bool,
        /// as in binary cross-entropy
        label_smoothing: f32,
    },
    /// Categorical cross-entropy of which each class's term is multiplied by `alpha (1 - p)^gamma`.
    CategoricalFocalCrossentropy {
        /// Keras 0.25
        alpha: f32,
        /// how much easy samples are made light of; Keras 2
        gamma: f32,
        /// the model gives logits
        from_logits: bool,
        /// as in categorical cross-entropy
        label_smoothing: f32,
    },
}

impl Loss {
    /// Keras's default: probabilities, no smoothing.
    pub fn binary_crossentropy() -> Loss {
        Loss::BinaryCrossentropy { from_logits: false, label_smoothing: 0.0 }
    }

    /// Keras's default: probabilities, no smoothing.
    pub fn categorical_crossentropy() -> Loss {
        Loss::CategoricalCrossentropy { from_logits: false, label_smoothing: 0.0 }
    }

    /// Keras's default: probabilities.
    pub fn sparse_categorical_crossentropy() -> Loss {
        Loss::SparseCategoricalCrossentropy { from_logits: false }
    }

    /// Keras's default: probabilities, `gamma` 2, no class balancing.
    pub fn binary_focal_crossentropy() -> Loss {
        Loss::BinaryFocalCrossentropy {
            apply_class_balancing: false,
            alpha: 0.25,
            gamma: 2.0,
            from_logits: false,
            label_smoothing: 0.0,
        }
    }

    /// Keras's default: probabilities, `alpha` 0.25, `gamma` 2.
    pub fn categorical_focal_crossentropy() -> Loss {
        let (alpha, gamma) = (0.25, 2.0);
        Loss::CategoricalFocalCrossentropy { alpha, gamma, from_logits: false, label_smoothing: 0.0 }
    }

    /// Its name in Keras.
    pub fn name(&self) -> &'static str {
        match self {
            Loss::MeanSquaredError => "mean_squared_error",
            Loss::MeanAbsoluteError => "mean_absolute_error",
            Loss::Huber { .. } => "huber",
            Loss::BinaryCrossentropy { .. } => "binary_crossentropy",
            Loss::CategoricalCrossentropy { .. } => "categorical_crossentropy",
            Loss::SparseCategoricalCrossentropy { .. } => "sparse_categorical_crossentropy",
            Loss::KlDivergence => "kl_divergence",
            Loss::MeanAbsolutePercentageError => "mean_absolute_percentage_error",
            Loss::MeanSquaredLogarithmicError => "mean_squared_logarithmic_error",
            Loss::LogCosh => "logcosh",
            Loss::Poisson => "poisson",
            Loss::CosineSimilarity => "cosine_similarity",
            Loss::Hinge => "hinge",
            Loss::SquaredHinge => "squared_hinge",
            Loss::CategoricalHinge => "categorical_hinge",
            Loss::Quantile { .. } => "quantile",
            Loss::BinaryFocalCrossentropy { .. } => "binary_focal_crossentropy",
            Loss::CategoricalFocalCrossentropy { .. } => "categorical_focal_crossentropy",
        }
    }

    pub(crate) fn score(self) -> Score {
        match self {
            Loss::MeanSquaredError => Score::MeanSquaredError,
            Loss::MeanAbsoluteError => Score::MeanAbsoluteError,
            Loss::Huber { delta } => Score::Huber { delta },
            Loss::BinaryCrossentropy { from_logits, label_smoothing } => {
                Score::BinaryCrossentropy { from_logits, label_smoothing }
            }
            Loss::CategoricalCrossentropy { from_logits, label_smoothing } => {
                Score::CategoricalCrossentropy { from_logits, label_smoothing }
            }
            Loss::SparseCategoricalCrossentropy { from_logits } => {
                Score::SparseCategoricalCrossentropy { from_logits }
            }
            Loss::KlDivergence => Score::KlDivergence,
            Loss::MeanAbsolutePercentageError => Score::MeanAbsolutePercentageError,
            Loss::MeanSquaredLogarithmicError => Score::MeanSquaredLogarithmicError,
            Loss::LogCosh => Score::LogCosh,
            Loss::Poisson => Score::Poisson,
            Loss::CosineSimilarity => Score::CosineSimilarity,
            Loss::Hinge => Score::Hinge,
            Loss::SquaredHinge => Score::SquaredHinge,
            Loss::CategoricalHinge => Score::CategoricalHinge,
            Loss::Quantile { quantile } => Score::Quantile { quantile },
            Loss::BinaryFocalCrossentropy {
                apply_class_balancing,
                alpha,
                gamma,
                from_logits,
                label_smoothing,
            } => Score::BinaryFocalCrossentropy {
                apply_class_balancing,
                alpha,
                gamma,
                from_logits,
                label_smoothing,
            },
            Loss::CategoricalFocalCrossentropy { alpha, gamma, from_logits, label_smoothing } => {
                Score::CategoricalFocalCrossentropy { alpha, gamma, from_logits, label_smoothing }
            }
        }
    }

    /// The same loss of the logits that a softmax made into probabilities, which is exact where these round to 0.
    pub(crate) fn before_softmax(self) -> Option<Loss> {
        let mut loss = self;
        match &mut loss {
            Loss::CategoricalCrossentropy { from_logits, .. }
            | Loss::SparseCategoricalCrossentropy { from_logits }
            | Loss::CategoricalFocalCrossentropy { from_logits, .. }
                if !*from_logits =>
            {
                *from_logits = true;
                Some(loss)
            }
            _ => None,
        }
    }

    /// Whether each value is a yes or no of its own.
    pub(crate) fn is_binary(self) -> bool {
        matches!(self, Loss::BinaryCrossentropy { .. } | Loss::BinaryFocalCrossentropy { .. })
    }

    /// What is wrong with its settings, if anything.
    pub(crate) fn problem(self) -> Option<String> {
        let at_least_0 = |name: &str, x: f32| {
            (!(0.0..f32::INFINITY).contains(&x)).then(|| format!("{name} must be at least 0, got {x}"))
        };
        let smoothing = |x: f32| {
            (!(0.0..=1.0).contains(&x)).then(|| format!("label_smoothing must be from 0 to 1, got {x}"))
        };
        match self {
            Loss::Huber { delta } if delta.is_nan() || delta <= 0.0 => {
                Some(format!("delta must be positive, got {delta}"))
            }
            Loss::Quantile { quantile } if !(quantile > 0.0 && quantile < 1.0) => {
                Some(format!("quantile must be between 0 and 1, got {quantile}"))
            }
            Loss::BinaryCrossentropy { label_smoothing, .. }
            | Loss::CategoricalCrossentropy { label_smoothing, .. } => smoothing(label_smoothing),
            Loss::BinaryFocalCrossentropy { alpha, gamma, label_smoothing, .. }
            | Loss::CategoricalFocalCrossentropy { alpha, gamma, label_smoothing, .. } => {
                at_least_0("alpha", alpha)
                    .or_else(|| at_least_0("gamma", gamma))
                    .or_else(|| smoothing(label_smoothing))
            }
            _ => None,
        }
    }
}
