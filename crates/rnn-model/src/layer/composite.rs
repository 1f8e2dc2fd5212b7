//! A recurrent layer step by step from plain operations: for activations that no fused kernel takes (softmax, which
//! couples the units of a gate, and those whose derivative needs the input). The same equations, many more dispatches.

use super::Activate;
use super::sequence::{Run, Walk};
use super::simple::activate;
use crate::Result;
use crate::device::Slice;
use crate::model::arithmetic::{BiasBlock, Block};
use crate::model::lowering::{Lowering, Node, Value};

/// A cell in terms of activations of any kind.
#[derive(Clone, Copy, Debug)]
pub enum Composite {
    Lstm { activation: Activate, recurrent_activation: Activate },
    Gru { activation: Activate, recurrent_activation: Activate, reset_after: bool },
    SimpleRnn { activation: Activate },
}

impl Composite {
    /// Refuses activations whose numbers have no meaning.
    pub fn check(self, class: &str) -> Result<()> {
        match self {
            Composite::Lstm { activation, recurrent_activation }
            | Composite::Gru { activation, recurrent_activation, .. } => {
                activation.check(class)?;
                recurrent_activation.check(class)
            }
            Composite::SimpleRnn { activation } => activation.check(class),
        }
    }

    /// Gate blocks of `units` columns in the kernels.
    pub fn gates(self) -> usize {
        match self {
            Composite::Lstm { .. } => 4,
            Composite::Gru { .. } => 3,
            Composite::SimpleRnn { .. } => 1,
        }
    }
}

/// The weights of a layer, seen gate by gate.
struct Weights<'n> {
    node: &'n Node,
    input: usize,
    units: usize,
    gates: usize,
}

impl Weights<'_> {
    fn block(&self, which: usize, rows: usize, gate: usize) -> Block {
        let (u, gradient) = (self.units, self.node.gradients.get(which).copied());
        Block::columns(self.node.weights[which], gradient, rows, self.gates * u, gate * u, u)
    }

    fn bias(&self, block: usize) -> Option<BiasBlock> {
        let part = |s: &Slice| s.part(block * self.units, self.units);
        let weight = self.node.weights.get(2).map(part)?;
        Some(BiasBlock { weight, gradient: self.node.gradients.get(2).map(part) })
    }

    /// `x W_gate + b_gate`
    fn input_part(&self, l: &mut Lowering<'_>, x: &Value, gate: usize) -> Result<Value> {
        l.product(x, self.block(0, self.input, gate), self.bias(gate))
    }

    /// `h U_gate`
    fn state_part(&self, l: &mut Lowering<'_>, h: &Value, gate: usize) -> Result<Value> {
        l.product(h, self.block(1, self.units, gate), None)
    }

    /// `x W_gate + h U_gate + b_gate`
    fn sum(&self, l: &mut Lowering<'_>, x: &Value, h: &Value, gate: usize) -> Result<Value> {
        let (a, b) = (self.input_part(l, x, gate)?, self.state_part(l, h, gate)?);
        l.add(&a, &b)
    }
}

