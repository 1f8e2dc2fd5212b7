//! The words that both devices share: activations, cells, scores, optimisers, step flags, and the record of what
//! changes from one train step to the next. The numeric codes are what WGSL sees.

use bytemuck::{Pod, Zeroable};

/// An element-wise activation. Softmax, which couples a row, is an operation of its own.
///
/// Formulas and constants are Keras 3's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum Activation {
    /// `x`
    Linear = 0,
    /// `tanh(x)`
    Tanh = 1,
    /// `1 / (1 + exp(-x))`
    Sigmoid = 2,
    /// `max(x, 0)`
    Relu = 3,
    /// `relu6(x + 3) / 6` (Keras 3)
    HardSigmoid = 4,
    /// `ln(1 + exp(x))`
    Softplus = 5,
    /// `x / (1 + |x|)`
    Softsign = 6,
    /// `x` for `x > 0`, else `exp(x) - 1`
    Elu = 7,
    /// `1.05070098 * (x for x > 0, else 1.67326324 * (exp(x) - 1))`
    Selu = 8,
    /// `exp(x)`
    Exponential = 9,
    /// `x` for `x > 0`, else `0.2 * x`
    LeakyRelu = 10,
    /// `min(max(x, 0), 6)`
    Relu6 = 11,
    /// `x * sigmoid(x)`; its derivative needs the input
    Silu = 12,
    /// `0.5 * x * (1 + erf(x / sqrt 2))`; its derivative needs the input
    Gelu = 13,
}

impl Activation {
    /// Every activation, in code order.
    pub const ALL: [Activation; 14] = [
        Activation::Linear,
        Activation::Tanh,
        Activation::Sigmoid,
        Activation::Relu,
        Activation::HardSigmoid,
        Activation::Softplus,
        Activation::Softsign,
        Activation::Elu,
        Activation::Selu,
        Activation::Exponential,
        Activation::LeakyRelu,
        Activation::Relu6,
        Activation::Silu,
        Activation::Gelu,
    ];

    /// Whether the derivative can be written in terms of the output, so that a gate needs to save only that.
    pub fn derivative_from_output(self) -> bool {
        !matches!(self, Activation::Silu | Activation::Gelu)
    }
}

