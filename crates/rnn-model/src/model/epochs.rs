//! The loop over epochs and groups of batches, with callbacks, validation and backups.

use super::dataset::Dataset;
use super::feed::{Feed, no_batches};
use super::{Model, StateUse};
use crate::data::BatchSource;
use crate::train::{
    Backup, BackupAndRestore, Callback, Flow, History, Logs, Place, Progress, Task, check_task,
};
use crate::{Error, Result};
use std::time::Instant;

/// What is evaluated after each epoch.
pub(super) enum Data<'a> {
    /// on the device, in batches of that many samples
    Resident(Dataset, usize),
    Source(&'a mut dyn BatchSource),
}

impl Data<'_> {
    /// Samples; 0 for a source.
    pub fn samples(&self) -> usize {
        match self {
            Data::Resident(data, _) => data.samples,
            Data::Source(_) => 0,
        }
    }
}

/// A training and where it is.
pub(super) struct Run<'a> {
    place: Place,
    backup: Option<BackupAndRestore>,
    callbacks: Vec<&'a mut dyn Callback>,
    /// numbers of batches at whose multiples a group must end
    stops: Vec<usize>,
    history: History,
    /// the feed stands at the place
    fed: bool,
    /// batches of the next group
    group: usize,
}

impl<'a> Run<'a> {
    pub fn new(
        task: Task,
        backup: Option<BackupAndRestore>,
        callbacks: Vec<&'a mut dyn Callback>,
    ) -> Result<Self> {
        if let Some(backup) = &backup {
            backup.check()?;
        }
        let saves = backup.as_ref().and_then(BackupAndRestore::every_batches);
        let stops = callbacks.iter().filter_map(|c| c.every_batches()).chain(saves);
        let stops = stops.map(|n| n.max(1)).collect();
        let place = Place { epoch: task.first_epoch, pass: task.first_epoch, task, ..Place::default() };
        Ok(Run { place, backup, callbacks, stops, history: History::default(), fed: false, group: 8 })
    }

    /// All epochs that are left.
    pub fn run(
        mut self,
        model: &mut Model,
        feed: &mut dyn Feed,
        mut validation: Option<&mut Data<'_>>,
    ) -> Result<History> {
        for callback in &mut self.callbacks {
            callback.on_train_begin(model)?;
        }
        model.clear_sums()?;
        self.restore(model)?;
        let last = self.place.task.last_epoch;
        while self.place.epoch <= last && !self.place.stopped {
            if !self.epoch(model, feed, validation.as_deref_mut())? {
                break;
            }
        }
        self.history.stopped |= self.place.stopped && self.place.epoch <= last;
        model.take_average()?;
        for callback in &mut self.callbacks {
            callback.on_train_end(model)?;
        }
        if let Some(backup) = &self.backup {
            backup.finish()?;
        }
        Ok(self.history)
    }

