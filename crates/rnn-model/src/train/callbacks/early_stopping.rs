//! Training ends when it brings nothing any more.

use super::monitor::{Best, Mode, Monitor};
use crate::train::{Callback, CallbackState, Flow, Logs, Progress};
use crate::{Model, Result};
use ndarray::ArrayD;
use serde::{Deserialize, Serialize};

/// Ends training when a monitored number has not become better for `patience` epochs.
///
/// ```
/// # use ndarray::Array;
/// # use rnn_model::{Adam, Device, FitOptions, Input, Loss, Sequential, layer::{Dense, Lstm}};
/// use rnn_model::EarlyStopping;
/// # let mut model = Sequential::new(Input::sequence(5, 1)).layer(Lstm::new(4)).layer(Dense::new(1)).build(&Device::cpu())?;
/// # model.compile(Adam::new(), Loss::MeanSquaredError, &[])?;
/// # let (x, y) = (Array::<f32, _>::ones((20, 5, 1)), Array::<f32, _>::ones((20, 1)));
/// let mut stopping = EarlyStopping::new().patience(3).restore_best_weights(true);
/// let options = FitOptions::new().epochs(50).validation_split(0.2).callback(&mut stopping);
/// let history = model.fit(&x, &y, options)?;
/// assert_eq!(history.stopped, stopping.stopped_epoch().is_some());
/// # Ok::<(), rnn_model::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct EarlyStopping {
    monitor: Monitor,
    patience: u64,
    baseline: Option<f64>,
    restore: bool,
    start_from: u64,
    state: State,
    best_weights: Option<Vec<ArrayD<f32>>>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct State {
    wait: u64,
    best: Best,
    best_epoch: Option<u64>,
    stopped_epoch: Option<u64>,
}

impl Default for EarlyStopping {
    fn default() -> Self {
        Self::new()
    }
}

impl EarlyStopping {
    /// Watches `val_loss` without patience.
    pub fn new() -> Self {
        EarlyStopping {
            monitor: Monitor::new("EarlyStopping", 0.0),
            patience: 0,
            baseline: None,
            restore: false,
            start_from: 0,
            state: State::default(),
            best_weights: None,
        }
    }

    /// The number that is watched; `val_loss`.
    #[must_use]
    pub fn monitor(mut self, name: impl Into<String>) -> Self {
        self.monitor.name = name.into();
        self
    }

    /// The least change that counts as an improvement; 0.
    #[must_use]
    pub fn min_delta(mut self, delta: f64) -> Self {
        self.monitor.min_delta = delta;
        self
    }

    /// Epochs without an improvement that are waited for; 0.
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

    /// Only a number better than this starts the waiting anew; none.
    #[must_use]
    pub fn baseline(mut self, value: f64) -> Self {
        self.baseline = Some(value);
        self
    }

    /// At the end of training, put back the weights of the best epoch, whether it was stopped or not; false.
    #[must_use]
    pub fn restore_best_weights(mut self, on: bool) -> Self {
        self.restore = on;
        self
    }

    /// Epochs that are let pass before the watching begins; 0.
    #[must_use]
    pub fn start_from_epoch(mut self, epochs: u64) -> Self {
        self.start_from = epochs;
        self
    }

    /// The epoch after which training was stopped, from 1.
    pub fn stopped_epoch(&self) -> Option<u64> {
        self.state.stopped_epoch
    }

    /// The epoch with the best number, from 1.
    pub fn best_epoch(&self) -> Option<u64> {
        self.state.best_epoch
    }

    /// The best number.
    pub fn best(&self) -> Option<f64> {
        self.state.best.get()
    }
}

impl Callback for EarlyStopping {
    fn on_train_begin(&mut self, _: &mut Model) -> Result<()> {
        self.monitor.check()?;
        (self.state, self.best_weights) = (State::default(), None);
        Ok(())
    }

    fn on_epoch_end(&mut self, model: &mut Model, progress: Progress, logs: &Logs) -> Result<Flow> {
        let current = self.monitor.value(logs)?;
        // Keras counts epochs from 0.
        let epoch = progress.epoch - 1;
        if epoch < self.start_from {
            return Ok(Flow::Continue);
        }
        if self.restore && self.best_weights.is_none() {
            self.best_weights = Some(model.get_weights()?);
            self.state.best_epoch = Some(progress.epoch);
        }
        self.state.wait += 1;
        if self.monitor.improves(current, self.state.best.get())? {
            self.state.best.set(current);
            self.state.best_epoch = Some(progress.epoch);
            if self.restore {
                self.best_weights = Some(model.get_weights()?);
            }
            if self.baseline.is_none() || self.monitor.improves(current, self.baseline)? {
                self.state.wait = 0;
            }
            return Ok(Flow::Continue);
        }
        if self.state.wait >= self.patience && epoch > 0 {
            self.state.stopped_epoch = Some(progress.epoch);
            return Ok(Flow::Stop);
        }
        Ok(Flow::Continue)
    }

    fn on_train_end(&mut self, model: &mut Model) -> Result<()> {
        match &self.best_weights {
            Some(weights) => model.set_weights(weights),
            None => Ok(()),
        }
    }

    fn state(&self) -> Option<CallbackState> {
        let state = CallbackState::new("EarlyStopping", &self.state);
        Some(CallbackState { arrays: self.best_weights.clone().unwrap_or_default(), ..state })
    }

    fn restore(&mut self, state: CallbackState) -> Result<()> {
        self.state = state.read("EarlyStopping")?;
        self.best_weights = (!state.arrays.is_empty()).then_some(state.arrays);
        Ok(())
    }
}
