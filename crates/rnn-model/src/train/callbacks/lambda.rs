//! Callbacks from closures.

use crate::train::{Callback, Flow, Logs, Progress};
use crate::{Model, Result};

type Plain<'a> = Box<dyn FnMut(&mut Model) -> Result<()> + 'a>;
type Epoch<'a> = Box<dyn FnMut(&mut Model, Progress) -> Result<()> + 'a>;
type Batches<'a> = Box<dyn FnMut(&mut Model, Progress) -> Result<Flow> + 'a>;
type End<'a> = Box<dyn FnMut(&mut Model, Progress, &Logs) -> Result<Flow> + 'a>;

/// A callback of closures, for what is too short for a type of its own.
///
/// ```
/// # use ndarray::Array;
/// # use rnn_model::{Adam, Device, FitOptions, Input, Loss, Sequential, layer::{Dense, Lstm}};
/// use rnn_model::{Flow, LambdaCallback};
/// # let mut model = Sequential::new(Input::sequence(5, 1)).layer(Lstm::new(4)).layer(Dense::new(1)).build(&Device::cpu())?;
/// # model.compile(Adam::new(), Loss::MeanSquaredError, &[])?;
/// # let (x, y) = (Array::<f32, _>::ones((20, 5, 1)), Array::<f32, _>::ones((20, 1)));
/// let mut losses = Vec::new();
/// let mut watch = LambdaCallback::new().on_epoch_end(|_, _, logs| {
///     losses.push(logs.loss());
///     Ok(if logs.loss() < 0.01 { Flow::Stop } else { Flow::Continue })
/// });
/// let history = model.fit(&x, &y, FitOptions::new().epochs(5).callback(&mut watch))?;
/// drop(watch);
/// assert_eq!(losses, history.get("loss"));
/// # Ok::<(), rnn_model::Error>(())
/// ```
#[derive(Default)]
pub struct LambdaCallback<'a> {
    train_begin: Option<Plain<'a>>,
    epoch_begin: Option<Epoch<'a>>,
    batches: Option<(Option<usize>, Batches<'a>)>,
    epoch_end: Option<End<'a>>,
    train_end: Option<Plain<'a>>,
}

impl<'a> LambdaCallback<'a> {
    /// Does nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Before the first epoch.
    #[must_use]
    pub fn on_train_begin(mut self, f: impl FnMut(&mut Model) -> Result<()> + 'a) -> Self {
        self.train_begin = Some(Box::new(f));
        self
    }

    /// Before each epoch.
    #[must_use]
    pub fn on_epoch_begin(mut self, f: impl FnMut(&mut Model, Progress) -> Result<()> + 'a) -> Self {
        self.epoch_begin = Some(Box::new(f));
        self
    }

    /// After each group of batches, about ten times a second.
    #[must_use]
    pub fn on_batches_end(mut self, f: impl FnMut(&mut Model, Progress) -> Result<Flow> + 'a) -> Self {
        self.batches = Some((None, Box::new(f)));
        self
    }

    /// After each batch. The host then waits for every batch, which makes training of small models several times slower.
    #[must_use]
    pub fn on_batch_end(mut self, f: impl FnMut(&mut Model, Progress) -> Result<Flow> + 'a) -> Self {
        self.batches = Some((Some(1), Box::new(f)));
        self
    }

    /// After each epoch.
    #[must_use]
    pub fn on_epoch_end(mut self, f: impl FnMut(&mut Model, Progress, &Logs) -> Result<Flow> + 'a) -> Self {
        self.epoch_end = Some(Box::new(f));
        self
    }

    /// After the last epoch.
    #[must_use]
    pub fn on_train_end(mut self, f: impl FnMut(&mut Model) -> Result<()> + 'a) -> Self {
        self.train_end = Some(Box::new(f));
        self
    }
}

impl Callback for LambdaCallback<'_> {
    fn on_train_begin(&mut self, model: &mut Model) -> Result<()> {
        self.train_begin.as_mut().map_or(Ok(()), |f| f(model))
    }

    fn on_epoch_begin(&mut self, model: &mut Model, progress: Progress) -> Result<()> {
        self.epoch_begin.as_mut().map_or(Ok(()), |f| f(model, progress))
    }

    fn every_batches(&self) -> Option<usize> {
        self.batches.as_ref().and_then(|(every, _)| *every)
    }

    fn on_batches_end(&mut self, model: &mut Model, progress: Progress) -> Result<Flow> {
        self.batches.as_mut().map_or(Ok(Flow::Continue), |(_, f)| f(model, progress))
    }

    fn on_epoch_end(&mut self, model: &mut Model, progress: Progress, logs: &Logs) -> Result<Flow> {
        self.epoch_end.as_mut().map_or(Ok(Flow::Continue), |f| f(model, progress, logs))
    }

    fn on_train_end(&mut self, model: &mut Model) -> Result<()> {
        self.train_end.as_mut().map_or(Ok(()), |f| f(model))
    }
}
