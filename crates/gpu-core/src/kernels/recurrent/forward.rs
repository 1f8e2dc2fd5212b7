//! The forward pass over a sequence.
use super::plan::{Plan, plan};
use super::{Layer, RecurrentShape, Steps, activations, each_dispatch, gate_blocks, record, saved_len};
use crate::buffer::expect_len;
use crate::kernels::matmul::{Matmul, matmul, pack_rows};
use crate::{Recorder, Result, Slice};
use rnn_shaders::recurrent as shader;
use rnn_shaders::vocabulary::Cell;

/// Records the whole sequence. `h` and, for LSTM, `c` `[T+1, B, U]` hold the start states in slot 0 and get all others.
/// `saved` (training) is [`saved_len`] long and private to [`recurrent_backward`](super::recurrent_backward).
///
/// `flags [T, B]` u32; without them every step is VALID and none RESET. Scratch lives as long as the program: the input
/// product where nothing is saved, and packed weights where the units are no multiple of 4.
///
/// # Errors
/// [`Error::ShapeMismatch`](crate::Error::ShapeMismatch) naming the buffer;
/// [`Error::InvalidArgument`](crate::Error::InvalidArgument) where `c` does not go with the cell, a side is 0, or an
/// activation's derivative needs its input (silu, gelu); [`Error::OutOfMemory`](crate::Error::OutOfMemory).
pub fn recurrent_forward(
    rec: &mut Recorder,
    cell: Cell,
    shape: RecurrentShape,
    x: &Slice,
    kernel: &Slice,
    recurrent: &Slice,
    bias: Option<&Slice>,
    flags: Option<&Slice>,
    h: &Slice,
    c: Option<&Slice>,
    saved: Option<&Slice>,
) -> Result<()> {
    let operation = "recurrent_forward";
    let layer = Layer { operation, cell, shape, x, kernel, recurrent, flags, h, c };
    layer.check()?;
    let RecurrentShape { time, batch, input, units } = shape;
    let columns = cell.gates() * units;
    if let Some(bias) = bias {
        expect_len(operation, "bias", bias, cell.bias_blocks() * units)?;
    }
    if let Some(saved) = saved {
        expect_len(operation, "saved", saved, saved_len(cell, shape))?;
    }
    let saved = saved.filter(|saved| !saved.is_empty());

    let row = gate_blocks(cell) * units;
    let chunk = layer.steps_per_chunk(rec);
    let scratch = match saved {
        Some(_) => None,
        None => Some(rec.scratch(chunk * batch * row)?),
    };
    let weights = Weights::prepare(rec, cell, units, recurrent)?;
    let input_bias = bias.map(|bias| bias.slice(0, columns)).transpose()?;
    let recurrent_bias = match (cell, bias) {
        (Cell::Gru { reset_after: true, .. }, Some(bias)) => Some(bias.slice(columns, columns)?),
        _ => None,
    };

    for start in (0..time).step_by(chunk) {
        let steps = chunk.min(time - start);
        let part = |slice: &Slice, width: usize, more: usize| {
            slice.slice(start * batch * width, (steps + more) * batch * width)
        };
        let gates = match (saved, &scratch) {
            (Some(saved), _) => part(saved, row, 0)?,
            (None, Some(scratch)) => scratch.slice(0, steps * batch * row)?,
            (None, None) => unreachable!("gates are in `saved` or in scratch"),
        };
        let mut product = Matmul::new(steps * batch, columns, input);
        product.ldc = row;
        matmul(rec, product, &part(x, input, 0)?, kernel, input_bias.as_ref(), &gates)?;
        let flags = flags.map(|flags| part(flags, 1, 0)).transpose()?;
        let states = (part(h, units, 1)?, c.map(|c| part(c, units, 1)).transpose()?);
        recurrence(
            rec,
            cell,
            shape,
            &weights,
            recurrent_bias.as_ref(),
            flags.as_ref(),
            &gates,
            &states,
            steps,
            saved.is_some(),
        )?;
    }
    Ok(())
}

