//! Layer-normalised LSTM and GRU.

use super::{CellDefinition, CellOps, CellStep, CellValue, CellVariable, CellWeight};
use crate::layer::Initializer;
use crate::{Error, Result};
use rnn_shaders::vocabulary::Activation;
use serde::{Deserialize, Serialize};

/// Start of a gain; the paper's 1.
const GAIN: Initializer = Initializer::Ones;

/// Layer-normalised LSTM (Ba et al. 2016, arXiv:1607.06450, equations 20 to 22).
///
/// With `LN(a; g) = (a - mean a) / sqrt(variance a + epsilon) * g` over the last axis of a sample, gates `i, f, c, o` from
/// `z = LN(x W; g_x) + LN(h U; g_h) + b`: `c' = sigmoid(z_f) c + sigmoid(z_i) tanh(z_c)`,
/// `h' = sigmoid(z_o) tanh(LN(c'; g_c) + b_c)`. All `4 units` values of a product are normalised together. The paper's two
/// shifts within `z` count only as their sum, and are the one bias `b`; its part for the forget gate starts at 1.
///
/// Weights: kernel `W [features, 4 units]`, recurrent kernel `U [units, 4 units]`, bias `b [4 units]`, gains
/// `g_x [4 units]`, `g_h [4 units]`, `g_c [units]`, and `b_c [units]`.
///
/// ```
/// use rnn_model::layer::{LayerNormLstmCell, Rnn};
/// let layer = Rnn::new(LayerNormLstmCell::new(64)).return_sequences(true);
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LayerNormLstmCell {
    #[serde(flatten)]
    options: Options,
}

/// Layer-normalised GRU (Ba et al. 2016, arXiv:1607.06450, the supplement's equations for the GRU).
///
/// With `LN` as for [`LayerNormLstmCell`]: `z, r = sigmoid(LN(x W_zr; g_x) + LN(h U_zr; g_h) + b_zr)`,
/// `h~ = tanh(LN(x W_h; n_x) + r * LN(h U_h; n_h) + b_h)`, `h' = z h + (1 - z) h~`. The two gates are normalised together, the
/// candidate alone. (In the paper `z` and `1 - z` are the other way round; this is Keras's and PyTorch's way.)
///
/// Weights: kernel `W [features, 3 units]`, recurrent kernel `U [units, 3 units]` (gate order `z, r, h`), bias `b [3 units]`,
/// gains `[3 units]` for `x` (`g_x` then `n_x`) and for `h` (`g_h` then `n_h`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LayerNormGruCell {
    #[serde(flatten)]
    options: Options,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Options {
    units: usize,
    epsilon: f32,
    kernel_initializer: Initializer,
    recurrent_initializer: Initializer,
    bias_initializer: Initializer,
}

impl Options {
    fn new(units: usize) -> Self {
        Options {
            units,
            epsilon: 1e-3,
            kernel_initializer: Initializer::GlorotUniform,
            recurrent_initializer: Initializer::Orthogonal,
            bias_initializer: Initializer::Zeros,
        }
    }

    fn check(&self, class: &str) -> Result<()> {
        if self.units == 0 {
            return Err(Error::invalid(class, "units must be at least 1"));
        }
        if !(self.epsilon > 0.0 && self.epsilon.is_finite()) {
            return Err(Error::invalid(class, format!("epsilon must be positive, got {}", self.epsilon)));
        }
        Ok(())
    }

    /// `W` and `U` for this many gates.
    fn kernels(&self, features: usize, gates: usize) -> Vec<CellVariable> {
        let cols = gates * self.units;
        vec![
            CellVariable::new("kernel", [features, cols], self.kernel_initializer),
            CellVariable::new("recurrent_kernel", [self.units, cols], self.recurrent_initializer),
        ]
    }
}

macro_rules! options {
    ($cell:ident) => {
        impl $cell {
            /// A cell of `units` with `epsilon` 0.001 (Keras's) and the initializers of the plain one.
            pub fn new(units: usize) -> Self {
                $cell { options: Options::new(units) }
            }

            /// What is added to a variance; 0.001.
            pub fn epsilon(mut self, epsilon: f32) -> Self {
                self.options.epsilon = epsilon;
                self
            }

            /// Start of the kernel; Glorot uniform.
            pub fn kernel_initializer(mut self, initializer: Initializer) -> Self {
                self.options.kernel_initializer = initializer;
                self
            }

            /// Start of the recurrent kernel; orthogonal.
            pub fn recurrent_initializer(mut self, initializer: Initializer) -> Self {
                self.options.recurrent_initializer = initializer;
                self
            }

            /// Start of the bias; zeros.
            pub fn bias_initializer(mut self, initializer: Initializer) -> Self {
                self.options.bias_initializer = initializer;
                self
            }
        }
    };
}

options!(LayerNormLstmCell);
options!(LayerNormGruCell);

impl CellDefinition for LayerNormLstmCell {
    fn class(&self) -> &str {
        "LayerNormLSTMCell"
    }

