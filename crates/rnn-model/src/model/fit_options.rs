//! What a training is told beside its data.

use super::resets::Resets;
use super::targets::ClassWeights;
use crate::array::Arrays;
use crate::data::BatchSource;
use crate::train::{BackupAndRestore, Callback};

/// Options of [`Model::fit`](crate::Model::fit), with Keras's names and defaults.
#[derive(Default)]
pub struct FitOptions<'a> {
    pub(super) epochs: Option<u64>,
    pub(super) initial_epoch: Option<u64>,
    pub(super) steps_per_epoch: Option<usize>,
    pub(super) batch_size: Option<usize>,
    pub(super) shuffle: Option<bool>,
    pub(super) reset_states_after_epoch: bool,
    pub(super) verbose: bool,
    pub(super) validation: Validation<'a>,
    pub(super) validation_weight: Option<Arrays<'a>>,
    pub(super) sample_weight: Option<Arrays<'a>>,
    pub(super) class_weight: Option<ClassWeights>,
    pub(super) callbacks: Vec<&'a mut dyn Callback>,
    pub(super) backup: Option<BackupAndRestore>,
    pub(super) memory_budget: Option<u64>,
    pub(super) resets: Option<Resets>,
    pub(super) backprop_batches: Option<usize>,
}

#[derive(Default)]
pub(super) enum Validation<'a> {
    #[default]
    None,
    Split(f64),
    Data(Arrays<'a>, Arrays<'a>),
    Source(&'a mut dyn BatchSource),
}

impl<'a> FitOptions<'a> {
    /// One epoch in batches of 32, shuffled, without validation.
    pub fn new() -> Self {
        Self::default()
    }

    /// Times the data is gone through; 1. With [`initial_epoch`](Self::initial_epoch) it is the last epoch's number.
    pub fn epochs(mut self, epochs: u64) -> Self {
        self.epochs = Some(epochs);
        self
    }

    /// Epochs that are taken as done, so that the first one trained is the next, and [`epochs`](Self::epochs) is the number of the
    /// last one, as in Keras; those that the model has done, and `epochs` more.
    pub fn initial_epoch(mut self, epochs: u64) -> Self {
        self.initial_epoch = Some(epochs);
        self
    }

    /// Ends an epoch after this many batches; the next one goes on with the data from there, and from their beginning when they
    /// are used up (Keras ends training there and asks for `repeat()`). As many as there are.
    pub fn steps_per_epoch(mut self, batches: usize) -> Self {
        self.steps_per_epoch = Some(batches);
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

    /// Evaluate on these samples after each epoch. Stateful layers start from where the training stands, as in Keras; but the
    /// training goes on from there as if nothing had been evaluated.
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

    /// Evaluate on a source's batches after each epoch; its epoch is begun anew each time.
    pub fn validation_source(mut self, source: &'a mut dyn BatchSource) -> Self {
        self.validation = Validation::Source(source);
        self
    }

    /// Show each epoch on stderr: time, speed, loss, metrics, and on a terminal a bar while it runs; false.
    pub fn verbose(mut self, on: bool) -> Self {
        self.verbose = on;
        self
    }

    /// Adds a callback.
    pub fn callback(mut self, callback: &'a mut dyn Callback) -> Self {
        self.callbacks.push(callback);
        self
    }

    /// Before which steps of which samples, `[samples, time]`, the states of all recurrent layers are zero: series one after the
    /// other in a row, or streams that end. No gradient crosses. [`fit`](crate::Model::fit) alone takes them; of samples that are
    /// split off for validation they are obeyed, too.
    pub fn resets(mut self, resets: impl Into<Resets>) -> Self {
        self.resets = Some(resets.into());
        self
    }

    /// Bytes of device memory that weights, gradients, optimizer and a step may take together; as the model has it
    /// ([`Model::set_memory_budget`](crate::Model::set_memory_budget)).
    pub fn memory_budget(mut self, bytes: u64) -> Self {
        self.memory_budget = Some(bytes);
        self
    }

    /// Batches that gradients of stateful layers go back through; as the model has it, 1 unless it was told otherwise
    /// ([`Model::set_backprop_batches`](crate::Model::set_backprop_batches)). A training that a backup is resumed from starts
    /// with an empty window.
    pub fn backprop_batches(mut self, batches: usize) -> Self {
        self.backprop_batches = Some(batches);
        self
    }

    /// Save the training as it goes, and go on from where it was when a backup is found.
    pub fn backup(mut self, backup: BackupAndRestore) -> Self {
        self.backup = Some(backup);
        self
    }
}