/// The recurrent weights as the kernels load them: vec4s of units.
pub(super) struct Weights {
    slice: Slice,
    /// vec4s from row to row and from gate to gate
    ldw: usize,
    block: usize,
}

impl Weights {
    /// As they are where units are a multiple of 4, else `[gate][k][units, padded with zeros]`.
    fn prepare(rec: &mut Recorder, cell: Cell, units: usize, recurrent: &Slice) -> Result<Weights> {
        let gates = cell.gates();
        if units.is_multiple_of(4) && recurrent.offset().is_multiple_of(4) {
            return Ok(Weights { slice: recurrent.clone(), ldw: gates * units / 4, block: units / 4 });
        }
        let padded = units.next_multiple_of(4);
        let slice = rec.scratch(gates * units * padded)?;
        for gate in 0..gates {
            let from = recurrent.slice(gate * units, recurrent.len() - gate * units)?;
            let to = slice.slice(gate * units * padded, units * padded)?;
            pack_rows(rec, &from, (gates * units, 1), (units, units, padded), &to)?;
        }
        Ok(Weights { slice, ldw: padded / 4, block: units * padded / 4 })
    }

    /// From this gate on.
    fn gate(&self, gate: usize) -> Result<Slice> {
        let at = gate * self.block * 4;
        self.slice.slice(at, self.slice.len() - at)
    }
}

fn recurrence(
    rec: &mut Recorder,
    cell: Cell,
    shape: RecurrentShape,
    weights: &Weights,
    bias: Option<&Slice>,
    flags: Option<&Slice>,
    gates: &Slice,
    (h, c): &(Slice, Option<Slice>),
    count: usize,
    keep: bool,
) -> Result<()> {
    let op = "recurrent_forward";
    let units = shape.units;
    let nothing = rec.nothing()?;
    let flag = flags.unwrap_or(&nothing);
    let acts = activations(cell);
    let steps = Steps {
        first: 0,
        count: 1,
        time: count,
        batch: shape.batch,
        units,
        depth: units,
        ldw: weights.ldw,
        block: weights.block,
        saved_row: gate_blocks(cell) * units,
        has_flags: flags.is_some(),
        has_bias: bias.is_some(),
        has_dy: false,
        keep,
    };
    let in_tile = match cell {
        Cell::Lstm { .. } => 4,
        Cell::Gru { reset_after: true, .. } => 3,
        Cell::Gru { reset_after: false, .. } => 2,
        Cell::SimpleRnn { .. } => 0,
    };
    let Plan { geometry, steps_at_once } = plan(rec, cell, shape, in_tile, units)?;
    let w = &weights.slice;
    each_dispatch(count, steps_at_once, false, |first, count| {
        let steps = Steps { first, count, ..steps };
        let mut call =
            |kernel, geometry, buffers: &[&Slice]| record(rec, op, kernel, geometry, acts, buffers, steps);
        match (cell, c) {
            (Cell::Lstm { .. }, Some(c)) => {
                call(&shader::lstm_forward::KERNEL, geometry, &[flag, w, gates, h, c])
            }
            (Cell::Gru { reset_after: true, .. }, _) => {
                call(&shader::gru_forward::KERNEL, geometry, &[flag, w, bias.unwrap_or(&nothing), gates, h])
            }
            (Cell::Gru { reset_after: false, .. }, _) => {
                call(&shader::gru_reset_forward::KERNEL, geometry, &[flag, w, gates, h])?;
                let geometry = super::plan::Geometry { gates: 0, ..geometry };
                let candidate = weights.gate(2)?;
                call(&shader::gru_candidate_forward::KERNEL, geometry, &[flag, &candidate, gates, h])
            }
            _ => call(&shader::simple_rnn_forward::KERNEL, geometry, &[flag, w, gates, h]),
        }
    })
}
