//! Training ends where the loss is lost.

use crate::train::{Callback, Flow, Progress};
use crate::{Error, Model, Result};

/// Stops training at the group of batches (about a tenth of a second) in which the loss becomes NaN or infinite, and names
/// the first layer with a weight that is not finite.
///
/// Without it, `fit` finds such a loss at the end of the epoch and fails with [`Error::Diverged`]. With it, `fit` ends at
/// once and in order, as in Keras: callbacks are told of the end, `History` holds the epochs before.
///
/// ```
/// use rnn_model::TerminateOnNan;
/// let exact = TerminateOnNan::new().every_batches(1).raise_error(true);
/// ```
#[derive(Clone, Debug, Default)]
pub struct TerminateOnNan {
    raise: bool,
    every: Option<usize>,
    found: Option<String>,
}

impl TerminateOnNan {
    /// Stops training in order.
    pub fn new() -> Self {
        Self::default()
    }

    /// Let `fit` fail with [`Error::Diverged`] instead; false.
    #[must_use]
    pub fn raise_error(mut self, on: bool) -> Self {
        self.raise = on;
        self
    }

    /// Look after this many batches at the latest.
    #[must_use]
    pub fn every_batches(mut self, batches: usize) -> Self {
        self.every = Some(batches.max(1));
        self
    }

    /// What was found: where, and the layer.
    pub fn found(&self) -> Option<&str> {
        self.found.as_deref()
    }
}

impl Callback for TerminateOnNan {
    fn on_train_begin(&mut self, _: &mut Model) -> Result<()> {
        self.found = None;
        Ok(())
    }

    fn every_batches(&self) -> Option<usize> {
        self.every
    }

    fn on_batches_end(&mut self, model: &mut Model, progress: Progress) -> Result<Flow> {
        let loss = model.running_logs()?.loss();
        if loss.is_finite() {
            return Ok(Flow::Continue);
        }
        let what = model.broken_part(loss)?;
        if self.raise {
            return Err(Error::Diverged { epoch: progress.epoch as usize, what });
        }
        self.found =
            Some(format!("epoch {}, batch {}: {what} is not finite", progress.epoch, progress.batch));
        Ok(Flow::Stop)
    }
}