    fn config(&self) -> serde_json::Value {
        serde_json::to_value(self).expect("a cell is plain data")
    }

    fn check(&self) -> Result<()> {
        self.options.check("LayerNormLSTMCell")
    }

    fn state_sizes(&self) -> Vec<usize> {
        vec![self.options.units; 2]
    }

    fn variables(&self, features: usize) -> Vec<CellVariable> {
        let (u, bias) = (self.options.units, self.options.bias_initializer);
        let mut variables = self.options.kernels(features, 4);
        variables.extend([
            CellVariable::vector_of("bias", [(u, bias), (u, Initializer::Ones), (2 * u, bias)]),
            CellVariable::new("kernel_gain", [4 * u], GAIN),
            CellVariable::new("recurrent_gain", [4 * u], GAIN),
            CellVariable::new("state_gain", [u], GAIN),
            CellVariable::new("state_bias", [u], bias),
        ]);
        variables
    }

    fn prepare(&self, ops: &mut CellOps<'_, '_>, x: CellValue, weights: &[CellWeight]) -> Result<CellValue> {
        let product = ops.product(&x, &weights[0], None)?;
        ops.layer_norm(&product, &weights[3], Some(&weights[2]), self.options.epsilon)
    }

    fn step(
        &self,
        ops: &mut CellOps<'_, '_>,
        x: &CellValue,
        states: &[CellValue],
        weights: &[CellWeight],
    ) -> Result<CellStep> {
        let epsilon = self.options.epsilon;
        let (gate, tanh) = (Activation::Sigmoid.into(), Activation::Tanh.into());
        let product = ops.product(&states[0], &weights[1], None)?;
        let product = ops.layer_norm(&product, &weights[4], None, epsilon)?;
        let z = ops.add(&product, x)?;
        let gates = ops.gates(&z, &[gate, gate, tanh, gate])?;
        let (kept, new) = (ops.mul(&gates[1], &states[1])?, ops.mul(&gates[0], &gates[2])?);
        let c = ops.add(&kept, &new)?;
        let shown = ops.layer_norm(&c, &weights[5], Some(&weights[6]), epsilon)?;
        let shown = ops.activation(&shown, tanh)?;
        Ok(CellStep::of_state(ops.mul(&gates[3], &shown)?, [c]))
    }
}

impl CellDefinition for LayerNormGruCell {
    fn class(&self) -> &str {
        "LayerNormGRUCell"
    }

    fn config(&self) -> serde_json::Value {
        serde_json::to_value(self).expect("a cell is plain data")
    }

    fn check(&self) -> Result<()> {
        self.options.check("LayerNormGRUCell")
    }

    fn state_sizes(&self) -> Vec<usize> {
        vec![self.options.units]
    }

    fn variables(&self, features: usize) -> Vec<CellVariable> {
        let (u, bias) = (self.options.units, self.options.bias_initializer);
        let mut variables = self.options.kernels(features, 3);
        variables.extend([
            CellVariable::new("bias", [3 * u], bias),
            CellVariable::new("kernel_gain", [3 * u], GAIN),
            CellVariable::new("recurrent_gain", [3 * u], GAIN),
        ]);
        variables
    }

    fn prepare(&self, ops: &mut CellOps<'_, '_>, x: CellValue, w: &[CellWeight]) -> Result<CellValue> {
        let u = self.options.units;
        let normal = |ops: &mut CellOps<'_, '_>, columns: std::ops::Range<usize>| {
            let product = ops.product(&x, &w[0].columns(columns.clone())?, None)?;
            let (gain, bias) = (w[3].columns(columns.clone())?, w[2].columns(columns)?);
            ops.layer_norm(&product, &gain, Some(&bias), self.options.epsilon)
        };
        let (gates, candidate) = (normal(ops, 0..2 * u)?, normal(ops, 2 * u..3 * u)?);
        ops.concat(&[&gates, &candidate])
    }

    fn step(
        &self,
        ops: &mut CellOps<'_, '_>,
        x: &CellValue,
        states: &[CellValue],
        w: &[CellWeight],
    ) -> Result<CellStep> {
        let (u, h) = (self.options.units, &states[0]);
        let normal = |ops: &mut CellOps<'_, '_>, columns: std::ops::Range<usize>| {
            let product = ops.product(h, &w[1].columns(columns.clone())?, None)?;
            ops.layer_norm(&product, &w[4].columns(columns)?, None, self.options.epsilon)
        };
        let x = ops.split(x, &[2 * u, u])?;
        let gates = normal(ops, 0..2 * u)?;
        let gates = ops.add(&gates, &x[0])?;
        let gates = ops.gates(&gates, &[Activation::Sigmoid.into(); 2])?;
        let candidate = normal(ops, 2 * u..3 * u)?;
        let candidate = ops.mul(&gates[1], &candidate)?;
        let candidate = ops.add(&candidate, &x[1])?;
        let candidate = ops.activation(&candidate, Activation::Tanh)?;
        Ok(CellStep::of_state(ops.mix(&gates[0], h, &candidate)?, []))
    }
}
