//! Which mask each value of a graph has, which one Keras has for it, and what has to be written where they differ: masks
//! passed to recurrent layers, poolings and softmaxes by hand, as operations compute them, and values that are given a mask.
//!
//! Here a mask is a value's own, whatever layer said so. In Keras it comes from `Masking` and `Embedding` alone, ends at
//! operations and where initial states are given, and a layer can be called with another one by `mask=`. A layer that makes no
//! use of masks lets both go by, so that a mask is passed no earlier than where it counts.

mod computed;
mod facts;
mod through;

use super::order::{self, Node, Operation};
use crate::{Error, Result};
use facts::{Options, keeps_steps, uses_mask_of_all};
use rnn_model::layer::Layer;
use rnn_model::{Edge, Graph};
use serde_json::Value as Json;
use std::collections::HashMap;

/// A value of what is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Source {
    Edge(Edge),
    /// what an extra gives
    Extra(usize),
}

/// An argument of an extra.
#[derive(Clone, Debug)]
pub(super) enum Argument {
    Value(Source),
    Constant(Json),
}

/// What stands in the model beside the layers.
#[derive(Clone, Debug)]
pub(super) struct Extra {
    pub class: &'static str,
    /// options of an operation; of none, it is the layer that passes values on with a mask
    pub config: Option<Json>,
    pub args: Vec<Argument>,
    /// with which mask it is called: the number of an extra
    pub mask: Option<usize>,
}

/// A call of a layer that is written.
#[derive(Clone, Debug)]
pub(super) struct Called {
    pub inputs: Vec<Source>,
    /// with which mask: the number of an extra
    pub mask: Option<usize>,
}

/// How a mask comes about; two that do in the same way are equal.
#[derive(Clone, Debug, PartialEq)]
enum How {
    /// steps with a feature that is not this number
    Differs(Source, f32),
    /// row numbers that are not 0
    Rows(Source),
    /// the first steps of a value, as many as the second says
    Lengths(Source, Source),
    Segments(Source),
    Either(usize, usize),
    Both(usize, usize),
    Reversed(usize),
    /// with a last axis of 1
    Wide(usize),
    /// of values put together
    Joined(usize),
}

/// The mask that Keras has for a value: which one, and the call that makes it.
#[derive(Clone, Copy, Debug)]
struct Theirs {
    mask: usize,
    node: usize,
}

#[derive(Clone, Copy, Debug)]
struct Value {
    source: Source,
    node: usize,
    ours: Option<usize>,
    theirs: Option<Theirs>,
}

impl Value {
    fn differs(&self) -> bool {
        self.ours != self.theirs.map(|theirs| theirs.mask)
    }
}

/// A graph as Keras has it.
#[derive(Debug, Default)]
pub(super) struct Plan {
    nodes: Vec<Node>,
    ends: Vec<usize>,
    /// of each call, if it is written
    pub calls: Vec<Option<Called>>,
    pub extras: Vec<Extra>,
    pub outputs: Vec<Source>,
    /// why the model would not be the same in Keras
    pub problem: Option<Error>,
    masks: Vec<How>,
    /// the extra that computes each mask, where it is written, and its call
    written: Vec<Option<(usize, usize)>>,
    /// how many operations Keras makes by itself
    auto: usize,
    /// the call that gives each value; of several, by the first
    of: HashMap<Source, usize>,
    /// of a sample of each value
    shapes: HashMap<Source, Vec<Option<usize>>>,
    /// of the layer under way, as errors name it
    place: String,
}

