//! The architecture of a model: inputs, layers, and which layer is applied to what. Data only, written into the model file.

use super::sequential::Input;
use super::{Model, weights};
use crate::layer::{Layer, SampleShape, VariableSpec};
use crate::{Device, Error, HostArray, Result};
use serde::{Deserialize, Serialize};
use std::sync::atomic::{AtomicU64, Ordering};

/// A directed graph of layers between inputs and outputs, to be built on a device: made from symbols by
/// [`Graph::new`](Graph::new), or from a chain of layers by [`Sequential`](crate::Sequential).
///
/// ```
/// use rnn_model::{Device, Graph, Input, layer::{Dense, Lstm, add}};
/// let words = Input::sequence(None, 8).symbol();
/// let facts = Input::vector(16).symbol();
/// let read = words.layer(Lstm::new(16))?;
/// let both = add(&[&read, &facts])?;
/// let y = both.layer(Dense::new(1))?;
/// let model = Graph::new(&[&words, &facts], &[&y])?.seed(7).build(&Device::cpu())?;
/// assert_eq!(model.input_shapes().len(), 2);
/// # Ok::<(), rnn_model::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Graph {
    pub(crate) inputs: Vec<GraphInput>,
    pub(crate) layers: Vec<GraphLayer>,
    /// in an order in which each needs only those before it
    pub(crate) calls: Vec<Call>,
    pub(crate) outputs: Vec<Edge>,
    pub(crate) seed: u64,
}

/// An input of a graph.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GraphInput {
    /// that arrays are given by
    pub name: String,
    /// shape of its samples
    #[serde(flatten)]
    pub input: Input,
}

/// A layer of a graph; every call of it uses the same weights.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct GraphLayer {
    /// of weights, states, summaries and errors
    pub name: String,
    /// The name was given, and so is kept where the layer comes into another graph.
    #[serde(default)]
    pub(crate) named: bool,
    /// class and options; as data they have Keras's names
    #[serde(flatten)]
    pub layer: Layer,
    /// Training changes its weights.
    #[serde(default = "yes")]
    pub trainable: bool,
    /// tells layers of this process apart; a layer read from a file is a new one
    #[serde(skip, default = "next_id")]
    pub(crate) id: u64,
}

impl PartialEq for GraphLayer {
    fn eq(&self, other: &Self) -> bool {
        (&self.name, &self.layer, self.trainable) == (&other.name, &other.layer, other.trainable)
    }
}

/// A layer applied to something.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Call {
    /// index among the layers
    pub layer: usize,
    /// what it is applied to, in the layer's order
    pub inputs: Vec<Edge>,
}

/// Where a value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Edge {
    /// an input of the graph
    Input(usize),
    /// an output of an earlier call
    Output {
        /// index among the calls
        call: usize,
        /// which of its outputs
        output: usize,
    },
}

/// A weight of a graph, before there is a model that holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GraphWeight {
    /// layer and weight, `lstm/kernel`
    pub name: String,
    /// index of its layer
    pub layer: usize,
    /// in Keras's layout
    pub shape: Vec<usize>,
}

fn yes() -> bool {
    true
}

/// A number that no other layer of this process has.
pub(crate) fn next_id() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

impl Graph {
    /// Decides the initial weights, the shuffling and the dropout; 0.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Makes the model on a device, with initial weights.
    ///
    /// # Errors
    /// When a layer does not fit what it is applied to, an option can not work, or the device lacks memory.
    pub fn build(&self, device: &Device) -> Result<Model> {
        Model::build(self.clone(), device)
    }

    /// Makes the model with these weights, in the order of [`Model::get_weights`]. None are drawn, which takes seconds for a layer of
    /// thousands of units whose start is orthogonal.
    ///
    /// # Errors
    /// As [`build`](Self::build) and [`Model::set_weights`].
    ///
    /// ```
    /// use rnn_model::{Device, Input, Sequential, layer::Lstm};
    ///
    /// let model = Sequential::new(Input::sequence(None, 1)).layer(Lstm::new(8)).build(&Device::cpu())?;
    /// let copy = model.graph().build_with_weights(&Device::cpu(), &model.get_weights()?)?;
    /// assert_eq!(copy.get_weights()?, model.get_weights()?);
    /// # Ok::<(), rnn_model::Error>(())
    /// ```
    pub fn build_with_weights<'a, W: Into<HostArray<'a>>>(
        &self,
        device: &Device,
        weights: impl IntoIterator<Item = W>,
    ) -> Result<Model> {
        let mut model = Model::without_weights(self.clone(), device)?;
        model.set_weights(weights)?;
        Ok(model)
    }

