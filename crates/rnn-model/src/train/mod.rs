//! What training is told (optimizer, loss, metrics, callbacks) and what it tells (logs, history).

mod backup;
mod callback;
pub(crate) mod callbacks;
mod curve;
mod history;
mod history_plot;
mod loss;
mod metric;
mod optimizer;
mod schedule;

pub use backup::BackupAndRestore;
pub(crate) use backup::{Backup, Place, Task, check_task};
pub use callback::{Callback, CallbackState, Flow, Progress};
pub use callbacks::{
    CsvLogger, EarlyStopping, LambdaCallback, LearningRateScheduler, Mode, ModelCheckpoint, ProgressBar,
    ReduceLrOnPlateau, SaveFreq, TensorBoard, TerminateOnNan,
};
pub use history::{History, Logs};
pub use loss::Loss;
pub use metric::{Average, Curve, Metric};
pub(crate) use metric::{Tally, places, read};

pub use optimizer::{
    Adadelta, Adafactor, Adagrad, Adam, AdamW, Adamax, Clip, Ftrl, Lamb, Lion, Nadam, Optimizer, RmsProp, Sgd,
};
pub use schedule::{LearningRate, Schedule};