impl Plan {
    /// Works through the calls of a graph.
    ///
    /// # Errors
    /// When the layers do not fit together.
    pub fn of(graph: &Graph) -> Result<Plan> {
        let mut plan = Plan { shapes: shapes(graph)?, ..Plan::default() };
        let value = |source, node| Value { source, node, ours: None, theirs: None };
        let mut inputs = Vec::new();
        for i in 0..graph.inputs().len() {
            let (source, node) = (Source::Edge(Edge::Input(i)), plan.node(Operation::Input(i), Vec::new()));
            plan.of.insert(source, node);
            inputs.push(value(source, node));
        }
        let mut made: Vec<Vec<Value>> = Vec::new();
        let find = |made: &[Vec<Value>], edge: &Edge| match *edge {
            Edge::Input(i) => inputs[i],
            Edge::Output { call, output } => {
                let first = made[call][0];
                let other = Value { source: Source::Edge(*edge), ..value(first.source, first.node) };
                made[call].get(output).copied().unwrap_or(other)
            }
        };
        for (at, call) in graph.calls().iter().enumerate() {
            let layer = &graph.layers()[call.layer];
            plan.place = format!("layer {}", layer.name);
            let args: Vec<Value> = call.inputs.iter().map(|edge| find(&made, edge)).collect();
            let values = match plan.passes(graph, &layer.layer, &args) {
                Some(value) => {
                    plan.calls.push(None);
                    vec![value]
                }
                None => plan.call(at, call.layer, &layer.layer, args),
            };
            made.push(values);
        }
        for edge in graph.outputs() {
            plan.place = "an output of the model".to_owned();
            let value = find(&made, edge);
            let value = plan.settled(value);
            plan.outputs.push(value.source);
            plan.ends.push(value.node);
        }
        Ok(plan)
    }

    /// Inputs, layers and extras in Keras's order.
    pub fn order(&self) -> Vec<Operation> {
        order::of(&self.nodes, &self.ends)
    }

    fn node(&mut self, operation: Operation, inputs: Vec<usize>) -> usize {
        self.nodes.push(Node { operation, inputs });
        self.nodes.len() - 1
    }

    /// A call of an operation that Keras makes for a mask.
    fn auto(&mut self, inputs: Vec<usize>) -> usize {
        self.auto += 1;
        self.node(Operation::Mask(self.auto), inputs)
    }

    fn refuse(&mut self, problem: &str) {
        let place = &self.place;
        self.problem.get_or_insert_with(|| Error::unsupported(place, problem));
    }

    fn mask(&mut self, how: How) -> usize {
        if let Some(known) = self.masks.iter().position(|known| *known == how) {
            return known;
        }
        self.masks.push(how);
        self.written.push(None);
        self.masks.len() - 1
    }

    fn either(&mut self, a: usize, b: usize) -> usize {
        if a == b { a } else { self.mask(How::Either(a, b)) }
    }

    /// What a layer gives that is nothing but a mask: its input, with another mask here than in Keras.
    fn passes(&mut self, graph: &Graph, layer: &Layer, args: &[Value]) -> Option<Value> {
        let &[x, other] = args else { return None };
        let ours = match layer {
            Layer::WithMask(_) => other.ours,
            Layer::Lengths(_) => {
                let counted = self.counted(graph, x.source);
                let mask = self.mask(How::Lengths(counted, other.source));
                Some(self.both(x.ours, mask))
            }
            Layer::Packed(_) => {
                self.refuse("Keras has no series within a sequence; save it in this program's own format, .safetensors");
                let mask = self.mask(How::Segments(other.source));
                Some(self.both(x.ours, mask))
            }
            _ => return None,
        };
        Some(Value { ours, ..x })
    }

    /// The value whose steps are counted where `x` has lengths: an input of the model with as many, so that lengths that come
    /// from outside do not depend on layers.
    fn counted(&self, graph: &Graph, x: Source) -> Source {
        if let Some(steps) = self.steps(x) {
            let input = |i: &usize| self.steps(Source::Edge(Edge::Input(*i))) == Some(steps);
            return (0..graph.inputs().len()).find(input).map_or(x, |i| Source::Edge(Edge::Input(i)));
        }
        let mut x = x;
        while let Source::Edge(Edge::Output { call, .. }) = x {
            let call = &graph.calls()[call];
            let before = call.inputs.first().map(|&edge| Source::Edge(edge));
            match before.filter(|&before| self.steps(before).is_none()) {
                Some(before) if keeps_steps(&graph.layers()[call.layer].layer) => x = before,
                _ => break,
            }
        }
        x
    }

    /// How many steps a value has, where that is fixed.
    fn steps(&self, x: Source) -> Option<usize> {
        self.shapes.get(&x)?.first().copied().flatten()
    }

