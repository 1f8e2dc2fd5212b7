//! Training on arrays, which go to the device once, and on sources, whose batches go there one by one.

use super::Model;
use super::dataset::Dataset;
use super::epochs::{Data, Run};
use super::feed::{Feed, Resident, Streamed};
use super::fit_options::{FitOptions, Validation};
use super::plan::Purpose;
use super::resets::Resets;
use super::targets::Targets;
use crate::array::{Arrays, HostArray};
use crate::data::BatchSource;
use crate::train::{Callback, History, Logs, ProgressBar, Task};
use crate::{Error, Result};

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
        let x = self.with_resets(x, options.resets.take().as_ref())?;
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
        let mut validation = match std::mem::take(&mut options.validation) {
            Validation::None => None,
            Validation::Split(_) => {
                let (vx, vy) = (x.rows(kept, x.samples()), targets.rows(kept, x.samples()));
                Some(Data::Resident(Dataset::upload(self, &vx, Some(&vy))?, batch_size))
            }
            given => self.validation(given, options.validation_weight.take(), batch_size)?,
        };
        self.check_whole_batches("x", kept, batch_size)?;
        if let Some(Data::Resident(data, _)) = &validation {
            self.check_whole_batches("validation x", data.samples, batch_size)?;
        }
        let shuffle = options.shuffle.unwrap_or(!self.is_stateful());
        let task = Task { batch_size, samples: kept, shuffle, ..Task::default() };
        let train = self.resident(&x.rows(0, kept), &targets.rows(0, kept))?;
        let mut feed = Resident::new(&train, batch_size, shuffle);
        let result = self.train(&mut feed, validation.as_mut(), task, options);
        if let Some(Data::Resident(data, _)) = validation {
            self.plans.forget(data.id);
        }
        self.resident = Some(train);
        result.map_err(|error| self.with_cause(error, &x, &targets))
    }

    /// Trains on the batches of a source, which are uploaded one by one: for data larger than the device's memory, or the
    /// host's. While the device works on a batch, the next one is made; [`Prefetch`](crate::data::Prefetch) makes it on another
    /// thread, which pays where making it is slow or the device is the CPU. `batch_size`, `shuffle`, `sample_weight` and `validation_split`
    /// are the source's affair and refused here.
    ///
    /// ```
    /// # use ndarray::Array2;
    /// # use rnn_model::{Adam, Device, Input, Loss, Sequential, layer::{Dense, Lstm}};
    /// use rnn_model::FitOptions;
    /// use rnn_model::data::TimeseriesDataset;
    /// # let mut model = Sequential::new(Input::sequence(8, 1)).layer(Lstm::new(8)).layer(Dense::new(1)).build(&Device::cpu())?;
    /// # model.compile(Adam::new().learning_rate(0.01), Loss::MeanSquaredError, &[])?;
    /// let series = Array2::from_shape_fn((200, 1), |(t, _)| (t as f32 * 0.3).sin());
    /// let next = series.slice(ndarray::s![8.., ..]).to_owned();
    /// let mut windows = TimeseriesDataset::new(series, 8).targets(next).batch_size(32).shuffle(true);
    /// let history = model.fit_source(&mut windows, FitOptions::new().epochs(20))?;
    /// assert!(history.last().unwrap().loss() < 0.1 * history.get("loss")[0]);
    /// # Ok::<(), rnn_model::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`fit`](Self::fit), and when the source fails or has no batches.
    pub fn fit_source(
        &mut self,
        source: &mut dyn BatchSource,
        mut options: FitOptions<'_>,
    ) -> Result<History> {
        self.compiled("fit_source")?;
        if options.resets.is_some() {
            let problem = "resets are for arrays; a source masks and packs by itself";
            return Err(Error::invalid("fit_source", problem));
        }
        if options.batch_size.is_some() || options.shuffle.is_some() || options.sample_weight.is_some() {
            let problem = "batches are made by the source: set their size, order and sample weights there";
            return Err(Error::invalid("fit_source", problem));
        }
        let batch_size = self.graph.batch().unwrap_or(32);
        let given = std::mem::take(&mut options.validation);
        let mut validation = self.validation(given, options.validation_weight.take(), batch_size)?;
        let mut feed = Streamed::new(source, options.class_weight.take());
        let result = self.train(&mut feed, validation.as_mut(), Task::default(), options);
        if let Some(Data::Resident(data, _)) = validation {
            self.plans.forget(data.id);
        }
        result
    }

    /// Validation data that does not come from the training's.
    fn validation<'a>(
        &self,
        given: Validation<'a>,
        weights: Option<Arrays<'_>>,
        batch_size: usize,
    ) -> Result<Option<Data<'a>>> {
        if weights.is_some() && !matches!(given, Validation::Data(..)) {
            let problem = "belongs to validation_data; a source gives its own weights";
            return Err(Error::invalid("validation_weight", problem));
        }
        match given {
            Validation::None => Ok(None),
            Validation::Split(_) => {
                let problem =
                    "a source has no end to split off: give it validation_data or a validation_source";
                Err(Error::invalid("validation_split", problem))
            }
            Validation::Source(source) => Ok(Some(Data::Source(source))),
            Validation::Data(x, y) => {
                let shapes = self.check_inputs("validation x", &x)?;
                let targets = self.targets(y, weights, None, x.samples(), &shapes)?;
                self.check_whole_batches("validation x", x.samples(), batch_size)?;
                Ok(Some(Data::Resident(Dataset::upload(self, &x, Some(&targets))?, batch_size)))
            }
        }
    }

    /// Runs the epochs with all callbacks.
    fn train(
        &mut self,
        feed: &mut dyn Feed,
        validation: Option<&mut Data<'_>>,
        task: Task,
        mut options: FitOptions<'_>,
    ) -> Result<History> {
        if options.steps_per_epoch == Some(0) {
            return Err(Error::invalid("steps_per_epoch", "must be at least 1"));
        }
        let epochs = options.epochs.unwrap_or(1);
        let (first, last) = match options.initial_epoch {
            Some(done) => (done + 1, epochs),
            None => (self.counters.epochs + 1, self.counters.epochs + epochs),
        };
        let task = Task {
            first_epoch: first,
            last_epoch: last,
            validation_samples: validation.as_ref().map_or(0, |v| v.samples()),
            steps_per_epoch: options.steps_per_epoch,
            reset_states: options.reset_states_after_epoch,
            ..task
        };
        let mut bar = ProgressBar::new();
        let mut callbacks: Vec<&mut dyn Callback> = Vec::new();
        for callback in &mut options.callbacks {
            callbacks.push(&mut **callback);
        }
        if options.verbose {
            callbacks.push(&mut bar);
        }
        let (budget, reach) = (self.memory_budget, self.window.limit());
        self.set_backprop_batches(options.backprop_batches.unwrap_or(reach))?;
        self.set_memory_budget(options.memory_budget.or(budget));
        let result =
            Run::new(task, options.backup, callbacks).and_then(|run| run.run(self, feed, validation));
        self.set_memory_budget(budget);
        self.set_backprop_batches(reach)?;
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

    /// One update on one batch; the loss and metrics are those before the update.
    ///
    /// # Errors
    /// As [`fit`](Self::fit).
    pub fn train_on_batch<'a>(&mut self, x: impl Into<Arrays<'a>>, y: impl Into<Arrays<'a>>) -> Result<Logs> {
        self.train_on_weighted(x.into(), y.into(), None, None)
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
        self.train_on_weighted(x.into(), y.into(), Some(weights.into()), None)
    }

    /// As [`train_on_batch`](Self::train_on_batch), with the states of all recurrent layers zero before the steps that `resets`,
    /// `[samples, time]`, names.
    ///
    /// # Errors
    /// As `fit`.
    pub fn train_on_batch_with_resets<'a>(
        &mut self,
        x: impl Into<Arrays<'a>>,
        y: impl Into<Arrays<'a>>,
        resets: impl Into<Resets>,
    ) -> Result<Logs> {
        self.train_on_weighted(x.into(), y.into(), None, Some(&resets.into()))
    }

    fn train_on_weighted(
        &mut self,
        x: Arrays<'_>,
        y: Arrays<'_>,
        weights: Option<Arrays<'_>>,
        resets: Option<&Resets>,
    ) -> Result<Logs> {
        self.compiled("train_on_batch")?;
        let shapes = self.check_inputs("x", &x)?;
        let targets = self.targets(y, weights, None, x.samples(), &shapes)?;
        let x = self.with_resets(x, resets)?;
        let shapes: Vec<Vec<usize>> = x.0.iter().map(|x| x.shape[1..].to_vec()).collect();
        self.ensure_states(x.samples())?;
        let plan = self.plan(Purpose::Train, x.samples(), &shapes, &targets.weights_per_sample(), None)?;
        self.clear_sums()?;
        let step = self.next_step(0);
        self.run_batch(&plan, &x, Some(&targets), step)?;
        self.steps_ran(1);
        let logs = self.read_sums()?;
        self.check_finite(&logs, self.counters.epochs + 1)
            .map_err(|error| self.with_cause(error, &x, &targets))?;
        Ok(logs)
    }

    /// A training that diverged, with the first number of the data that is not finite, if there is one.
    fn with_cause(&self, error: Error, x: &Arrays<'_>, targets: &Targets<'_>) -> Error {
        let Error::Diverged { epoch, what } = error else { return error };
        let inputs = self.graph.inputs().iter().map(|input| input.name.clone()).collect();
        let found = not_finite("x", inputs, &x.0)
            .or_else(|| not_finite("y", self.graph.output_names(), &targets.y.0));
        let what = match found {
            Some(place) => format!("{place}, and so {what}"),
            None => what,
        };
        Error::Diverged { epoch, what }
    }

    pub(super) fn check_finite(&self, logs: &Logs, epoch: u64) -> Result<()> {
        if logs.loss().is_finite() {
            return Ok(());
        }
        Err(Error::Diverged { epoch: epoch as usize, what: self.broken_part(logs.loss())? })
    }

    /// A loss that is lost, and the first weight that is not finite, in words.
    pub(crate) fn broken_part(&self, loss: f64) -> Result<String> {
        let weights = self.get_weights()?;
        let broken = weights.iter().position(|w| w.iter().any(|x| !x.is_finite()));
        Ok(match broken {
            Some(i) => format!("the loss ({loss}), and weight {},", self.variables[i].name),
            None => format!("the loss ({loss}), with all weights finite,"),
        })
    }
}

/// The first number of these arrays that is not finite, and its place, in words.
fn not_finite(what: &str, names: Vec<String>, arrays: &[HostArray<'_>]) -> Option<String> {
    arrays.iter().enumerate().find_map(|(i, array)| {
        let mut at = array.data.iter().position(|value| !value.is_finite())?;
        let value = array.data[at];
        let mut place = vec![0; array.shape.len()];
        for (place, &size) in place.iter_mut().zip(&array.shape).rev() {
            (*place, at) = (at % size, at / size);
        }
        let what = match names.get(i).filter(|_| arrays.len() > 1) {
            Some(name) => format!("{what} ({name})"),
            None => what.to_owned(),
        };
        Some(format!("{what} ({value} at {place:?})"))
    })
}
