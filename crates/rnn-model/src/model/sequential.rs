//! The simplest graph: one input and a chain of layers.

use super::Model;
use super::graph::{Call, Edge, Graph};
use super::symbol::{SharedLayer, named_inputs, named_layers};
use crate::layer::SampleShape;
use crate::{Device, Result};
use serde::{Deserialize, Serialize};

/// The shape of a model's input: `[batch, time, features]`, `[batch, features]` or another.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Input {
    #[serde(skip)]
    pub(crate) name: Option<String>,
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
        Self::shape(vec![time.into(), Some(features)])
    }

    /// Vectors of `features` values.
    pub fn vector(features: usize) -> Self {
        Self::shape(vec![Some(features)])
    }

    /// Sequences of `time` whole numbers, any number of them when `None`: token indices for an
    /// [`Embedding`](crate::layer::Embedding).
    pub fn tokens(time: impl Into<Option<usize>>) -> Self {
        Self::shape(vec![time.into()])
    }

    /// Samples of any shape, `None` where any size does.
    pub fn shape(sample: impl Into<Vec<Option<usize>>>) -> Self {
        Input { name: None, batch: None, sample: sample.into() }
    }

    /// The input's name in a graph of several.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Shape of one sample, `None` where any size does.
    pub fn sample_shape(&self) -> &[Option<usize>] {
        &self.sample
    }

    /// The batch size, where only one does.
    pub fn batch_size(&self) -> Option<usize> {
        self.batch
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
#[derive(Clone, Debug)]
pub struct Sequential {
    input: Input,
    layers: Vec<SharedLayer>,
    seed: u64,
}

impl Sequential {
    /// A model of this input and no layers yet.
    pub fn new(input: Input) -> Self {
        Sequential { input, layers: Vec::new(), seed: 0 }
    }

    /// Adds a layer at the end. A [`SharedLayer`] may give it a name, or keep its weights from being trained.
    pub fn layer(mut self, layer: impl Into<SharedLayer>) -> Self {
        self.layers.push(layer.into());
        self
    }

    /// Adds several layers at the end, such as those of [`stacked`](crate::layer::stacked).
    pub fn layers<L: Into<SharedLayer>>(mut self, layers: impl IntoIterator<Item = L>) -> Self {
        self.layers.extend(layers.into_iter().map(Into::into));
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
        self.graph()?.build(device)
    }

    /// The chain as a graph, which can be part of another.
    ///
    /// # Errors
    /// When a layer does not fit the one before it, or an option can not work.
    pub fn graph(&self) -> Result<Graph> {
        let mut layers: Vec<SharedLayer> = Vec::new();
        let mut calls = Vec::new();
        let mut before = Edge::Input(0);
        for layer in &self.layers {
            let at = layers.iter().position(|l| l.id == layer.id).unwrap_or_else(|| {
                layers.push(layer.clone());
                layers.len() - 1
            });
            calls.push(Call { layer: at, inputs: vec![before] });
            before = Edge::Output { call: calls.len() - 1, output: 0 };
        }
        let graph = Graph {
            inputs: named_inputs(vec![self.input.clone()]),
            layers: named_layers(layers),
            calls,
            outputs: vec![before],
            seed: self.seed,
        };
        graph.check()?;
        Ok(graph)
    }
}