    fn both(&mut self, before: Option<usize>, mask: usize) -> usize {
        match before {
            None => mask,
            Some(before) => {
                self.refuse(
                    "it says which steps are there where another layer has said so already; Keras would forget the first",
                );
                self.mask(How::Both(before, mask))
            }
        }
    }

    /// A layer's call, and the values that it gives: the first one, and a second where that has a mask too.
    fn call(&mut self, at: usize, index: usize, layer: &Layer, mut args: Vec<Value>) -> Vec<Value> {
        if uses_mask_of_all(layer) {
            args = args.into_iter().map(|x| self.settled(x)).collect();
        }
        let mut inputs: Vec<usize> = args.iter().map(|x| x.node).collect();
        let sources = args.iter().map(|x| x.source).collect();
        let given = self.given(layer, &args, &mut inputs);
        let (ours, theirs) = self.masks_of(layer, &args, given);
        let node = self.node(Operation::Layer(index), inputs);
        self.calls.push(Some(Called { inputs: sources, mask: given.map(|(extra, ..)| extra) }));
        let outputs = if matches!(layer, Layer::Bidirectional(_)) { 2 } else { 1 };
        let source = |output| Source::Edge(Edge::Output { call: at, output });
        self.of.insert(source(0), node);
        (0..outputs).map(|output| Value { source: source(output), node, ours, theirs }).collect()
    }

    /// The mask that a layer which takes one is called with, if it is not the one that Keras passes by itself: the extra, its
    /// mask and its call. `inputs` gets the call that the layer has to wait for.
    fn given(
        &mut self,
        layer: &Layer,
        args: &[Value],
        inputs: &mut Vec<usize>,
    ) -> Option<(usize, usize, usize)> {
        let first = args.first()?;
        // Given initial states, Keras passes no mask by itself.
        let auto = first.theirs.filter(|_| args.len() == 1);
        let wanted = match layer {
            Layer::LSTM(_)
            | Layer::GRU(_)
            | Layer::SimpleRNN(_)
            | Layer::RNN(_)
            | Layer::Bidirectional(_) => {
                let both = matches!(layer, Layer::Bidirectional(_)) && first.ours.is_some();
                let options = Options::of(layer);
                if both && options.on("return_sequences") && !options.on("zero_output_for_mask") {
                    self.refuse(
                        "Keras gives 0 at masked steps of Bidirectional; set zero_output_for_mask(true)",
                    );
                }
                first.ours
            }
            Layer::GlobalAveragePooling1D(_) => first.ours,
            // It wants one with as many axes as its input.
            Layer::Softmax(_) => first.ours.map(|mask| self.mask(How::Wide(mask))),
            Layer::TimeDistributed(_) => {
                if first.ours.is_some() && super::masks::counts(layer) {
                    self.refuse("Keras hands a mask of steps to the layer within, this engine does not");
                }
                inputs.extend(auto.map(|auto| auto.node));
                return None;
            }
            _ => return None,
        };
        match (wanted, auto) {
            (None, None) => None,
            (Some(wanted), Some(auto)) if wanted == auto.mask => {
                inputs.push(auto.node);
                None
            }
            (Some(wanted), _) => {
                let (extra, node) = self.computed(wanted)?;
                inputs.push(node);
                Some((extra, wanted, node))
            }
            (None, Some(_)) => {
                self.refuse("it has no mask here, but one in Keras, which takes a mask from no layer; put a Reshape before it");
                None
            }
        }
    }
}

/// The shape of a sample of each value of a graph.
fn shapes(graph: &Graph) -> Result<HashMap<Source, Vec<Option<usize>>>> {
    let inputs = graph.inputs().iter().enumerate();
    let mut shapes: HashMap<Source, Vec<Option<usize>>> =
        inputs.map(|(i, x)| (Source::Edge(Edge::Input(i)), x.input.sample_shape().to_vec())).collect();
    for (call, outputs) in graph.call_shapes()?.into_iter().enumerate() {
        let of = |(output, shape)| (Source::Edge(Edge::Output { call, output }), shape);
        shapes.extend(outputs.into_iter().enumerate().map(of));
    }
    Ok(shapes)
}
