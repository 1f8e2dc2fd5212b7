//! LSTM, GRU and SimpleRNN. One set of options and one lowering; what differs is the cell.

use super::composite::{self, Composite};
use super::{Activate, Initializer, LayerKind, RecurrentTraits, SampleShape, VariableSpec, sequence_shape};
use crate::device::{Op, RecurrentGradients, RecurrentInputs, RecurrentUpstream};
use crate::model::lowering::{Lowering, Node, Value};
use crate::{Error, Result};
use rnn_shaders::shape::RecurrentShape;
use rnn_shaders::vocabulary::{Activation, Cell};
use serde::{Deserialize, Serialize};

/// Options that only an LSTM has.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LstmOptions {
    activation: Activate,
    recurrent_activation: Activate,
    unit_forget_bias: bool,
}

/// Options that only a GRU has.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GruOptions {
    activation: Activate,
    recurrent_activation: Activate,
    reset_after: bool,
}

/// Options that only a SimpleRNN has.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SimpleRnnOptions {
    activation: Activate,
}

/// A recurrent layer: `[batch, time, features]` to `[batch, time, units]` or, without `return_sequences`, to the last
/// output `[batch, units]`. Built as [`Lstm`], [`Gru`] or [`SimpleRnn`]; names and defaults are Keras's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Recurrent<C> {
    units: usize,
    #[serde(flatten)]
    cell: C,
    use_bias: bool,
    kernel_initializer: Initializer,
    recurrent_initializer: Initializer,
    bias_initializer: Initializer,
    return_sequences: bool,
    return_state: bool,
    go_backwards: bool,
    stateful: bool,
}

/// Long short-term memory (Hochreiter and Schmidhuber 1997, with the forget gate of Gers et al. 2000).
///
/// With gates `i, f, c, o` from `z = x W + h U + b`: `c' = f * c + i * act(z_c)`, `h' = o * act(c')`.
/// Weights: kernel `[features, 4 units]`, recurrent kernel `[units, 4 units]`, bias `[4 units]`.
///
/// ```
/// use rnn_model::layer::Lstm;
/// let layer = Lstm::new(32).return_sequences(true).stateful(true);
/// ```
pub type Lstm = Recurrent<LstmOptions>;

/// Gated recurrent unit (Cho et al. 2014): `h' = z * h + (1 - z) * h~`.
///
/// With `reset_after` (the default, and cuDNN's form) `h~ = act(x_h + r * (h U_h + b_h))`, else
/// `h~ = act(x_h + (r * h) U_h)`. Weights: kernel `[features, 3 units]`, recurrent kernel `[units, 3 units]`, bias
/// `[2, 3 units]` with `reset_after`, else `[3 units]`; gate order `z, r, h`.
pub type Gru = Recurrent<GruOptions>;

/// Fully connected recurrent layer: `h' = act(x W + h U + b)`.
pub type SimpleRnn = Recurrent<SimpleRnnOptions>;

/// The cell behind a set of options.
pub trait CellOptions {
    const CLASS: &'static str;
    fn composite(&self) -> Composite;
    fn unit_forget_bias(&self) -> bool {
        false
    }
    /// The cell that a fused kernel runs, unless an activation needs more than its own output.
    fn fused(&self) -> Option<Cell> {
        match self.composite() {
            Composite::Lstm { activation, recurrent_activation } => Some(Cell::Lstm {
                activation: fusable(activation)?,
                recurrent_activation: fusable(recurrent_activation)?,
            }),
            Composite::Gru { activation, recurrent_activation, reset_after } => Some(Cell::Gru {
                activation: fusable(activation)?,
                recurrent_activation: fusable(recurrent_activation)?,
                reset_after,
            }),
            Composite::SimpleRnn { activation } => Some(Cell::SimpleRnn { activation: fusable(activation)? }),
        }
    }
}

fn fusable(activate: Activate) -> Option<Activation> {
    match activate {
        Activate::Each(kind) if kind.derivative_from_output() => Some(kind),
        _ => None,
    }
}

impl CellOptions for LstmOptions {
    const CLASS: &'static str = "LSTM";
    fn composite(&self) -> Composite {
        Composite::Lstm { activation: self.activation, recurrent_activation: self.recurrent_activation }
    }
    fn unit_forget_bias(&self) -> bool {
        self.unit_forget_bias
    }
}

impl CellOptions for GruOptions {
    const CLASS: &'static str = "GRU";
    fn composite(&self) -> Composite {
        let GruOptions { activation, recurrent_activation, reset_after } = *self;
        Composite::Gru { activation, recurrent_activation, reset_after }
    }
}

