//! A cell that a kernel fuses, over a sequence: all steps in one operation of the device.

use crate::Result;
use crate::device::{
    Gradient, Op, RecurrentGradients, RecurrentInputs, RecurrentUpstream, Slice, goes_back_in_parts,
};
use crate::layer::sequence::{Run, Walk};
use crate::model::lowering::{Lowering, Node, Value};
use rnn_shaders::shape::RecurrentShape;
use rnn_shaders::vocabulary::{Cell, CellExtras};

/// Places, among the weights of a layer, of those that it may be without.
#[derive(Clone, Copy)]
pub(super) struct Optional {
    pub bias: Option<usize>,
    pub peepholes: Option<usize>,
}

/// All steps in one operation of the device.
pub(super) fn run(
    l: &mut Lowering<'_>,
    node: &Node,
    cell: Cell,
    units: usize,
    walk: Walk,
    h_mask: Option<Slice>,
    optional: Optional,
    extras: CellExtras,
) -> Result<Run> {
    let Walk { x, start, resident, return_sequences } = walk;
    let time = x.shape[0];
    let shape = RecurrentShape { time, batch: l.batch(), input: x.shape[1], units };
    let slot = shape.batch * units;
    let mut sequences = vec![l.buffer((time + 1) * slot)?];
    if cell.states() == 2 {
        sequences.push(match &resident {
            Some(kept) => kept[1],
            None => l.buffer((time + 1) * slot)?,
        });
    }
    let saved = if l.recording() { Some(l.buffer(l.saved_len(cell, shape))?) } else { None };
    if resident.is_none() {
        for (i, sequence) in sequences.iter().enumerate() {
            let y = sequence.part(0, slot);
            l.emit(match &start {
                Some(start) => Op::Copy { x: start[i].data, y },
                None => Op::Fill { value: 0.0, y },
            });
        }
    }
    let (h, c) = (sequences[0], sequences.get(1).copied());
    let io = RecurrentInputs {
        x: x.data,
        kernel: node.weights[0],
        recurrent: node.weights[1],
        bias: optional.bias.map(|at| node.weights[at]),
        flags: x.mask,
        h_mask,
        peepholes: optional.peepholes.map(|at| node.weights[at]),
        extras,
        h,
        h_state: resident.map(|kept| kept[0]),
        c,
        saved,
    };
    l.emit(Op::RecurrentForward { cell, shape, io });
    let last = |l: &mut Lowering<'_>, s: &Slice| l.value(s.part(s.len - slot, slot), vec![units]);
    let states: Vec<Value> = sequences.iter().map(|s| last(l, s)).collect();
    let outputs = match return_sequences {
        true => l.value(h.part(slot, time * slot), vec![time, units]),
        false => states[0].clone(),
    };
    let (all, ends) = (return_sequences.then(|| outputs.clone()), states.clone());
    let grads = node.gradients.clone();
    l.backward(move |l| {
        let up = RecurrentUpstream {
            dy: all.as_ref().and_then(|y| output_gradient(l, y, shape)),
            dh_last: l.gradient(&ends[0]),
            dc_last: ends.get(1).and_then(|c| l.gradient(c)),
        };
        if up.dy.is_none() && up.dh_last.is_none() && up.dc_last.is_none() {
            return Ok(());
        }
        let from = start.unwrap_or_default();
        let starts: Vec<Option<Slice>> = from.iter().map(|s| l.wanted(s)).collect::<Result<_>>()?;
        let dx = l.wanted(&x)?;
        let weights = match grads.is_empty() {
            true => l.unused_gradients(node_lens(&io))?,
            false => grads,
        };
        let out = RecurrentGradients {
            kernel: weights[0],
            recurrent: weights[1],
            bias: optional.bias.map(|at| weights[at]),
            peepholes: optional.peepholes.map(|at| weights[at]),
            x: dx,
            h0: starts.first().copied().flatten(),
            c0: starts.get(1).copied().flatten(),
        };
        l.emit(Op::RecurrentBackward { cell, shape, io, up, out });
        l.arrived(&x, dx);
        from.iter().zip(starts).for_each(|(value, at)| l.arrived(value, at));
        Ok(())
    });
    Ok(Run { outputs, states })
}

/// The gradient of all steps' outputs. A product stays one where the sequence goes back in parts, each of which makes its own.
fn output_gradient(l: &mut Lowering<'_>, y: &Value, shape: RecurrentShape) -> Option<Gradient> {
    match l.gradient_as_it_came(y)? {
        Gradient::Product(of) if of.cols == shape.units && goes_back_in_parts(shape) => {
            Some(Gradient::Product(of))
        }
        _ => l.gradient(y).map(Gradient::Made),
    }
}

/// Lengths of the weights, for the gradients of a layer that is not trained: the operation makes them all the same.
fn node_lens(io: &RecurrentInputs) -> Vec<usize> {
    [Some(io.kernel), Some(io.recurrent), io.bias, io.peepholes]
        .into_iter()
        .flatten()
        .map(|s| s.len)
        .collect()
}