/// A recurrent cell: what a schedule needs to know of it. Gate order is Keras's (LSTM i, f, c, o; GRU z, r, h).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cell {
    /// Long short-term memory.
    Lstm {
        /// of the candidate and of the cell state on its way out (Keras `activation`)
        activation: Activation,
        /// of the gates i, f and o
        recurrent_activation: Activation,
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

impl Cell {
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

/// Bit of a step flag: the sample is present at this step. Without it state and output are carried over.
pub const VALID: u32 = 1;
/// Bit of a step flag: the sample's state is zero before this step, and no gradient crosses to the step before.
pub const RESET: u32 = 2;

/// A number per row of predictions: a loss before its mean, or a metric.
///
/// `y` is the target row, `p` the prediction row of `cols` values; every score is a mean over the row where the row
/// has several independent values, as Keras has it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Score {
    /// `mean((y - p)^2)`
    MeanSquaredError,
    /// `mean(|y - p|)`; derivative 0 at 0
    MeanAbsoluteError,
    /// `mean(e^2 / 2 where |e| <= delta, else delta |e| - delta^2 / 2)`
    Huber {
        /// where the square turns into a line; Keras 1.0
        delta: f32,
    },
    /// `mean(-y ln p - (1 - y) ln(1 - p))`, `p` clipped to `[1e-7, 1 - 1e-7]`, or from logits without a clip
    BinaryCrossentropy {
        /// predictions are logits
        from_logits: bool,
    },
    /// `-sum(y ln p)`, `p` divided by its sum and clipped to `[1e-7, 1 - 1e-7]`, or from logits by log-softmax
    CategoricalCrossentropy {
        /// predictions are logits
        from_logits: bool,
    },
    /// As categorical, the target one class index (a whole number kept as a float) per row
    SparseCategoricalCrossentropy {
        /// predictions are logits
        from_logits: bool,
    },
    /// `sum(y ln(y / p))`, both clipped to `[1e-7, 1]`
    KlDivergence,
    /// `mean((p > 0.5) == y)`; metric only
    BinaryAccuracy,
    /// `argmax p == argmax y`, the first of equals; metric only
    CategoricalAccuracy,
    /// `argmax p == y`; metric only
    SparseCategoricalAccuracy,
}

impl Score {
    /// The code that WGSL sees.
    pub fn code(self) -> u32 {
        match self {
            Score::MeanSquaredError => 0,
            Score::MeanAbsoluteError => 1,
            Score::Huber { .. } => 2,
            Score::BinaryCrossentropy { from_logits: false } => 3,
            Score::BinaryCrossentropy { from_logits: true } => 4,
            Score::CategoricalCrossentropy { from_logits: false } => 5,
            Score::CategoricalCrossentropy { from_logits: true } => 6,
            Score::SparseCategoricalCrossentropy { from_logits: false } => 7,
            Score::SparseCategoricalCrossentropy { from_logits: true } => 8,
            Score::KlDivergence => 9,
            Score::BinaryAccuracy => 10,
            Score::CategoricalAccuracy => 11,
            Score::SparseCategoricalAccuracy => 12,
        }
    }

    /// Whether the target has one class index per row in place of `cols` values.
    pub fn target_is_index(self) -> bool {
        matches!(self, Score::SparseCategoricalCrossentropy { .. } | Score::SparseCategoricalAccuracy)
    }

    /// Whether the score has a gradient, so that it can be a loss.
    pub fn is_loss(self) -> bool {
        self.code() < 10
    }
}

/// An update rule with its constants. Formulas are Keras 3's; what changes from step to step (the learning rate, the
/// bias corrections) is in [`StepParams`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OptimizerSpec {
    /// Which rule.
    pub rule: UpdateRule,
    /// Decoupled decay: `w -= w * weight_decay * lr` before the update; 0 for none.
    pub weight_decay: f32,
    /// Gradients are clipped to `[-clip_value, clip_value]` first; infinity for none.
    pub clip_value: f32,
}

/// The update rules. `m`, `v` and `x` are the slots, each as long as the parameters. Constants are in double precision,
/// so that `1 - beta` is that of the decimal number: from f32, `1 - 0.999` would be off by 5e-5 of itself.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum UpdateRule {
    /// No momentum: `w -= lr g`. Else `m = momentum m - lr g`, `w += m`, or with nesterov `w += momentum m - lr g`.
    Sgd {
        /// 0 needs no slot
        momentum: f64,
        /// look ahead
        nesterov: bool,
    },
    /// `v = rho v + (1 - rho) g^2`; centered: `x = rho x + (1 - rho) g`, denominator `v - x^2 + epsilon`, else
    /// `v + epsilon`; increment `lr g / sqrt(denominator)`; with momentum `m = momentum m + increment`, `w -= m`.
    RmsProp {
        /// decay of the mean square
        rho: f64,
        /// 0 for none
        momentum: f64,
        /// inside the root
        epsilon: f64,
        /// subtract the squared mean
        centered: bool,
    },
    /// `m += (g - m)(1 - beta_1)`, `v += (g^2 - v)(1 - beta_2)`, amsgrad `x = max(x, v)`;
    /// `w -= alpha m / (sqrt(v or x) + epsilon)` with `alpha = lr sqrt(1 - beta_2^t) / (1 - beta_1^t)`.
    Adam {
        /// decay of the mean
        beta_1: f64,
        /// decay of the mean square
        beta_2: f64,
        /// outside the root
        epsilon: f64,
        /// keep the maximum of `v`
        amsgrad: bool,
    },
}

impl UpdateRule {
    /// Slots the rule uses, of `[m, v, x]`.
    pub fn slots(self) -> [bool; 3] {
        match self {
            UpdateRule::Sgd { momentum, .. } => [momentum != 0.0, false, false],
            UpdateRule::RmsProp { momentum, centered, .. } => [momentum != 0.0, true, centered],
            UpdateRule::Adam { amsgrad, .. } => [true, true, amsgrad],
        }
    }
}

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
    /// `lr sqrt(1 - beta_2^t) / (1 - beta_1^t)` for Adam, else `lr`.
    pub alpha: f32,
}