impl CellOptions for SimpleRnnOptions {
    const CLASS: &'static str = "SimpleRNN";
    fn composite(&self) -> Composite {
        Composite::SimpleRnn { activation: self.activation }
    }
}

impl Lstm {
    /// A layer of `units` with Keras's defaults.
    pub fn new(units: usize) -> Self {
        let cell = LstmOptions {
            activation: Activation::Tanh.into(),
            recurrent_activation: Activation::Sigmoid.into(),
            unit_forget_bias: true,
        };
        Self::with_cell(units, cell)
    }

    /// Of the candidate and of the cell state on its way out; tanh.
    pub fn activation(mut self, activation: impl Into<Activate>) -> Self {
        self.cell.activation = activation.into();
        self
    }

    /// Of the three gates; sigmoid.
    pub fn recurrent_activation(mut self, activation: impl Into<Activate>) -> Self {
        self.cell.recurrent_activation = activation.into();
        self
    }

    /// Start the forget gate's bias at 1 (Jozefowicz et al. 2015); true.
    pub fn unit_forget_bias(mut self, on: bool) -> Self {
        self.cell.unit_forget_bias = on;
        self
    }
}

impl Gru {
    /// A layer of `units` with Keras's defaults.
    pub fn new(units: usize) -> Self {
        let cell = GruOptions {
            activation: Activation::Tanh.into(),
            recurrent_activation: Activation::Sigmoid.into(),
            reset_after: true,
        };
        Self::with_cell(units, cell)
    }

    /// Of the candidate; tanh.
    pub fn activation(mut self, activation: impl Into<Activate>) -> Self {
        self.cell.activation = activation.into();
        self
    }

    /// Of the two gates; sigmoid.
    pub fn recurrent_activation(mut self, activation: impl Into<Activate>) -> Self {
        self.cell.recurrent_activation = activation.into();
        self
    }

    /// Apply the reset gate after the recurrent product; true.
    pub fn reset_after(mut self, on: bool) -> Self {
        self.cell.reset_after = on;
        self
    }
}

impl SimpleRnn {
    /// A layer of `units` with Keras's defaults.
    pub fn new(units: usize) -> Self {
        Self::with_cell(units, SimpleRnnOptions { activation: Activation::Tanh.into() })
    }

    /// Of the new state; tanh.
    pub fn activation(mut self, activation: impl Into<Activate>) -> Self {
        self.cell.activation = activation.into();
        self
    }
}

impl<C> Recurrent<C> {
    fn with_cell(units: usize, cell: C) -> Self {
        Recurrent {
            units,
            cell,
            use_bias: true,
            kernel_initializer: Initializer::GlorotUniform,
            recurrent_initializer: Initializer::Orthogonal,
            bias_initializer: Initializer::Zeros,
            return_sequences: false,
            return_state: false,
            go_backwards: false,
            stateful: false,
        }
    }

    /// Add a bias; true.
    pub fn use_bias(mut self, on: bool) -> Self {
        self.use_bias = on;
        self
    }

    /// Start of the kernel; Glorot uniform.
    pub fn kernel_initializer(mut self, initializer: Initializer) -> Self {
        self.kernel_initializer = initializer;
        self
    }

    /// Start of the recurrent kernel; orthogonal.
    pub fn recurrent_initializer(mut self, initializer: Initializer) -> Self {
        self.recurrent_initializer = initializer;
        self
    }

    /// Start of the bias; zeros.
    pub fn bias_initializer(mut self, initializer: Initializer) -> Self {
        self.bias_initializer = initializer;
        self
    }

    /// Give every step's output, not only the last one's; false.
    pub fn return_sequences(mut self, on: bool) -> Self {
        self.return_sequences = on;
        self
    }

    /// Give the last states too, to [`Model::predict_with_states`](crate::Model::predict_with_states); false.
    pub fn return_state(mut self, on: bool) -> Self {
        self.return_state = on;
        self
    }

    /// Run from the last step to the first; outputs come in the order in which they are made; false.
    pub fn go_backwards(mut self, on: bool) -> Self {
        self.go_backwards = on;
        self
    }

    /// Sample i of a batch goes on from the state of sample i of the batch before, until `reset_states`; false.
    pub fn stateful(mut self, on: bool) -> Self {
        self.stateful = on;
        self
    }
}

impl<C: CellOptions> Recurrent<C> {
    pub(crate) fn traits(&self) -> RecurrentTraits {
        RecurrentTraits {
            fused: self.cell.fused(),
            states: if matches!(self.cell.composite(), Composite::Lstm { .. }) { 2 } else { 1 },
            units: self.units,
            stateful: self.stateful,
            return_state: self.return_state,
        }
    }

