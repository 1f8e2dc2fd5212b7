//! A builder for each optimizer, with Keras's names and defaults.

use super::{Clip, LearningRate, Optimizer, Rule, WeightAverage};

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

            /// Step size: a number, or a [`Schedule`](crate::Schedule).
            pub fn learning_rate(mut self, learning_rate: impl Into<LearningRate>) -> Self {
                self.0.set_learning_rate(learning_rate.into());
                self
            }

            /// Keras 2's decay: the learning rate is divided by `1 + decay * iterations`; 0. A schedule comes before it.
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

            /// Keeps a moving average of the weights, `average = momentum average + (1 - momentum) weights` after every
            /// step (Keras `use_ema`, `ema_momentum`). The weights become their average at the end of `fit`.
            pub fn ema(mut self, momentum: f64) -> Self {
                let overwrite_frequency = self.0.average.and_then(|a| a.overwrite_frequency);
                self.0.average = Some(WeightAverage { momentum, overwrite_frequency });
                self
            }

            /// The weights become their average every so many steps too (Keras `ema_overwrite_frequency`). Turns the
            /// average on, with Keras's momentum of 0.99 where none is set.
            pub fn ema_overwrite_frequency(mut self, steps: u64) -> Self {
                let momentum = self.0.average.map_or(0.99, |a| a.momentum);
                self.0.average = Some(WeightAverage { momentum, overwrite_frequency: Some(steps) });
                self
            }

            /// Gathers the gradients of so many batches and updates with their mean (Keras
            /// `gradient_accumulation_steps`); schedules and bias corrections count updates.
            pub fn gradient_accumulation_steps(mut self, steps: u32) -> Self {
                self.0.gradient_accumulation_steps = Some(steps);
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

const NADAM: Rule = Rule::Nadam { beta_1: 0.9, beta_2: 0.999, epsilon: 1e-7 };
const ADAGRAD: Rule = Rule::Adagrad { initial_accumulator_value: 0.1, epsilon: 1e-7 };
const ADADELTA: Rule = Rule::Adadelta { rho: 0.95, epsilon: 1e-7 };
const ADAMAX: Rule = Rule::Adamax { beta_1: 0.9, beta_2: 0.999, epsilon: 1e-7 };
const LION: Rule = Rule::Lion { beta_1: 0.9, beta_2: 0.99 };
const LAMB: Rule = Rule::Lamb { beta_1: 0.9, beta_2: 0.999, epsilon: 1e-7 };
const FTRL: Rule = Rule::Ftrl {
    learning_rate_power: -0.5,
    initial_accumulator_value: 0.1,
    l1_regularization_strength: 0.0,
    l2_regularization_strength: 0.0,
    l2_shrinkage_regularization_strength: 0.0,
    beta: 0.0,
};

optimizer!(
    Nadam,
    "Adam with Nesterov's momentum (Dozat 2016), learning rate 0.001.",
    Optimizer::new(NADAM, 0.001)
);
optimizer!(
    Adagrad,
    "Adagrad (Duchi et al. 2011), learning rate 0.001, accumulators start at 0.1.",
    Optimizer::new(ADAGRAD, 0.001)
);
optimizer!(
    Adadelta,
    "Adadelta (Zeiler 2012), learning rate 0.001, rho 0.95.",
    Optimizer::new(ADADELTA, 0.001)
);
optimizer!(
    Adamax,
    "Adam by the infinity norm (Kingma and Ba 2015), learning rate 0.001.",
    Optimizer::new(ADAMAX, 0.001)
);
optimizer!(
    Lion,
    "The sign of a mean gradient (Chen et al. 2023), learning rate 0.001, betas 0.9 and 0.99.",
    Optimizer::new(LION, 0.001)
);
optimizer!(
    Lamb,
    "Adam scaled by the norm of each weight (You et al. 2020), learning rate 0.001.",
    Optimizer::new(LAMB, 0.001)
);
optimizer!(
    Ftrl,
    "Follow the regularised leader (McMahan et al. 2013), learning rate 0.001.",
    Optimizer::new(FTRL, 0.001)
);
setting!(Nadam, Nadam, beta_1, f64, "Decay of the mean gradient; 0.9.");
setting!(Nadam, Nadam, beta_2, f64, "Decay of the mean square; 0.999.");
setting!(Nadam, Nadam, epsilon, f64, "Added to the root; 1e-7.");
setting!(Adagrad, Adagrad, initial_accumulator_value, f64, "Where the sums of squares start; 0.1.");
setting!(Adagrad, Adagrad, epsilon, f64, "Added inside the root; 1e-7.");
setting!(Adadelta, Adadelta, rho, f64, "Decay of both mean squares; 0.95.");
setting!(Adadelta, Adadelta, epsilon, f64, "Added inside the roots; 1e-7.");
setting!(Adamax, Adamax, beta_1, f64, "Decay of the mean gradient; 0.9.");
setting!(Adamax, Adamax, beta_2, f64, "Decay of the largest gradient; 0.999.");
setting!(Adamax, Adamax, epsilon, f64, "Added to the largest gradient; 1e-7.");
setting!(Lion, Lion, beta_1, f64, "Share of the mean gradient in the update; 0.9.");
setting!(Lion, Lion, beta_2, f64, "Decay of the mean gradient; 0.99.");
setting!(Lamb, Lamb, beta_1, f64, "Decay of the mean gradient; 0.9.");
setting!(Lamb, Lamb, beta_2, f64, "Decay of the mean square; 0.999.");
setting!(Lamb, Lamb, epsilon, f64, "Added to the root; 1e-7.");
setting!(
    Ftrl,
    Ftrl,
    learning_rate_power,
    f64,
    "How the rate falls with the sum of squares, at most 0; -0.5."
);
setting!(Ftrl, Ftrl, initial_accumulator_value, f64, "Where the sums of squares start; 0.1.");
setting!(Ftrl, Ftrl, l1_regularization_strength, f64, "Penalty on magnitudes; 0.");
setting!(Ftrl, Ftrl, l2_regularization_strength, f64, "Penalty on squares, in the denominator; 0.");
setting!(Ftrl, Ftrl, l2_shrinkage_regularization_strength, f64, "Penalty on squares, in the gradient; 0.");
setting!(Ftrl, Ftrl, beta, f64, "The paper's beta; 0.");

const ADAFACTOR: Rule =
    Rule::Adafactor { beta_2_decay: -0.8, epsilon_1: 1e-30, epsilon_2: 1e-3, clip_threshold: 1.0 };

optimizer!(
    Adafactor,
    "Adafactor (Shazeer and Stern 2018), learning rate 0.001: mean squares of rows and columns in place of one per weight. \
     Keras's `relative_step` makes no difference to its formula, so there is none.",
    Optimizer::new(ADAFACTOR, 0.001)
);
setting!(
    Adafactor,
    Adafactor,
    beta_2_decay,
    f64,
    "The means' decay in step t is `1 - t^beta_2_decay`; -0.8."
);
setting!(Adafactor, Adafactor, epsilon_1, f64, "Added to each squared gradient; 1e-30.");
setting!(Adafactor, Adafactor, epsilon_2, f64, "Smallest root mean square that a weight counts with; 1e-3.");
setting!(Adafactor, Adafactor, clip_threshold, f64, "Largest root mean square of a direction; 1.");
