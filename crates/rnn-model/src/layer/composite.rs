//! A recurrent layer step by step from plain operations: for activations that no fused kernel takes (softmax, which
//! couples the units of a gate, and those whose derivative needs the input). The same equations, many more dispatches.

use super::Activate;
use super::simple::activate;
use crate::Result;
use crate::device::{Op, Slice};
use crate::model::arithmetic::{BiasBlock, Block};
use crate::model::lowering::{Lowering, Node, StateSlices, Value};

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

/// All steps of `x` `[time, batch, features]`; the outputs of all steps, or the last.
pub(super) fn lower(
    l: &mut Lowering<'_>,
    node: &Node,
    cell: Composite,
    units: usize,
    x: Value,
    return_sequences: bool,
) -> Result<Value> {
    let (time, input, slot) = (x.shape[0], x.shape[1], l.batch() * units);
    let weights = Weights { node, input, units, gates: cell.gates() };
    let state = l.state(node.index);
    let has_c = matches!(cell, Composite::Lstm { .. });
    let (mut h, mut c) = (start(l, state.map(|s| s.h), slot, units)?, None);
    if has_c {
        c = Some(start(l, state.and_then(|s| s.c), slot, units)?);
    }
    // On the tape before everything else, so it runs last: what has reached the start states goes out.
    let (index, first_h, first_c) = (node.index, h.clone(), c.clone());
    l.backward(move |l| {
        let (to_h, to_c) = l.state_gradient(index, slot, has_c)?;
        for (value, to) in [(Some(first_h), to_h), (first_c, to_c)] {
            if let (Some(value), Some(to)) = (value, to)
                && let Some(from) = l.gradient(&value)
            {
                l.emit(Op::Copy { x: from, y: to });
            }
        }
        Ok(())
    });
    let mut outputs = Vec::with_capacity(time);
    for t in 0..time {
        let x = l.step(&x, t);
        h = match cell {
            Composite::Lstm { activation, recurrent_activation } => {
                let before = c.take().expect("an LSTM has c");
                let (next_h, next_c) = lstm(l, &weights, &x, &h, &before, activation, recurrent_activation)?;
                c = Some(next_c);
                next_h
            }
            Composite::Gru { activation, recurrent_activation, reset_after } => {
                gru(l, &weights, &x, &h, activation, recurrent_activation, reset_after)?
            }
            Composite::SimpleRnn { activation } => {
                let z = weights.sum(l, &x, &h, 0)?;
                activate(l, activation, z)?
            }
        };
        outputs.push(h.clone());
    }
    if let Some(StateSlices { h: to_h, c: to_c }) = state {
        l.emit(Op::Copy { x: h.data, y: to_h });
        if let (Some(c), Some(y)) = (c, to_c) {
            l.emit(Op::Copy { x: c.data, y });
        }
    }
    if return_sequences { l.stack(&outputs) } else { Ok(h) }
}

/// A copy of the state that the layer starts from, or zeros.
fn start(l: &mut Lowering<'_>, state: Option<Slice>, slot: usize, units: usize) -> Result<Value> {
    let data = l.buffer(slot)?;
    if let Some(x) = state {
        l.emit(Op::Copy { x, y: data });
    }
    Ok(l.value(data, vec![units]))
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
    let difference = l.sub(h, &candidate)?;
    let carried = l.mul(&update, &difference)?;
    l.add(&candidate, &carried)
}
