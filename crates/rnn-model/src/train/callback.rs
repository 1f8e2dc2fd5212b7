//! Hooks into training.

use super::Logs;
use crate::{Error, Model, Result};
use ndarray::ArrayD;
use serde::{Serialize, de::DeserializeOwned};

/// Whether training goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// Go on.
    Continue,
    /// End after what has been done; `fit` returns the history so far.
    Stop,
}

/// Where training is.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Progress {
    /// epoch, from 1
    pub epoch: u64,
    /// the last epoch of this `fit`
    pub epochs: u64,
    /// batches done in this epoch
    pub batch: usize,
    /// batches per epoch; 0 while that is not known, in the first pass over a stream
    pub batches: usize,
    /// samples per batch, the last one of an epoch aside; 0 before a source's first batch
    pub batch_size: usize,
}

/// What a callback must know to go on after a break; see [`BackupAndRestore`](crate::BackupAndRestore).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CallbackState {
    /// which kind of callback it belongs to
    pub kind: String,
    /// numbers and words, as the callback writes them
    pub text: String,
    /// large things, such as weights
    pub arrays: Vec<ArrayD<f32>>,
}

impl CallbackState {
    /// A state without arrays, as JSON.
    pub(crate) fn new(kind: &str, state: &impl Serialize) -> Self {
        let text = serde_json::to_string(state).expect("plain data");
        CallbackState { kind: kind.into(), text, arrays: Vec::new() }
    }

    /// What [`new`](Self::new) wrote.
    pub(crate) fn read<T: DeserializeOwned>(&self, kind: &'static str) -> Result<T> {
        let wrong = |problem: String| Error::invalid(format!("saved state of {kind}"), problem);
        if self.kind != kind {
            return Err(wrong(format!(
                "it is one of {:?}; give fit the same callbacks in the same order",
                self.kind
            )));
        }
        serde_json::from_str(&self.text).map_err(|error| wrong(error.to_string()))
    }
}

/// Called by `fit`. Every method has an empty default.
///
/// Batches run on the device in groups without the host in between, so `on_batches_end` comes after each group (about
/// ten times a second), not after each batch; [`every_batches`](Self::every_batches) asks for it more often. The loss and
/// metrics of an epoch so far are [`Model::running_logs`].
pub trait Callback {
    /// Before the first epoch.
    ///
    /// # Errors
    /// Ends training with the error; so with every method.
    fn on_train_begin(&mut self, model: &mut Model) -> Result<()> {
        let _ = model;
        Ok(())
    }

    /// Before each epoch.
    ///
    /// # Errors
    /// Ends training.
    fn on_epoch_begin(&mut self, model: &mut Model, progress: Progress) -> Result<()> {
        let _ = (model, progress);
        Ok(())
    }

    /// In place of `on_epoch_begin`, where a training that was broken off goes on in the middle of an epoch;
    /// `progress.batch` says where.
    ///
    /// # Errors
    /// Ends training.
    fn on_epoch_resumed(&mut self, model: &mut Model, progress: Progress) -> Result<()> {
        let _ = (model, progress);
        Ok(())
    }

    /// After how many batches at the latest [`on_batches_end`](Self::on_batches_end) must come, counted on from epoch to
    /// epoch; asked once, when training begins. The host waits for the device each time, so small numbers cost speed.
    fn every_batches(&self) -> Option<usize> {
        None
    }

    /// After each group of batches.
    ///
    /// # Errors
    /// Ends training.
    fn on_batches_end(&mut self, model: &mut Model, progress: Progress) -> Result<Flow> {
        let _ = (model, progress);
        Ok(Flow::Continue)
    }

    /// After each epoch, before any callback's `on_epoch_end`: adds numbers to the epoch's report.
    ///
    /// # Errors
    /// Ends training.
    fn on_logs(&mut self, model: &mut Model, progress: Progress, logs: &mut Logs) -> Result<()> {
        let _ = (model, progress, logs);
        Ok(())
    }

    /// After each epoch, with its loss and metrics.
    ///
    /// # Errors
    /// Ends training.
    fn on_epoch_end(&mut self, model: &mut Model, progress: Progress, logs: &Logs) -> Result<Flow> {
        let _ = (model, progress, logs);
        Ok(Flow::Continue)
    }

    /// After the last epoch.
    ///
    /// # Errors
    /// Ends training.
    fn on_train_end(&mut self, model: &mut Model) -> Result<()> {
        let _ = model;
        Ok(())
    }

    /// What [`restore`](Self::restore) needs so that a resumed training is the one that was broken off; `None` for a
    /// callback that keeps nothing.
    fn state(&self) -> Option<CallbackState> {
        None
    }

    /// Goes on from a saved state; comes after `on_train_begin`.
    ///
    /// # Errors
    /// Ends training.
    fn restore(&mut self, state: CallbackState) -> Result<()> {
        let _ = state;
        Ok(())
    }
}
