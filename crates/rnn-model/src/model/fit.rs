//! Training: data goes to the device once, batches are gathered, run and scored there.

use super::dataset::Dataset;
use super::plan::{Plan, Purpose};
use super::targets::{ClassWeights, Targets};
use super::{Model, predict::batches};
use crate::array::Arrays;
use crate::train::{Callback, EpochLines, Flow, History, Logs, Progress};
use crate::{Error, Result};
use rnn_shaders::vocabulary::StepParams;
use std::time::Instant;

/// Options of [`Model::fit`], with Keras's names and defaults.
#[derive(Default)]
pub struct FitOptions<'a> {
    epochs: Option<u64>,
    batch_size: Option<usize>,
    shuffle: Option<bool>,
    reset_states_after_epoch: bool,
    verbose: bool,
    validation: Validation<'a>,
    validation_weight: Option<Arrays<'a>>,
    sample_weight: Option<Arrays<'a>>,
    class_weight: Option<ClassWeights>,
    callbacks: Vec<&'a mut dyn Callback>,
}

#[derive(Default)]
enum Validation<'a> {
    #[default]
    None,
    Split(f64),
    Data(Arrays<'a>, Arrays<'a>),
}

impl<'a> FitOptions<'a> {
    /// One epoch in batches of 32, shuffled, without validation.
    pub fn new() -> Self {
        Self::default()
    }

    /// Times the data is gone through; 1.
    pub fn epochs(mut self, epochs: u64) -> Self {
        self.epochs = Some(epochs);
        self
    }

    /// Samples per update; 32, or the model's fixed batch size.
    pub fn batch_size(mut self, batch_size: usize) -> Self {
        self.batch_size = Some(batch_size);
        self
    }

    /// Draw another order of samples for each epoch; true, but false for stateful models, whose batches go on from one
    /// to the next.
    pub fn shuffle(mut self, on: bool) -> Self {
        self.shuffle = Some(on);
        self
    }

    /// Call `reset_states` after each epoch, as one does when each epoch starts the same series again; false.
    pub fn reset_states_after_epoch(mut self, on: bool) -> Self {
        self.reset_states_after_epoch = on;
        self
    }

    /// Hold back this share of the samples, taken from the end before any shuffling, and evaluate on it after each epoch.
    pub fn validation_split(mut self, share: f64) -> Self {
        self.validation = Validation::Split(share);
        self
    }

    /// Evaluate on these samples after each epoch.
    pub fn validation_data(mut self, x: impl Into<Arrays<'a>>, y: impl Into<Arrays<'a>>) -> Self {
        self.validation = Validation::Data(x.into(), y.into());
        self
    }

    /// What each sample of the validation data, `[samples]`, or each of its steps, `[samples, time]`, counts.
    pub fn validation_weight(mut self, weights: impl Into<Arrays<'a>>) -> Self {
        self.validation_weight = Some(weights.into());
        self
    }

    /// What each sample, `[samples]`, or each step, `[samples, time]`, counts in the loss and in weighted metrics; one array
    /// for all outputs, or one for each. The loss is the sum of weighted scores divided by their number.
    pub fn sample_weight(mut self, weights: impl Into<Arrays<'a>>) -> Self {
        self.sample_weight = Some(weights.into());
        self
    }

    /// What each class counts, (index, weight); classes that are not named count 1. Multiplies sample weights.
    pub fn class_weight(mut self, classes: &[(usize, f32)]) -> Self {
        self.class_weight = Some(classes.to_vec());
        self
    }

    /// Write a line per epoch to stderr: time, loss, metrics; false.
    pub fn verbose(mut self, on: bool) -> Self {
        self.verbose = on;
        self
    }

    /// Adds a callback.
    pub fn callback(mut self, callback: &'a mut dyn Callback) -> Self {
        self.callbacks.push(callback);
        self
    }
}

/// Batches of one size within an epoch.
struct Group {
    plan: std::sync::Arc<Plan>,
    starts: Vec<usize>,
}

