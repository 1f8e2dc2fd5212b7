//! Loss and metrics without training.

use super::dataset::Dataset;
use super::plan::Purpose;
use super::{Model, predict::batches};
use crate::array::Arrays;
use crate::train::Logs;
use crate::{Error, Result};

impl Model {
    /// Loss and metrics over `x` and `y` in batches of 32 (of the fixed batch size if the model has one). Stateful
    /// layers carry their states on.
    ///
    /// # Errors
    /// When the model is not compiled, shapes do not fit, or the device fails.
    pub fn evaluate<'a>(&mut self, x: impl Into<Arrays<'a>>, y: impl Into<Arrays<'a>>) -> Result<Logs> {
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
        x: impl Into<Arrays<'a>>,
        y: impl Into<Arrays<'a>>,
        batch_size: usize,
    ) -> Result<Logs> {
        if batch_size == 0 {
            return Err(Error::invalid("batch_size", "must be at least 1"));
        }
        self.evaluate_batched(&x.into(), &y.into(), batch_size)
    }

    fn evaluate_batched(&mut self, x: &Arrays<'_>, y: &Arrays<'_>, batch_size: usize) -> Result<Logs> {
        self.compiled("evaluate")?;
        let shapes = self.check_inputs("x", x)?;
        self.check_targets(y, x.samples(), &shapes)?;
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
            let plan = self.plan(Purpose::Evaluate, batch, &dataset.shapes, Some(dataset))?;
            let steps: Vec<_> = starts.map(|start| self.counters.inference(start)).collect();
            self.device.run(&plan.program, &steps)?;
            self.states_are_fresh = false;
        }
        self.read_sums()
    }

    /// The batch size when none is asked for.
    pub(super) fn default_batch(&self, samples: usize) -> usize {
        let stateful = self.states.as_ref().filter(|_| !self.states_are_fresh).map(|s| s.batch);
        self.graph.batch().or(stateful).unwrap_or_else(|| samples.clamp(1, 32))
    }

    pub(super) fn clear_sums(&self) -> Result<()> {
        let sums = self.compiled("evaluate")?.sums.all();
        self.device.engine().write(sums, &vec![0.0; sums.len])
    }

    /// Means of what was added up since `clear_sums`.
    pub(super) fn read_sums(&self) -> Result<Logs> {
        let compiled = self.compiled("evaluate")?;
        let sums = self.device.engine().read_f64(compiled.sums.all())?;
        let goals = &compiled.config.goals;
        let mut means = sums.chunks(2).map(|pair| pair[0] / pair[1]);
        let (mut total, mut losses, mut metrics) = (0.0, Vec::new(), Vec::new());
        for (goal, output) in goals.iter().zip(self.output_names()) {
            // Outputs are told apart where there are several.
            let named =
                |name: &str| if goals.len() == 1 { name.to_owned() } else { format!("{output}_{name}") };
            let loss = means.next().unwrap_or(f64::NAN);
            total += goal.weight * loss;
            losses.push((named("loss"), loss));
            for metric in &goal.metrics {
                metrics.push((named(metric.name()), metric.finish(means.next().unwrap_or(f64::NAN))));
            }
        }
        let mut logs = vec![("loss".to_owned(), total)];
        logs.extend(losses.into_iter().filter(|_| goals.len() > 1).chain(metrics));
        Ok(Logs(logs))
    }
}
