//! What a time series needs on its way into a recurrent network and back: transforms that are fitted on the training
//! part and inverted on the forecasts, windows, chronological splits, error measures and naive forecasts to beat.
//!
//! A series is an array `[rows, features]`, one row per time step, oldest first. Everything runs on the host, in `f32` or
//! `f64`; what a transform learns is kept in `f64`.
//!
//! ```
//! use ndarray::Array2;
//! use rnn_model::series::{SeriesTransform, TransformStep, create_dataset, train_test_split};
//!
//! # fn main() -> Result<(), rnn_model::series::SeriesError> {
//! let series = Array2::from_shape_fn((60, 1), |(t, _)| 100.0 + t as f32 + 5.0 * (t as f32 * 0.5236).sin());
//! let (train, test) = train_test_split(&series, 12)?;
//! let transform = SeriesTransform::fit(&[TransformStep::Log, TransformStep::Standard], &train)?;
//! let (x, y) = create_dataset(&transform.apply(&train)?, 6)?;
//! assert_eq!(x.shape(), [42, 6, 1]);
//! assert_eq!(y.shape(), [42, 1]);
//! # assert_eq!(test.nrows(), 12);
//! # Ok(())
//! # }
//! ```

mod error;
mod levels;
mod metrics;
mod naive;
mod scaler;
mod split;
mod transform;
mod value;
mod window;

#[cfg(test)]
mod tests;

pub use error::SeriesError;
pub use metrics::{mae, mape, rmse};
pub use naive::{naive_last, naive_seasonal, seasonal_continuation};
pub use scaler::{MinMaxScaler, StandardScaler};
pub use split::{Parts, TestSize, split_with_gap, train_test_split};
pub use transform::{SeriesTransform, TransformStep};
pub use value::Value;
pub use window::{Windows, create_dataset, last_window};
