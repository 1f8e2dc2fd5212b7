//! Recurrent models in Keras's dialect, trained and run on a GPU through WGSL or on the CPU, with one semantics.
//!
//! A [`Sequential`] is built on a [`Device`] into a [`Model`], compiled with an optimizer and a loss, fitted on arrays of
//! `[samples, time steps, features]`, and used to predict and to forecast. States of recurrent layers stay on the device
//! between calls.
//!
//! ```
//! use ndarray::Array;
//! use rnn_model::{Adam, Device, FitOptions, Input, Loss, Sequential, layer::{Dense, Lstm}};
//!
//! let mut model = Sequential::new(Input::sequence(10, 1)).layer(Lstm::new(16)).layer(Dense::new(1)).build(&Device::cpu())?;
//! model.compile(Adam::new().learning_rate(0.01), Loss::MeanSquaredError, &[])?;
//! let x = Array::from_shape_fn((100, 10, 1), |(i, t, _)| ((i + t) as f32 * 0.2).sin());
//! let y = Array::from_shape_fn((100, 1), |(i, _)| ((i + 10) as f32 * 0.2).sin());
//! model.fit(&x, &y, FitOptions::new().epochs(20))?;
//! assert_eq!(model.predict(&x)?.shape(), [100, 1]);
//! # Ok::<(), rnn_model::Error>(())
//! ```

mod array;
pub mod data;
mod device;
mod error;
mod files;
pub mod layer;
mod model;
pub mod series;
mod train;

pub use array::{Arrays, HostArray};
pub use device::{AdapterChoice, AdapterReport, AdapterRequest, Device, DeviceKind, MemoryUse, Tensor};
pub use error::{Error, Result};
pub use files::write_atomically;
pub use gpu_core::adapters;
pub use layer::cell;
pub use model::{
    Call, Edge, EvaluateOptions, FitOptions, Goal, Gradients, Graph, GraphInput, GraphLayer, GraphWeight,
    Input, LayerState, LayerStrategy, MemoryNeed, Model, OptimizerState, PredictOptions, Resets, Sequential,
    Slot, StateUse, Symbol, apply,
};
/// The arrays this crate takes and gives; from here, they have the version that fits.
pub use ndarray;
pub use rnn_shaders::vocabulary::{Activation, Parametric, RowActivation};
/// What a cell of one's own writes its options with; from here, it has the version that fits.
pub use serde_json;
pub use train::{
    Adadelta, Adafactor, Adagrad, Adam, AdamW, Adamax, Average, BackupAndRestore, Callback, CallbackState,
    Clip, CsvLogger, Curve, EarlyStopping, Flow, Ftrl, History, Lamb, LambdaCallback, LearningRate,
    LearningRateScheduler, Lion, Logs, Loss, Metric, Mode, ModelCheckpoint, Nadam, Optimizer, Progress,
    ProgressBar, ReduceLrOnPlateau, RmsProp, SaveFreq, Schedule, Sgd, TensorBoard, TerminateOnNan,
};
