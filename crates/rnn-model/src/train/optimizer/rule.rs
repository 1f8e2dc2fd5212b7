//! Update rules as a model file has them.

use rnn_shaders::vocabulary::UpdateRule;
use serde::{Deserialize, Serialize};

/// A rule with its settings, by Keras's names. Formulas stand with [`UpdateRule`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "lowercase")]
pub(crate) enum Rule {
    Sgd {
        momentum: f64,
        nesterov: bool,
    },
    RmsProp {
        rho: f64,
        momentum: f64,
        epsilon: f64,
        centered: bool,
    },
    Adam {
        beta_1: f64,
        beta_2: f64,
        epsilon: f64,
        amsgrad: bool,
    },
    Nadam {
        beta_1: f64,
        beta_2: f64,
        epsilon: f64,
    },
    Adagrad {
        initial_accumulator_value: f64,
        epsilon: f64,
    },
    Adadelta {
        rho: f64,
        epsilon: f64,
    },
    Adamax {
        beta_1: f64,
        beta_2: f64,
        epsilon: f64,
    },
    Lion {
        beta_1: f64,
        beta_2: f64,
    },
    Lamb {
        beta_1: f64,
        beta_2: f64,
        epsilon: f64,
    },
    Ftrl {
        learning_rate_power: f64,
        initial_accumulator_value: f64,
        l1_regularization_strength: f64,
        l2_regularization_strength: f64,
        l2_shrinkage_regularization_strength: f64,
        beta: f64,
    },
    Adafactor {
        beta_2_decay: f64,
        epsilon_1: f64,
        epsilon_2: f64,
        clip_threshold: f64,
    },
}

impl Rule {
    /// What is wrong with the settings, if anything.
    pub fn problem(self) -> Option<String> {
        match self {
            Rule::Sgd { momentum, .. } => share("momentum", momentum),
            Rule::RmsProp { rho, momentum, epsilon, .. } => share("rho", rho)
                .or_else(|| share("momentum", momentum))
                .or_else(|| at_least_0("epsilon", epsilon)),
            Rule::Adam { beta_1, beta_2, epsilon, .. }
            | Rule::Nadam { beta_1, beta_2, epsilon }
            | Rule::Adamax { beta_1, beta_2, epsilon }
            | Rule::Lamb { beta_1, beta_2, epsilon } => share("beta_1", beta_1)
                .or_else(|| share("beta_2", beta_2))
                .or_else(|| at_least_0("epsilon", epsilon)),
            Rule::Adagrad { initial_accumulator_value, epsilon } => {
                at_least_0("initial_accumulator_value", initial_accumulator_value)
                    .or_else(|| at_least_0("epsilon", epsilon))
            }
            Rule::Adadelta { rho, epsilon } => share("rho", rho).or_else(|| at_least_0("epsilon", epsilon)),
            Rule::Lion { beta_1, beta_2 } => share("beta_1", beta_1).or_else(|| share("beta_2", beta_2)),
            Rule::Ftrl {
                learning_rate_power,
                initial_accumulator_value,
                l1_regularization_strength,
                l2_regularization_strength,
                l2_shrinkage_regularization_strength,
                beta,
            } => at_least_0("the negative of learning_rate_power", -learning_rate_power)
                .or_else(|| at_least_0("initial_accumulator_value", initial_accumulator_value))
                .or_else(|| at_least_0("l1_regularization_strength", l1_regularization_strength))
                .or_else(|| at_least_0("l2_regularization_strength", l2_regularization_strength))
                .or_else(|| {
                    at_least_0("l2_shrinkage_regularization_strength", l2_shrinkage_regularization_strength)
                })
                .or_else(|| at_least_0("beta", beta)),
            Rule::Adafactor { beta_2_decay, epsilon_1, epsilon_2, clip_threshold } => {
                at_least_0("the negative of beta_2_decay", -beta_2_decay)
                    .or_else(|| at_least_0("epsilon_1", epsilon_1))
                    .or_else(|| at_least_0("epsilon_2", epsilon_2))
                    .or_else(|| {
                        (clip_threshold.is_nan() || clip_threshold <= 0.0)
                            .then(|| format!("clip_threshold must be positive, got {clip_threshold}"))
                    })
            }
        }
    }

    /// The form the kernels take.
    pub fn update_rule(self) -> UpdateRule {
        match self {
            Rule::Sgd { momentum, nesterov } => UpdateRule::Sgd { momentum, nesterov },
            Rule::RmsProp { rho, momentum, epsilon, centered } => {
                UpdateRule::RmsProp { rho, momentum, epsilon, centered }
            }
            Rule::Adam { beta_1, beta_2, epsilon, amsgrad } => {
                UpdateRule::Adam { beta_1, beta_2, epsilon, amsgrad }
            }
            Rule::Nadam { beta_1, beta_2, epsilon } => UpdateRule::Nadam { beta_1, beta_2, epsilon },
            Rule::Adagrad { initial_accumulator_value, epsilon } => {
                UpdateRule::Adagrad { epsilon, initial_accumulator_value }
            }
            Rule::Adadelta { rho, epsilon } => UpdateRule::Adadelta { rho, epsilon },
            Rule::Adamax { beta_1, beta_2, epsilon } => UpdateRule::Adamax { beta_1, beta_2, epsilon },
            Rule::Lion { beta_1, beta_2 } => UpdateRule::Lion { beta_1, beta_2 },
            Rule::Lamb { beta_1, beta_2, epsilon } => UpdateRule::Lamb { beta_1, beta_2, epsilon },
            Rule::Ftrl {
                learning_rate_power,
                initial_accumulator_value,
                l1_regularization_strength,
                l2_regularization_strength,
                l2_shrinkage_regularization_strength,
                beta,
            } => UpdateRule::Ftrl {
                learning_rate_power,
                initial_accumulator_value,
                l1: l1_regularization_strength,
                l2: l2_regularization_strength,
                l2_shrinkage: l2_shrinkage_regularization_strength,
                beta,
            },
            Rule::Adafactor { beta_2_decay, epsilon_1, .. } => {
                UpdateRule::Adafactor { beta_2_decay, epsilon_1 }
            }
        }
    }
}

/// Complains of a share that is not at least 0 and below 1.
pub(super) fn share(name: &str, x: f64) -> Option<String> {
    (!(0.0..1.0).contains(&x)).then(|| format!("{name} must be at least 0 and below 1, got {x}"))
}

/// Complains of a number below 0.
pub(super) fn at_least_0(name: &str, x: f64) -> Option<String> {
    (!(0.0..f64::INFINITY).contains(&x)).then(|| format!("{name} must be at least 0, got {x}"))
}
