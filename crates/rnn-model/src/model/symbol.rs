//! Symbols: the values of a model before there are any numbers. Layers are applied to them to describe a graph.

use super::graph::{Call, Edge, Graph, GraphInput, GraphLayer, next_id};
use super::names;
use super::sequential::Input;
use crate::layer::{Layer, SampleShape};
use crate::{Error, Result};
use std::collections::HashMap;
use std::sync::Arc;

/// A value of a model to be: an input, or what a layer makes of other symbols.
///
/// Cloning is cheap and names the same value.
#[derive(Clone, Debug)]
pub struct Symbol {
    origin: Arc<Origin>,
    output: usize,
    shape: SampleShape,
}

#[derive(Debug)]
struct Origin {
    /// later symbols have larger numbers
    id: u64,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Input(Input),
    Call { layer: SharedLayer, inputs: Vec<Symbol> },
}

impl Drop for Origin {
    /// One after the other: a chain of layers may be longer than the stack is deep.
    fn drop(&mut self) {
        let mut open = Vec::new();
        if let Kind::Call { inputs, .. } = &mut self.kind {
            open.append(inputs);
        }
        while let Some(symbol) = open.pop() {
            if let Some(mut origin) = Arc::into_inner(symbol.origin)
                && let Kind::Call { inputs, .. } = &mut origin.kind
            {
                open.append(inputs);
            }
        }
    }
}

/// A layer with an identity. Applied twice it uses the same weights twice; a bare layer gets new weights each time.
///
/// ```
/// use rnn_model::{Graph, Input, layer::{Dense, Lstm, SharedLayer, subtract}};
/// let (a, b) = (Input::sequence(None, 4).symbol(), Input::sequence(None, 4).symbol());
/// let read = SharedLayer::new(Lstm::new(8)).name("reader");
/// let difference = subtract([&a.layer(&read)?, &b.layer(&read)?])?;
/// let graph = Graph::new(&[&a, &b], &[&difference.layer(Dense::new(1))?])?;
/// assert_eq!(graph.layer_names(), ["reader", "subtract", "dense"]);
/// # Ok::<(), rnn_model::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct SharedLayer {
    pub(crate) id: u64,
    pub(crate) layer: Arc<Layer>,
    pub(crate) name: Option<String>,
    pub(crate) trainable: bool,
}

impl SharedLayer {
    /// `layer`, with weights of its own.
    pub fn new(layer: impl Into<Layer>) -> Self {
        SharedLayer { id: next_id(), layer: Arc::new(layer.into()), name: None, trainable: true }
    }

    /// The layer's name in weights, states, summaries and errors; else the class and a number. Says it before the layer
    /// is applied to anything.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Whether training changes the weights; true.
    pub fn trainable(mut self, on: bool) -> Self {
        self.trainable = on;
        self
    }

    /// The layer itself.
    pub fn layer(&self) -> &Layer {
        &self.layer
    }
}

impl<L: Into<Layer>> From<L> for SharedLayer {
    fn from(layer: L) -> Self {
        SharedLayer::new(layer)
    }
}

impl From<&SharedLayer> for SharedLayer {
    fn from(layer: &SharedLayer) -> Self {
        layer.clone()
    }
}

/// Applies a layer to symbols and gives all its outputs.
///
/// ```
/// use rnn_model::{Input, apply, layer::Lstm};
/// let x = Input::sequence(None, 4).symbol();
/// let outputs = apply(Lstm::new(8).return_state(true), &[&x])?;
/// let [y, h, c] = outputs.as_slice() else { unreachable!() };
/// // a second layer that starts from the first one's last states
/// let next = apply(Lstm::new(8), &[&x, h, c])?;
/// # assert_eq!(next.len(), 1);
/// # let _ = y;
/// # Ok::<(), rnn_model::Error>(())
/// ```
///
/// # Errors
/// When the layer does not fit the shapes or the number of inputs.
pub fn apply(layer: impl Into<SharedLayer>, inputs: &[&Symbol]) -> Result<Vec<Symbol>> {
    let layer = layer.into();
    if inputs.is_empty() {
        return Err(Error::invalid(layer.layer.class(), "it is applied to nothing"));
    }
    let shapes: Vec<SampleShape> = inputs.iter().map(|s| s.shape.clone()).collect();
    let shapes = layer.layer.kind().output_shapes(&shapes)?;
    let inputs = inputs.iter().map(|&s| s.clone()).collect();
    let origin = Arc::new(Origin { id: next_id(), kind: Kind::Call { layer, inputs } });
    let symbol = |(output, shape)| Symbol { origin: origin.clone(), output, shape };
    Ok(shapes.into_iter().enumerate().map(symbol).collect())
}

