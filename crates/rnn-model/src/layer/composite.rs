//! The built-in cells as definitions in plain operations: for activations that no fused kernel takes (softmax, which
//! couples the units of a gate, and those whose derivative needs the input). The same equations, more dispatches.

use super::Activate;
use super::cell::{CellOps, CellStep, CellValue, CellWeight};
use crate::Result;
use rnn_shaders::vocabulary::Activation;

/// The equations of a cell, in terms of activations of any kind.
#[derive(Clone, Copy, Debug)]
pub enum Equations {
    Lstm {
        activation: Activate,
        recurrent_activation: Activate,
        output_activation: Activate,
        /// the gates see the cell state, by weights behind the others
        peepholes: bool,
        /// the forget gate is what the input gate leaves
        coupled: bool,
    },
    Gru {
        activation: Activate,
        recurrent_activation: Activate,
        reset_after: bool,
    },
    SimpleRnn {
        activation: Activate,
    },
}

impl Equations {
    /// Refuses activations whose numbers have no meaning.
    pub fn check(self, class: &str) -> Result<()> {
        match self {
            Equations::Lstm { activation, recurrent_activation, output_activation, .. } => {
                activation.check(class)?;
                recurrent_activation.check(class)?;
                output_activation.check(class)
            }
            Equations::Gru { activation, recurrent_activation, .. } => {
                activation.check(class)?;
                recurrent_activation.check(class)
            }
            Equations::SimpleRnn { activation } => activation.check(class),
        }
    }

    /// Gate blocks of `units` columns in the kernels.
    pub fn gates(self) -> usize {
        match self {
            Equations::Lstm { .. } => 4,
            Equations::Gru { .. } => 3,
            Equations::SimpleRnn { .. } => 1,
        }
    }

    /// Whether there are weights of the cell state in the gates.
    pub fn peepholes(self) -> bool {
        matches!(self, Equations::Lstm { peepholes: true, .. })
    }

    /// Whether the forget gate is what the input gate leaves.
    pub fn coupled(self) -> bool {
        matches!(self, Equations::Lstm { coupled: true, .. })
    }
}

/// A cell in plain operations.
#[derive(Clone, Copy, Debug)]
pub struct Composite {
    pub equations: Equations,
    pub use_bias: bool,
    /// what goes into the activations of gates and candidate is kept within `[-clip, clip]`
    pub clip: Option<f32>,
}

impl Composite {
    /// `x W + b` for all gates; of the biases the first row.
    pub fn prepare(
        self,
        ops: &mut CellOps<'_, '_>,
        x: &CellValue,
        weights: &[CellWeight],
    ) -> Result<CellValue> {
        let bias = self.bias(weights, 0)?;
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
        let (h, c) = match self.equations {
            Equations::Lstm { activation, recurrent_activation, output_activation, .. } => {
                let kinds = LstmKinds { activation, recurrent_activation, output_activation };
                let (h, c) = self.lstm(ops, x, h, &states[1], weights, kinds)?;
                (h, Some(c))
            }
            Equations::Gru { activation, recurrent_activation, reset_after } => {
                let kinds = (activation, recurrent_activation);
                (self.gru(ops, x, h, &states[0], weights, kinds, reset_after)?, None)
            }
            Equations::SimpleRnn { activation } => {
                let z = self.sum(ops, x, h, &weights[1])?;
                let z = self.limited(ops, &z)?;
                (ops.activation(&z, activation)?, None)
            }
        };
        Ok(CellStep::of_state(h, c))
    }

