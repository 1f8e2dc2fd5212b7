//! Where the batches of a training come from: a data set on the device, or a source.

use super::Model;
use super::dataset::Dataset;
use super::plan::Purpose;
use super::targets::ClassWeights;
use crate::Result;
use crate::data::BatchSource;
use crate::data::order::permute;
use rnn_shaders::vocabulary::StepParams;

/// Runs training steps on the batches of one pass over the data after another.
pub(super) trait Feed {
    /// Goes to batch `skip` of pass `pass`, counted from 1.
    fn begin(&mut self, model: &Model, pass: u64, skip: usize) -> Result<()>;

    /// Runs at most `most` steps and says how many; 0 after the last batch of the pass.
    fn run(&mut self, model: &mut Model, most: usize) -> Result<usize>;

    /// Batches of a pass, where known.
    fn batches(&self) -> Option<usize>;

    /// Samples of a batch, the last one of a pass aside; 0 where not known yet.
    fn batch_size(&self) -> usize;
}

/// A data set on the device.
pub(super) struct Resident<'a> {
    data: &'a Dataset,
    batch_size: usize,
    shuffle: bool,
    order: Vec<u32>,
    /// batches done
    at: usize,
}

impl<'a> Resident<'a> {
    pub fn new(data: &'a Dataset, batch_size: usize, shuffle: bool) -> Self {
        Resident { data, batch_size, shuffle, order: Vec::new(), at: 0 }
    }
}

impl Feed for Resident<'_> {
    fn begin(&mut self, model: &Model, pass: u64, skip: usize) -> Result<()> {
        self.at = skip;
        // In order, the indices stay what they are.
        if self.shuffle || self.order.is_empty() {
            self.order = (0..self.data.samples as u32).collect();
            if self.shuffle {
                permute(&mut self.order, model.graph.seed, pass);
            }
            self.data.set_order(model, &self.order)?;
        }
        Ok(())
    }

    fn run(&mut self, model: &mut Model, most: usize) -> Result<usize> {
        let full = self.data.samples / self.batch_size;
        let rest = self.data.samples % self.batch_size;
        let (batch, count) = match full.saturating_sub(self.at) {
            0 if self.at == full && rest > 0 => (rest, most.min(1)),
            left => (self.batch_size, most.min(left)),
        };
        if count == 0 {
            return Ok(0);
        }
        model.ensure_states(batch)?;
        let weights = self.data.weights_per_sample();
        let starts = (self.at..self.at + count).map(|i| i * self.batch_size);
        let steps: Vec<StepParams> = starts.map(|start| model.next_step(start)).collect();
        model.run_training(batch, self.data, &weights, &steps)?;
        self.at += count;
        Ok(count)
    }

    fn batches(&self) -> Option<usize> {
        Some(self.data.samples.div_ceil(self.batch_size))
    }

    fn batch_size(&self) -> usize {
        self.batch_size
    }
}

/// A source, whose batches are uploaded one by one. The device works on one while the next is made.
pub(super) struct Streamed<'a> {
    source: &'a mut dyn BatchSource,
    classes: Option<ClassWeights>,
    batch_size: usize,
}

impl<'a> Streamed<'a> {
    pub fn new(source: &'a mut dyn BatchSource, classes: Option<ClassWeights>) -> Self {
        Streamed { source, classes, batch_size: 0 }
    }
}

impl Feed for Streamed<'_> {
    fn begin(&mut self, _: &Model, pass: u64, skip: usize) -> Result<()> {
        self.source.begin(pass)?;
        self.source.skip(skip)
    }

    fn run(&mut self, model: &mut Model, most: usize) -> Result<usize> {
        for done in 0..most {
            let Some(batch) = self.source.next_batch()? else { return Ok(done) };
            self.batch_size = self.batch_size.max(batch.samples());
            model.run_scored(Purpose::Train, &batch, self.classes.as_ref())?;
        }
        Ok(most)
    }

    fn batches(&self) -> Option<usize> {
        self.source.batches()
    }

    fn batch_size(&self) -> usize {
        self.batch_size
    }
}

impl Model {
    /// The record of the next training step, counted.
    pub(super) fn next_step(&mut self, cursor: usize) -> StepParams {
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
}

pub(super) fn no_batches() -> crate::Error {
    crate::Error::invalid("the batch source", "it has no batches")
}
