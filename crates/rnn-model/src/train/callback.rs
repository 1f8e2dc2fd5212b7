//! Hooks into training.

use super::Logs;
use crate::{Model, Result};

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
    /// batches per epoch
    pub batches: usize,
}

/// Called by `fit`. Every method has an empty default.
///
/// Batches run on the device in groups without the host in between, so `on_batches_end` comes after each group (about
/// ten times a second), not after each batch.
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

    /// After each group of batches.
    ///
    /// # Errors
    /// Ends training.
    fn on_batches_end(&mut self, model: &mut Model, progress: Progress) -> Result<Flow> {
        let _ = (model, progress);
        Ok(Flow::Continue)
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
}
