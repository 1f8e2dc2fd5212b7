//! From layers to device operations: the forward pass is emitted as the layers are walked, each layer leaves on a tape
//! how its gradient is computed, and the tape is emitted last to first.

mod views;

use super::graph::{Edge, Graph};
use super::placement::{Layout, Placed, Planned};
use crate::Result;
use crate::device::{Device, IndexBuffer, IndexSlice, LayerOp, Op, Port, Slice};
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
    gradients: HashMap<usize, Slice>,
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
    values: usize,
    streams: u32,
    /// which step of the whole sequence the first one at hand is
    first_step: usize,
}

/// A finished list of operations with the buffers it lives in.
pub(crate) struct Lowered {
    pub ops: Vec<Op>,
    pub buffers: Placed,
    pub index_buffers: Vec<IndexBuffer>,
    /// by part and state, where any gradient has reached it
    pub start_state_gradients: HashMap<usize, Vec<Option<Slice>>>,
}

/// A finished list of operations whose buffers have no memory yet.
pub(crate) struct LaidOut<'a> {
    device: &'a Device,
    ops: Vec<Op>,
    layout: Layout,
    index_buffers: Vec<IndexBuffer>,
    state_gradients: HashMap<usize, Vec<Option<Slice>>>,
}

impl LaidOut<'_> {
    /// Values that the program's buffers take together.
    pub fn len(&self) -> usize {
        let indices: usize = self.index_buffers.iter().map(|b| b.all().len).sum();
        self.layout.len() + indices
    }

    /// Values that the kernels of any one operation take beside them, at most.
    pub fn scratch(&self) -> usize {
        self.ops.iter().map(Op::scratch).max().unwrap_or(0)
    }

    pub fn place(mut self) -> Result<Lowered> {
        let buffers = self.layout.place(self.device, &mut self.ops)?;
        let mut state_gradients = self.state_gradients;
        for slice in state_gradients.values_mut().flatten().flatten() {
            *slice = buffers.slice(*slice);
        }
        let (ops, index_buffers) = (self.ops, self.index_buffers);
        Ok(Lowered { ops, buffers, index_buffers, start_state_gradients: state_gradients })
    }
}

impl Lowered {
    /// A port of the program, where its buffer has come to stand.
    pub fn port(&self, port: Port) -> Port {
        port.at(self.buffers.slice(port.slice()))
    }

