//! The model is saved while it is trained.

use super::monitor::{Best, Mode, Monitor};
use super::path_pattern::PathPattern;
use crate::train::{Callback, CallbackState, Flow, Logs, Progress};
use crate::{Error, Model, Result};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// How often something is saved or written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SaveFreq {
    /// After each epoch.
    #[default]
    Epoch,
    /// After that many batches, counted on from epoch to epoch.
    Batches(usize),
}

/// Saves the model during training: after each epoch or some batches, all or only where a monitored number became better.
///
/// The path may hold numbers as Python writes them: `{epoch:02d}` (from 1), `{batch:04d}` when saved by batches, and
/// everything in the logs, `{val_loss:.2f}`. Files appear whole or not at all; a folder that is missing is made.
///
/// ```
/// # use ndarray::Array;
/// # use rnn_model::{Adam, Device, FitOptions, Input, Loss, Model, Sequential, layer::{Dense, Lstm}};
/// use rnn_model::ModelCheckpoint;
/// # let mut model = Sequential::new(Input::sequence(5, 1)).layer(Lstm::new(4)).layer(Dense::new(1)).build(&Device::cpu())?;
/// # model.compile(Adam::new(), Loss::MeanSquaredError, &[])?;
/// # let (x, y) = (Array::<f32, _>::ones((20, 5, 1)), Array::<f32, _>::ones((20, 1)));
/// # let folder = tempfile::tempdir().unwrap();
/// let pattern = folder.path().join("{epoch:02d}-{loss:.3f}.safetensors");
/// let mut checkpoint = ModelCheckpoint::new(&pattern).monitor("loss").save_best_only(true);
/// model.fit(&x, &y, FitOptions::new().epochs(3).callback(&mut checkpoint))?;
/// let best = Model::load(checkpoint.last_path().expect("saved"), &Device::cpu())?;
/// # Ok::<(), rnn_model::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct ModelCheckpoint {
    path: PathBuf,
    pattern: Option<PathPattern>,
    monitor: Monitor,
    best_only: bool,
    with_states: bool,
    weights_only: bool,
    freq: SaveFreq,
    threshold: Option<f64>,
    state: State,
    last: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct State {
    best: Best,
    /// batches since the last save
    batches: usize,
    /// batches of this epoch that are counted
    seen: usize,
}