impl Input {
    /// A new symbol for this input.
    pub fn symbol(&self) -> Symbol {
        let origin = Arc::new(Origin { id: next_id(), kind: Kind::Input(self.clone()) });
        Symbol { origin, output: 0, shape: self.sample.clone() }
    }
}

impl Symbol {
    /// What a layer of one output makes of this symbol.
    ///
    /// # Errors
    /// When the layer does not fit the shape, or gives several outputs, which [`apply`] suits.
    pub fn layer(&self, layer: impl Into<SharedLayer>) -> Result<Symbol> {
        let layer = layer.into();
        let class = layer.layer.class();
        let mut outputs = apply(layer, &[self])?;
        match outputs.pop() {
            Some(output) if outputs.is_empty() => Ok(output),
            _ => Err(Error::invalid(class, "it gives several outputs; use apply() to get them all")),
        }
    }

    /// What a chain of layers of one output each makes of this symbol.
    ///
    /// # Errors
    /// As [`layer`](Self::layer).
    pub fn layers<L: Into<SharedLayer>>(&self, layers: impl IntoIterator<Item = L>) -> Result<Symbol> {
        layers.into_iter().try_fold(self.clone(), |symbol, layer| symbol.layer(layer))
    }

    /// Shape of one sample, `None` where it depends on the input.
    pub fn shape(&self) -> &[Option<usize>] {
        &self.shape
    }
}

impl Graph {
    /// The graph from `inputs` to `outputs`.
    ///
    /// Weights come in the order in which the layers were applied first.
    ///
    /// # Errors
    /// When an output depends on an input that is not among `inputs`, or two layers have one name.
    pub fn new(inputs: &[&Symbol], outputs: &[&Symbol]) -> Result<Graph> {
        let mut origins: HashMap<u64, &Arc<Origin>> = HashMap::new();
        let mut open: Vec<&Arc<Origin>> = outputs.iter().map(|s| &s.origin).collect();
        let given: HashMap<u64, usize> = inputs.iter().enumerate().map(|(i, s)| (s.origin.id, i)).collect();
        if given.len() != inputs.len() {
            return Err(Error::invalid("Graph", "an input is given twice"));
        }
        let mut specs = Vec::new();
        for symbol in inputs {
            let Kind::Input(input) = &symbol.origin.kind else {
                let problem =
                    "an input must come from Input::symbol(); put a new input where the graph is to be cut";
                return Err(Error::invalid("Graph", problem));
            };
            specs.push(input.clone());
        }
        while let Some(origin) = open.pop() {
            if given.contains_key(&origin.id) || origins.insert(origin.id, origin).is_some() {
                continue;
            }
            match &origin.kind {
                Kind::Call { inputs, .. } => open.extend(inputs.iter().map(|s| &s.origin)),
                Kind::Input(input) => {
                    let shape = crate::error::AsShape::text(&input.sample.as_slice());
                    let problem = format!(
                        "an output depends on an input of shape {shape} that is not among the inputs"
                    );
                    return Err(Error::invalid("Graph", problem));
                }
            }
        }
        // A symbol is made after those it depends on.
        let mut order: Vec<&Arc<Origin>> = origins.into_values().collect();
        order.sort_by_key(|origin| origin.id);
        let place: HashMap<u64, usize> = order.iter().enumerate().map(|(i, o)| (o.id, i)).collect();
        let edge = |s: &Symbol| match given.get(&s.origin.id) {
            Some(&i) => Edge::Input(i),
            None => Edge::Output { call: place[&s.origin.id], output: s.output },
        };
        let mut layers: Vec<SharedLayer> = Vec::new();
        let mut calls = Vec::new();
        for origin in &order {
            let Kind::Call { layer, inputs } = &origin.kind else { unreachable!("only calls are kept") };
            let at = layers.iter().position(|l| l.id == layer.id).unwrap_or_else(|| {
                layers.push(layer.clone());
                layers.len() - 1
            });
            calls.push(Call { layer: at, inputs: inputs.iter().map(edge).collect() });
        }
        let outputs = outputs.iter().map(|s| edge(s)).collect();
        let graph =
            Graph { inputs: named_inputs(specs), layers: named_layers(layers), calls, outputs, seed: 0 };
        graph.check()?;
        Ok(graph)
    }

