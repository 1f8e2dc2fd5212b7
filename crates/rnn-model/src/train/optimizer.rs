//! Optimizers with Keras's names, defaults and formulas.

mod builders;
mod rule;

pub use builders::{
    Adadelta, Adafactor, Adagrad, Adam, AdamW, Adamax, Ftrl, Lamb, Lion, Nadam, RmsProp, Sgd,
};
pub(crate) use rule::Rule;

use super::schedule::{LearningRate, Schedule};
use rnn_shaders::vocabulary::{EMA_OVERWRITE, EMA_START, HOLD, OptimizerSpec, StepParams, Trust};
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

/// An update rule with its settings. Made by [`Sgd`], [`RmsProp`], [`Adam`], [`AdamW`], [`Nadam`], [`Adagrad`],
/// [`Adadelta`], [`Adamax`], [`Lion`], [`Lamb`], [`Ftrl`] or [`Adafactor`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Optimizer {
    pub(crate) rule: Rule,
    pub(crate) learning_rate: f64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) schedule: Option<Schedule>,
    pub(crate) decay: f64,
    pub(crate) weight_decay: f64,
    pub(crate) clip: Clip,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) average: Option<WeightAverage>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) gradient_accumulation_steps: Option<u32>,
}

/// A moving average of the weights (Keras `use_ema`).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct WeightAverage {
    pub momentum: f64,
    pub overwrite_frequency: Option<u64>,
}

impl Optimizer {
    fn new(rule: Rule, learning_rate: f64) -> Self {
        Optimizer {
            rule,
            learning_rate,
            schedule: None,
            decay: 0.0,
            weight_decay: 0.0,
            clip: Clip::None,
            average: None,
            gradient_accumulation_steps: None,
        }
    }

    /// What is wrong with the settings, if anything.
    pub(crate) fn problem(&self) -> Option<String> {
        let positive = |name: &str, x: f64| {
            (x.is_nan() || x <= 0.0 || x.is_infinite()).then(|| format!("{name} must be positive, got {x}"))
        };
        let average = self.average.as_ref().and_then(|average| {
            let frequency = (average.overwrite_frequency == Some(0))
                .then(|| "ema_overwrite_frequency must be at least 1, got 0".to_owned());
            rule::share("ema_momentum", average.momentum).or(frequency)
        });
        let gathered = (self.gradient_accumulation_steps == Some(0))
            .then(|| "gradient_accumulation_steps must be at least 1, got 0".to_owned());
        let clip = match self.clip {
            Clip::None => None,
            Clip::Norm(x) => positive("clipnorm", x.into()),
            Clip::Value(x) => positive("clipvalue", x.into()),
            Clip::GlobalNorm(x) => positive("global_clipnorm", x.into()),
        };
        self.rule
            .problem()
            .or(clip)
            .or(average)
            .or(gathered)
            .or_else(|| self.schedule.as_ref().and_then(Schedule::problem))
            .or_else(|| rule::at_least_0("learning_rate", self.learning_rate))
            .or_else(|| rule::at_least_0("decay", self.decay))
            .or_else(|| rule::at_least_0("weight_decay", self.weight_decay))
    }

    /// The form the kernels take.
    pub(crate) fn spec(&self) -> OptimizerSpec {
        let clip_value = if let Clip::Value(limit) = self.clip { limit } else { f32::INFINITY };
        OptimizerSpec { rule: self.rule.update_rule(), weight_decay: self.weight_decay as f32, clip_value }
    }

    /// Updates done after `iterations` batches: fewer where gradients are gathered.
    fn updates(&self, iterations: u64) -> u64 {
        iterations / u64::from(self.gradient_accumulation_steps.unwrap_or(1).max(1))
    }

    /// Learning rate of the batch after `iterations` batches: the schedule's, or `learning_rate / (1 + decay * updates)`
    /// (Keras 2).
    pub(crate) fn learning_rate_at(&self, iterations: u64) -> f64 {
        let updates = self.updates(iterations);
        match &self.schedule {
            Some(schedule) => schedule.at(updates),
            None => self.learning_rate / (1.0 + self.decay * updates as f64),
        }
    }

    /// What the update of the batch after `iterations` batches needs.
    pub(crate) fn step_params(&self, iterations: u64) -> StepParams {
        let lr = self.learning_rate_at(iterations);
        let updates = self.updates(iterations);
        let [alpha, beta, gamma] = self.spec().rule.factors(lr, updates + 1).map(|x| x as f32);
        let mut phase = 0;
        if self.updates(iterations + 1) == updates {
            phase |= HOLD;
        }
        if updates == 0 {
            phase |= EMA_START;
        }
        let every = self.average.and_then(|average| average.overwrite_frequency);
        if every.is_some_and(|every| (updates + 1).is_multiple_of(every)) {
            phase |= EMA_OVERWRITE;
        }
        StepParams { lr: lr as f32, alpha, beta, gamma, phase, ..StepParams::default() }
    }

    /// How far each weight goes along the direction that the rule leaves in `x`, for rules that leave one.
    pub(crate) fn trust(&self) -> Option<Trust> {
        match self.rule {
            Rule::Lamb { .. } => Some(Trust::Lamb),
            Rule::Adafactor { epsilon_2, clip_threshold, .. } => {
                Some(Trust::Adafactor { epsilon_2, clip_threshold })
            }
            _ => None,
        }
    }

    fn set_learning_rate(&mut self, rate: LearningRate) {
        match rate {
            LearningRate::Constant(rate) => (self.learning_rate, self.schedule) = (rate, None),
            LearningRate::Schedule(schedule) => {
                (self.learning_rate, self.schedule) = (schedule.at(0), Some(schedule));
            }
        }
    }
}

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
    fn phases_of_gathered_gradients_and_averages() {
        let optimizer: Optimizer =
            Sgd::new().gradient_accumulation_steps(3).ema(0.9).ema_overwrite_frequency(2).into();
        let phases: Vec<u32> = (0..6).map(|i| optimizer.step_params(i).phase).collect();
        let (hold, start, over) = (HOLD, EMA_START, EMA_OVERWRITE);
        assert_eq!(phases, [hold | start, hold | start, start, hold | over, hold | over, over]);
        assert_eq!(Optimizer::from(Sgd::new()).step_params(1).phase, 0);
        let optimizer: Optimizer = Sgd::new().ema_overwrite_frequency(0).into();
        assert!(optimizer.problem().is_some_and(|p| p.contains("ema_overwrite_frequency")));
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
