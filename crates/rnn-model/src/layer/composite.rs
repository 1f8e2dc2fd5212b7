//! The built-in cells as definitions in plain operations: for activations that no fused kernel takes (softmax, which
//! couples the units of a gate, and those whose derivative needs the input). The same equations, more dispatches.

use super::Activate;
use super::cell::{CellOps, CellStep, CellValue, CellWeight};
use crate::Result;

/// A cell in terms of activations of any kind.
#[derive(Clone, Copy, Debug)]
pub enum Composite {
    Lstm { activation: Activate, recurrent_activation: Activate },
    Gru { activation: Activate, recurrent_activation: Activate, reset_after: bool },
    SimpleRnn { activation: Activate },
}

impl Composite {
    /// Gate blocks of `units` columns in the kernels.
    pub fn gates(self) -> usize {
        match self {
            Composite::Lstm { .. } => 4,
            Composite::Gru { .. } => 3,
            Composite::SimpleRnn { .. } => 1,
        }
    }

    /// `x W + b` for all gates; of the biases the first row.
    pub fn prepare(
        self,
        ops: &mut CellOps<'_, '_>,
        x: &CellValue,
        weights: &[CellWeight],
    ) -> Result<CellValue> {
        let bias = weights.get(2).map(|bias| bias.row(0)).transpose()?;
        ops.product(x, &weights[0], bias.as_ref())
    }

    /// One step from `x`, which is [`prepare`](Self::prepare)d; `h` is the first state as the products see it.
    pub fn step(
        self,
        ops: &mut CellOps<'_, '_>,
        x: &CellValue,
        h: &CellValue,
        states: &[CellValue],
        weights: &[CellWeight],
    ) -> Result<CellStep> {
        let recurrent = &weights[1];
        let h = match self {
            Composite::Lstm { activation, recurrent_activation: gate } => {
                let product = ops.product(h, recurrent, None)?;
                let z = ops.add(&product, x)?;
                let gates = ops.gates(&z, &[gate, gate, activation, gate])?;
                let (kept, new) = (ops.mul(&gates[1], &states[1])?, ops.mul(&gates[0], &gates[2])?);
                let c = ops.add(&kept, &new)?;
                let shown = ops.activation(&c, activation)?;
                return Ok(CellStep::of_state(vec![ops.mul(&gates[3], &shown)?, c]));
            }
            Composite::Gru { activation, recurrent_activation, reset_after } => {
                let u = h.size();
                let own = recurrent.columns(2 * u..3 * u)?;
                let x = ops.split(x, &[2 * u, u])?;
                let (product, candidate) = if reset_after {
                    // The recurrent product has a bias of its own, the second row.
                    let bias = weights.get(2).map(|bias| bias.row(1)).transpose()?;
                    let product = ops.product(h, recurrent, bias.as_ref())?;
                    let mut parts = ops.split(&product, &[2 * u, u])?;
                    let candidate = parts.pop();
                    (parts.remove(0), candidate)
                } else {
                    (ops.product(h, &recurrent.columns(0..2 * u)?, None)?, None)
                };
                let z = ops.add(&product, &x[0])?;
                let gates = ops.gates(&z, &[recurrent_activation; 2])?;
                let candidate = match candidate {
                    Some(product) => ops.mul(&gates[1], &product)?,
                    None => {
                        let kept = ops.mul(&gates[1], h)?;
                        ops.product(&kept, &own, None)?
                    }
                };
                let candidate = ops.add(&candidate, &x[1])?;
                let candidate = ops.activation(&candidate, activation)?;
                ops.mix(&gates[0], &states[0], &candidate)?
            }
            Composite::SimpleRnn { activation } => {
                let product = ops.product(h, recurrent, None)?;
                let z = ops.add(&product, x)?;
                ops.activation(&z, activation)?
            }
        };
        Ok(CellStep::of_state(vec![h]))
    }
}
