//! The words that both devices share: activations, cells, scores, optimisers, step flags, and the record of what
//! changes from one train step to the next. The numeric codes are what WGSL sees.

mod activation;
mod optimizer;
mod options;
mod score;
mod weights;

pub use activation::{Activation, Formula, Parametric, RowActivation};
pub use optimizer::{Factored, Matrix, OptimizerSpec, Trust, UpdateRule};
pub use options::{Draw, Noise, NoiseTerms, Normalization, Pool};
pub use score::{ColumnTerms, Constants, Score};
pub use weights::{Bound, Limit, Penalty};

use bytemuck::{Pod, Zeroable};

/// A recurrent cell: what a schedule needs to know of it. Gate order is Keras's (LSTM i, f, c, o; GRU z, r, h).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cell {
    /// Long short-term memory.
    Lstm {
        /// of the candidate (ONNX's g)
        activation: Activation,
        /// of the gates i, f and o (ONNX's f)
        recurrent_activation: Activation,
        /// of the cell state on its way out (ONNX's h); Keras has the candidate's here
        output_activation: Activation,
    },
    /// Gated recurrent unit.
    Gru {
        /// of the candidate
        activation: Activation,
        /// of the gates z and r
        recurrent_activation: Activation,
        /// the reset gate is applied after (true) or before (false) the recurrent product
        reset_after: bool,
    },
    /// `h = activation(x W + h U + b)`
    SimpleRnn {
        /// of the new state
        activation: Activation,
    },
}

/// The activations of a cell. One that it has no place for is the candidate's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CellActivations {
    /// of the candidate, or of the new state of a SimpleRNN
    pub candidate: Activation,
    /// of the gates
    pub gate: Activation,
    /// of an LSTM's cell state on its way out
    pub output: Activation,
}

impl CellActivations {
    /// All three.
    pub fn each(self) -> [Activation; 3] {
        [self.candidate, self.gate, self.output]
    }
}

impl Cell {
    /// Which activation stands where.
    pub fn activations(self) -> CellActivations {
        let (candidate, gate, output) = match self {
            Cell::Lstm { activation, recurrent_activation, output_activation } => {
                (activation, recurrent_activation, output_activation)
            }
            Cell::Gru { activation, recurrent_activation, .. } => {
                (activation, recurrent_activation, activation)
            }
            Cell::SimpleRnn { activation } => (activation, activation, activation),
        };
        CellActivations { candidate, gate, output }
    }

    /// Gate blocks of `units` columns in the kernel and the recurrent kernel.
    pub fn gates(self) -> usize {
        match self {
            Cell::Lstm { .. } => 4,
            Cell::Gru { .. } => 3,
            Cell::SimpleRnn { .. } => 1,
        }
    }

    /// States per sample: LSTM has h and c, the others h.
    pub fn states(self) -> usize {
        if matches!(self, Cell::Lstm { .. }) { 2 } else { 1 }
    }

    /// Length of the bias in blocks of `units`: GRU with `reset_after` has an input and a recurrent bias.
    pub fn bias_blocks(self) -> usize {
        match self {
            Cell::Gru { reset_after: true, .. } => 6,
            other => other.gates(),
        }
    }
}

/// What ONNX's cells have beyond Keras's, peepholes aside, which are weights. The default is none of it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct CellExtras {
    /// What goes into the activations of the gates and of the candidate is kept within `[-clip, clip]` (positive and
    /// finite); a gradient does not pass where the limit holds. The cell state's way out of an LSTM is not limited.
    pub clip: Option<f32>,
    /// LSTM: the forget gate is `1 - i`, and its weights have no part (as ONNX Runtime has `input_forget`).
    pub coupled: bool,
}

/// Bit of a step flag: the sample is present at this step. Without it state and output are carried over.
pub const VALID: u32 = 1;
/// Bit of a step flag: the sample's state is zero before this step, and no gradient crosses to the step before.
pub const RESET: u32 = 2;

/// What changes from one run of a recorded program to the next: filled by the host for many steps at a time, read by
/// kernels as a uniform (one 256-byte-aligned record per step, chosen by a dynamic offset).
#[derive(Clone, Copy, Debug, Default, PartialEq, Pod, Zeroable)]
#[repr(C)]
pub struct StepParams {
    /// Where this batch begins in the epoch's index list, or the step of a forecast.
    pub cursor: u32,
    /// Number of the forward pass since the model was made: part of the counter of random numbers.
    pub rng_step: u32,
    /// Learning rate of this step.
    pub lr: f32,
    /// A number of the update rule that depends on the step: see [`UpdateRule::factors`].
    pub alpha: f32,
    /// Another.
    pub beta: f32,
    /// Another.
    pub gamma: f32,
    /// What the update does in this step: bits [`HOLD`], [`EMA_START`], [`EMA_OVERWRITE`]; 0 for a plain update.
    pub phase: u32,
    /// Not used.
    pub rest: u32,
}

/// Bit of a step's phase: gradients are gathered, weights and slots stay.
pub const HOLD: u32 = 1;
/// Bit of a step's phase: the moving average of the weights starts from their present values.
pub const EMA_START: u32 = 2;
/// Bit of a step's phase: the weights take the values of their moving average.
pub const EMA_OVERWRITE: u32 = 4;
