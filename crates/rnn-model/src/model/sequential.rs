//! The architecture of a model: an input shape and a chain of layers. Data only, written into the model file.

use super::Model;
use crate::layer::{Layer, SampleShape};
use crate::{Device, Error, Result};
use serde::{Deserialize, Serialize};

/// The shape of a model's input: `[batch, time, features]` or `[batch, features]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Input {
    pub(crate) batch: Option<usize>,
    pub(crate) sample: SampleShape,
}

impl Input {
    /// Sequences of `time` steps, any number when `None`, of `features` values each.
    ///
    /// ```
    /// use rnn_model::Input;
    /// let three_steps = Input::sequence(3, 1);
    /// let any_length = Input::sequence(None, 1).batch(32);
    /// ```
    pub fn sequence(time: impl Into<Option<usize>>, features: usize) -> Self {
        Input { batch: None, sample: vec![time.into(), Some(features)] }
    }

    /// Vectors of `features` values.
    pub fn vector(features: usize) -> Self {
        Input { batch: None, sample: vec![Some(features)] }
    }

    /// Only batches of `batch` samples.
    pub fn batch(mut self, batch: usize) -> Self {
        self.batch = Some(batch);
        self
    }
}

/// A chain of layers, to be built on a device.
///
/// ```
/// use rnn_model::{Device, Input, Sequential, layer::{Dense, Lstm}};
/// let model = Sequential::new(Input::sequence(3, 1))
///     .layer(Lstm::new(4))
///     .layer(Dense::new(1))
///     .seed(7)
///     .build(&Device::cpu())?;
/// assert_eq!(model.count_params(), 4 * (4 + 16 + 4) + 5);
/// # Ok::<(), rnn_model::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sequential {
    pub(crate) input: Input,
    pub(crate) layers: Vec<Layer>,
    pub(crate) seed: u64,
}

impl Sequential {
    /// A model of this input and no layers yet.
    pub fn new(input: Input) -> Self {
        Sequential { input, layers: Vec::new(), seed: 0 }
    }

    /// Adds a layer at the end.
    pub fn layer(mut self, layer: impl Into<Layer>) -> Self {
        self.layers.push(layer.into());
        self
    }

    /// Decides the initial weights, the shuffling and the dropout; 0.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Makes the model on a device, with initial weights.
    ///
    /// # Errors
    /// When a layer does not fit the one before it, an option can not work, or the device lacks memory.
    pub fn build(&self, device: &Device) -> Result<Model> {
        Model::build(self.clone(), device)
    }

    /// Shape of each layer's output sample; the last is the model's.
    pub(crate) fn shapes(&self) -> Result<Vec<SampleShape>> {
        if self.layers.is_empty() {
            return Err(Error::invalid("Sequential", "the model has no layers; add one with layer(...)"));
        }
        if self.input.batch == Some(0) || self.input.sample.contains(&Some(0)) {
            return Err(Error::shape(
                "input of the model",
                "no axis of size 0",
                self.input.sample.as_slice(),
            ));
        }
        let mut shape = self.input.sample.clone();
        self.layers
            .iter()
            .map(|layer| {
                shape = layer.kind().output_shape(&shape)?;
                Ok(shape.clone())
            })
            .collect()
    }
}
