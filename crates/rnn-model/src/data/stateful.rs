//! Long series cut up for stateful layers: row `i` of every batch belongs to stream `i`.

use super::row_batches::check_batch_size;
use super::rows::{Rows, row_len};
use super::{Batch, BatchSource};
use crate::{Error, Result};
use ndarray::{ArrayD, IxDyn};

/// Cuts a long series `[rows, ...]` into `streams` contiguous parts of the same length and gives windows of them: batch `k`
/// holds window `k` of every part, `[streams, window, ...]`. Sample `i` of a batch goes on where sample `i` of the batch
/// before ended, which is what a layer with `stateful(true)` expects. Rows that do not fill a window of every part are left
/// out at the parts' ends; see [`unused_rows`](Self::unused_rows).
///
/// The states belong to these batches from the first on: call `reset_states` (or `reset_states_after_epoch`) between epochs.
///
/// ```
/// use ndarray::{Array1, array};
/// use rnn_model::data::{BatchSource, StatefulBatches};
/// let mut source = StatefulBatches::new(Array1::from_iter((0..13).map(|i| i as f32)), 2, 3);
/// source.begin(1)?;
/// assert_eq!(source.next_batch()?.unwrap().inputs[0], array![[0., 1., 2.], [6., 7., 8.]].into_dyn());
/// assert_eq!(source.next_batch()?.unwrap().inputs[0], array![[3., 4., 5.], [9., 10., 11.]].into_dyn());
/// assert!(source.next_batch()?.is_none());
/// # Ok::<(), rnn_model::Error>(())
/// ```
pub struct StatefulBatches<'a> {
    data: Box<dyn Rows + 'a>,
    targets: Option<(Box<dyn Rows + 'a>, Targets)>,
    streams: usize,
    window: usize,
    at: usize,
}

/// Which rows of the targets belong to a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Targets {
    EachStep,
    LastStep,
}

impl<'a> StatefulBatches<'a> {
    /// `streams` series side by side, `window` rows of each per batch.
    pub fn new(data: impl Rows + 'a, streams: usize, window: usize) -> Self {
        StatefulBatches { data: Box::new(data), targets: None, streams, window, at: 0 }
    }

    /// One target per row of the data, `[rows, ...]`; a batch has those of all its steps, `[streams, window, ...]`.
    #[must_use]
    pub fn targets(mut self, targets: impl Rows + 'a) -> Self {
        self.targets = Some((Box::new(targets), Targets::EachStep));
        self
    }

    /// One target per row of the data, `[rows, ...]`; a batch has that of each window's last row, `[streams, ...]`.
    #[must_use]
    pub fn last_targets(mut self, targets: impl Rows + 'a) -> Self {
        self.targets = Some((Box::new(targets), Targets::LastStep));
        self
    }

    /// Rows in each stream.
    fn stream_rows(&self) -> usize {
        self.data.rows() / self.streams.max(1)
    }

    fn windows(&self) -> usize {
        self.stream_rows() / self.window.max(1)
    }

    /// Rows that are in no window.
    pub fn unused_rows(&self) -> usize {
        self.data.rows() - self.windows() * self.window * self.streams
    }

    fn check(&self) -> Result<()> {
        check_batch_size(self.streams)?;
        if self.windows() == 0 || self.window == 0 {
            let problem = format!(
                "{} rows in {} streams of {} do not fill a window of {} rows (at least 1)",
                self.data.rows(),
                self.streams,
                self.stream_rows(),
                self.window
            );
            return Err(Error::invalid("stateful batches", problem));
        }
        if let Some((targets, _)) = &self.targets
            && targets.rows() != self.data.rows()
        {
            let expected = format!("{} rows, as the data has", self.data.rows());
            return Err(Error::shape("targets", expected, targets.shape()));
        }
        Ok(())
    }
}

/// `count` rows from `from` on in each of `streams` streams of `stride` rows.
fn side_by_side(
    rows: &mut dyn Rows,
    from: usize,
    count: usize,
    streams: usize,
    stride: usize,
) -> Result<Vec<f32>> {
    let part = count * row_len(rows.shape());
    let mut data = vec![0.0; streams * part];
    // A chunk of length 0 is a panic; a row without values is empty anyway.
    for (stream, out) in data.chunks_mut(part.max(1)).enumerate() {
        rows.read(stream * stride + from, count, out)?;
    }
    Ok(data)
}

impl BatchSource for StatefulBatches<'_> {
    fn begin(&mut self, _: u64) -> Result<()> {
        self.check()?;
        self.at = 0;
        Ok(())
    }

    fn next_batch(&mut self) -> Result<Option<Batch>> {
        if self.at >= self.windows() {
            return Ok(None);
        }
        let (from, stride, streams, window) =
            (self.at * self.window, self.stream_rows(), self.streams, self.window);
        self.at += 1;
        let array =
            |shape: &[usize], data| ArrayD::from_shape_vec(IxDyn(shape), data).expect("the shape's size");
        let x = side_by_side(&mut *self.data, from, window, streams, stride)?;
        let with_time = |rows: &dyn Rows| [&[streams, window], &rows.shape()[1..]].concat();
        let inputs = vec![array(&with_time(&*self.data), x)];
        let mut targets = Vec::new();
        if let Some((rows, kind)) = &mut self.targets {
            let (shape, from, count) = match kind {
                Targets::EachStep => (with_time(&**rows), from, window),
                Targets::LastStep => ([&[streams], &rows.shape()[1..]].concat(), from + window - 1, 1),
            };
            targets.push(array(&shape, side_by_side(&mut **rows, from, count, streams, stride)?));
        }
        Ok(Some(Batch { inputs, targets, weights: Vec::new() }))
    }

    fn batches(&self) -> Option<usize> {
        Some(self.windows())
    }

    fn samples(&self) -> Option<usize> {
        Some(self.windows() * self.streams)
    }

    fn skip(&mut self, batches: usize) -> Result<()> {
        self.at = self.at.saturating_add(batches);
        Ok(())
    }
}
