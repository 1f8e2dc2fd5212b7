//! A batch, and what gives batches.

use crate::{Error, Result};
use ndarray::{ArrayD, Axis};

/// Samples that are trained on together. All arrays have the same first axis.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Batch {
    /// one array `[samples, ...]` per input of the model
    pub inputs: Vec<ArrayD<f32>>,
    /// one per output; empty where there is nothing to compare with
    pub targets: Vec<ArrayD<f32>>,
    /// weights of samples `[samples]` or of steps `[samples, time]`, one per output; empty where all count the same
    pub weights: Vec<ArrayD<f32>>,
}

impl Batch {
    /// Length of the first axis.
    pub fn samples(&self) -> usize {
        self.inputs.first().map_or(0, |x| x.shape().first().copied().unwrap_or(0))
    }

    fn arrays(&self) -> impl Iterator<Item = &ArrayD<f32>> {
        self.inputs.iter().chain(&self.targets).chain(&self.weights)
    }
}

/// Gives the batches of an epoch, one after the other.
///
/// The same epoch gives the same batches each time it is begun: a training that is resumed within an epoch relies on it.
pub trait BatchSource: Send {
    /// Goes to the first batch of `epoch`, counted from 1. Comes before the first [`next_batch`](Self::next_batch), and
    /// may come before the last batch was taken.
    ///
    /// # Errors
    /// When options contradict each other or the data, or can not be read.
    fn begin(&mut self, epoch: u64) -> Result<()>;

    /// The next batch, `None` after the epoch's last.
    ///
    /// # Errors
    /// When the data can not be read.
    fn next_batch(&mut self) -> Result<Option<Batch>>;

    /// Batches per epoch, where known.
    fn batches(&self) -> Option<usize> {
        None
    }

    /// Samples per epoch, where known.
    fn samples(&self) -> Option<usize> {
        None
    }

    /// Leaves out `batches` batches, or what is left of them.
    ///
    /// # Errors
    /// As [`next_batch`](Self::next_batch).
    fn skip(&mut self, batches: usize) -> Result<()> {
        for _ in 0..batches {
            if self.next_batch()?.is_none() {
                break;
            }
        }
        Ok(())
    }

    /// All batches of the first epoch as one: for data that fits into memory.
    ///
    /// # Errors
    /// When the data can not be read, is empty, or the batches' shapes differ beyond the first axis.
    fn collect(&mut self) -> Result<Batch> {
        self.begin(1)?;
        let mut all: Option<Batch> = None;
        while let Some(batch) = self.next_batch()? {
            match &mut all {
                None => all = Some(batch),
                Some(all) => append(all, &batch)?,
            }
        }
        all.ok_or_else(|| Error::invalid("collect", "the source has no batches"))
    }
}

fn append(all: &mut Batch, batch: &Batch) -> Result<()> {
    let counts = |b: &Batch| [b.inputs.len(), b.targets.len(), b.weights.len()];
    if counts(all) != counts(batch) {
        let problem = "one batch has more inputs, targets or weights than another";
        return Err(Error::invalid("collect", problem));
    }
    let Batch { inputs, targets, weights } = all;
    for (all, part) in inputs.iter_mut().chain(targets).chain(weights).zip(batch.arrays()) {
        all.append(Axis(0), part.view()).map_err(|_| {
            let expected = format!("{:?} beyond the first axis", &all.shape()[1..]);
            Error::shape("collect", expected, part.shape())
        })?;
    }
    Ok(())
}

impl<S: BatchSource + ?Sized> BatchSource for &mut S {
    fn begin(&mut self, epoch: u64) -> Result<()> {
        (**self).begin(epoch)
    }

    fn next_batch(&mut self) -> Result<Option<Batch>> {
        (**self).next_batch()
    }

    fn batches(&self) -> Option<usize> {
        (**self).batches()
    }

    fn samples(&self) -> Option<usize> {
        (**self).samples()
    }

    fn skip(&mut self, batches: usize) -> Result<()> {
        (**self).skip(batches)
    }
}

impl<S: BatchSource + ?Sized> BatchSource for Box<S> {
    fn begin(&mut self, epoch: u64) -> Result<()> {
        (**self).begin(epoch)
    }

    fn next_batch(&mut self) -> Result<Option<Batch>> {
        (**self).next_batch()
    }

    fn batches(&self) -> Option<usize> {
        (**self).batches()
    }

    fn samples(&self) -> Option<usize> {
        (**self).samples()
    }

    fn skip(&mut self, batches: usize) -> Result<()> {
        (**self).skip(batches)
    }
}