    /// This graph as a part of another: its outputs for other inputs, with its own layers and weights.
    ///
    /// ```
    /// use rnn_model::{Graph, Input, layer::Dense};
    /// let x = Input::vector(8).symbol();
    /// let encoder = Graph::new(&[&x], &[&x.layer(Dense::new(2))?])?;
    /// let z = Input::vector(2).symbol();
    /// let decoder = Graph::new(&[&z], &[&z.layer(Dense::new(8))?])?;
    /// let input = Input::vector(8).symbol();
    /// let code = encoder.apply(&[&input])?;
    /// let autoencoder = Graph::new(&[&input], &[&decoder.apply(&[&code[0]])?[0]])?;
    /// # assert_eq!(autoencoder.layer_names().len(), 2);
    /// # Ok::<(), rnn_model::Error>(())
    /// ```
    ///
    /// # Errors
    /// When the number of inputs or a shape does not fit.
    pub fn apply(&self, inputs: &[&Symbol]) -> Result<Vec<Symbol>> {
        if inputs.len() != self.inputs.len() {
            let problem = format!("takes {} inputs, got {}", self.inputs.len(), inputs.len());
            return Err(Error::invalid("Graph", problem));
        }
        let handles: Vec<SharedLayer> = self.layers.iter().map(GraphLayer::handle).collect();
        let mut made: Vec<Vec<Symbol>> = Vec::with_capacity(self.calls.len());
        for call in &self.calls {
            let args: Vec<&Symbol> = call.inputs.iter().map(|edge| at(inputs, &made, edge)).collect();
            let outputs = apply(&handles[call.layer], &args)?;
            made.push(outputs);
        }
        Ok(self.outputs.iter().map(|edge| at(inputs, &made, edge).clone()).collect())
    }

    /// The layer called `name`, to be used in another graph with the same weights.
    pub fn layer(&self, name: &str) -> Option<SharedLayer> {
        self.layers.iter().find(|l| l.name == name).map(GraphLayer::handle)
    }
}

fn at<'s>(inputs: &[&'s Symbol], made: &'s [Vec<Symbol>], edge: &Edge) -> &'s Symbol {
    match *edge {
        Edge::Input(i) => inputs[i],
        Edge::Output { call, output } => &made[call][output],
    }
}

impl GraphLayer {
    fn handle(&self) -> SharedLayer {
        SharedLayer {
            id: self.id,
            layer: Arc::new(self.layer.clone()),
            name: self.named.then(|| self.name.clone()),
            trainable: self.trainable,
        }
    }
}

/// Inputs with names: `input`, `input_1`, ...
pub(super) fn named_inputs(inputs: Vec<Input>) -> Vec<GraphInput> {
    let names = names::unique(inputs.iter().map(|i| (i.name.clone(), "input".to_owned())));
    let input = |(input, name)| GraphInput { name, input: Input { name: None, ..input } };
    inputs.into_iter().zip(names).map(input).collect()
}

/// Layers with names: those given, else the class and a number.
pub(super) fn named_layers(layers: Vec<SharedLayer>) -> Vec<GraphLayer> {
    let names = layers.iter().map(|l| (l.name.clone(), names::of_class(l.layer.class())));
    let names = names::unique(names);
    let layer = |(l, name): (SharedLayer, String)| GraphLayer {
        name,
        named: l.name.is_some(),
        layer: l.layer.as_ref().clone(),
        trainable: l.trainable,
        id: l.id,
    };
    layers.into_iter().zip(names).map(layer).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Activation;
    use crate::layer::ActivationLayer;

    #[test]
    fn a_chain_longer_than_the_stack_is_dropped() {
        let chain = || {
            let mut x = Input::vector(1).symbol();
            for _ in 0..100_000 {
                x = x.layer(ActivationLayer::new(Activation::Tanh)).unwrap();
            }
        };
        std::thread::Builder::new().stack_size(128 << 10).spawn(chain).unwrap().join().unwrap();
    }
}
