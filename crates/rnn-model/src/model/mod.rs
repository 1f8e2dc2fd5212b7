//! A model on a device: its layers, weights, states, and the programs recorded for it.

pub(crate) mod arithmetic;
mod aside;
mod budget;
mod chunks;
mod compile;
mod dataset;
mod drawing;
mod epochs;
mod evaluate;
mod explain;
mod feed;
mod fit;
mod fit_options;
mod forecast;
mod gradients;
pub(crate) mod graph;
mod ids;
mod long;
pub(crate) mod lowering;
mod names;
mod optimizer_state;
pub(crate) mod placement;
mod plan;
mod predict;
mod rearrange;
mod resets;
mod sample_state;
mod save;
mod scores;
mod segments;
mod sequential;
mod sources;
mod stages;
mod state;
mod summary;
mod symbol;
mod targets;
mod weights;
mod weights_file;
mod window;

pub use aside::{PredictOptions, StateUse};
pub use budget::MemoryNeed;
pub use compile::Goal;
pub use evaluate::EvaluateOptions;
pub use explain::LayerStrategy;
pub use fit_options::FitOptions;
pub use gradients::Gradients;
pub use graph::{Call, Edge, Graph, GraphInput, GraphLayer, GraphWeight};
pub use optimizer_state::{OptimizerState, Slot};
pub use resets::Resets;
pub use sequential::{Input, Sequential};
pub use state::LayerState;
pub use symbol::{SharedLayer, Symbol, apply};

use crate::array::Arrays;
use crate::device::{Buffer, Device};
use crate::error::{AsShape, count};
use crate::layer::{RecurrentTraits, SampleShape};
use crate::series::SeriesTransform;
use crate::{Error, Result};
use compile::Training;
use lowering::Node;
use plan::Plans;
use state::StateSet;
use std::sync::Arc;

/// A model on a device: built by [`Sequential::build`] or [`Graph::build`], or loaded by [`Model::load`].
///
/// Arrays are `[samples, time, features]`, `[samples, features]` or of other shapes per sample, of `f32`. A method that
/// runs the model takes `&mut self`, because stateful layers carry their states along.
pub struct Model {
    graph: Graph,
    device: Device,
    /// by layer
    nodes: Vec<Node>,
    /// shapes of one sample of each output of each call
    shapes: Vec<Vec<SampleShape>>,
    /// recurrent parts of all layers
    parts: Vec<Part>,
    variables: Vec<weights::Variable>,
    /// all weights in one buffer, which models that share weights have in common; see [`weights`]
    params: Arc<Buffer>,
    training: Option<Training>,
    /// gradient of each weight, laid out as `params`
    grads: Option<Buffer>,
    plans: Plans,
    /// of the stateful layers
    states: Option<StateSet>,
    /// states of runs that leave the kept ones alone; see [`aside`]
    beside: Option<StateSet>,
    /// batches that gradients go back through
    window: window::Window,
    /// bytes that a training may take
    memory_budget: Option<u64>,
    /// reset since the last batch: the next one may have any size
    states_are_fresh: bool,
    counters: Counters,
    transform: Option<SeriesTransform>,
    /// of the last `fit`, kept for the next
    resident: Option<dataset::Dataset>,
}

/// A part of a layer that has states: `lstm`, or `bidirectional/forward`.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    pub name: String,
    pub layer: usize,
    pub traits: RecurrentTraits,
}

/// What a resumed training goes on from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Counters {
    /// optimizer steps done
    pub iterations: u64,
    /// epochs done
    pub epochs: u64,
    /// passes in training mode done: counter of dropout's random numbers
    pub passes: u64,
}

impl Model {
    pub(crate) fn build(graph: Graph, device: &Device) -> Result<Model> {
        let model = Self::without_weights(graph, device)?;
        model.initialize()?;
        Ok(model)
    }

