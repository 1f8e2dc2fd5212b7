//! From layers to device operations: the forward pass is emitted as the layers are walked, each layer leaves on a tape
//! how its gradient is computed, and the tape is emitted last to first.

mod program;
mod stretch;
mod tape;
mod views;

pub(crate) use program::{LaidOut, Lowered};
pub(crate) use stretch::RunStates;

use super::graph::{Edge, Graph};
use super::placement::Planned;
use crate::Result;
use crate::device::{Device, Gradient, IndexBuffer, IndexSlice, Op, Slice};
use crate::layer::Layer;
use rnn_shaders::shape::RecurrentShape;
use rnn_shaders::vocabulary::Cell;
use std::collections::{HashMap, HashSet};

/// A layer in its place in a model, or a part of a layer that is itself one.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub name: String,
    pub layer: Layer,
    /// where the weights stand, and their gradients, in the layer's order; no gradients where it is not trained
    pub weights: Vec<Slice>,
    pub gradients: Vec<Slice>,
    /// index of the first recurrent part among those of the model; `None` where nothing keeps states for it
    pub part: Option<usize>,
}

impl Node {
    /// A part of the layer with `weights` of its weights and its recurrent parts from `part` on.
    pub fn part(&self, weights: std::ops::Range<usize>, part: usize) -> Node {
        Node {
            name: self.name.clone(),
            layer: self.layer.clone(),
            gradients: if self.gradients.is_empty() {
                Vec::new()
            } else {
                self.gradients[weights.clone()].to_vec()
            },
            weights: self.weights[weights].to_vec(),
            part: self.part.map(|first| first + part),
        }
    }
}

/// A value between layers: `[features]` per sample as `[batch, features]`, `[time, ...]` as `[time, batch, ...]`.
#[derive(Clone, Debug)]
pub(crate) struct Value {
    /// values with the same id share one gradient
    id: usize,
    pub data: Slice,
    /// of one sample
    pub shape: Vec<usize>,
    needs_gradient: bool,
    /// what a softmax made this value from: a cross-entropy is computed from there
    pub logits: Option<Box<Value>>,
    /// step flags `[time, batch]`: which steps of which samples are there, and where a state starts anew
    pub mask: Option<IndexSlice>,
}

impl Value {
    /// A gradient by it is wanted.
    pub fn needs_gradient(&self) -> bool {
        self.needs_gradient
    }
}

/// Where the states of the recurrent parts of a model stand, by part: the states that a run starts from and leaves its
/// last ones in.
pub(crate) type StateSlices = HashMap<usize, Vec<Slice>>;

/// Values by where they come from.
pub(crate) type Made = HashMap<Edge, Value>;

/// Streams of random numbers that a call can have: a stack of 16 cells draws from a few each.
const STREAMS_OF_A_CALL: u32 = 1 << 10;

type Backward<'a> = Box<dyn FnOnce(&mut Lowering<'a>) -> Result<()> + 'a>;

/// The operations of one program as they come together.
pub(crate) struct Lowering<'a> {
    device: &'a Device,
    batch: usize,
    /// dropout drops
    training: bool,
    /// what is emitted now has a backward pass
    recording: bool,
    seed: u64,
    states: StateSlices,
    /// the running sum that layers' penalties go into
    penalties: Option<Slice>,
    /// gradients of the start states are wanted
    state_gradients: bool,
    ops: Vec<Op>,
    buffers: Planned,
    index_buffers: Vec<IndexBuffer>,
    tape: Vec<Backward<'a>>,
    gradients: HashMap<usize, Gradient>,
    /// parts of other values, by id
    views: HashMap<usize, views::View>,
    /// gradients of values that consist of parts, while the parts' are written there
    wholes: HashMap<usize, Slice>,
    /// the resident states that a run started from, as values
    starts: HashMap<usize, Vec<Value>>,
    /// recurrent parts that have been run
    used_parts: HashSet<usize>,
    /// the states that a run ended with
    ends: HashMap<usize, Vec<Value>>,
    /// parts that began with zero states, before what is at hand
    zero_starts: HashSet<usize>,
    /// what is at hand is a chunk of a longer sequence, which the program does not know
    chunks: bool,
    stretch: Option<stretch::Stretch>,
    kept: stretch::Kept,
    values: usize,
    streams: u32,
}

impl<'a> Lowering<'a> {
    pub fn new(device: &'a Device, batch: usize, training: bool, seed: u64, states: &StateSlices) -> Self {
        Lowering {
            device,
            batch,
            training,
            recording: training,
            seed,
            states: states.clone(),
            penalties: None,
            state_gradients: false,
            ops: Vec::new(),
            buffers: Planned::default(),
            index_buffers: Vec::new(),
            tape: Vec::new(),
            gradients: HashMap::new(),
            views: HashMap::new(),
            wholes: HashMap::new(),
            starts: HashMap::new(),
            used_parts: HashSet::new(),
            ends: HashMap::new(),
            zero_starts: HashSet::new(),
            chunks: false,
            stretch: None,
            kept: stretch::Kept::default(),
            values: 0,
            streams: 0,
        }
    }

    pub fn with_state_gradients(mut self) -> Self {
        self.state_gradients = true;
        self
    }

    /// Of a chunk of a sequence that goes on from chunk to chunk.
    pub fn of_chunk(mut self) -> Self {
        self.chunks = true;
        self
    }

    /// With a place where layers add their penalties on a batch.
    pub fn with_penalties(mut self, at: Slice) -> Self {
        self.penalties = Some(at);
        self
    }

    /// Where layers add their penalties on a batch, where a loss is made.
    pub fn penalties(&self) -> Option<Slice> {
        self.penalties
    }

    pub fn batch(&self) -> usize {
        self.batch
    }