    /// One epoch, or what is left of it. False when training was stopped within it.
    fn epoch(
        &mut self,
        model: &mut Model,
        feed: &mut dyn Feed,
        validation: Option<&mut Data<'_>>,
    ) -> Result<bool> {
        let progress = self.progress(feed);
        for callback in &mut self.callbacks {
            match self.place.batch {
                0 => callback.on_epoch_begin(model, progress)?,
                _ => callback.on_epoch_resumed(model, progress)?,
            }
        }
        let flow = self.batches(model, feed)?;
        let progress = self.progress(feed);
        if progress.batch == 0 {
            return Err(no_batches());
        }
        let mut logs = model.read_sums()?;
        // Stopped within the epoch, or because of its loss.
        if flow == Flow::Stop && (progress.batch != progress.batches || !logs.loss().is_finite()) {
            self.history.stopped = true;
            return Ok(false);
        }
        let epoch = self.place.epoch;
        model.check_finite(&logs, epoch)?;
        model.counters.epochs = epoch;
        if let Some(validation) = validation {
            // From where the training stands, as Keras has it, but the training goes on from there undisturbed.
            let scores = model.beside(StateUse::Borrow, |model| match validation {
                Data::Resident(data, batch_size) => model.evaluate_dataset(data, *batch_size),
                Data::Source(source) => model.evaluate_source(&mut **source),
            })?;
            logs.0.extend(scores.iter().map(|(name, value)| (format!("val_{name}"), value)));
        }
        if self.place.task.reset_states {
            model.reset_states()?;
        }
        for callback in &mut self.callbacks {
            callback.on_logs(model, progress, &mut logs)?;
        }
        self.place.stopped = flow == Flow::Stop;
        for callback in &mut self.callbacks {
            if callback.on_epoch_end(model, progress, &logs)? == Flow::Stop {
                self.place.stopped = true;
            }
        }
        self.history.epochs.push(epoch);
        self.history.logs.push(logs);
        (self.place.epoch, self.place.batch) = (epoch + 1, 0);
        if self.place.task.steps_per_epoch.is_none() {
            self.next_pass();
        }
        model.clear_sums()?;
        self.save(model)?;
        Ok(true)
    }

    /// The batches of an epoch, in groups that take about a tenth of a second.
    fn batches(&mut self, model: &mut Model, feed: &mut dyn Feed) -> Result<Flow> {
        let steps = self.place.task.steps_per_epoch;
        while steps.is_none_or(|steps| self.place.batch < steps) {
            if !self.fed {
                feed.begin(model, self.place.pass, self.place.pass_batch)?;
                self.fed = true;
            }
            let begun = Instant::now();
            let left = steps.map_or(usize::MAX, |steps| steps - self.place.batch);
            let done = feed.run(model, self.until_stop().min(left).min(self.group))?;
            if done == 0 {
                match steps {
                    None => break,
                    Some(_) if self.place.pass_batch == 0 => return Err(no_batches()),
                    Some(_) => self.next_pass(),
                }
                continue;
            }
            self.place.batch += done;
            self.place.pass_batch += done;
            self.place.total += done as u64;
            let progress = self.progress(feed);
            // What comes next reads from the device, and waits by itself.
            let alone = self.callbacks.is_empty() && self.backup.is_none();
            if !(alone && progress.batch == progress.batches) {
                model.device.synchronize()?;
            }
            let seconds = begun.elapsed().as_secs_f64().max(1e-9);
            let wanted = (done as f64 * 0.1 / seconds) as usize;
            self.group = wanted.clamp(1, 4 * self.group).min(1 << 16);
            for callback in &mut self.callbacks {
                if callback.on_batches_end(model, progress)? == Flow::Stop {
                    return Ok(Flow::Stop);
                }
            }
            let saves = self.backup.as_ref().and_then(BackupAndRestore::every_batches);
            if saves.is_some_and(|n| self.place.total.is_multiple_of(n as u64)) {
                self.save(model)?;
            }
        }
        Ok(Flow::Continue)
    }

    fn next_pass(&mut self) {
        self.place.pass += 1;
        (self.place.pass_batch, self.fed) = (0, false);
    }

    /// Batches until a callback or a backup wants to have the group end.
    fn until_stop(&self) -> usize {
        let left = |&n: &usize| n - (self.place.total % n as u64) as usize;
        self.stops.iter().map(left).min().unwrap_or(usize::MAX)
    }

    fn progress(&self, feed: &dyn Feed) -> Progress {
        let Task { last_epoch, steps_per_epoch, .. } = self.place.task;
        Progress {
            epoch: self.place.epoch,
            epochs: last_epoch,
            batch: self.place.batch,
            batches: steps_per_epoch.or_else(|| feed.batches()).unwrap_or(0),
            batch_size: feed.batch_size(),
        }
    }