impl Model {
    /// Trains on `x` `[samples, ...]` and `y`, shaped as the outputs (a last axis of 1 may be left out); a model of several
    /// inputs or outputs takes a list of arrays: `[&a, &b]`.
    ///
    /// Stateful layers carry their states from batch to batch and from epoch to epoch.
    ///
    /// ```
    /// # use ndarray::Array;
    /// # use rnn_model::{Adam, Device, FitOptions, Input, Loss, Sequential, layer::{Dense, Lstm}};
    /// let mut model = Sequential::new(Input::sequence(5, 1)).layer(Lstm::new(8)).layer(Dense::new(1)).build(&Device::cpu())?;
    /// model.compile(Adam::new().learning_rate(0.01), Loss::MeanSquaredError, &[])?;
    /// let x = Array::from_shape_fn((64, 5, 1), |(i, t, _)| ((i + t) as f32 * 0.3).sin());
    /// let y = Array::from_shape_fn((64, 1), |(i, _)| ((i + 5) as f32 * 0.3).sin());
    /// let history = model.fit(&x, &y, FitOptions::new().epochs(30).batch_size(16))?;
    /// let losses = history.get("loss");
    /// assert!(losses[29] < 0.2 * losses[0]);
    /// # Ok::<(), rnn_model::Error>(())
    /// ```
    ///
    /// # Errors
    /// When the model is not compiled, shapes do not fit, a stateful model's samples do not fill whole batches, the
    /// loss becomes NaN or infinite ([`Error::Diverged`]), a callback fails, or the device fails.
    pub fn fit<'a>(
        &mut self,
        x: impl Into<Arrays<'a>>,
        y: impl Into<Arrays<'a>>,
        mut options: FitOptions<'_>,
    ) -> Result<History> {
        let (x, y) = (x.into(), y.into());
        self.compiled("fit")?;
        let shapes = self.check_inputs("x", &x)?;
        let (weights, classes) = (options.sample_weight.take(), options.class_weight.take());
        let targets = self.targets(y, weights, classes.as_ref(), x.samples(), &shapes)?;
        let batch_size = options.batch_size.or(self.graph.batch()).unwrap_or(32);
        if batch_size == 0 {
            return Err(Error::invalid("batch_size", "must be at least 1"));
        }
        // Keras's expression for the samples that are left to train on.
        let kept = match options.validation {
            Validation::Split(share) if !(share > 0.0 && share < 1.0) => {
                let problem = format!("must lie between 0 and 1, got {share}");
                return Err(Error::invalid("validation_split", problem));
            }
            Validation::Split(share) => (x.samples() as f64 * (1.0 - share)).floor() as usize,
            _ => x.samples(),
        };
        if kept == 0 {
            return Err(Error::invalid("validation_split", "it leaves no samples to train on"));
        }
        let validation = match std::mem::take(&mut options.validation) {
            Validation::None => None,
            Validation::Split(_) => {
                let (vx, vy) = (x.rows(kept, x.samples()), targets.rows(kept, x.samples()));
                Some(Dataset::upload(self, &vx, Some(&vy))?)
            }
            Validation::Data(vx, vy) => {
                let shapes = self.check_inputs("validation x", &vx)?;
                let weights = options.validation_weight.take();
                let vy = self.targets(vy, weights, None, vx.samples(), &shapes)?;
                Some(Dataset::upload(self, &vx, Some(&vy))?)
            }
        };
        self.check_whole_batches("x", kept, batch_size)?;
        self.check_whole_batches("validation x", validation.as_ref().map_or(0, |v| v.samples), batch_size)?;
        let train = self.resident(&x.rows(0, kept), &targets.rows(0, kept))?;
        let mut lines = EpochLines::new();
        let mut given = std::mem::take(&mut options.callbacks);
        let mut callbacks: Vec<&mut dyn Callback> = Vec::new();
        for callback in &mut given {
            callbacks.push(&mut **callback);
        }
        if options.verbose {
            callbacks.push(&mut lines);
        }
        let result = self.run_epochs(&train, validation.as_ref(), batch_size, &options, &mut callbacks);
        if let Some(validation) = validation {
            self.plans.forget(validation.id);
        }
        self.resident = Some(train);
        result
    }

    /// The data set kept from the last `fit` if it has the same shapes, else a new one.
    fn resident(&mut self, x: &Arrays<'_>, targets: &Targets<'_>) -> Result<Dataset> {
        if let Some(kept) = self.resident.take() {
            if kept.fits(x, targets) {
                kept.write(self, x, Some(targets))?;
                return Ok(kept);
            }
            self.plans.forget(kept.id);
        }
        Dataset::upload(self, x, Some(targets))
    }

    fn run_epochs(
        &mut self,
        train: &Dataset,
        validation: Option<&Dataset>,
        batch_size: usize,
        options: &FitOptions<'_>,
        callbacks: &mut [&mut dyn Callback],
    ) -> Result<History> {
        let shuffle = options.shuffle.unwrap_or(!self.is_stateful());
        let first = self.counters.epochs;
        let epochs = first + options.epochs.unwrap_or(1);
        let total = train.samples.div_ceil(batch_size);
        let mut history = History::default();
        let mut order: Vec<u32> = (0..train.samples as u32).collect();
        if !shuffle {
            train.set_order(self, &order)?;
        }
        for callback in callbacks.iter_mut() {
            callback.on_train_begin(self)?;
        }
        for epoch in first + 1..=epochs {
            let mut progress = Progress { epoch, epochs, batch: 0, batches: total };
            for callback in callbacks.iter_mut() {
                callback.on_epoch_begin(self, progress)?;
            }
            if shuffle {
                self.shuffle(&mut order, epoch);
                train.set_order(self, &order)?;
            }
            self.clear_sums()?;
            let flow = self.run_epoch(train, batch_size, &mut progress, callbacks)?;
            if flow == Flow::Stop && progress.batch < total {
                history.stopped = true;
                break;
            }
            let mut logs = self.read_sums()?;
            self.check_finite(&logs, epoch)?;
            self.counters.epochs = epoch;
            if let Some(validation) = validation {
                let scores = self.evaluate_dataset(validation, batch_size)?;
                logs.0.extend(scores.iter().map(|(name, value)| (format!("val_{name}"), value)));
            }
            if options.reset_states_after_epoch {
                self.reset_states()?;
            }
            let mut flow = flow;
            for callback in callbacks.iter_mut() {
                if callback.on_epoch_end(self, progress, &logs)? == Flow::Stop {
                    flow = Flow::Stop;
                }
            }
            history.epochs.push(epoch);
            history.logs.push(logs);
            if flow == Flow::Stop {
                history.stopped = epoch < epochs;
                break;
            }
        }
        for callback in callbacks.iter_mut() {
            callback.on_train_end(self)?;
        }
        Ok(history)
    }

    /// All batches of an epoch, in groups that take about a tenth of a second.
    fn run_epoch(
        &mut self,
        train: &Dataset,
        batch_size: usize,
        progress: &mut Progress,
        callbacks: &mut [&mut dyn Callback],
    ) -> Result<Flow> {
        let mut groups = Vec::new();
        for (batch, starts) in batches(train.samples, batch_size) {
            self.ensure_states(batch)?;
            let plan =
                self.plan(Purpose::Train, batch, &train.shapes, &train.weights_per_sample(), Some(train))?;
            groups.push(Group { plan, starts: starts.collect() });
        }
        let mut size = 8;
        for group in &groups {
            let mut starts = group.starts.as_slice();
            while !starts.is_empty() {
                let (now, later) = starts.split_at(size.min(starts.len()));
                starts = later;
                let begun = Instant::now();
                let steps: Vec<StepParams> = now.iter().map(|&start| self.next_step(start)).collect();
                self.device.run(&group.plan.program, &steps)?;
                self.states_are_fresh = false;
                progress.batch += now.len();
                if !callbacks.is_empty() || !starts.is_empty() {
                    self.device.synchronize()?;
                }
                let seconds = begun.elapsed().as_secs_f64().max(1e-9);
                let wanted = (now.len() as f64 * 0.1 / seconds) as usize;
                size = wanted.clamp(1, 4 * size).min(1 << 16);
                for callback in callbacks.iter_mut() {
                    if callback.on_batches_end(self, *progress)? == Flow::Stop {
                        return Ok(Flow::Stop);
                    }
                }
            }
        }
        Ok(Flow::Continue)
    }

    /// The record of the next training step, counted.
    fn next_step(&mut self, cursor: usize) -> StepParams {
        let iterations = self.counters.iterations;
        let mut step = match &self.training {
            Some(training) => training.config.optimizer.step_params(iterations),
            None => StepParams::default(),
        };
        self.counters.iterations += 1;
        self.counters.passes += 1;
        step.cursor = cursor as u32;
        step.rng_step = self.counters.passes as u32;
        step
    }

    /// A new order of samples, by Fisher and Yates, drawn from the model's seed and the epoch alone.
    fn shuffle(&self, order: &mut [u32], epoch: u64) {
        order.iter_mut().enumerate().for_each(|(i, o)| *o = i as u32);
        let step = StepParams { rng_step: epoch as u32, ..StepParams::default() };
        let mut draws = vec![0.0f64; order.len()];
        cpu_core::random_uniform(self.graph.seed, u32::MAX, &step, &mut draws).expect("any length fits");
        for i in (1..order.len()).rev() {
            let j = (draws[i] * (i + 1) as f64) as usize;
            order.swap(i, j.min(i));
        }
    }

    /// One update on one batch; the loss and metrics are those before the update.
    ///
    /// # Errors
    /// As [`fit`](Self::fit).
    pub fn train_on_batch<'a>(&mut self, x: impl Into<Arrays<'a>>, y: impl Into<Arrays<'a>>) -> Result<Logs> {
        self.train_on_weighted(x.into(), y.into(), None)
    }

    /// As [`train_on_batch`](Self::train_on_batch), with what each sample, `[samples]`, or each step, `[samples, time]`,
    /// counts.
    ///
    /// # Errors
    /// As `fit`.
    pub fn train_on_weighted_batch<'a>(
        &mut self,
        x: impl Into<Arrays<'a>>,
        y: impl Into<Arrays<'a>>,
        weights: impl Into<Arrays<'a>>,
    ) -> Result<Logs> {
        self.train_on_weighted(x.into(), y.into(), Some(weights.into()))
    }

    fn train_on_weighted(
        &mut self,
        x: Arrays<'_>,
        y: Arrays<'_>,
        weights: Option<Arrays<'_>>,
    ) -> Result<Logs> {
        self.compiled("train_on_batch")?;
        let shapes = self.check_inputs("x", &x)?;
        let targets = self.targets(y, weights, None, x.samples(), &shapes)?;
        self.ensure_states(x.samples())?;
        let plan = self.plan(Purpose::Train, x.samples(), &shapes, &targets.weights_per_sample(), None)?;
        self.clear_sums()?;
        let step = self.next_step(0);
        self.run_batch(&plan, &x, Some(&targets), step)?;
        self.states_are_fresh = false;
        let logs = self.read_sums()?;
        self.check_finite(&logs, self.counters.epochs + 1)?;
        Ok(logs)
    }

    fn check_finite(&self, logs: &Logs, epoch: u64) -> Result<()> {
        if logs.loss().is_finite() {
            return Ok(());
        }
        let weights = self.get_weights()?;
        let broken = weights.iter().position(|w| w.iter().any(|x| !x.is_finite()));
        let what = match broken {
            Some(i) => format!("the loss, and weight {},", self.variables[i].name),
            None => "the loss".to_owned(),
        };
        Err(Error::Diverged { epoch: epoch as usize, what })
    }
}
