//! The options of each cell, what they mean, and their builders.

use super::{Gru, Lstm, Recurrent, SimpleRnn};
use crate::layer::Activate;
use crate::layer::composite::Equations;
use rnn_shaders::vocabulary::{Activation, Cell};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Options that only an LSTM has.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LstmOptions {
    activation: Activate,
    recurrent_activation: Activate,
    #[serde(default)]
    output_activation: Option<Activate>,
    unit_forget_bias: bool,
    #[serde(default)]
    peepholes: bool,
    #[serde(default)]
    input_forget: bool,
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

/// The cell behind a set of options.
pub trait CellOptions:
    Clone + std::fmt::Debug + PartialEq + Serialize + DeserializeOwned + Send + Sync + 'static
{
    const CLASS: &'static str;
    /// Keras's name of the cell alone
    const CELL_CLASS: &'static str;
    /// A layer of `units` with Keras's defaults.
    fn layer(units: usize) -> Recurrent<Self>;
    fn equations(&self) -> Equations;
    fn unit_forget_bias(&self) -> bool {
        false
    }
    /// The cell that a fused kernel runs, unless an activation needs more than its own output.
    fn fused(&self) -> Option<Cell> {
        match self.equations() {
            Equations::Lstm { activation, recurrent_activation, output_activation, .. } => Some(Cell::Lstm {
                activation: fusable(activation)?,
                recurrent_activation: fusable(recurrent_activation)?,
                output_activation: fusable(output_activation)?,
            }),
            Equations::Gru { activation, recurrent_activation, reset_after } => Some(Cell::Gru {
                activation: fusable(activation)?,
                recurrent_activation: fusable(recurrent_activation)?,
                reset_after,
            }),
            Equations::SimpleRnn { activation } => Some(Cell::SimpleRnn { activation: fusable(activation)? }),
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
    const CELL_CLASS: &'static str = "LSTMCell";
    fn layer(units: usize) -> Lstm {
        Lstm::new(units)
    }
    fn equations(&self) -> Equations {
        let LstmOptions { activation, recurrent_activation, output_activation, .. } = *self;
        Equations::Lstm {
            activation,
            recurrent_activation,
            output_activation: output_activation.unwrap_or(activation),
            peepholes: self.peepholes,
            coupled: self.input_forget,
        }
    }
    fn unit_forget_bias(&self) -> bool {
        self.unit_forget_bias
    }
}

impl CellOptions for GruOptions {
    const CLASS: &'static str = "GRU";
    const CELL_CLASS: &'static str = "GRUCell";
    fn layer(units: usize) -> Gru {
        Gru::new(units)
    }
    fn equations(&self) -> Equations {
        let GruOptions { activation, recurrent_activation, reset_after } = *self;
        Equations::Gru { activation, recurrent_activation, reset_after }
    }
}

impl CellOptions for SimpleRnnOptions {
    const CLASS: &'static str = "SimpleRNN";
    const CELL_CLASS: &'static str = "SimpleRNNCell";
    fn layer(units: usize) -> SimpleRnn {
        SimpleRnn::new(units)
    }
    fn equations(&self) -> Equations {
        Equations::SimpleRnn { activation: self.activation }
    }
}

impl Lstm {
    /// A layer of `units` with Keras's defaults.
    pub fn new(units: usize) -> Self {
        let cell = LstmOptions {
            activation: Activation::Tanh.into(),
            recurrent_activation: Activation::Sigmoid.into(),
            output_activation: None,
            unit_forget_bias: true,
            peepholes: false,
            input_forget: false,
        };
        Self::with_cell(units, cell)
    }

    /// Of the candidate and, unless [`output_activation`](Lstm::output_activation) says otherwise, of the cell state on its
    /// way out; tanh.
    pub fn activation(mut self, activation: impl Into<Activate>) -> Self {
        self.cell.activation = activation.into();
        self
    }

    /// Of the three gates; sigmoid.
    pub fn recurrent_activation(mut self, activation: impl Into<Activate>) -> Self {
        self.cell.recurrent_activation = activation.into();
        self
    }

    /// Of the cell state on its way out, `h' = o * out_act(c')` (ONNX's third activation); that of the candidate, as in
    /// Keras, which has one for both.
    pub fn output_activation(mut self, activation: impl Into<Activate>) -> Self {
        self.cell.output_activation = Some(activation.into());
        self
    }

    /// Start the forget gate's bias at 1 (Jozefowicz et al. 2015); true.
    pub fn unit_forget_bias(mut self, on: bool) -> Self {
        self.cell.unit_forget_bias = on;
        self
    }

    /// Let the gates see the cell state, by a weight for each unit (Gers and Schmidhuber 2000): `p_i c` and `p_f c` of the
    /// step before in the input and the forget gate, `p_o c'` in the output gate. The weights are one more array
    /// `[3, units]` behind the others, in the order i, o, f (ONNX's `P`), zero at the start; false.
    pub fn peepholes(mut self, on: bool) -> Self {
        self.cell.peepholes = on;
        self
    }

    /// Let the forget gate be `1 - i`; its own weights have no part then (ONNX's `input_forget`); false.
    pub fn input_forget(mut self, on: bool) -> Self {
        self.cell.input_forget = on;
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