    /// The new `h` and `c`.
    fn lstm(
        self,
        ops: &mut CellOps<'_, '_>,
        x: &CellValue,
        h: &CellValue,
        c: &CellValue,
        weights: &[CellWeight],
        kinds: LstmKinds,
    ) -> Result<(CellValue, CellValue)> {
        let LstmKinds { activation, recurrent_activation: gate, output_activation } = kinds;
        let z = self.sum(ops, x, h, &weights[1])?;
        let (c, o) = match weights.last().filter(|_| self.equations.peepholes()) {
            None => {
                let z = self.limited(ops, &z)?;
                let gates = ops.gates(&z, &[gate, gate, activation, gate])?;
                (self.cell_state(ops, &gates[..3], c)?, gates[3].clone())
            }
            Some(peepholes) => {
                // A gate that sees the cell state, by a row of the weights, which come in the order i, o, f.
                let gate = |ops: &mut CellOps<'_, '_>, z: &CellValue, row: usize, c: &CellValue| {
                    let seen = ops.weigh(c, &peepholes.row(row)?)?;
                    let z = ops.add(z, &seen)?;
                    let z = self.limited(ops, &z)?;
                    ops.activation(&z, gate)
                };
                let parts = ops.split(&z, &[h.size(); 4])?;
                let (i, f) = (gate(ops, &parts[0], 0, c)?, gate(ops, &parts[1], 2, c)?);
                let g = self.limited(ops, &parts[2])?;
                let g = ops.activation(&g, activation)?;
                let c = self.cell_state(ops, &[i, f, g], c)?;
                let o = gate(ops, &parts[3], 1, &c)?;
                (c, o)
            }
        };
        let shown = ops.activation(&c, output_activation)?;
        Ok((ops.mul(&o, &shown)?, c))
    }

    /// `f * c + i * g` of the gates `i, f, g`.
    fn cell_state(self, ops: &mut CellOps<'_, '_>, gates: &[CellValue], c: &CellValue) -> Result<CellValue> {
        let [i, f, g] = [0, 1, 2].map(|gate| &gates[gate]);
        let kept = match self.equations.coupled() {
            true => {
                let rest = ops.one_minus(i)?;
                ops.mul(&rest, c)?
            }
            false => ops.mul(f, c)?,
        };
        let new = ops.mul(i, g)?;
        ops.add(&kept, &new)
    }

    /// The new state.
    fn gru(
        self,
        ops: &mut CellOps<'_, '_>,
        x: &CellValue,
        h: &CellValue,
        before: &CellValue,
        weights: &[CellWeight],
        (activation, gate): (Activate, Activate),
        reset_after: bool,
    ) -> Result<CellValue> {
        let (recurrent, u) = (&weights[1], h.size());
        let x = ops.split(x, &[2 * u, u])?;
        let (product, candidate) = if reset_after {
            // The recurrent product has a bias of its own, the second row.
            let bias = self.bias(weights, 1)?;
            let product = ops.product(h, recurrent, bias.as_ref())?;
            let mut parts = ops.split(&product, &[2 * u, u])?;
            let candidate = parts.pop();
            (parts.remove(0), candidate)
        } else {
            (ops.product(h, &recurrent.columns(0..2 * u)?, None)?, None)
        };
        let z = ops.add(&product, &x[0])?;
        let z = self.limited(ops, &z)?;
        let gates = ops.gates(&z, &[gate; 2])?;
        let candidate = match candidate {
            Some(product) => ops.mul(&gates[1], &product)?,
            None => {
                let kept = ops.mul(&gates[1], h)?;
                ops.product(&kept, &recurrent.columns(2 * u..3 * u)?, None)?
            }
        };
        let candidate = ops.add(&candidate, &x[1])?;
        let candidate = self.limited(ops, &candidate)?;
        let candidate = ops.activation(&candidate, activation)?;
        ops.mix(&gates[0], before, &candidate)
    }

    /// A row of the biases, if there are any.
    fn bias(self, weights: &[CellWeight], row: usize) -> Result<Option<CellWeight>> {
        weights.get(2).filter(|_| self.use_bias).map(|bias| bias.row(row)).transpose()
    }

    /// What the gates get: `x + h U`.
    fn sum(
        self,
        ops: &mut CellOps<'_, '_>,
        x: &CellValue,
        h: &CellValue,
        recurrent: &CellWeight,
    ) -> Result<CellValue> {
        let product = ops.product(h, recurrent, None)?;
        ops.add(&product, x)
    }

    /// `z` within the limit, if there is one. No gradient passes where the limit holds.
    fn limited(self, ops: &mut CellOps<'_, '_>, z: &CellValue) -> Result<CellValue> {
        let Some(clip) = self.clip else { return Ok(z.clone()) };
        let unit = ops.scale(z, 1.0 / clip)?;
        let limited = ops.activation(&unit, Activation::HardTanh)?;
        ops.scale(&limited, clip)
    }
}

/// The activations of an LSTM.
#[derive(Clone, Copy)]
struct LstmKinds {
    activation: Activate,
    recurrent_activation: Activate,
    output_activation: Activate,
}
