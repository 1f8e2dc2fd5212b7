//! Windows of a long series as batches, after Keras's `timeseries_dataset_from_array`.

use super::order::BatchOrder;
use super::row_batches::check_batch_size;
use super::rows::{Rows, pick, row_len};
use super::{Batch, BatchSource};
use crate::{Error, Result};
use ndarray::{ArrayD, IxDyn};

/// Sliding windows over `data` with Keras's options and defaults; see [`TimeseriesDataset`].
pub fn timeseries_dataset_from_array<'a>(
    data: impl Rows + 'a,
    targets: Option<Box<dyn Rows + 'a>>,
    sequence_length: usize,
) -> TimeseriesDataset<'a> {
    let dataset = TimeseriesDataset::new(data, sequence_length);
    match targets {
        Some(targets) => dataset.targets(targets),
        None => dataset,
    }
}

/// Batches of windows over a series `[rows, ...]` in memory or in a file, as `[batch, sequence_length, ...]`.
///
/// Window `i` starts at row `start_index + i * sequence_stride` and takes every `sampling_rate`-th row from there. Its
/// target is the row of `targets` at which the window starts: to learn the row after each window, give
/// targets that are `sequence_length` rows ahead. A last batch may have fewer windows.
///
/// Differences from Keras's function of this name: `shuffle` draws a new order of all windows for each epoch (Keras
/// shuffles once, then among 8 batches), and `end_index` may be the series' length.
///
/// ```
/// use ndarray::{Array1, s};
/// use rnn_model::data::{BatchSource, TimeseriesDataset};
/// let data = Array1::from_iter((0..99).map(|i| i as f32));
/// let mut windows = TimeseriesDataset::new(data, 10).sampling_rate(2).sequence_stride(3);
/// let all = windows.collect()?.inputs.remove(0);
/// assert_eq!(all.slice(s![0, ..]).to_vec(), [0., 2., 4., 6., 8., 10., 12., 14., 16., 18.]);
/// assert_eq!(all.slice(s![-1, ..]).to_vec(), [78., 80., 82., 84., 86., 88., 90., 92., 94., 96.]);
/// # Ok::<(), rnn_model::Error>(())
/// ```
pub struct TimeseriesDataset<'a> {
    data: Box<dyn Rows + 'a>,
    targets: Option<Box<dyn Rows + 'a>>,
    length: usize,
    stride: usize,
    rate: usize,
    start: usize,
    end: Option<usize>,
    shuffle: bool,
    seed: u64,
    order: BatchOrder,
}

impl<'a> TimeseriesDataset<'a> {
    /// Windows of `sequence_length` rows, one from each row on, in batches of 128, in order.
    pub fn new(data: impl Rows + 'a, sequence_length: usize) -> Self {
        TimeseriesDataset {
            data: Box::new(data),
            targets: None,
            length: sequence_length,
            stride: 1,
            rate: 1,
            start: 0,
            end: None,
            shuffle: false,
            seed: 0,
            order: BatchOrder::new(128),
        }
    }

    /// What belongs to the window that starts at each row, `[rows, ...]`.
    #[must_use]
    pub fn targets(mut self, targets: impl Rows + 'a) -> Self {
        self.targets = Some(Box::new(targets));
        self
    }

    /// Rows from one window's start to the next one's; 1.
    #[must_use]
    pub fn sequence_stride(mut self, rows: usize) -> Self {
        self.stride = rows;
        self
    }

    /// Rows from one step of a window to the next; 1.
    #[must_use]
    pub fn sampling_rate(mut self, rows: usize) -> Self {
        self.rate = rows;
        self
    }

    /// Windows per batch; 128.
    #[must_use]
    pub fn batch_size(mut self, batch_size: usize) -> Self {
        self.order.batch_size = batch_size;
        self
    }

    /// Draws another order of windows for each epoch; false.
    #[must_use]
    pub fn shuffle(mut self, on: bool) -> Self {
        self.shuffle = on;
        self
    }

    /// What the orders depend on; 0.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Rows before this one are not used; 0.
    #[must_use]
    pub fn start_index(mut self, row: usize) -> Self {
        self.start = row;
        self
    }

    /// This row and those after it are not used.
    #[must_use]
    pub fn end_index(mut self, row: usize) -> Self {
        self.end = Some(row);
        self
    }

