//! What training is told (optimizer, loss, metrics, callbacks) and what it tells (logs, history).

mod callback;
mod history;
mod history_plot;
mod loss;
mod optimizer;
mod verbose;

pub use callback::{Callback, Flow, Progress};
pub use history::{History, Logs};
pub use loss::{Loss, Metric};
pub(crate) use verbose::EpochLines;

pub use optimizer::{Adam, AdamW, Clip, Optimizer, RmsProp, Sgd};
