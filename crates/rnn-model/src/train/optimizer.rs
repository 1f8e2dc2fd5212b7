//! Optimizers with Keras's names, defaults and formulas.

use rnn_shaders::vocabulary::{OptimizerSpec, StepParams, UpdateRule};
use serde::{Deserialize, Serialize};

/// How gradients are clipped before the update.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Clip {
    /// Not at all.
    #[default]
    None,
    /// Each weight's gradient is scaled down to this norm (Keras `clipnorm`).
    Norm(f32),
    /// Each element to `+-` this value (Keras `clipvalue`).
    Value(f32),
    /// All gradients together are scaled down to this norm (Keras `global_clipnorm`).
    GlobalNorm(f32),
}

/// An update rule with its settings. Made by [`Sgd`], [`RmsProp`], [`Adam`] or [`AdamW`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Optimizer {
    pub(crate) rule: Rule,
    pub(crate) learning_rate: f64,
    pub(crate) decay: f64,
    pub(crate) weight_decay: f64,
    pub(crate) clip: Clip,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "lowercase")]
pub(crate) enum Rule {
    Sgd { momentum: f64, nesterov: bool },
    RmsProp { rho: f64, momentum: f64, epsilon: f64, centered: bool },
    Adam { beta_1: f64, beta_2: f64, epsilon: f64, amsgrad: bool },
}

impl Optimizer {
    fn new(rule: Rule, learning_rate: f64) -> Self {
        Optimizer { rule, learning_rate, decay: 0.0, weight_decay: 0.0, clip: Clip::None }
    }

    /// What is wrong with the settings, if anything.
    pub(crate) fn problem(&self) -> Option<String> {
        let share = |name: &str, x: f64| {
            (!(0.0..1.0).contains(&x)).then(|| format!("{name} must be at least 0 and below 1, got {x}"))
        };
        let positive = |name: &str, x: f64| {
            (x.is_nan() || x <= 0.0 || x.is_infinite()).then(|| format!("{name} must be positive, got {x}"))
        };
        let at_least_0 = |name: &str, x: f64| {
            (!(0.0..f64::INFINITY).contains(&x)).then(|| format!("{name} must be at least 0, got {x}"))
        };
        let rule = match self.rule {
            Rule::Sgd { momentum, .. } => share("momentum", momentum),
            Rule::RmsProp { rho, momentum, epsilon, .. } => share("rho", rho)
                .or_else(|| share("momentum", momentum))
                .or_else(|| at_least_0("epsilon", epsilon)),
            Rule::Adam { beta_1, beta_2, epsilon, .. } => share("beta_1", beta_1)
                .or_else(|| share("beta_2", beta_2))
                .or_else(|| at_least_0("epsilon", epsilon)),
        };
        let clip = match self.clip {
            Clip::None => None,
            Clip::Norm(x) => positive("clipnorm", x.into()),
            Clip::Value(x) => positive("clipvalue", x.into()),
            Clip::GlobalNorm(x) => positive("global_clipnorm", x.into()),
        };
        rule.or(clip)
            .or_else(|| at_least_0("learning_rate", self.learning_rate))
            .or_else(|| at_least_0("decay", self.decay))
            .or_else(|| at_least_0("weight_decay", self.weight_decay))
    }

    /// The form the kernels take.
    pub(crate) fn spec(&self) -> OptimizerSpec {
        let rule = match self.rule {
            Rule::Sgd { momentum, nesterov } => UpdateRule::Sgd { momentum, nesterov },
            Rule::RmsProp { rho, momentum, epsilon, centered } => {
                UpdateRule::RmsProp { rho, momentum, epsilon, centered }
            }
            Rule::Adam { beta_1, beta_2, epsilon, amsgrad } => {
                UpdateRule::Adam { beta_1, beta_2, epsilon, amsgrad }
            }
        };
        let clip_value = if let Clip::Value(limit) = self.clip { limit } else { f32::INFINITY };
        OptimizerSpec { rule, weight_decay: self.weight_decay as f32, clip_value }
    }

    /// Learning rate of the step after `iterations` steps: `learning_rate / (1 + decay * iterations)` (Keras 2).
    pub(crate) fn learning_rate_at(&self, iterations: u64) -> f64 {
        self.learning_rate / (1.0 + self.decay * iterations as f64)
    }

    /// What the update of the step after `iterations` steps needs.
    pub(crate) fn step_params(&self, iterations: u64) -> StepParams {
        let lr = self.learning_rate_at(iterations);
        let [alpha, beta, gamma] = self.spec().rule.factors(lr, iterations + 1).map(|x| x as f32);
        StepParams { lr: lr as f32, alpha, beta, gamma, ..StepParams::default() }
    }
}

