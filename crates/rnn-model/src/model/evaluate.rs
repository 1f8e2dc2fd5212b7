//! Loss and metrics without training.

use super::compile::PENALTY_PLACES;
use super::dataset::Dataset;
use super::plan::Purpose;
use super::scores::{PLACES, metric_places};
use super::{Model, StateUse, predict::batches};
use crate::array::Arrays;
use crate::train::{Logs, read};
use crate::{Error, Result};

/// Options of [`Model::evaluate_with`].
#[derive(Clone, Debug, Default)]
pub struct EvaluateOptions<'a> {
    batch_size: Option<usize>,
    sample_weight: Option<Arrays<'a>>,
    states: StateUse,
}

impl<'a> EvaluateOptions<'a> {
    /// Batches of 32, every sample with weight 1.
    pub fn new() -> Self {
        Self::default()
    }

    /// Samples per batch; 32, or the model's fixed batch size.
    pub fn batch_size(mut self, batch_size: usize) -> Self {
        self.batch_size = Some(batch_size);
        self
    }

    /// What each sample, `[samples]`, or each step, `[samples, time]`, counts.
    pub fn sample_weight(mut self, weights: impl Into<Arrays<'a>>) -> Self {
        self.sample_weight = Some(weights.into());
        self
    }

    /// What becomes of the states of stateful layers; [`StateUse::Carry`].
    pub fn states(mut self, states: StateUse) -> Self {
        self.states = states;
        self
    }
}

impl Model {
    /// Loss and metrics over `x` and `y` in batches of 32 (of the fixed batch size if the model has one). Stateful
    /// layers carry their states on.
    ///
    /// # Errors
    /// When the model is not compiled, shapes do not fit, or the device fails.
    pub fn evaluate<'a>(&mut self, x: impl Into<Arrays<'a>>, y: impl Into<Arrays<'a>>) -> Result<Logs> {
        self.evaluate_with(x, y, EvaluateOptions::new())
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
        self.evaluate_with(x, y, EvaluateOptions::new().batch_size(batch_size))
    }

    /// As [`evaluate`](Self::evaluate), with options.
    ///
    /// # Errors
    /// As `evaluate`.
    pub fn evaluate_with<'a>(
        &mut self,
        x: impl Into<Arrays<'a>>,
        y: impl Into<Arrays<'a>>,
        options: EvaluateOptions<'a>,
    ) -> Result<Logs> {
        self.compiled("evaluate")?;
        let x = x.into();
        let shapes = self.check_inputs("x", &x)?;
        let targets = self.targets(y.into(), options.sample_weight, None, x.samples(), &shapes)?;
        let batch_size = options.batch_size.unwrap_or_else(|| self.default_batch(x.samples()));
        if batch_size == 0 {
            return Err(Error::invalid("batch_size", "must be at least 1"));
        }
        self.check_whole_batches("x", x.samples(), batch_size)?;
        let dataset = Dataset::upload(self, &x, Some(&targets))?;
        let logs = self.beside(options.states, |model| model.evaluate_dataset(&dataset, batch_size));
        self.plans.forget(dataset.id);
        logs
    }

    pub(super) fn evaluate_dataset(&mut self, dataset: &Dataset, batch_size: usize) -> Result<Logs> {
        self.clear_sums()?;
        for (batch, starts) in batches(dataset.samples, batch_size) {
            self.ensure_states(batch)?;
            let plan = self.plan(
                Purpose::Evaluate,
                batch,
                &dataset.shapes,
                &dataset.weights_per_sample(),
                Some(dataset),
            )?;
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
        let (mut sums, penalty) = sums.split_at(sums.len() - PENALTY_PLACES);
        let mut next = |len: usize| {
            let (own, rest) = sums.split_at(len);
            sums = rest;
            read(own)
        };
        let (mut total, mut losses, mut metrics, mut samples) = (0.0, Vec::new(), Vec::new(), 1.0);
        for ((goal, output), cols) in goals.iter().zip(self.output_names()).zip(self.output_columns()) {
            // Outputs are told apart where there are several.
            let named =
                |name: &str| if goals.len() == 1 { name.to_owned() } else { format!("{output}_{name}") };
            let (sum, count) = next(PLACES);
            let loss = sum[0] / count;
            samples = count;
            total += goal.weight * loss;
            losses.push((named("loss"), loss));
            for metric in goal.metrics.iter().chain(&goal.weighted_metrics) {
                let (sums, count) = next(metric_places(metric, goal, cols));
                let name = unique(named(&metric.shown_name()), &metrics);
                metrics.push((name, metric.finish(&sums, count)));
            }
        }
        // Penalties on weights and outputs are part of the loss, each batch's by its samples.
        total += (penalty[0] + penalty[1]) / samples;
        let mut logs = vec![("loss".to_owned(), total)];
        logs.extend(losses.into_iter().filter(|_| goals.len() > 1).chain(metrics));
        Ok(Logs(logs))
    }
}

/// The name, with a number behind it where there is one of this name: `auc`, `auc_1`.
fn unique(name: String, taken: &[(String, f64)]) -> String {
    let is_taken = |name: &str| taken.iter().any(|(other, _)| other == name);
    if !is_taken(&name) {
        return name;
    }
    let numbered = (1..).map(|i| format!("{name}_{i}")).find(|name| !is_taken(name));
    numbered.unwrap_or(name)
}