    /// Makes a model whose layers share their weights with the same layers of `model`: training either trains both.
    ///
    /// The two graphs must have been made from the same [`SharedLayer`](crate::layer::SharedLayer)s, or from the same
    /// sub-graph. This is how an encoder, or one step of a decoder, is used alone.
    ///
    /// ```
    /// use rnn_model::{Device, Graph, Input, layer::Dense};
    /// let x = Input::vector(8).symbol();
    /// let code = x.layer(Dense::new(2))?;
    /// let encoder = Graph::new(&[&x], &[&code])?;
    /// let decoded = code.layer(Dense::new(8))?;
    /// let whole = Graph::new(&[&x], &[&decoded])?.build(&Device::cpu())?;
    /// let encoder = encoder.build_sharing(&whole)?;
    /// assert_eq!(encoder.output_shape(), [Some(2)]);
    /// # Ok::<(), rnn_model::Error>(())
    /// ```
    ///
    /// # Errors
    /// When a layer with weights is not one of `model`'s, or the device lacks memory.
    pub fn build_sharing(&self, model: &Model) -> Result<Model> {
        Model::build_sharing(self.clone(), model)
    }

    /// The inputs, in order.
    pub fn inputs(&self) -> &[GraphInput] {
        &self.inputs
    }

    /// The layers, in the order of their weights.
    pub fn layers(&self) -> &[GraphLayer] {
        &self.layers
    }

    /// The uses of the layers, each behind those whose outputs it needs.
    pub fn calls(&self) -> &[Call] {
        &self.calls
    }

    /// Where the outputs come from, in order.
    pub fn outputs(&self) -> &[Edge] {
        &self.outputs
    }

    /// Shapes of one sample of each output of each call, `None` where a size depends on the input.
    ///
    /// # Errors
    /// When a layer does not fit what it is applied to.
    pub fn call_shapes(&self) -> Result<Vec<Vec<SampleShape>>> {
        self.shapes(&self.input_shapes())
    }

    /// Names and shapes of the weights, in the order of [`Model::get_weights`](crate::Model::get_weights). Nothing is
    /// allocated for them.
    ///
    /// ```
    /// # use rnn_model::{Graph, Input, layer::Dense};
    /// let x = Input::vector(8).symbol();
    /// let weights = Graph::new(&[&x], &[&x.layer(Dense::new(2))?])?.weights()?;
    /// assert_eq!((weights[0].name.as_str(), weights[0].shape.as_slice()), ("dense/kernel", [8, 2].as_slice()));
    /// # Ok::<(), rnn_model::Error>(())
    /// ```
    ///
    /// # Errors
    /// When a layer does not fit what it is applied to, or there are more weights than a buffer can hold.
    pub fn weights(&self) -> Result<Vec<GraphWeight>> {
        let (variables, _) = weights::layout(self, &self.check()?)?;
        let weight = |v: weights::Variable| GraphWeight { name: v.name, layer: v.layer, shape: v.spec.shape };
        Ok(variables.into_iter().map(weight).collect())
    }

    /// Names of the layers, in the order of their weights.
    pub fn layer_names(&self) -> Vec<&str> {
        self.layers.iter().map(|l| l.name.as_str()).collect()
    }

    /// Shape of one sample of each input.
    pub(crate) fn input_shapes(&self) -> Vec<SampleShape> {
        self.inputs.iter().map(|i| i.input.sample.clone()).collect()
    }

    /// The batch size that the inputs ask for, if they do.
    pub(crate) fn batch(&self) -> Option<usize> {
        self.inputs.iter().find_map(|i| i.input.batch)
    }

    /// Shapes of one sample of each output of each call, for inputs of the given shapes. Checks the graph on the way,
    /// so that one that was read from a file can be trusted afterwards.
    pub(crate) fn shapes(&self, inputs: &[SampleShape]) -> Result<Vec<Vec<SampleShape>>> {
        let mut made: Vec<Vec<SampleShape>> = Vec::with_capacity(self.calls.len());
        for call in &self.calls {
            let Some(layer) = self.layers.get(call.layer) else {
                return Err(Error::invalid("model", format!("there is no layer {}", call.layer)));
            };
            let args: Vec<SampleShape> =
                call.inputs.iter().map(|edge| shape_at(inputs, &made, edge)).collect::<Result<_>>()?;
            made.push(layer.layer.kind().output_shapes(&args)?);
        }
        Ok(made)
    }

