//! Data on its way into a model: padding, windows, batches from arrays or from files that are larger than memory,
//! shuffling, reading ahead.
//!
//! Everything that gives batches is a [`BatchSource`]. There are two roads to one:
//!
//! - what can be read at any row is [`Rows`] (an array of `ndarray`, or a `.npy` file by [`NpyFile`]) and is cut up by
//!   [`RowBatches`] (a row is a sample), [`TimeseriesDataset`] (a window of rows is a sample) or [`StatefulBatches`] (long
//!   series side by side, each batch goes on where the last one ended);
//! - what can only be read from front to back is a [`SampleStream`] (a CSV file by [`CsvSamples`], or your own) and is
//!   gathered by [`SampleBatches`], shuffled within a buffer where asked.
//!
//! [`Prefetch`] runs any of them on a thread of its own, some batches ahead.
//!
//! ```
//! use ndarray::Array2;
//! use rnn_model::data::{BatchSource, TimeseriesDataset};
//! let series = Array2::from_shape_fn((100, 1), |(t, _)| t as f32);
//! let next = series.slice(ndarray::s![10.., ..]).to_owned();
//! let mut windows = TimeseriesDataset::new(series, 10).targets(next).batch_size(32);
//! windows.begin(1)?;
//! let batch = windows.next_batch()?.expect("90 windows");
//! assert_eq!(batch.inputs[0].shape(), [32, 10, 1]);
//! assert_eq!(batch.targets[0].shape(), [32, 1]);
//! assert_eq!(windows.batches(), Some(3));
//! # Ok::<(), rnn_model::Error>(())
//! ```

mod batch;
mod csv;
mod npy;
pub mod npy_header;
pub(crate) mod order;
mod pad;
mod prefetch;
mod row_batches;
mod rows;
mod samples;
mod stateful;
mod timeseries;

pub use self::csv::CsvSamples;
pub use batch::{Batch, BatchSource};
pub use npy::NpyFile;
pub use pad::{PadSequences, Side, pad_sequences};
pub use prefetch::Prefetch;
pub use row_batches::RowBatches;
pub use rows::{RowRange, Rows};
pub use samples::{SampleBatches, SampleStream};
pub use stateful::StatefulBatches;
pub use timeseries::{TimeseriesDataset, timeseries_dataset_from_array};
