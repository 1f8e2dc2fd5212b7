//! Learning rates that change while training goes on.

use super::monitor::{Best, Mode, Monitor};
use crate::train::{Callback, CallbackState, Flow, Logs, Progress};
use crate::{Error, Model, Result};
use serde::{Deserialize, Serialize};

const RATE: &str = "learning_rate";

fn rate_of(model: &Model, callback: &'static str) -> Result<f64> {
    model.learning_rate().ok_or(Error::NotCompiled { operation: callback })
}

/// Multiplies the learning rate by a factor when a monitored number has not become better for some epochs. Writes
/// `learning_rate` into the logs.
///
/// ```
/// use rnn_model::ReduceLrOnPlateau;
/// let reduce = ReduceLrOnPlateau::new().monitor("loss").factor(0.5).patience(5).min_lr(1e-5);
/// ```
#[derive(Clone, Debug)]
pub struct ReduceLrOnPlateau {
    monitor: Monitor,
    factor: f64,
    patience: u64,
    cooldown: u64,
    min_lr: f64,
    state: Plateau,
}

#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Plateau {
    wait: u64,
    cooldown: u64,
    best: Best,
}

impl Default for ReduceLrOnPlateau {
    fn default() -> Self {
        Self::new()
    }
}

impl ReduceLrOnPlateau {
    /// A tenth of the rate after 10 epochs in which `val_loss` did not fall by more than 1e-4.
    pub fn new() -> Self {
        let monitor = Monitor::new("ReduceLrOnPlateau", 1e-4);
        ReduceLrOnPlateau {
            monitor,
            factor: 0.1,
            patience: 10,
            cooldown: 0,
            min_lr: 0.0,
            state: Plateau::default(),
        }
    }

    /// The number that is watched; `val_loss`.
    #[must_use]
    pub fn monitor(mut self, name: impl Into<String>) -> Self {
        self.monitor.name = name.into();
        self
    }

    /// What the rate is multiplied by; 0.1.
    #[must_use]
    pub fn factor(mut self, factor: f64) -> Self {
        self.factor = factor;
        self
    }

    /// Epochs without an improvement that are waited for; 10.
    #[must_use]
    pub fn patience(mut self, epochs: u64) -> Self {
        self.patience = epochs;
        self
    }

    /// Whether the number should fall or rise; by its name.
    #[must_use]
    pub fn mode(mut self, mode: Mode) -> Self {
        self.monitor.mode = mode;
        self
    }

    /// The least change that counts as an improvement; 1e-4.
    #[must_use]
    pub fn min_delta(mut self, delta: f64) -> Self {
        self.monitor.min_delta = delta;
        self
    }

    /// Epochs after a reduction in which none are counted; 0.
    #[must_use]
    pub fn cooldown(mut self, epochs: u64) -> Self {
        self.cooldown = epochs;
        self
    }

    /// The rate does not go below this; 0.
    #[must_use]
    pub fn min_lr(mut self, rate: f64) -> Self {
        self.min_lr = rate;
        self
    }
}

impl Callback for ReduceLrOnPlateau {
    fn on_train_begin(&mut self, _: &mut Model) -> Result<()> {
        self.monitor.check()?;
        if !(0.0..1.0).contains(&self.factor) {
            return Err(self
                .monitor
                .wrong(format!("factor must be at least 0 and below 1, got {}", self.factor)));
        }
        if !(0.0..f64::INFINITY).contains(&self.min_lr) {
            return Err(self.monitor.wrong(format!("min_lr must be at least 0, got {}", self.min_lr)));
        }
        self.state = Plateau::default();
        Ok(())
    }

    fn on_logs(&mut self, model: &mut Model, _: Progress, logs: &mut Logs) -> Result<()> {
        logs.insert(RATE, rate_of(model, "ReduceLrOnPlateau")?);
        Ok(())
    }

    fn on_epoch_end(&mut self, model: &mut Model, _: Progress, logs: &Logs) -> Result<Flow> {
        let current = self.monitor.value(logs)?;
        let state = &mut self.state;
        if state.cooldown > 0 {
            state.cooldown -= 1;
            state.wait = 0;
        }
        if self.monitor.improves(current, state.best.get())? {
            state.best.set(current);
            state.wait = 0;
        } else if state.cooldown == 0 {
            state.wait += 1;
            let rate = rate_of(model, "ReduceLrOnPlateau")?;
            if state.wait >= self.patience && rate > self.min_lr {
                model.set_learning_rate((rate * self.factor).max(self.min_lr))?;
                (state.cooldown, state.wait) = (self.cooldown, 0);
            }
        }
        Ok(Flow::Continue)
    }

    fn state(&self) -> Option<CallbackState> {
        Some(CallbackState::new("ReduceLrOnPlateau", &self.state))
    }

    fn restore(&mut self, state: CallbackState) -> Result<()> {
        self.state = state.read("ReduceLrOnPlateau")?;
        Ok(())
    }
}

/// Sets the learning rate before each epoch to what a function of the epoch, counted from 0 as in Keras, and the present
/// rate says. Writes `learning_rate` into the logs.
///
/// ```
/// use rnn_model::LearningRateScheduler;
/// let schedule = LearningRateScheduler::new(|epoch, rate| if epoch < 10 { rate } else { rate * 0.9 });
/// ```
pub struct LearningRateScheduler<'a> {
    schedule: Box<dyn FnMut(u64, f64) -> f64 + 'a>,
}

impl<'a> LearningRateScheduler<'a> {
    /// From a function of epoch and rate.
    pub fn new(schedule: impl FnMut(u64, f64) -> f64 + 'a) -> Self {
        LearningRateScheduler { schedule: Box::new(schedule) }
    }
}

impl Callback for LearningRateScheduler<'_> {
    fn on_epoch_begin(&mut self, model: &mut Model, progress: Progress) -> Result<()> {
        let rate = rate_of(model, "LearningRateScheduler")?;
        model.set_learning_rate((self.schedule)(progress.epoch - 1, rate))
    }

    fn on_logs(&mut self, model: &mut Model, _: Progress, logs: &mut Logs) -> Result<()> {
        logs.insert(RATE, rate_of(model, "LearningRateScheduler")?);
        Ok(())
    }
}