    /// All of several ports.
    pub fn ports(&self, ports: &[Port]) -> Vec<Port> {
        ports.iter().map(|&port| self.port(port)).collect()
    }
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
            values: 0,
            streams: 0,
            first_step: 0,
        }
    }

    pub fn with_state_gradients(mut self) -> Self {
        self.state_gradients = true;
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

    /// The states that a part ended with.
    pub fn ends(&self, part: usize) -> Option<Vec<Value>> {
        self.ends.get(&part).cloned()
    }

    /// Gradients of the states that the parts started from.
    pub fn start_gradients(&self) -> Vec<(usize, Vec<Option<Slice>>)> {
        let gradient = |value: &Value| self.gradients.get(&value.id).copied();
        self.starts.iter().map(|(&part, values)| (part, values.iter().map(gradient).collect())).collect()
    }

    /// Streams of random numbers that have been given out.
    pub fn streams(&self) -> u32 {
        self.streams
    }

    /// What follows is a segment of the time axis from `first_step` on, which draws from the streams behind the first
    /// `streams`, starts from the given states and leaves its last ones there; `backward` says whether it has a backward
    /// pass, none means that all but the segment is as it was at first.
    pub fn begin_segment(
        &mut self,
        states: &StateSlices,
        first_step: usize,
        streams: u32,
        backward: Option<bool>,
    ) {
        self.states = states.clone();
        self.first_step = first_step;
        self.recording = backward.unwrap_or(self.training);
        if backward.is_some() {
            self.streams = streams;
            self.starts.clear();
            self.ends.clear();
            self.used_parts.clear();
        }
    }

    /// From now on, gradients of the start states are wanted or not.
    pub fn want_state_gradients(&mut self, wanted: bool) {
        self.state_gradients = wanted;
    }

    /// Whether layers have made masks of their own from what they were given.
    pub fn makes_masks(&self) -> bool {
        let makes = |op: &Op| {
            matches!(op, Op::Layer(LayerOp::FlagsFromValues { .. } | LayerOp::FlagsFromLengths { .. }))
        };
        self.ops.iter().any(makes)
    }

    /// Which value of the whole sequence the first one of `x` is, where `x` is a segment of a sequence.
    pub fn first_value(&self, x: &Value) -> usize {
        if x.shape.len() > 1 { self.first_step * (x.data.len / x.shape[0]) } else { 0 }
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

    /// What the host writes before a run, or reads after it, keeps its memory for itself.
    pub fn keep(&mut self, slice: Slice) {
        self.buffers.keep(slice);
    }

    /// A buffer of step flags or indices that lives as long as the program.
    pub fn index_buffer(&mut self, len: usize) -> Result<IndexSlice> {
        let buffer = self.device.alloc_index(len)?;
        let slice = buffer.all();
        self.index_buffers.push(buffer);
        Ok(slice)
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

    /// Puts `f` on the tape.
    pub fn backward(&mut self, f: impl FnOnce(&mut Lowering<'a>) -> Result<()> + 'a) {
        if self.recording {
            self.tape.push(Box::new(f));
        }
    }

    /// The gradient that has reached `value`, if any has.
    pub fn gradient(&self, value: &Value) -> Option<Slice> {
        self.gradients.get(&value.id).copied()
    }

    /// Where to write the gradient of `x`; `None` where it is not wanted. What is written there counts once
    /// [`arrived`](Self::arrived) is called.
    pub fn wanted(&mut self, x: &Value) -> Result<Option<Slice>> {
        if !x.needs_gradient {
            return Ok(None);
        }
        match self.place_of_view(x)? {
            Some(place) => Ok(Some(place)),
            None => Ok(Some(self.scratch(x.data.len)?)),
        }
    }

    /// The gradient of `x` stands at `at`: it is added to what has come before.
    pub fn arrived(&mut self, x: &Value, at: Option<Slice>) {
        let Some(at) = at else { return };
        match self.gradients.get(&x.id).copied() {
            Some(sum) => self.emit(Op::AddAssign { x: at, y: sum }),
            None => {
                self.gradients.insert(x.id, at);
            }
        }
    }

    /// The gradient `dy` of a value, read for the last time, becomes that of `x`, or is added to it.
    pub fn hand_on(&mut self, x: &Value, dy: Slice) -> Result<()> {
        if !x.needs_gradient {
            return Ok(());
        }
        let mut at = dy;
        if self.gradient(x).is_some_and(|sum| sum.buffer == dy.buffer) {
            // Parts of one sequence's gradient: an operation reads no buffer that it writes.
            at = self.scratch(dy.len)?;
            self.emit(Op::Copy { x: dy, y: at });
        }
        self.arrived(x, Some(at));
        Ok(())
    }

    /// Lets `f` write the gradient of `x` into the slice it is given (`None` where it is not wanted), and adds it to
    /// what has come there before.
    pub fn propagate(&mut self, x: &Value, f: impl FnOnce(&mut Self, Option<Slice>)) -> Result<()> {
        let to = self.wanted(x)?;
        f(self, to);
        self.arrived(x, to);
        Ok(())
    }

    /// Walks the layers forward and gives the outputs.
    pub fn forward(&mut self, graph: &Graph, nodes: &[Node], inputs: Vec<Value>) -> Result<Vec<Value>> {
        let mut made: Vec<Vec<Value>> = Vec::with_capacity(graph.calls.len());
        let at = |made: &[Vec<Value>], edge: &Edge| match *edge {
            Edge::Input(i) => inputs[i].clone(),
            Edge::Output { call, output } => made[call][output].clone(),
        };
        for call in &graph.calls {
            let node = &nodes[call.layer];
            let args: Vec<Value> = call.inputs.iter().map(|edge| at(&made, edge)).collect();
            // Nothing behind this call is trained: no backward pass, and nothing saved for it.
            let idle = node.gradients.is_empty() && !args.iter().any(|x| x.needs_gradient);
            let outer = self.recording;
            self.recording &= !idle || self.state_gradients;
            let outputs = node.layer.kind().lower(self, node, &args);
            self.recording = outer;
            made.push(outputs?);
        }
        Ok(graph.outputs.iter().map(|edge| at(&made, edge)).collect())
    }

    /// Emits the backward pass.
    pub fn unwind(&mut self) -> Result<()> {
        while let Some(step) = self.tape.pop() {
            step(self)?;
        }
        Ok(())
    }

    /// Gives the program's buffers their memory.
    ///
    /// # Errors
    /// When the device lacks it.
    pub fn finish(self) -> Result<Lowered> {
        self.lay_out().place()
    }

    /// Finds out what memory the program needs.
    pub fn lay_out(mut self) -> LaidOut<'a> {
        let mut state_gradients: HashMap<usize, Vec<Option<Slice>>> = HashMap::new();
        if self.state_gradients {
            for (&part, values) in &self.starts {
                let found: Vec<_> = values.iter().map(|v| self.gradients.get(&v.id).copied()).collect();
                found.iter().flatten().for_each(|&at| self.buffers.keep(at));
                state_gradients.insert(part, found);
            }
        }
        let layout = self.buffers.layout(&mut self.ops);
        let (device, ops, index_buffers) = (self.device, self.ops, self.index_buffers);
        LaidOut { device, ops, layout, index_buffers, state_gradients }
    }
}