    /// Checks what does not depend on the layers, then the shapes: those of the given inputs.
    pub(crate) fn check(&self) -> Result<Vec<Vec<SampleShape>>> {
        if self.inputs.is_empty() {
            return Err(Error::invalid("model", "it has no inputs"));
        }
        if self.layers.is_empty() {
            return Err(Error::invalid("model", "it has no layers; add one with layer(...)"));
        }
        let mut batch = None;
        for GraphInput { name, input } in &self.inputs {
            let sample = input.sample.as_slice();
            if input.batch == Some(0) || sample.is_empty() || sample.contains(&Some(0)) {
                return Err(Error::shape(
                    format!("input {name}"),
                    "at least one axis, none of size 0",
                    sample,
                ));
            }
            if let (Some(a), Some(b)) = (batch, input.batch)
                && a != b
            {
                return Err(Error::invalid(
                    format!("input {name}"),
                    format!("a batch of {b}, but another input has {a}"),
                ));
            }
            batch = batch.or(input.batch);
        }
        let names = self.inputs.iter().map(|i| &i.name).chain(self.layers.iter().map(|l| &l.name));
        let mut seen = std::collections::HashSet::new();
        if let Some(twice) = names.clone().find(|name| !seen.insert(name.as_str())) {
            let problem = "two layers or inputs have this name; give each its own";
            return Err(Error::invalid(format!("layer {twice}"), problem));
        }
        if let Some(bad) = names.clone().find(|name| name.is_empty() || name.contains("//")) {
            return Err(Error::invalid("layer name", format!("{bad:?} can not be a name")));
        }
        let inputs = self.input_shapes();
        let shapes = self.shapes(&inputs)?;
        if self.outputs.is_empty() {
            return Err(Error::invalid("model", "it has no outputs"));
        }
        for edge in &self.outputs {
            shape_at(&inputs, &shapes, edge)?;
        }
        for (at, layer) in self.layers.iter().enumerate() {
            if !self.calls.iter().any(|c| c.layer == at) {
                return Err(Error::invalid(format!("layer {}", layer.name), "it is applied to nothing"));
            }
        }
        Ok(shapes)
    }

    /// Shapes at the outputs, from those of all calls.
    pub(crate) fn output_shapes(
        &self,
        inputs: &[SampleShape],
        calls: &[Vec<SampleShape>],
    ) -> Vec<SampleShape> {
        let at = |edge| shape_at(inputs, calls, edge).expect("checked when the graph was made");
        self.outputs.iter().map(at).collect()
    }

    /// The weights of each layer, which every call of it must agree on.
    pub(crate) fn variables(&self, shapes: &[Vec<SampleShape>]) -> Result<Vec<Vec<VariableSpec>>> {
        let inputs = self.input_shapes();
        let mut found: Vec<Option<Vec<VariableSpec>>> = vec![None; self.layers.len()];
        for call in &self.calls {
            let layer = &self.layers[call.layer];
            let args: Vec<SampleShape> =
                call.inputs.iter().map(|edge| shape_at(&inputs, shapes, edge)).collect::<Result<_>>()?;
            let variables = layer.layer.kind().variables(&args);
            match &found[call.layer] {
                Some(first) if *first != variables => {
                    let problem = "it is applied to inputs that need weights of different shapes";
                    return Err(Error::invalid(format!("layer {}", layer.name), problem));
                }
                _ => found[call.layer] = Some(variables),
            }
        }
        Ok(found.into_iter().map(Option::unwrap_or_default).collect())
    }

    /// Name of an output: that of the layer that gives it, with a number where it gives several.
    pub fn output_names(&self) -> Vec<String> {
        let name = |edge: &Edge| match *edge {
            Edge::Input(i) => self.inputs[i].name.clone(),
            Edge::Output { call, output: 0 } => self.layers[self.calls[call].layer].name.clone(),
            Edge::Output { call, output } => format!("{}_{output}", self.layers[self.calls[call].layer].name),
        };
        let names: Vec<String> = self.outputs.iter().map(name).collect();
        let unique = |(i, name): (usize, &String)| match names[..i].contains(name) {
            true => format!("{name}_{i}"),
            false => name.clone(),
        };
        names.iter().enumerate().map(unique).collect()
    }
}

fn shape_at(inputs: &[SampleShape], calls: &[Vec<SampleShape>], edge: &Edge) -> Result<SampleShape> {
    let found = match *edge {
        Edge::Input(i) => inputs.get(i),
        Edge::Output { call, output } => calls.get(call).and_then(|c| c.get(output)),
    };
    found.cloned().ok_or_else(|| {
        Error::invalid("model", format!("{edge:?} is used, but nothing before it makes such a value"))
    })
}
