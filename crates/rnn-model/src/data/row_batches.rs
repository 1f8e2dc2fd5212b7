//! Batches whose samples are the rows of arrays.

use super::order::BatchOrder;
use super::rows::{Rows, pick};
use super::{Batch, BatchSource};
use crate::{Error, Result};

/// Batches of the rows of arrays in memory or in files: row `i` of each input, target and weight is sample `i`.
///
/// ```
/// use ndarray::{Array1, Array3};
/// use rnn_model::data::{BatchSource, RowBatches};
/// let (x, y) = (Array3::<f32>::zeros((70, 5, 2)), Array1::<f32>::zeros(70));
/// let mut source = RowBatches::new(x.view()).target(y.view()).shuffle(1);
/// source.begin(1)?;
/// assert_eq!(source.next_batch()?.unwrap().inputs[0].shape(), [32, 5, 2]);
/// assert_eq!((source.batches(), source.samples()), (Some(3), Some(70)));
/// # Ok::<(), rnn_model::Error>(())
/// ```
pub struct RowBatches<'a> {
    inputs: Vec<Box<dyn Rows + 'a>>,
    targets: Vec<Box<dyn Rows + 'a>>,
    weights: Vec<Box<dyn Rows + 'a>>,
    order: BatchOrder,
    whole: bool,
}

impl<'a> RowBatches<'a> {
    /// Batches of 32 in order, of a model's first input.
    pub fn new(x: impl Rows + 'a) -> Self {
        let order = BatchOrder::new(32);
        RowBatches {
            inputs: vec![Box::new(x)],
            targets: Vec::new(),
            weights: Vec::new(),
            order,
            whole: false,
        }
    }

    /// Adds an array for the model's next input.
    #[must_use]
    pub fn input(mut self, x: impl Rows + 'a) -> Self {
        self.inputs.push(Box::new(x));
        self
    }

    /// Adds targets for the model's next output.
    #[must_use]
    pub fn target(mut self, y: impl Rows + 'a) -> Self {
        self.targets.push(Box::new(y));
        self
    }

    /// Adds weights of samples `[samples]` or of steps `[samples, time]` for the model's next output.
    #[must_use]
    pub fn weight(mut self, weights: impl Rows + 'a) -> Self {
        self.weights.push(Box::new(weights));
        self
    }

    /// Samples per batch; 32.
    #[must_use]
    pub fn batch_size(mut self, batch_size: usize) -> Self {
        self.order.batch_size = batch_size;
        self
    }

    /// Draws another order of samples for each epoch.
    #[must_use]
    pub fn shuffle(mut self, seed: u64) -> Self {
        self.order.seed = Some(seed);
        self
    }

    /// Leaves out a last batch of fewer samples, as a model of a fixed batch size needs it; false.
    #[must_use]
    pub fn drop_remainder(mut self, on: bool) -> Self {
        self.whole = on;
        self
    }

    /// Samples that an epoch goes through.
    fn used(&self) -> usize {
        let rows = self.inputs[0].rows();
        if self.whole { rows - rows % self.order.batch_size.max(1) } else { rows }
    }
}

impl BatchSource for RowBatches<'_> {
    fn begin(&mut self, epoch: u64) -> Result<()> {
        check_batch_size(self.order.batch_size)?;
        let rows = self.inputs[0].rows();
        let others = [("input", &self.inputs), ("target", &self.targets), ("weight", &self.weights)];
        for (what, arrays) in others {
            if let Some((i, other)) = arrays.iter().enumerate().find(|(_, other)| other.rows() != rows) {
                let expected = format!("{rows} rows, as the first input has");
                return Err(Error::shape(format!("{what} {i}"), expected, other.shape()));
            }
        }
        self.order.begin(self.used(), epoch);
        Ok(())
    }

    fn next_batch(&mut self) -> Result<Option<Batch>> {
        let Some(picks) = self.order.next() else { return Ok(None) };
        let all = |arrays: &mut Vec<Box<dyn Rows + '_>>| -> Result<Vec<_>> {
            arrays.iter_mut().map(|rows| pick(rows, &picks)).collect()
        };
        let (inputs, targets) = (all(&mut self.inputs)?, all(&mut self.targets)?);
        Ok(Some(Batch { inputs, targets, weights: all(&mut self.weights)? }))
    }

    fn batches(&self) -> Option<usize> {
        Some(self.used().div_ceil(self.order.batch_size.max(1)))
    }

    fn samples(&self) -> Option<usize> {
        Some(self.used())
    }

    fn skip(&mut self, batches: usize) -> Result<()> {
        self.order.skip(batches);
        Ok(())
    }
}

pub(super) fn check_batch_size(batch_size: usize) -> Result<()> {
    if batch_size == 0 {
        return Err(Error::invalid("batch_size", "must be at least 1"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::{Array1, Array2};

    #[test]
    fn rows_stay_together_and_epochs_differ() {
        let x = Array2::from_shape_fn((10, 2), |(r, c)| (r * 2 + c) as f32);
        let y = Array1::from_shape_fn(10, |r| r as f32);
        let mut source = RowBatches::new(x.view()).target(y.view()).weight(y.view()).batch_size(4).shuffle(5);
        let mut orders = Vec::new();
        for epoch in [1, 2, 1] {
            source.begin(epoch).unwrap();
            let mut order = Vec::new();
            while let Some(batch) = source.next_batch().unwrap() {
                for (x, y) in batch.inputs[0].outer_iter().zip(&batch.targets[0]) {
                    assert_eq!(x.iter().copied().collect::<Vec<_>>(), [2.0 * y, 2.0 * y + 1.0]);
                    order.push(*y as usize);
                }
                assert_eq!(batch.weights, batch.targets);
            }
            orders.push(order);
        }
        assert_eq!(orders[0], orders[2]);
        assert_ne!(orders[0], orders[1]);
        assert_eq!(orders[0].len(), 10);
        let mut source = source.drop_remainder(true);
        source.begin(1).unwrap();
        assert_eq!((source.batches(), source.samples()), (Some(2), Some(8)));
    }

    #[test]
    fn arrays_of_different_length_are_refused() {
        let (x, y) = (Array2::<f32>::zeros((10, 2)), Array1::<f32>::zeros(9));
        let error = RowBatches::new(x.view()).target(y).begin(1).unwrap_err();
        assert_eq!(error.to_string(), "target 0: expected 10 rows, as the first input has, got [9]");
        assert!(RowBatches::new(x).batch_size(0).begin(1).is_err());
    }
}
