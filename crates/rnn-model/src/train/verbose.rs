//! A line per epoch on stderr.

use super::{Callback, Flow, Logs, Progress};
use crate::{Model, Result};
use std::io::Write;
use std::time::Instant;

/// What `FitOptions::verbose` adds: `Epoch 3/10 - 0.21 s - loss: 0.0123 - val_loss: 0.0145`.
pub(crate) struct EpochLines {
    begun: Instant,
}

impl EpochLines {
    pub fn new() -> Self {
        EpochLines { begun: Instant::now() }
    }
}

impl Callback for EpochLines {
    fn on_epoch_begin(&mut self, _: &mut Model, _: Progress) -> Result<()> {
        self.begun = Instant::now();
        Ok(())
    }

    fn on_epoch_end(&mut self, _: &mut Model, progress: Progress, logs: &Logs) -> Result<Flow> {
        let seconds = self.begun.elapsed().as_secs_f64();
        let mut line = format!("Epoch {}/{} - {seconds:.2} s", progress.epoch, progress.epochs);
        for (name, value) in logs.iter() {
            line.push_str(&format!(" - {name}: {value:.4e}"));
        }
        // A closed stderr is no reason to stop training.
        let _ = writeln!(std::io::stderr(), "{line}");
        Ok(Flow::Continue)
    }
}
