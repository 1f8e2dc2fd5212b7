//! What training is told (optimizer, loss, metrics, callbacks) and what it tells (logs, history).

mod backup;
mod callback;
pub(crate) mod callbacks;
mod history;
mod history_plot;
mod loss;
mod optimizer;

pub use backup::BackupAndRestore;
pub(crate) use backup::{Backup, Place, Task, check_task};
pub use callback::{Callback, CallbackState, Flow, Progress};
pub use callbacks::{
    CsvLogger, EarlyStopping, LambdaCallback, LearningRateScheduler, Mode, ModelCheckpoint, ProgressBar,
    ReduceLrOnPlateau, SaveFreq, TensorBoard, TerminateOnNan,
};
pub use history::{History, Logs};
pub use loss::{Loss, Metric};

pub use optimizer::{Adam, AdamW, Clip, Optimizer, RmsProp, Sgd};