    fn gates(&self) -> usize {
        self.cell.composite().gates()
    }

    fn bias(&self) -> VariableSpec {
        let u = self.units;
        match self.cell.composite() {
            Composite::Gru { reset_after: true, .. } => {
                VariableSpec::new("bias", vec![2, 3 * u], self.bias_initializer)
            }
            Composite::Lstm { .. } if self.cell.unit_forget_bias() => VariableSpec {
                name: "bias",
                shape: vec![4 * u],
                start: vec![
                    (u, self.bias_initializer),
                    (u, Initializer::Ones),
                    (2 * u, self.bias_initializer),
                ],
            },
            _ => VariableSpec::new("bias", vec![self.gates() * u], self.bias_initializer),
        }
    }
}

impl<C: CellOptions + Clone> LayerKind for Recurrent<C> {
    fn class(&self) -> &'static str {
        C::CLASS
    }

    fn output_shape(&self, input: &[Option<usize>]) -> Result<SampleShape> {
        let (time, _) = sequence_shape(C::CLASS, input)?;
        if self.units == 0 {
            return Err(Error::invalid(C::CLASS, "units must be at least 1"));
        }
        let units = Some(self.units);
        Ok(if self.return_sequences { vec![time, units] } else { vec![units] })
    }

    fn variables(&self, input: &[Option<usize>]) -> Vec<VariableSpec> {
        let features = input[1].unwrap_or(0);
        let cols = self.gates() * self.units;
        let mut variables = vec![
            VariableSpec::new("kernel", vec![features, cols], self.kernel_initializer),
            VariableSpec::new("recurrent_kernel", vec![self.units, cols], self.recurrent_initializer),
        ];
        if self.use_bias {
            variables.push(self.bias());
        }
        variables
    }

    fn lower(&self, l: &mut Lowering<'_>, node: &Node, x: Value) -> Result<Value> {
        let x = if self.go_backwards { super::shaping::reverse_time(l, x)? } else { x };
        let Some(cell) = self.cell.fused() else {
            return composite::lower(l, node, self.cell.composite(), self.units, x, self.return_sequences);
        };
        let (time, units) = (x.shape[0], self.units);
        let shape = RecurrentShape { time, batch: l.batch(), input: x.shape[1], units };
        let slot = shape.batch * units;
        let h = l.buffer((time + 1) * slot)?;
        let c = if cell.states() == 2 { Some(l.buffer((time + 1) * slot)?) } else { None };
        let saved = match l.training() {
            true => Some(l.buffer(l.saved_len(cell, shape))?),
            false => None,
        };
        let state = l.state(node.index);
        if let Some(state) = state {
            l.emit(Op::Copy { x: state.h, y: h.part(0, slot) });
            if let (Some(from), Some(c)) = (state.c, c) {
                l.emit(Op::Copy { x: from, y: c.part(0, slot) });
            }
        }
        let io = RecurrentInputs {
            x: x.data,
            kernel: node.weights[0],
            recurrent: node.weights[1],
            bias: node.weights.get(2).copied(),
            flags: None,
            h,
            c,
            saved,
        };
        l.emit(Op::RecurrentForward { cell, shape, io });
        if let Some(state) = state {
            l.emit(Op::Copy { x: h.part(time * slot, slot), y: state.h });
            if let (Some(to), Some(c)) = (state.c, c) {
                l.emit(Op::Copy { x: c.part(time * slot, slot), y: to });
            }
        }
        let y = if self.return_sequences {
            l.value(h.part(slot, time * slot), vec![time, units])
        } else {
            l.value(h.part(time * slot, slot), vec![units])
        };
        let (output, sequences, index) = (y.clone(), self.return_sequences, node.index);
        let grads = node.gradients.clone();
        l.backward(move |l| {
            let Some(dy) = l.gradient(&output) else { return Ok(()) };
            let up = match sequences {
                true => RecurrentUpstream { dy: Some(dy), dh_last: None, dc_last: None },
                false => RecurrentUpstream { dy: None, dh_last: Some(dy), dc_last: None },
            };
            let (h0, c0) = l.state_gradient(index, slot, cell.states() == 2)?;
            let (kernel, recurrent, bias) = (grads[0], grads[1], grads.get(2).copied());
            l.propagate(&x, |l, dx| {
                let out = RecurrentGradients { kernel, recurrent, bias, x: dx, h0, c0 };
                l.emit(Op::RecurrentBackward { cell, shape, io, up, out });
            })
        });
        Ok(y)
    }
}
