//! An LSTM whose output is projected to fewer values.

use super::{CellDefinition, CellOps, CellStep, CellValue, CellVariable, CellWeight};
use crate::layer::{Activate, Initializer};
use crate::{Error, Result};
use rnn_shaders::vocabulary::Activation;
use serde::{Deserialize, Serialize};

/// Long short-term memory with a projection (Sak et al. 2014, arXiv:1402.1128; PyTorch's `proj_size`).
///
/// With gates `i, f, c, o` from `z = x W + h U + b`: `c' = f * c + i * tanh(z_c)`, `h' = (o * tanh(c')) P`. The state `h` and
/// the output have `projection` values per sample, `c` has `units`. Weights: kernel `[features, 4 units]`, recurrent kernel
/// `[projection, 4 units]`, bias `[4 units]`, projection kernel `[units, projection]`.
///
/// ```
/// use rnn_model::layer::{ProjectedLstmCell, Rnn};
/// let layer = Rnn::new(ProjectedLstmCell::new(512, 128)).return_sequences(true);
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProjectedLstmCell {
    units: usize,
    projection: usize,
    activation: Activate,
    recurrent_activation: Activate,
    use_bias: bool,
    unit_forget_bias: bool,
    kernel_initializer: Initializer,
    recurrent_initializer: Initializer,
    projection_initializer: Initializer,
    bias_initializer: Initializer,
}

impl ProjectedLstmCell {
    /// `units` cells, projected to `projection` values; the defaults of an [`Lstm`](crate::layer::Lstm).
    pub fn new(units: usize, projection: usize) -> Self {
        ProjectedLstmCell {
            units,
            projection,
            activation: Activation::Tanh.into(),
            recurrent_activation: Activation::Sigmoid.into(),
            use_bias: true,
            unit_forget_bias: true,
            kernel_initializer: Initializer::GlorotUniform,
            recurrent_initializer: Initializer::Orthogonal,
            projection_initializer: Initializer::GlorotUniform,
            bias_initializer: Initializer::Zeros,
        }
    }

    /// Of the candidate and of the cell state on its way out; tanh.
    pub fn activation(mut self, activation: impl Into<Activate>) -> Self {
        self.activation = activation.into();
        self
    }

    /// Of the three gates; sigmoid.
    pub fn recurrent_activation(mut self, activation: impl Into<Activate>) -> Self {
        self.recurrent_activation = activation.into();
        self
    }

    /// Add a bias; true.
    pub fn use_bias(mut self, on: bool) -> Self {
        self.use_bias = on;
        self
    }

    /// Start the forget gate's bias at 1; true.
    pub fn unit_forget_bias(mut self, on: bool) -> Self {
        self.unit_forget_bias = on;
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

    /// Start of the projection kernel; Glorot uniform.
    pub fn projection_initializer(mut self, initializer: Initializer) -> Self {
        self.projection_initializer = initializer;
        self
    }

    /// Start of the bias; zeros.
    pub fn bias_initializer(mut self, initializer: Initializer) -> Self {
        self.bias_initializer = initializer;
        self
    }
}

impl CellDefinition for ProjectedLstmCell {
    fn class(&self) -> &str {
        "ProjectedLSTMCell"
    }

    fn config(&self) -> serde_json::Value {
        serde_json::to_value(self).expect("a cell is plain data")
    }

    fn check(&self) -> Result<()> {
        if self.units == 0 || self.projection == 0 {
            return Err(Error::invalid("ProjectedLSTMCell", "units and projection must be at least 1"));
        }
        Ok(())
    }

    fn state_sizes(&self) -> Vec<usize> {
        vec![self.projection, self.units]
    }

    fn variables(&self, features: usize) -> Vec<CellVariable> {
        let (u, p) = (self.units, self.projection);
        let mut variables = vec![
            CellVariable::new("kernel", [features, 4 * u], self.kernel_initializer),
            CellVariable::new("recurrent_kernel", [p, 4 * u], self.recurrent_initializer),
        ];
        if self.use_bias {
            let bias = self.bias_initializer;
            let forget = if self.unit_forget_bias { Initializer::Ones } else { bias };
            variables.push(CellVariable::vector_of("bias", [(u, bias), (u, forget), (2 * u, bias)]));
        }
        variables.push(CellVariable::new("projection_kernel", [u, p], self.projection_initializer));
        variables
    }

    fn prepare(&self, ops: &mut CellOps<'_, '_>, x: CellValue, weights: &[CellWeight]) -> Result<CellValue> {
        ops.product(&x, &weights[0], self.use_bias.then(|| &weights[2]))
    }

    fn step(
        &self,
        ops: &mut CellOps<'_, '_>,
        x: &CellValue,
        states: &[CellValue],
        weights: &[CellWeight],
    ) -> Result<CellStep> {
        let (gate, activation) = (self.recurrent_activation, self.activation);
        let product = ops.product(&states[0], &weights[1], None)?;
        let z = ops.add(&product, x)?;
        let gates = ops.gates(&z, &[gate, gate, activation, gate])?;
        let (kept, new) = (ops.mul(&gates[1], &states[1])?, ops.mul(&gates[0], &gates[2])?);
        let c = ops.add(&kept, &new)?;
        let shown = ops.activation(&c, activation)?;
        let wide = ops.mul(&gates[3], &shown)?;
        let h = ops.product(&wide, &weights[weights.len() - 1], None)?;
        Ok(CellStep::of_state(h, [c]))
    }
}