macro_rules! optimizer {
    ($name:ident, $doc:literal, $start:expr) => {
        #[doc = $doc]
        #[derive(Clone, Debug, PartialEq)]
        pub struct $name(Optimizer);

        impl Default for $name {
            fn default() -> Self {
                $name($start)
            }
        }

        impl From<$name> for Optimizer {
            fn from(optimizer: $name) -> Optimizer {
                optimizer.0
            }
        }

        impl $name {
            /// Keras's defaults.
            pub fn new() -> Self {
                Self::default()
            }

            /// Step size.
            pub fn learning_rate(mut self, learning_rate: f64) -> Self {
                self.0.learning_rate = learning_rate;
                self
            }

            /// Keras 2's decay: the learning rate is divided by `1 + decay * iterations`; 0.
            pub fn decay(mut self, decay: f64) -> Self {
                self.0.decay = decay;
                self
            }

            /// Decoupled weight decay (Loshchilov and Hutter 2019): `w -= w * weight_decay * learning_rate`.
            pub fn weight_decay(mut self, weight_decay: f64) -> Self {
                self.0.weight_decay = weight_decay;
                self
            }

            /// Scale each weight's gradient down to a norm of at most this.
            pub fn clipnorm(mut self, norm: f32) -> Self {
                self.0.clip = Clip::Norm(norm);
                self
            }

            /// Clip each element of the gradients to `+-` this.
            pub fn clipvalue(mut self, value: f32) -> Self {
                self.0.clip = Clip::Value(value);
                self
            }

            /// Scale all gradients together down to a norm of at most this.
            pub fn global_clipnorm(mut self, norm: f32) -> Self {
                self.0.clip = Clip::GlobalNorm(norm);
                self
            }
        }
    };
}

macro_rules! setting {
    ($name:ident, $rule:ident, $field:ident, $type:ty, $doc:literal) => {
        impl $name {
            #[doc = $doc]
            pub fn $field(mut self, value: $type) -> Self {
                if let Rule::$rule { $field, .. } = &mut self.0.rule {
                    *$field = value;
                }
                self
            }
        }
    };
}

const ADAM: Rule = Rule::Adam { beta_1: 0.9, beta_2: 0.999, epsilon: 1e-7, amsgrad: false };
const RMSPROP: Rule = Rule::RmsProp { rho: 0.9, momentum: 0.0, epsilon: 1e-7, centered: false };
const SGD: Rule = Rule::Sgd { momentum: 0.0, nesterov: false };

optimizer!(Sgd, "Gradient descent, learning rate 0.01, with optional momentum.", Optimizer::new(SGD, 0.01));
optimizer!(
    RmsProp,
    "RMSprop (Tieleman and Hinton 2012), learning rate 0.001, rho 0.9.",
    Optimizer::new(RMSPROP, 0.001)
);
optimizer!(
    Adam,
    "Adam (Kingma and Ba 2015), learning rate 0.001, betas 0.9 and 0.999, epsilon 1e-7.",
    Optimizer::new(ADAM, 0.001)
);
optimizer!(
    AdamW,
    "Adam with decoupled weight decay of 0.004 (Loshchilov and Hutter 2019).",
    Optimizer { weight_decay: 0.004, ..Optimizer::new(ADAM, 0.001) }
);
setting!(Sgd, Sgd, momentum, f64, "Share of the last step that goes on; 0.");
setting!(Sgd, Sgd, nesterov, bool, "Nesterov's momentum; false.");
setting!(RmsProp, RmsProp, rho, f64, "Decay of the mean square; 0.9.");
setting!(RmsProp, RmsProp, momentum, f64, "Share of the last step that goes on; 0.");
setting!(RmsProp, RmsProp, epsilon, f64, "Added inside the root; 1e-7.");
setting!(RmsProp, RmsProp, centered, bool, "Subtract the squared mean gradient; false.");
setting!(Adam, Adam, beta_1, f64, "Decay of the mean gradient; 0.9.");
setting!(Adam, Adam, beta_2, f64, "Decay of the mean square; 0.999.");
setting!(Adam, Adam, epsilon, f64, "Added to the root; 1e-7.");
setting!(Adam, Adam, amsgrad, bool, "Divide by the largest mean square so far (Reddi et al. 2018); false.");
setting!(AdamW, Adam, beta_1, f64, "Decay of the mean gradient; 0.9.");
setting!(AdamW, Adam, beta_2, f64, "Decay of the mean square; 0.999.");
setting!(AdamW, Adam, epsilon, f64, "Added to the root; 1e-7.");
setting!(AdamW, Adam, amsgrad, bool, "Divide by the largest mean square so far (Reddi et al. 2018); false.");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_adam_step_is_kerass() {
        // facts: w = 1, g = 1e-4, lr = 0.1 gives 0.903066 after one step
        let optimizer: Optimizer = Adam::new().learning_rate(0.1).into();
        let alpha = f64::from(optimizer.step_params(0).alpha);
        let (g, m, v) = (1e-4, 0.1 * 1e-4, 0.001 * 1e-8f64);
        let w = 1.0 - alpha * m / (v.sqrt() + 1e-7);
        assert!((w - 0.903_066).abs() < 1e-6, "{w} {g}");
    }

    #[test]
    fn wrong_settings_are_named() {
        let optimizer: Optimizer = Adam::new().beta_1(1.0).into();
        assert!(optimizer.problem().is_some_and(|p| p.contains("beta_1")));
        let optimizer: Optimizer = Sgd::new().global_clipnorm(f32::NAN).into();
        assert!(optimizer.problem().is_some_and(|p| p.contains("global_clipnorm")));
        assert_eq!(Optimizer::from(RmsProp::new()).problem(), None);
    }
}