    /// The model with all weights zero.
    fn without_weights(graph: Graph, device: &Device) -> Result<Model> {
        let shapes = graph.check()?;
        let (variables, len) = weights::layout(&graph, &shapes)?;
        let params = Arc::new(device.alloc(len)?);
        Ok(Self::assemble(graph, shapes, variables, params, device))
    }

    /// A model of layers that `other` has too, with the same weights.
    fn build_sharing(graph: Graph, other: &Model) -> Result<Model> {
        let shapes = graph.check()?;
        let (mut variables, _) = weights::layout(&graph, &shapes)?;
        for own in &mut variables {
            let layer = &graph.layers[own.layer];
            let theirs = other.variables.iter().find(|v| {
                other.graph.layers[v.layer].id == layer.id
                    && v.spec.name == own.spec.name
                    && v.within == own.within
            });
            let theirs = theirs.filter(|v| v.spec.shape == own.spec.shape).ok_or_else(|| {
                let problem = "it is not a layer of the model whose weights are to be shared; make both from the same \
                               SharedLayer or sub-graph";
                Error::invalid(format!("layer {}", layer.name), problem)
            })?;
            own.offset = theirs.offset;
        }
        Ok(Self::assemble(graph, shapes, variables, other.params.clone(), &other.device))
    }

    fn assemble(
        graph: Graph,
        shapes: Vec<Vec<SampleShape>>,
        variables: Vec<weights::Variable>,
        params: Arc<Buffer>,
        device: &Device,
    ) -> Model {
        let mut parts = Vec::new();
        let nodes = graph.layers.iter().enumerate().map(|(at, layer)| {
            let traits = layer.layer.kind().recurrent_parts();
            let part = (!traits.is_empty()).then_some(parts.len());
            parts.extend(traits.into_iter().map(|traits| {
                let name = match traits.part.as_str() {
                    "" => layer.name.clone(),
                    part => format!("{}/{part}", layer.name),
                };
                Part { name, layer: at, traits }
            }));
            Node {
                name: layer.name.clone(),
                layer: layer.layer.clone(),
                weights: weights::slices(&variables, at, params.all()),
                gradients: Vec::new(),
                part,
            }
        });
        Model {
            nodes: nodes.collect(),
            shapes,
            parts,
            variables,
            params,
            device: device.clone(),
            training: None,
            grads: None,
            plans: Plans::default(),
            states: None,
            beside: None,
            window: window::Window::default(),
            memory_budget: None,
            states_are_fresh: true,
            counters: Counters::default(),
            transform: None,
            resident: None,
            graph,
        }
    }

    /// The device the model lives on.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The layers and options the model was built from.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// Shape of one sample of the first output, `None` where it depends on the input.
    pub fn output_shape(&self) -> SampleShape {
        self.output_shapes().swap_remove(0)
    }

    /// Shape of one sample of each output.
    pub fn output_shapes(&self) -> Vec<SampleShape> {
        self.graph.output_shapes(&self.graph.input_shapes(), &self.shapes)
    }

    /// Shape of one sample of the first input, `None` where any size does.
    pub fn input_shape(&self) -> &[Option<usize>] {
        &self.graph.inputs[0].input.sample
    }

    /// Shape of one sample of each input.
    pub fn input_shapes(&self) -> Vec<SampleShape> {
        self.graph.input_shapes()
    }

    /// Names of the inputs, in order.
    pub fn input_names(&self) -> Vec<&str> {
        self.graph.inputs.iter().map(|i| i.name.as_str()).collect()
    }

    /// Names of the outputs, in order: of the layers that give them.
    pub fn output_names(&self) -> Vec<String> {
        self.graph.output_names()
    }

    /// What was done to the series before training, to be undone on the model's output; saved with the model.
    pub fn transform(&self) -> Option<&SeriesTransform> {
        self.transform.as_ref()
    }

    /// Keeps a fitted transform with the model.
    pub fn set_transform(&mut self, transform: Option<SeriesTransform>) {
        self.transform = transform;
    }

    /// Optimizer steps done so far.
    pub fn iterations(&self) -> u64 {
        self.counters.iterations
    }

