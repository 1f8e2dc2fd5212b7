//! The callbacks of Keras, with its names, options and defaults.
//!
//! Two things are stricter than there: a monitored name that does not exist is an error that lists those that do, and NaN
//! is never an improvement, so that one NaN does not become the best value of the rest of the training.

mod checkpoint;
mod csv_logger;
mod early_stopping;
mod event_file;
mod histogram;
mod lambda;
mod monitor;
mod path_pattern;
mod progress_bar;
mod rate;
mod tensor_board;
mod terminate_on_nan;

pub use checkpoint::{ModelCheckpoint, SaveFreq};
pub use csv_logger::CsvLogger;
pub use early_stopping::EarlyStopping;
pub use lambda::LambdaCallback;
pub use monitor::Mode;
pub use progress_bar::ProgressBar;
pub use rate::{LearningRateScheduler, ReduceLrOnPlateau};
pub use tensor_board::TensorBoard;
pub use terminate_on_nan::TerminateOnNan;
