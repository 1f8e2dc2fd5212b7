//! Loss and metrics without training.

use super::dataset::Dataset;
use super::plan::Purpose;
use super::{Model, predict::batches};
use crate::train::Logs;
use crate::{Error, HostArray, Result};

impl Model {
    /// Loss and metrics over `x` and `y` in batches of 32 (of the fixed batch size if the model has one). Stateful
    /// layers carry their states on.
    ///
    /// # Errors
    /// When the model is not compiled, shapes do not fit, or the device fails.
    pub fn evaluate<'a>(&mut self, x: impl Into<HostArray<'a>>, y: impl Into<HostArray<'a>>) -> Result<Logs> {
        let x = x.into();
        let batch_size = self.default_batch(x.samples());
        self.evaluate_batched(&x, &y.into(), batch_size)
    }

    /// As [`evaluate`](Self::evaluate), in batches of `batch_size`.
    ///
    /// # Errors
    /// As `evaluate`.
    pub fn evaluate_with_batch_size<'a>(
        &mut self,
        x: impl Into<HostArray<'a>>,
        y: impl Into<HostArray<'a>>,
        batch_size: usize,
    ) -> Result<Logs> {
        if batch_size == 0 {
            return Err(Error::invalid("batch_size", "must be at least 1"));
        }
        self.evaluate_batched(&x.into(), &y.into(), batch_size)
    }

    fn evaluate_batched(&mut self, x: &HostArray<'_>, y: &HostArray<'_>, batch_size: usize) -> Result<Logs> {
        let loss = self.compiled("evaluate")?.config.loss;
        let sample = self.check_input("x", &x.shape)?;
        self.check_target(y, x.samples(), &sample, loss)?;
        self.check_whole_batches("x", x.samples(), batch_size)?;
        let dataset = Dataset::upload(self, x, Some(y))?;
        let logs = self.evaluate_dataset(&dataset, batch_size);
        self.plans.forget(dataset.id);
        logs
    }

    pub(super) fn evaluate_dataset(&mut self, dataset: &Dataset, batch_size: usize) -> Result<Logs> {
        self.clear_sums()?;
        for (batch, starts) in batches(dataset.samples, batch_size) {
            self.ensure_states(batch)?;
            let plan = self.plan(Purpose::Evaluate, batch, &dataset.sample, Some(dataset))?;
            let steps: Vec<_> = starts.map(|start| self.counters.inference(start)).collect();
            self.device.run(&plan.program, &steps)?;
            self.states_are_fresh = false;
        }
        self.read_sums()
    }

    /// The batch size when none is asked for.
    pub(super) fn default_batch(&self, samples: usize) -> usize {
        let stateful = self.states.as_ref().filter(|_| !self.states_are_fresh).map(|s| s.batch);
        self.architecture.input.batch.or(stateful).unwrap_or_else(|| samples.clamp(1, 32))
    }

    pub(super) fn clear_sums(&self) -> Result<()> {
        let sums = self.compiled("evaluate")?.sums.all();
        self.device.engine().write(sums, &vec![0.0; sums.len])
    }

    /// Means of what was added up since `clear_sums`.
    pub(super) fn read_sums(&self) -> Result<Logs> {
        let compiled = self.compiled("evaluate")?;
        let sums = self.device.engine().read_f64(compiled.sums.all())?;
        let mut logs = vec![("loss".to_owned(), sums[0] / sums[1])];
        for (metric, pair) in compiled.config.metrics.iter().zip(sums[2..].chunks(2)) {
            logs.push((metric.name().to_owned(), metric.finish(pair[0] / pair[1])));
        }
        Ok(Logs(logs))
    }
}