    fn save(&self, model: &Model) -> Result<()> {
        let Some(options) = &self.backup else { return Ok(()) };
        let (model, sums) = model.checkpoint()?;
        let mut callbacks: Vec<_> = self.callbacks.iter().map(|c| c.state()).collect();
        // Those at the end that keep nothing, such as a progress bar, may be there or not when training goes on.
        callbacks.truncate(callbacks.iter().rposition(Option::is_some).map_or(0, |last| last + 1));
        options.save(&Backup {
            place: self.place.clone(),
            model,
            sums,
            logs: self.history.logs.clone(),
            epochs: self.history.epochs.clone(),
            callbacks,
        })
    }

    /// Goes on from a backup, if there is one.
    fn restore(&mut self, model: &mut Model) -> Result<()> {
        let Some(options) = &self.backup else { return Ok(()) };
        let Some(backup) = options.load()? else { return Ok(()) };
        let path = options.path();
        check_task(&path, &backup.place.task, &self.place.task)?;
        if backup.callbacks.len() > self.callbacks.len() {
            let (saved, now) = (backup.callbacks.len(), self.callbacks.len());
            let problem = format!(
                "it holds the states of {saved} callbacks, but there are {now}; give fit the same ones"
            );
            return Err(Error::file(&path, problem));
        }
        model.restore_checkpoint(&backup.model, &backup.sums).map_err(|error| {
            Error::file(&path, format!("{error}; give fit the same model, or delete the file"))
        })?;
        for (callback, state) in self.callbacks.iter_mut().zip(backup.callbacks) {
            if let Some(state) = state {
                callback.restore(state)?;
            }
        }
        self.history = History { epochs: backup.epochs, logs: backup.logs, stopped: false };
        self.place = backup.place;
        Ok(())
    }
}

impl Model {
    /// Loss and metrics of the epoch so far, for a callback's `on_batches_end`: the means over its batches until now. When an
    /// epoch has ended, they are those of its validation.
    ///
    /// # Errors
    /// When the model is not compiled or the device fails.
    pub fn running_logs(&self) -> Result<Logs> {
        self.read_sums()
    }

    /// Everything that training goes on from: the model file with states, and the running sums.
    fn checkpoint(&self) -> Result<(Vec<u8>, Vec<f32>)> {
        let sums = self.compiled("a backup")?.sums.all();
        Ok((self.to_bytes(true)?, self.device.engine().read(sums)?))
    }

    /// Takes over what [`checkpoint`](Self::checkpoint) gave, of the same model on the same kind of device.
    fn restore_checkpoint(&mut self, bytes: &[u8], sums: &[f32]) -> Result<()> {
        let mut saved = Model::from_bytes(bytes, &self.device)?;
        let layout = |model: &Model| -> Vec<_> {
            model.variables.iter().map(|v| (v.name.clone(), v.spec.shape.clone(), v.offset)).collect()
        };
        if layout(&saved) != layout(self) {
            let problem = "its weights are not those of the saved one";
            return Err(Error::invalid("the model", problem));
        }
        let (Some(old), Some(mut new)) = (&self.training, saved.training.take()) else {
            return Err(Error::invalid("the model", "it was not compiled when it was saved"));
        };
        let rate = new.config.optimizer.learning_rate;
        new.config.optimizer.learning_rate = old.config.optimizer.learning_rate;
        if new.config != old.config {
            let problem = "it is compiled with another optimizer, loss or metrics than the saved one";
            return Err(Error::invalid("the model", problem));
        }
        new.config.optimizer.learning_rate = rate;
        if new.sums.all().len != sums.len() {
            return Err(Error::shape("sums", format!("{}", new.sums.all().len), &[sums.len()][..]));
        }
        self.set_weights(&saved.get_weights()?)?;
        self.device.engine().write(new.sums.all(), sums)?;
        self.training = Some(new);
        self.counters = saved.counters;
        // Programs refer to the slots of before.
        self.replace_states(None);
        self.states_are_fresh = true;
        let states = saved.get_states()?;
        if states.is_empty() { Ok(()) } else { self.set_states(&states) }
    }
}
