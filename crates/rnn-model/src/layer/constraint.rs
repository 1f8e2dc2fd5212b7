//! What weights are held to after each update (Keras's constraints).

use rnn_shaders::vocabulary::{Bound, Limit};
use serde::{Deserialize, Serialize};

/// What holds for a weight after each update. Norms are those of its columns, over the first axis (Keras's `axis=0`); of a
/// vector, over all of it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "class_name", content = "config")]
#[non_exhaustive]
pub enum Constraint {
    /// Norms of at most `max_value`.
    MaxNorm {
        /// Keras 2
        max_value: f32,
    },
    /// No negative values.
    NonNeg,
    /// Norms of 1.
    UnitNorm,
    /// Norms between two values, approached by `rate` of the way each time.
    MinMaxNorm {
        /// Keras 0
        min_value: f32,
        /// Keras 1
        max_value: f32,
        /// Keras 1: at once
        rate: f32,
    },
}

impl Constraint {
    /// Norms of at most `max_value`; Keras's default is 2.
    pub fn max_norm(max_value: f32) -> Self {
        Constraint::MaxNorm { max_value }
    }

    /// Norms between two values, at once.
    pub fn min_max_norm(min_value: f32, max_value: f32) -> Self {
        Constraint::MinMaxNorm { min_value, max_value, rate: 1.0 }
    }

    /// What is wrong with it, if anything.
    pub(crate) fn problem(self) -> Option<String> {
        let good = |x: f32| (0.0..f32::INFINITY).contains(&x);
        match self {
            Constraint::MaxNorm { max_value } if !good(max_value) => {
                Some(format!("max_value must be at least 0, got {max_value}"))
            }
            Constraint::MinMaxNorm { min_value, max_value, rate } => {
                let fits = good(min_value) && good(max_value) && min_value <= max_value;
                (!fits || !(0.0..=1.0).contains(&rate)).then(|| {
                    format!(
                        "norms from {min_value} to {max_value} at a rate of {rate}: \
                         must rise from 0 on, the rate be from 0 to 1"
                    )
                })
            }
            _ => None,
        }
    }

    /// The form the kernels take, for a weight of this shape from `offset` on.
    pub(crate) fn bound(self, offset: usize, shape: &[usize]) -> Bound {
        let rows = shape.first().copied().unwrap_or(1);
        let cols: usize = shape.iter().skip(1).product();
        let limit = match self {
            Constraint::NonNeg => Limit::NonNegative,
            Constraint::MaxNorm { max_value } => Limit::Norm { low: 0.0, high: max_value, rate: 1.0 },
            Constraint::UnitNorm => Limit::Norm { low: 1.0, high: 1.0, rate: 1.0 },
            Constraint::MinMaxNorm { min_value, max_value, rate } => {
                Limit::Norm { low: min_value, high: max_value, rate }
            }
        };
        Bound { offset: offset as u32, rows: rows as u32, cols: cols as u32, limit }
    }
}