    /// Epochs done so far.
    pub fn epochs(&self) -> u64 {
        self.counters.epochs
    }

    /// Checks input arrays `[samples, ...]` and gives the shapes of their samples.
    pub(crate) fn check_inputs(&self, what: &str, arrays: &Arrays<'_>) -> Result<Vec<Vec<usize>>> {
        let shapes: Vec<&[usize]> = arrays.0.iter().map(|a| a.shape.as_slice()).collect();
        let samples = self.check_shapes(what, &shapes)?;
        self.graph.check_ids(what, arrays)?;
        Ok(samples)
    }

    /// Checks the shapes of inputs `[samples, ...]` and gives those of their samples.
    pub(crate) fn check_shapes(&self, what: &str, given: &[&[usize]]) -> Result<Vec<Vec<usize>>> {
        let inputs = &self.graph.inputs;
        if given.len() != inputs.len() {
            return Err(Error::Shape {
                what: what.to_owned(),
                expected: format!("{} ({})", count(inputs.len(), "array"), self.input_names().join(", ")),
                got: given.len().to_string(),
            });
        }
        let mut shapes = Vec::new();
        for (&shape, spec) in given.iter().zip(inputs) {
            let what = if inputs.len() == 1 { what.to_owned() } else { format!("{what} ({})", spec.name) };
            shapes.push(check_sample(&what, shape, &spec.input.sample)?);
            if shape[0] != given[0][0] {
                let expected = format!("{} samples, as many as the first input has", given[0][0]);
                return Err(Error::shape(what, expected, shape));
            }
        }
        Ok(shapes)
    }

    /// Checks a batch size against a fixed one.
    pub(crate) fn check_batch(&self, batch: usize) -> Result<()> {
        match self.graph.batch() {
            Some(fixed) if fixed != batch => Err(Error::Shape {
                what: "batch of the model (its input shape fixes the batch size)".into(),
                expected: format!("{fixed} samples"),
                got: format!("{batch} samples"),
            }),
            _ => Ok(()),
        }
    }

    /// Shapes of one sample of each output, for inputs of the given shapes.
    ///
    /// # Errors
    /// When a layer needs another size than the one that came.
    pub(crate) fn concrete_outputs(&self, samples: &[Vec<usize>]) -> Result<Vec<Vec<usize>>> {
        let inputs: Vec<SampleShape> = samples.iter().map(|s| s.iter().map(|&n| Some(n)).collect()).collect();
        let calls = self.graph.shapes(&inputs)?;
        let known =
            |shape: SampleShape| shape.into_iter().map(|n| n.expect("all input axes are known")).collect();
        Ok(self.graph.output_shapes(&inputs, &calls).into_iter().map(known).collect())
    }

    /// Refuses what only a model of one output can do.
    pub(crate) fn one_output(&self, operation: &str, instead: &str) -> Result<()> {
        match self.graph.outputs.len() {
            1 => Ok(()),
            n => Err(Error::invalid(operation, format!("the model has {n} outputs; use {instead}"))),
        }
    }

    pub(crate) fn is_stateful(&self) -> bool {
        self.parts.iter().any(|p| p.traits.stateful)
    }
}

/// Checks one array against the shape of a sample, and gives the shape that came.
fn check_sample(what: &str, shape: &[usize], sample: &[Option<usize>]) -> Result<Vec<usize>> {
    let fits = shape.len() == sample.len() + 1
        && shape[1..].iter().zip(sample).all(|(&n, want)| want.is_none_or(|w| w == n) && n > 0);
    if !fits {
        let mut expected = vec![None];
        expected.extend_from_slice(sample);
        return Err(Error::shape(what, expected.as_slice().text(), shape));
    }
    if shape[0] == 0 {
        return Err(Error::shape(what, "at least one sample", shape));
    }
    Ok(shape[1..].to_vec())
}

impl std::fmt::Debug for Model {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Model on {}\n{}", self.device.name(), self.summary())
    }
}
