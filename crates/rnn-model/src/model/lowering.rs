//! From layers to device operations: the forward pass is emitted as the layers are walked, each layer leaves on a tape
//! how its gradient is computed, and the tape is emitted last to first.

use crate::Result;
use crate::device::{Buffer, Device, Op, Slice};
use crate::layer::Layer;
use rnn_shaders::shape::RecurrentShape;
use rnn_shaders::vocabulary::Cell;
use std::collections::HashMap;

/// A layer in its place in a model.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    /// place in the model, from 0; tells random streams and states apart
    pub index: usize,
    pub name: String,
    pub layer: Layer,
    /// shape of one output sample
    pub output: Vec<Option<usize>>,
    /// where the weights stand, and their gradients, in the layer's order
    pub weights: Vec<Slice>,
    pub gradients: Vec<Slice>,
}

/// A value between layers: `[features]` per sample as `[batch, features]`, `[time, features]` as
/// `[time, batch, features]`.
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
}

/// The states that one recurrent layer starts from and leaves its last states in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StateSlices {
    pub h: Slice,
    pub c: Option<Slice>,
}

type Backward<'a> = Box<dyn FnOnce(&mut Lowering<'a>) -> Result<()> + 'a>;

/// The operations of one program as they come together.
pub(crate) struct Lowering<'a> {
    device: &'a Device,
    batch: usize,
    training: bool,
    seed: u64,
    states: &'a HashMap<usize, StateSlices>,
    /// gradients of the start states are wanted
    state_gradients: bool,
    ops: Vec<Op>,
    buffers: Vec<Buffer>,
    tape: Vec<Backward<'a>>,
    gradients: HashMap<usize, Slice>,
    start_state_gradients: HashMap<usize, StateSlices>,
    values: usize,
}

/// A finished list of operations with the buffers it lives in.
pub(crate) struct Lowered {
    pub ops: Vec<Op>,
    pub buffers: Vec<Buffer>,
    pub start_state_gradients: HashMap<usize, StateSlices>,
}

impl<'a> Lowering<'a> {
    pub fn new(
        device: &'a Device,
        batch: usize,
        training: bool,
        seed: u64,
        states: &'a HashMap<usize, StateSlices>,
    ) -> Self {
        Lowering {
            device,
            batch,
            training,
            seed,
            states,
            state_gradients: false,
            ops: Vec::new(),
            buffers: Vec::new(),
            tape: Vec::new(),
            gradients: HashMap::new(),
            start_state_gradients: HashMap::new(),
            values: 0,
        }
    }

    pub fn with_state_gradients(mut self) -> Self {
        self.state_gradients = true;
        self
    }

    pub fn batch(&self) -> usize {
        self.batch
    }

    /// The backward pass will run, and dropout drops.
    pub fn training(&self) -> bool {
        self.training
    }

    /// Batches change their axes on the way to and from the host.
    pub fn swaps(&self) -> bool {
        self.device.engine().swaps()
    }

    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// States that the layer at `index` carries on from, if any.
    pub fn state(&self, index: usize) -> Option<StateSlices> {
        self.states.get(&index).copied()
    }

    pub fn saved_len(&self, cell: Cell, shape: RecurrentShape) -> usize {
        self.device.engine().saved_len(cell, shape)
    }

    pub fn emit(&mut self, op: Op) {
        self.ops.push(op);
    }

    /// A zeroed buffer that lives as long as the program.
    pub fn buffer(&mut self, len: usize) -> Result<Slice> {
        let buffer = self.device.alloc(len)?;
        let slice = buffer.all();
        self.buffers.push(buffer);
        Ok(slice)
    }

    /// A buffer used within the backward pass only.
    pub fn scratch(&mut self, len: usize) -> Result<Slice> {
        self.buffer(len)
    }

    /// A new value standing at `data`.
    pub fn value(&mut self, data: Slice, shape: Vec<usize>) -> Value {
        self.values += 1;
        Value { id: self.values, data, shape, needs_gradient: self.training, logits: None }
    }

    /// A value from outside, whose gradient may not be wanted.
    pub fn input(&mut self, data: Slice, shape: Vec<usize>, needs_gradient: bool) -> Value {
        Value { needs_gradient: needs_gradient && self.training, ..self.value(data, shape) }
    }

    /// The same value, seen in another shape.
    pub fn alias(&mut self, x: &Value, shape: Vec<usize>) -> Value {
        Value { shape, logits: None, ..x.clone() }
    }

    /// Puts `f` on the tape.
    pub fn backward(&mut self, f: impl FnOnce(&mut Lowering<'a>) -> Result<()> + 'a) {
        if self.training {
            self.tape.push(Box::new(f));
        }
    }

    /// The gradient that has reached `value`, if any has.
    pub fn gradient(&self, value: &Value) -> Option<Slice> {
        self.gradients.get(&value.id).copied()
    }

    /// Lets `f` write the gradient of `x` into the slice it is given (`None` where it is not wanted), and adds it to
    /// what has come there before.
    pub fn propagate(&mut self, x: &Value, f: impl FnOnce(&mut Self, Option<Slice>)) -> Result<()> {
        if !x.needs_gradient {
            f(self, None);
            return Ok(());
        }
        let to = self.scratch(x.data.len)?;
        f(self, Some(to));
        match self.gradients.get(&x.id).copied() {
            Some(sum) => self.emit(Op::AddAssign { x: to, y: sum }),
            None => {
                self.gradients.insert(x.id, to);
            }
        }
        Ok(())
    }

    /// The gradient of `x` to add to, zero when nothing has reached it; `None` where it is not wanted.
    pub fn gradient_sum(&mut self, x: &Value) -> Result<Option<Slice>> {
        if !x.needs_gradient {
            return Ok(None);
        }
        if let Some(sum) = self.gradients.get(&x.id).copied() {
            return Ok(Some(sum));
        }
        let sum = self.scratch(x.data.len)?;
        self.emit(Op::Fill { value: 0.0, y: sum });
        self.gradients.insert(x.id, sum);
        Ok(Some(sum))
    }

    /// Where the gradients of a layer's start states go, if they are wanted.
    pub fn state_gradient(
        &mut self,
        index: usize,
        len: usize,
        has_c: bool,
    ) -> Result<(Option<Slice>, Option<Slice>)> {
        if !self.state_gradients {
            return Ok((None, None));
        }
        let h = self.buffer(len)?;
        let c = if has_c { Some(self.buffer(len)?) } else { None };
        self.start_state_gradients.insert(index, StateSlices { h, c });
        Ok((Some(h), c))
    }

    /// Walks the layers forward.
    pub fn forward(&mut self, nodes: &[Node], input: Value) -> Result<Value> {
        nodes.iter().try_fold(input, |x, node| node.layer.kind().lower(self, node, x))
    }

    /// Emits the backward pass.
    pub fn unwind(&mut self) -> Result<()> {
        while let Some(step) = self.tape.pop() {
            step(self)?;
        }
        Ok(())
    }

    pub fn finish(self) -> Lowered {
        Lowered { ops: self.ops, buffers: self.buffers, start_state_gradients: self.start_state_gradients }
    }
}
