//! Samples that come one after the other, gathered into batches and shuffled within a buffer.

use super::order::Draws;
use super::row_batches::check_batch_size;
use super::{Batch, BatchSource};
use crate::{Error, Result};
use ndarray::{ArrayD, IxDyn};

/// Samples that can only be read from front to back: lines of a file, what another program sends.
pub trait SampleStream: Send {
    /// Shape of a sample's input, and of its target where there is one.
    fn shapes(&self) -> (Vec<usize>, Option<Vec<usize>>);

    /// Goes back to the first sample.
    ///
    /// # Errors
    /// When the data can not be read.
    fn restart(&mut self) -> Result<()>;

    /// Appends the next sample's input to `x` and its target to `y`; `false` after the last one.
    ///
    /// # Errors
    /// When the data can not be read.
    fn next_sample(&mut self, x: &mut Vec<f32>, y: &mut Vec<f32>) -> Result<bool>;
}

/// Batches of a [`SampleStream`].
///
/// ```
/// use rnn_model::data::{BatchSource, SampleBatches, SampleStream};
/// /// 100 numbers and their squares.
/// struct Squares(usize);
/// impl SampleStream for Squares {
///     fn shapes(&self) -> (Vec<usize>, Option<Vec<usize>>) {
///         (vec![1], Some(vec![1]))
///     }
///     fn restart(&mut self) -> rnn_model::Result<()> {
///         self.0 = 0;
///         Ok(())
///     }
///     fn next_sample(&mut self, x: &mut Vec<f32>, y: &mut Vec<f32>) -> rnn_model::Result<bool> {
///         x.push(self.0 as f32);
///         y.push((self.0 * self.0) as f32);
///         self.0 += 1;
///         Ok(self.0 <= 100)
///     }
/// }
/// let mut source = SampleBatches::new(Squares(0)).batch_size(8).shuffle(50, 1);
/// source.begin(1)?;
/// assert_eq!(source.next_batch()?.unwrap().inputs[0].shape(), [8, 1]);
/// # Ok::<(), rnn_model::Error>(())
/// ```
pub struct SampleBatches<S> {
    stream: S,
    batch_size: usize,
    /// samples in the buffer, and the seed
    shuffle: Option<(usize, u64)>,
    whole: bool,
    buffer: Vec<Sample>,
    draws: Draws,
    /// the stream has given its last sample
    ended: bool,
    /// samples per epoch, once one was read to its end
    samples: Option<usize>,
    given: usize,
}

#[derive(Default)]
struct Sample {
    x: Vec<f32>,
    y: Vec<f32>,
}

impl<S: SampleStream> SampleBatches<S> {
    /// Batches of 32 in order.
    pub fn new(stream: S) -> Self {
        SampleBatches {
            stream,
            batch_size: 32,
            shuffle: None,
            whole: false,
            buffer: Vec::new(),
            draws: Draws::new(0, 0),
            ended: true,
            samples: None,
            given: 0,
        }
    }

    /// Samples per batch; 32.
    #[must_use]
    pub fn batch_size(mut self, batch_size: usize) -> Self {
        self.batch_size = batch_size;
        self
    }

    /// Keeps `buffer` samples in memory and gives a random one of them each time; another order for each epoch. A sample
    /// comes at most `buffer` places early, so a file that is sorted by class needs a buffer of its size.
    #[must_use]
    pub fn shuffle(mut self, buffer: usize, seed: u64) -> Self {
        self.shuffle = Some((buffer, seed));
        self
    }

    /// Leaves out a last batch of fewer samples; false.
    #[must_use]
    pub fn drop_remainder(mut self, on: bool) -> Self {
        self.whole = on;
        self
    }

    /// The stream's next sample; one that it breaks off is none.
    fn read(&mut self) -> Result<Option<Sample>> {
        if self.ended {
            return Ok(None);
        }
        let mut sample = Sample::default();
        self.ended = !self.stream.next_sample(&mut sample.x, &mut sample.y)?;
        Ok((!self.ended).then_some(sample))
    }

    fn next(&mut self) -> Result<Option<Sample>> {
        let Some((size, _)) = self.shuffle else { return self.read() };
        while self.buffer.len() < size {
            match self.read()? {
                Some(sample) => self.buffer.push(sample),
                None => break,
            }
        }
        if self.buffer.is_empty() {
            return Ok(None);
        }
        let pick = self.draws.below(self.buffer.len());
        Ok(Some(self.buffer.swap_remove(pick)))
    }
}