/// All steps of a walk along `[time, batch, features]`; `h_mask` are factors of the state on its way into the products.
pub(super) fn lower(
    l: &mut Lowering<'_>,
    node: &Node,
    cell: Composite,
    units: usize,
    walk: Walk,
    h_mask: Option<Slice>,
) -> Result<Run> {
    let Walk { x, start, return_sequences, .. } = walk;
    if x.mask.is_some() {
        let problem = "a cell with a softmax, silu or gelu activation can not be masked";
        return Err(crate::Error::invalid(format!("layer {}", node.name), problem));
    }
    let (time, input) = (x.shape[0], x.shape[1]);
    let weights = Weights { node, input, units, gates: cell.gates() };
    let count = if matches!(cell, Composite::Lstm { .. }) { 2 } else { 1 };
    let start = start.unwrap_or_default();
    let mut states: Vec<Value> = (0..count).map(|i| begin(l, start.get(i), units)).collect::<Result<_>>()?;
    let h_mask = h_mask.map(|mask| l.input(mask, vec![units], false));
    let mut outputs = Vec::with_capacity(time);
    for t in 0..time {
        let x = l.step(&x, t);
        let h = match &h_mask {
            Some(mask) => l.mul(&states[0], mask)?,
            None => states[0].clone(),
        };
        states = match cell {
            Composite::Lstm { activation, recurrent_activation } => {
                let (h, c) = lstm(l, &weights, &x, &h, &states[1], activation, recurrent_activation)?;
                vec![h, c]
            }
            Composite::Gru { activation, recurrent_activation, reset_after } => {
                let carried = &states[0];
                vec![gru(l, &weights, &x, &h, carried, activation, recurrent_activation, reset_after)?]
            }
            Composite::SimpleRnn { activation } => {
                let z = weights.sum(l, &x, &h, 0)?;
                vec![activate(l, activation, z)?]
            }
        };
        outputs.push(states[0].clone());
    }
    let outputs = if return_sequences { l.stack(&outputs)? } else { states[0].clone() };
    Ok(Run { outputs, states })
}

/// A copy of a state that the layer starts from, which the last states may overwrite, or zeros.
fn begin(l: &mut Lowering<'_>, state: Option<&Value>, units: usize) -> Result<Value> {
    match state {
        Some(state) => l.copy(state),
        None => {
            let data = l.buffer(l.batch() * units)?;
            Ok(l.input(data, vec![units], false))
        }
    }
}

fn lstm(
    l: &mut Lowering<'_>,
    w: &Weights<'_>,
    x: &Value,
    h: &Value,
    c: &Value,
    activation: Activate,
    recurrent_activation: Activate,
) -> Result<(Value, Value)> {
    let gate = |l: &mut Lowering<'_>, index, by| {
        let z = w.sum(l, x, h, index)?;
        activate(l, by, z)
    };
    let input = gate(l, 0, recurrent_activation)?;
    let forget = gate(l, 1, recurrent_activation)?;
    let candidate = gate(l, 2, activation)?;
    let output = gate(l, 3, recurrent_activation)?;
    let (kept, new) = (l.mul(&forget, c)?, l.mul(&input, &candidate)?);
    let c = l.add(&kept, &new)?;
    let shown = activate(l, activation, c.clone())?;
    Ok((l.mul(&output, &shown)?, c))
}

fn gru(
    l: &mut Lowering<'_>,
    w: &Weights<'_>,
    x: &Value,
    h: &Value,
    carried: &Value,
    activation: Activate,
    recurrent_activation: Activate,
    reset_after: bool,
) -> Result<Value> {
    // With reset_after the recurrent product has a bias of its own, behind the three of the input.
    let from_state = |l: &mut Lowering<'_>, h: &Value, gate: usize| {
        let bias = if reset_after { w.bias(3 + gate) } else { None };
        l.product(h, w.block(1, w.units, gate), bias)
    };
    let gate = |l: &mut Lowering<'_>, index| {
        let (a, b) = (w.input_part(l, x, index)?, from_state(l, h, index)?);
        let z = l.add(&a, &b)?;
        activate(l, recurrent_activation, z)
    };
    let update = gate(l, 0)?;
    let reset = gate(l, 1)?;
    let recurrent = if reset_after {
        let product = from_state(l, h, 2)?;
        l.mul(&reset, &product)?
    } else {
        let kept = l.mul(&reset, h)?;
        from_state(l, &kept, 2)?
    };
    let input = w.input_part(l, x, 2)?;
    let z = l.add(&input, &recurrent)?;
    let candidate = activate(l, activation, z)?;
    // z h + (1 - z) h~ = h~ + z (h - h~)
    let difference = l.sub(carried, &candidate)?;
    let kept = l.mul(&update, &difference)?;
    l.add(&candidate, &kept)
}