    /// Rows from a window's first to its last.
    fn span(&self) -> Option<usize> {
        self.length.checked_sub(1)?.checked_mul(self.rate)
    }

    /// Windows per epoch; 0 where options can not work.
    fn windows(&self) -> usize {
        let end = self.end.unwrap_or(usize::MAX).min(self.data.rows());
        let starts =
            end.checked_sub(self.start).zip(self.span()).and_then(|(rows, span)| rows.checked_sub(span));
        let with_target = self.targets.as_ref().map_or(usize::MAX, |t| t.rows().saturating_sub(self.start));
        starts.unwrap_or(0).min(with_target).div_ceil(self.stride.max(1))
    }

    fn check(&self) -> Result<()> {
        check_batch_size(self.order.batch_size)?;
        let rows = self.data.rows();
        let below = [("sampling_rate", self.rate), ("sequence_stride", self.stride)];
        for (what, value) in below {
            if value == 0 || value >= rows {
                let problem =
                    format!("must be at least 1 and below the {rows} rows of the data, got {value}");
                return Err(Error::invalid(what, problem));
            }
        }
        if self.length == 0 {
            return Err(Error::invalid("sequence_length", "must be at least 1"));
        }
        if self.start >= rows {
            let problem = format!("must be below the {rows} rows of the data, got {}", self.start);
            return Err(Error::invalid("start_index", problem));
        }
        if let Some(end) = self.end.filter(|&end| end <= self.start || end > rows) {
            let problem =
                format!("must lie above start_index ({}) and at most at row {rows}, got {end}", self.start);
            return Err(Error::invalid("end_index", problem));
        }
        if self.windows() == 0 {
            let problem = format!(
                "a window of {} rows, {} apart, does not fit into rows {}..{}{}",
                self.length,
                self.rate,
                self.start,
                self.end.unwrap_or(rows),
                self.targets.as_ref().map_or(String::new(), |t| format!(" with {} targets", t.rows()))
            );
            return Err(Error::invalid("sequence_length", problem));
        }
        Ok(())
    }

    /// Windows that start at the given rows, `[starts, sequence_length, ...]`. Where windows overlap much, the rows that
    /// they cover are read once.
    fn gather(&mut self, starts: &[usize]) -> Result<ArrayD<f32>> {
        let len = row_len(self.data.shape());
        let span = (self.length - 1) * self.rate + 1;
        let mut data = Vec::with_capacity(starts.len() * self.length * len);
        let (first, last) = starts.iter().fold((usize::MAX, 0), |(a, b), &s| (a.min(s), b.max(s)));
        let covered = last + span - first;
        let together = covered <= starts.len().saturating_mul(span);
        let mut rows = vec![0.0; if together { covered } else { span } * len];
        if together {
            self.data.read(first, covered, &mut rows)?;
        }
        for &start in starts {
            let at = if together {
                start - first
            } else {
                self.data.read(start, span, &mut rows)?;
                0
            };
            for step in 0..self.length {
                let row = at + step * self.rate;
                data.extend_from_slice(&rows[row * len..(row + 1) * len]);
            }
        }
        let mut shape = vec![starts.len(), self.length];
        shape.extend_from_slice(&self.data.shape()[1..]);
        Ok(ArrayD::from_shape_vec(IxDyn(&shape), data).expect("as many values as the shape says"))
    }
}

impl BatchSource for TimeseriesDataset<'_> {
    fn begin(&mut self, epoch: u64) -> Result<()> {
        self.check()?;
        self.order.seed = self.shuffle.then_some(self.seed);
        self.order.begin(self.windows(), epoch);
        Ok(())
    }

    fn next_batch(&mut self) -> Result<Option<Batch>> {
        let Some(mut picks) = self.order.next() else { return Ok(None) };
        picks.iter_mut().for_each(|pick| *pick = self.start + *pick * self.stride);
        let inputs = vec![self.gather(&picks)?];
        let targets = self.targets.as_mut().map(|targets| pick(targets, &picks)).transpose()?;
        Ok(Some(Batch { inputs, targets: targets.into_iter().collect(), weights: Vec::new() }))
    }

    fn batches(&self) -> Option<usize> {
        Some(self.windows().div_ceil(self.order.batch_size.max(1)))
    }

    fn samples(&self) -> Option<usize> {
        Some(self.windows())
    }

    fn skip(&mut self, batches: usize) -> Result<()> {
        self.order.skip(batches);
        Ok(())
    }
}