impl<S: SampleStream> BatchSource for SampleBatches<S> {
    fn begin(&mut self, epoch: u64) -> Result<()> {
        check_batch_size(self.batch_size)?;
        if self.shuffle.is_some_and(|(buffer, _)| buffer == 0) {
            return Err(Error::invalid("shuffle", "the buffer must hold at least 1 sample"));
        }
        self.stream.restart()?;
        self.buffer.clear();
        self.draws = Draws::new(self.shuffle.map_or(0, |(_, seed)| seed), epoch);
        (self.ended, self.given) = (false, 0);
        Ok(())
    }

    fn next_batch(&mut self) -> Result<Option<Batch>> {
        let (x_shape, y_shape) = self.stream.shapes();
        let (mut x, mut y, mut count) = (Vec::new(), Vec::new(), 0);
        while count < self.batch_size {
            let Some(sample) = self.next()? else { break };
            x.extend(sample.x);
            y.extend(sample.y);
            count += 1;
        }
        self.given += count;
        if count < self.batch_size {
            self.samples = Some(if self.whole { self.given - count } else { self.given });
        }
        if count == 0 || (self.whole && count < self.batch_size) {
            return Ok(None);
        }
        let array = |what: &str, shape: &[usize], data: Vec<f32>| {
            let shape = [&[count], shape].concat();
            let values = data.len();
            ArrayD::from_shape_vec(IxDyn(&shape), data).map_err(|_| {
                Error::shape(format!("{what} of a batch"), format!("{shape:?}"), format!("{values} values"))
            })
        };
        let targets = y_shape.map(|shape| array("target", &shape, y)).transpose()?;
        let inputs = vec![array("input", &x_shape, x)?];
        Ok(Some(Batch { inputs, targets: targets.into_iter().collect(), weights: Vec::new() }))
    }

    fn batches(&self) -> Option<usize> {
        self.samples.map(|n| n.div_ceil(self.batch_size.max(1)))
    }

    fn samples(&self) -> Option<usize> {
        self.samples
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Count {
        next: usize,
        end: usize,
    }

    impl SampleStream for Count {
        fn shapes(&self) -> (Vec<usize>, Option<Vec<usize>>) {
            (vec![2], None)
        }

        fn restart(&mut self) -> Result<()> {
            self.next = 0;
            Ok(())
        }

        fn next_sample(&mut self, x: &mut Vec<f32>, _: &mut Vec<f32>) -> Result<bool> {
            if self.next == self.end {
                return Ok(false);
            }
            x.extend([self.next as f32, -(self.next as f32)]);
            self.next += 1;
            Ok(true)
        }
    }

    fn epoch(source: &mut impl BatchSource, epoch: u64) -> (Vec<usize>, Vec<usize>) {
        source.begin(epoch).unwrap();
        let (mut order, mut sizes) = (Vec::new(), Vec::new());
        while let Some(batch) = source.next_batch().unwrap() {
            sizes.push(batch.samples());
            for row in batch.inputs[0].outer_iter() {
                assert_eq!(row[0], -row[1]);
                order.push(row[0] as usize);
            }
        }
        (order, sizes)
    }

    #[test]
    fn a_buffer_shuffles_every_sample_once_and_each_epoch_anew() {
        let mut plain = SampleBatches::new(Count { next: 0, end: 23 }).batch_size(5);
        assert_eq!(plain.batches(), None);
        let (order, sizes) = epoch(&mut plain, 1);
        assert_eq!(order, (0..23).collect::<Vec<_>>());
        assert_eq!(sizes, [5, 5, 5, 5, 3]);
        assert_eq!((plain.batches(), plain.samples()), (Some(5), Some(23)));

        let mut shuffled = plain.shuffle(7, 3);
        let (first, _) = epoch(&mut shuffled, 1);
        let mut sorted = first.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, (0..23).collect::<Vec<_>>());
        assert_ne!(first, sorted);
        assert!(first.iter().enumerate().all(|(place, &sample)| sample < place + 7));
        assert_ne!(epoch(&mut shuffled, 2).0, first);
        assert_eq!(epoch(&mut shuffled, 1).0, first);

        let (_, sizes) = epoch(&mut shuffled.drop_remainder(true), 1);
        assert_eq!(sizes, [5, 5, 5, 5]);
        assert!(SampleBatches::new(Count { next: 0, end: 3 }).shuffle(0, 1).begin(1).is_err());
    }
}
