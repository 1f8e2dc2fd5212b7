//! Numbers for TensorBoard.

use super::checkpoint::SaveFreq;
use super::event_file::EventFile;
use super::histogram::buckets;
use crate::train::{Callback, Flow, Logs, Progress};
use crate::{Error, Model, Result};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Writes event files that TensorBoard shows, where Keras writes them and under its names: `epoch_loss`, `epoch_mae`,
/// `epoch_learning_rate`, ... in `<log_dir>/train`, those of the validation in `<log_dir>/validation`, by epoch from 0; there too
/// `evaluation_loss_vs_iterations`, by optimizer steps. With [`histogram_freq`](Self::histogram_freq) also how the values of each
/// weight are spread, `lstm/kernel/histogram`, in `<log_dir>/train`.
///
/// ```
/// use rnn_model::{SaveFreq, TensorBoard};
/// let board = TensorBoard::new("logs/first").update_freq(SaveFreq::Batches(100)).write_steps_per_second(true);
/// ```
#[derive(Debug)]
pub struct TensorBoard {
    folder: PathBuf,
    update: SaveFreq,
    speed: bool,
    histograms: u64,
    train: Option<EventFile>,
    validation: Option<EventFile>,
    /// of the epoch: when it began, and the optimizer's steps then
    begun: Option<(Instant, u64)>,
    /// optimizer steps at the last numbers of a batch
    written: u64,
}

impl TensorBoard {
    /// Writes to `log_dir` after each epoch.
    pub fn new(log_dir: impl Into<PathBuf>) -> Self {
        TensorBoard {
            folder: log_dir.into(),
            update: SaveFreq::Epoch,
            speed: false,
            histograms: 0,
            train: None,
            validation: None,
            begun: None,
            written: 0,
        }
    }

    /// By batches: write `batch_loss` and so on as well, the numbers of the epoch so far, by optimizer steps; by epoch only.
    #[must_use]
    pub fn update_freq(mut self, freq: SaveFreq) -> Self {
        self.update = freq;
        self
    }

    /// Write `epoch_steps_per_second`; false.
    #[must_use]
    pub fn write_steps_per_second(mut self, on: bool) -> Self {
        self.speed = on;
        self
    }

    /// After each of so many epochs, the first one too, write histograms of all weights; 0, none. The weights are read from the
    /// device for it.
    #[must_use]
    pub fn histogram_freq(mut self, epochs: u64) -> Self {
        self.histograms = epochs;
        self
    }

    fn write(&mut self, training: bool, step: u64, values: &[(String, f64)]) -> Result<()> {
        if values.is_empty() {
            return Ok(());
        }
        let values = values.iter().map(|(name, value)| (name.as_str(), *value));
        self.with_file(training, |file| file.scalars(step, values))
    }

    fn write_histograms(&mut self, model: &Model, epoch: u64) -> Result<()> {
        let weights = model.get_weights()?;
        let tags: Vec<String> =
            model.weight_names().into_iter().map(|name| format!("{name}/histogram")).collect();
        let rows = weights.iter().map(|w| w.as_slice().map_or_else(Vec::new, buckets));
        self.with_file(true, |file| file.histograms(epoch, tags.iter().map(String::as_str).zip(rows)))
    }

    /// Writes to the file of the training or of the validation, which is made when it is first needed.
    fn with_file(
        &mut self,
        training: bool,
        write: impl FnOnce(&mut EventFile) -> std::io::Result<()>,
    ) -> Result<()> {
        let (file, name) =
            if training { (&mut self.train, "train") } else { (&mut self.validation, "validation") };
        let folder = self.folder.join(name);
        let failed = |source| Error::io(&folder, source);
        let open = match file.take() {
            Some(open) => open,
            None => EventFile::create(&folder).map_err(failed)?,
        };
        write(file.insert(open)).map_err(failed)
    }

    /// Where the files go.
    pub fn log_dir(&self) -> &Path {
        &self.folder
    }
}

impl Callback for TensorBoard {
    fn on_train_begin(&mut self, model: &mut Model) -> Result<()> {
        if self.update == SaveFreq::Batches(0) {
            return Err(Error::invalid("TensorBoard", "update_freq must be at least 1 batch"));
        }
        (self.train, self.validation, self.written) = (None, None, model.iterations());
        Ok(())
    }

    fn on_epoch_begin(&mut self, model: &mut Model, _: Progress) -> Result<()> {
        self.begun = Some((Instant::now(), model.iterations()));
        Ok(())
    }

    fn on_epoch_resumed(&mut self, model: &mut Model, progress: Progress) -> Result<()> {
        self.on_epoch_begin(model, progress)
    }

    fn every_batches(&self) -> Option<usize> {
        match self.update {
            SaveFreq::Epoch => None,
            SaveFreq::Batches(n) => Some(n),
        }
    }

    fn on_batches_end(&mut self, model: &mut Model, _: Progress) -> Result<Flow> {
        if let SaveFreq::Batches(n) = self.update
            && model.iterations() >= self.written + n as u64
        {
            self.written = model.iterations();
            let logs = model.running_logs()?;
            let values: Vec<_> = logs.iter().map(|(name, value)| (format!("batch_{name}"), value)).collect();
            self.write(true, self.written, &values)?;
        }
        Ok(Flow::Continue)
    }

    fn on_epoch_end(&mut self, model: &mut Model, progress: Progress, logs: &Logs) -> Result<Flow> {
        let (mut train, mut validation, mut by_iterations) = (Vec::new(), Vec::new(), Vec::new());
        for (name, value) in logs.iter() {
            match name.strip_prefix("val_") {
                Some(name) => {
                    validation.push((format!("epoch_{name}"), value));
                    by_iterations.push((format!("evaluation_{name}_vs_iterations"), value));
                }
                None => train.push((format!("epoch_{name}"), value)),
            }
        }
        if let Some(rate) = model.learning_rate().filter(|_| logs.get("learning_rate").is_none()) {
            train.push(("epoch_learning_rate".into(), rate));
        }
        if let Some((begun, iterations)) = self.begun.filter(|_| self.speed) {
            let steps = model.iterations().saturating_sub(iterations) as f64;
            train.push(("epoch_steps_per_second".into(), steps / begun.elapsed().as_secs_f64().max(1e-9)));
        }
        let epoch = progress.epoch - 1;
        self.write(true, epoch, &train)?;
        self.write(false, model.iterations(), &by_iterations)?;
        self.write(false, epoch, &validation)?;
        if self.histograms > 0 && epoch.is_multiple_of(self.histograms) {
            self.write_histograms(model, epoch)?;
        }
        Ok(Flow::Continue)
    }

    fn on_train_end(&mut self, _: &mut Model) -> Result<()> {
        (self.train, self.validation) = (None, None);
        Ok(())
    }
}