    /// Runs `f` as if the batch had `batch` samples.
    pub fn with_batch<R>(&mut self, batch: usize, f: impl FnOnce(&mut Self) -> R) -> R {
        let outer = std::mem::replace(&mut self.batch, batch);
        let result = f(self);
        self.batch = outer;
        result
    }

    /// Dropout drops.
    pub fn training(&self) -> bool {
        self.training
    }

    /// What is emitted now has a backward pass.
    pub fn recording(&self) -> bool {
        self.recording
    }

    /// A stream of random numbers of its own, the same at each lowering of a model.
    pub fn stream(&mut self) -> u32 {
        self.streams += 1;
        self.streams - 1
    }

    /// Batches change their axes on the way to and from the host.
    pub fn swaps(&self) -> bool {
        self.device.engine().swaps()
    }

    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// Where the states of a part stand that it starts from and leaves its last states in, if they are kept.
    pub fn states(&self, part: Option<usize>) -> Option<Vec<Slice>> {
        self.states.get(&part?).cloned()
    }

    /// Whether a part is run for the first time in this program.
    pub fn first_use(&mut self, part: Option<usize>) -> bool {
        part.is_some_and(|part| self.used_parts.insert(part))
    }

    /// The kept states of a part as values that a run starts from, `sizes` values per sample each.
    pub fn start_states(&mut self, part: Option<usize>, sizes: &[usize]) -> Option<Vec<Value>> {
        let slices = self.states(part)?;
        let wanted = self.state_gradients;
        let values: Vec<Value> =
            slices.iter().zip(sizes).map(|(&s, &n)| self.input(s, vec![n], wanted)).collect();
        self.starts.insert(part?, values.clone());
        Some(values)
    }

    /// Notes the last states of a part, as values whose gradients may come from what follows.
    pub fn leave_states(&mut self, part: Option<usize>, states: &[Value]) {
        if let Some(part) = part {
            self.ends.insert(part, states.to_vec());
        }
    }

    pub fn saved_len(&self, cell: Cell, shape: RecurrentShape) -> usize {
        self.device.engine().saved_len(cell, shape)
    }

    pub fn emit(&mut self, op: impl Into<Op>) {
        self.ops.push(op.into());
    }

    /// A buffer of the program. What is read before the same run has written it is zero at first and what the run before
    /// left there later on; any other buffer shares its memory with those that are needed at other times.
    pub fn buffer(&mut self, len: usize) -> Result<Slice> {
        Ok(self.buffers.add(len))
    }

    /// The host writes this before each run.
    pub fn given(&mut self, slice: Slice) {
        self.buffers.given(slice);
    }

    /// What the host reads after a run keeps its memory for itself.
    pub fn keep(&mut self, slice: Slice) {
        self.buffers.keep(slice);
    }

    /// A buffer used within the backward pass only.
    pub fn scratch(&mut self, len: usize) -> Result<Slice> {
        self.buffer(len)
    }

    /// Room for weight gradients that nobody reads, as disjoint parts of one buffer.
    pub fn unused_gradients(&mut self, lens: Vec<usize>) -> Result<Vec<Slice>> {
        let room = |len: usize| len.next_multiple_of(super::weights::ALIGN);
        let all = self.scratch(lens.iter().map(|&len| room(len)).sum())?;
        let mut at = 0;
        let part = |len: usize| {
            at += room(len);
            all.part(at - room(len), len)
        };
        Ok(lens.into_iter().map(part).collect())
    }

    /// A new value standing at `data`.
    pub fn value(&mut self, data: Slice, shape: Vec<usize>) -> Value {
        self.values += 1;
        Value { id: self.values, data, shape, needs_gradient: self.recording, logits: None, mask: None }
    }

    /// A value from outside, whose gradient may not be wanted.
    pub fn input(&mut self, data: Slice, shape: Vec<usize>, needs_gradient: bool) -> Value {
        Value { needs_gradient: needs_gradient && self.recording, ..self.value(data, shape) }
    }

    /// The same value, seen in another shape.
    pub fn alias(&mut self, x: &Value, shape: Vec<usize>) -> Value {
        Value { shape, logits: None, ..x.clone() }
    }

    /// Walks the layers forward and gives the outputs.
    pub fn forward(&mut self, graph: &Graph, nodes: &[Node], inputs: Vec<Value>) -> Result<Vec<Value>> {
        let mut made: Made =
            inputs.into_iter().enumerate().map(|(i, value)| (Edge::Input(i), value)).collect();
        for index in 0..graph.calls.len() {
            let args = graph.calls[index].inputs.iter().map(|edge| made[edge].clone()).collect();
            self.call(graph, nodes, index, args, &mut made)?;
        }
        Ok(graph.outputs.iter().map(|edge| made[edge].clone()).collect())
    }

    /// One call of a layer: `args` are what it is applied to, its outputs go to those `made`.
    pub fn call(
        &mut self,
        graph: &Graph,
        nodes: &[Node],
        index: usize,
        args: Vec<Value>,
        made: &mut Made,
    ) -> Result<()> {
        let node = &nodes[graph.calls[index].layer];
        // Random numbers of a call do not depend on what has been lowered before it.
        self.streams = index as u32 * STREAMS_OF_A_CALL;
        // Nothing behind this call is trained: no backward pass, and nothing saved for it.
        let idle = node.gradients.is_empty() && !args.iter().any(|x| x.needs_gradient);
        let outer = self.recording;
        self.recording &= !idle || self.state_gradients;
        let outputs = node.layer.kind().lower(self, node, &args);
        self.recording = outer;
        let edge = |(output, value)| (Edge::Output { call: index, output }, value);
        made.extend(outputs?.into_iter().enumerate().map(edge));
        Ok(())
    }
}