impl ModelCheckpoint {
    /// Saves after each epoch to `path`, over the file of the epoch before where the path holds no numbers.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        ModelCheckpoint {
            path: path.into(),
            pattern: None,
            monitor: Monitor::new("ModelCheckpoint", 0.0),
            best_only: false,
            with_states: false,
            weights_only: false,
            freq: SaveFreq::Epoch,
            threshold: None,
            state: State::default(),
            last: None,
        }
    }

    /// The number that decides with [`save_best_only`](Self::save_best_only); `val_loss`.
    #[must_use]
    pub fn monitor(mut self, name: impl Into<String>) -> Self {
        self.monitor.name = name.into();
        self
    }

    /// Save only when the number is better than at the last save; false.
    #[must_use]
    pub fn save_best_only(mut self, on: bool) -> Self {
        self.best_only = on;
        self
    }

    /// Save the states of the stateful layers too; false.
    #[must_use]
    pub fn with_states(mut self, on: bool) -> Self {
        self.with_states = on;
        self
    }

    /// Save the weights alone, for [`Model::load_weights`], in place of the whole model; false. Such a file is smaller by the
    /// optimizer's slots, and training does not go on from it as if never interrupted.
    #[must_use]
    pub fn save_weights_only(mut self, on: bool) -> Self {
        self.weights_only = on;
        self
    }

    /// Whether the number should fall or rise; by its name.
    #[must_use]
    pub fn mode(mut self, mode: Mode) -> Self {
        self.monitor.mode = mode;
        self
    }

    /// How often; after each epoch. By batches, the numbers are those of the epoch so far.
    #[must_use]
    pub fn save_freq(mut self, freq: SaveFreq) -> Self {
        self.freq = freq;
        self
    }

    /// With [`save_best_only`](Self::save_best_only), the first number must be better than this; none.
    #[must_use]
    pub fn initial_value_threshold(mut self, value: f64) -> Self {
        self.threshold = Some(value);
        self
    }

    /// The file written last.
    pub fn last_path(&self) -> Option<&Path> {
        self.last.as_deref()
    }

    /// The best number so far.
    pub fn best(&self) -> Option<f64> {
        self.state.best.get()
    }

    fn save(&mut self, model: &Model, progress: Progress, logs: &Logs) -> Result<()> {
        if self.best_only {
            let current = self.monitor.value(logs)?;
            if !self.monitor.improves(current, self.state.best.get())? {
                return Ok(());
            }
            self.state.best.set(current);
        }
        let path = self.path(progress, logs)?;
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder).map_err(|source| Error::io(folder, source))?;
        }
        match (self.weights_only, self.with_states) {
            (true, _) => model.save_weights(&path)?,
            (false, true) => model.save_with_states(&path)?,
            (false, false) => model.save(&path)?,
        }
        self.last = Some(path);
        Ok(())
    }

    fn path(&self, progress: Progress, logs: &Logs) -> Result<PathBuf> {
        // A path that is no text has no fields.
        let Some(pattern) = &self.pattern else { return Ok(self.path.clone()) };
        let number = |name: &str| match name {
            "epoch" => Some(progress.epoch as f64),
            "batch" if self.freq != SaveFreq::Epoch => Some(progress.batch as f64),
            name => logs.get(name),
        };
        pattern.fill(number).map(PathBuf::from).map_err(|missing| {
            let names: Vec<&str> = logs.iter().map(|(name, _)| name).collect();
            let problem =
                format!("there is no {missing:?} for the path; there are: epoch, {}", names.join(", "));
            self.monitor.wrong(problem)
        })
    }
}

impl Callback for ModelCheckpoint {
    fn on_train_begin(&mut self, _: &mut Model) -> Result<()> {
        if self.best_only {
            self.monitor.check()?;
        }
        if self.weights_only && self.with_states {
            return Err(self.monitor.wrong("states are no weights: use save_weights_only or with_states"));
        }
        if self.freq == SaveFreq::Batches(0) {
            return Err(self.monitor.wrong("save_freq must be at least 1 batch"));
        }
        let parsed = self.path.to_str().map(PathPattern::parse).transpose();
        self.pattern = parsed.map_err(|problem| self.monitor.wrong(problem))?;
        // As in Keras, the best of one training is what the next must beat.
        if self.state.best.get().is_none() {
            self.state.best = self.threshold.into();
        }
        (self.state.batches, self.state.seen) = (0, 0);
        Ok(())
    }

    fn on_epoch_begin(&mut self, _: &mut Model, _: Progress) -> Result<()> {
        self.state.seen = 0;
        Ok(())
    }

    fn every_batches(&self) -> Option<usize> {
        match self.freq {
            SaveFreq::Epoch => None,
            SaveFreq::Batches(n) => Some(n),
        }
    }

    fn on_batches_end(&mut self, model: &mut Model, progress: Progress) -> Result<Flow> {
        if let SaveFreq::Batches(freq) = self.freq {
            self.state.batches += progress.batch.saturating_sub(self.state.seen);
            self.state.seen = progress.batch;
            if self.state.batches >= freq {
                self.state.batches = 0;
                let logs = model.running_logs()?;
                self.save(model, progress, &logs)?;
            }
        }
        Ok(Flow::Continue)
    }

    fn on_epoch_end(&mut self, model: &mut Model, progress: Progress, logs: &Logs) -> Result<Flow> {
        if self.freq == SaveFreq::Epoch {
            self.save(model, progress, logs)?;
        }
        Ok(Flow::Continue)
    }

    fn state(&self) -> Option<CallbackState> {
        Some(CallbackState::new("ModelCheckpoint", &self.state))
    }

    fn restore(&mut self, state: CallbackState) -> Result<()> {
        self.state = state.read("ModelCheckpoint")?;
        Ok(())
    }
}
