//! A number that is watched, and what counts as an improvement of it.

use crate::train::Logs;
use crate::{Error, Result};
use serde::{Deserialize, Serialize};

/// Which direction of a monitored number is better.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// By its name: losses and errors fall, accuracies rise.
    #[default]
    Auto,
    /// Lower is better.
    Min,
    /// Higher is better.
    Max,
}

/// Ends of the names of metrics that rise.
const RISING: [&str; 13] = [
    "accuracy",
    "acc",
    "precision",
    "recall",
    "f1",
    "f1_score",
    "auc",
    "r2",
    "r2_score",
    "cosine_similarity",
    "true_positives",
    "true_negatives",
    "iou",
];
/// Ends of the names of numbers that fall.
const FALLING: [&str; 18] = [
    "loss",
    "mae",
    "mse",
    "rmse",
    "mape",
    "msle",
    "rmsle",
    "mean_absolute_error",
    "mean_squared_error",
    "root_mean_squared_error",
    "mean_absolute_percentage_error",
    "mean_squared_logarithmic_error",
    "perplexity",
    "crossentropy",
    "kl_divergence",
    "hinge",
    "poisson",
    "logcosh",
];

/// Keras's `MonitorCallback`: a name, a direction, and how much counts.
#[derive(Clone, Debug)]
pub(super) struct Monitor {
    /// the callback, for messages
    pub callback: &'static str,
    pub name: String,
    pub mode: Mode,
    pub min_delta: f64,
}

impl Monitor {
    pub fn new(callback: &'static str, min_delta: f64) -> Self {
        Monitor { callback, name: "val_loss".into(), mode: Mode::Auto, min_delta }
    }

    /// Checks what can be checked before training.
    pub fn check(&self) -> Result<()> {
        if !self.min_delta.is_finite() {
            return Err(self.wrong(format!("min_delta must be a finite number, got {}", self.min_delta)));
        }
        self.rises().map(|_| ())
    }

    pub fn wrong(&self, problem: impl Into<String>) -> Error {
        Error::invalid(self.callback, problem)
    }

    /// The monitored number of an epoch.
    pub fn value(&self, logs: &Logs) -> Result<f64> {
        logs.get(&self.name).ok_or_else(|| {
            let names: Vec<&str> = logs.iter().map(|(name, _)| name).collect();
            let hint = if self.name.starts_with("val_") && !names.iter().any(|n| n.starts_with("val_")) {
                "; give fit validation data or a validation_split"
            } else {
                ""
            };
            self.wrong(format!(
                "there is no {:?} to monitor; there are: {}{hint}",
                self.name,
                names.join(", ")
            ))
        })
    }

    /// Whether `current` is better than `reference` by more than `min_delta`. Anything but NaN is better than nothing, NaN is
    /// better than nothing at all.
    pub fn improves(&self, current: f64, reference: Option<f64>) -> Result<bool> {
        let rises = self.rises()?;
        let delta = self.min_delta.abs();
        Ok(match reference {
            None => !current.is_nan(),
            Some(reference) if rises => current - delta > reference,
            Some(reference) => current + delta < reference,
        })
    }

    fn rises(&self) -> Result<bool> {
        let name = self.name.strip_prefix("val_").unwrap_or(&self.name);
        // Metrics of one of several outputs have its name before theirs.
        let ends =
            |end: &&str| name.strip_suffix(*end).is_some_and(|head| head.is_empty() || head.ends_with('_'));
        match self.mode {
            Mode::Min => Ok(false),
            Mode::Max => Ok(true),
            Mode::Auto if FALLING.iter().any(ends) => Ok(false),
            Mode::Auto if RISING.iter().any(ends) || name.contains("top_k") => Ok(true),
            Mode::Auto => Err(self.wrong(format!(
                "whether {:?} should fall or rise can not be told from its name: set mode(Mode::Min) or mode(Mode::Max)",
                self.name
            ))),
        }
    }
}

/// The best value so far, as a callback keeps it between runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Best {
    /// as bits: JSON has no infinity
    bits: Option<u64>,
}

impl Best {
    pub fn get(self) -> Option<f64> {
        self.bits.map(f64::from_bits)
    }

    pub fn set(&mut self, value: f64) {
        self.bits = Some(value.to_bits());
    }
}

impl From<Option<f64>> for Best {
    fn from(value: Option<f64>) -> Self {
        Best { bits: value.map(f64::to_bits) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn monitor(name: &str, mode: Mode, min_delta: f64) -> Monitor {
        Monitor { name: name.into(), mode, min_delta, ..Monitor::new("Test", 0.0) }
    }

    #[test]
    fn directions() {
        for (name, rises) in [
            ("loss", false),
            ("val_loss", false),
            ("val_head_loss", false),
            ("val_mae", false),
            ("accuracy", true),
            ("val_binary_accuracy", true),
            ("top_k_categorical_accuracy", true),
            ("auc", true),
            ("learning_rate_mse", false),
        ] {
            assert_eq!(monitor(name, Mode::Auto, 0.0).rises().unwrap(), rises, "{name}");
        }
        for name in ["score", "glossy", "gloss"] {
            let error = monitor(name, Mode::Auto, 0.0).check().unwrap_err().to_string();
            assert!(error.contains("Mode::Max"), "{error}");
            assert!(monitor(name, Mode::Max, 0.0).rises().unwrap());
        }
    }

    #[test]
    fn improvements() {
        let falls = |delta, now, best| monitor("loss", Mode::Auto, delta).improves(now, best).unwrap();
        assert!(falls(0.0, 1.0, Some(1.1)));
        assert!(!falls(0.0, 1.0, Some(1.0)));
        assert!(!falls(0.2, 1.0, Some(1.1)));
        assert!(!falls(-0.2, 1.0, Some(1.1)));
        assert!(falls(0.0, f64::INFINITY, None));
        let rises = |now, best| monitor("loss", Mode::Max, 0.0).improves(now, best).unwrap();
        assert!(rises(1.1, Some(1.0)) && !rises(1.0, Some(1.1)));
        for reference in [None, Some(1.0), Some(f64::INFINITY)] {
            assert!(!falls(0.0, f64::NAN, reference) && !rises(f64::NAN, reference));
        }
    }

    #[test]
    fn a_missing_name_lists_the_others() {
        let logs = Logs(vec![("loss".into(), 1.0), ("mae".into(), 2.0)]);
        let error = monitor("val_loss", Mode::Auto, 0.0).value(&logs).unwrap_err().to_string();
        assert_eq!(
            error,
            "Test: there is no \"val_loss\" to monitor; there are: loss, mae; give fit validation data or a validation_split"
        );
        assert!(monitor("x", Mode::Min, f64::NAN).check().is_err());
    }
}
