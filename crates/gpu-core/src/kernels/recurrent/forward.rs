//! The forward pass over a sequence.
use super::plan::{Geometry, Plan, plan};
use super::{Calls, Layer, RecurrentInputs, RecurrentShape, RecurrentStates, each_dispatch, gate_blocks};
use crate::kernels::copy;
use crate::kernels::matmul::{Matmul, matmul, pack_rows};
use crate::{Recorder, Result, Slice};
use rnn_shaders::recurrent as shader;
use rnn_shaders::vocabulary::Cell;

const OP: &str = "recurrent_forward";

/// Records the whole sequence; see [`RecurrentStates`] for where it starts and what it leaves.
///
/// Scratch lives as long as the program: the input product where nothing is saved, and packed weights where the units are
/// no multiple of 4.
///
/// # Errors
/// [`Error::ShapeMismatch`](crate::Error::ShapeMismatch) naming the buffer;
/// [`Error::InvalidArgument`](crate::Error::InvalidArgument) where `c` does not go with the cell, a side is 0, or an
/// activation's derivative needs its input (silu, gelu); [`Error::OutOfMemory`](crate::Error::OutOfMemory).
pub fn recurrent_forward(
    rec: &mut Recorder,
    cell: Cell,
    shape: RecurrentShape,
    inputs: RecurrentInputs<'_>,
    states: RecurrentStates<'_>,
) -> Result<()> {
    let layer = Layer { operation: OP, cell, shape, inputs, states };
    layer.check()?;
    let RecurrentShape { time, batch, input, units } = shape;
    let RecurrentInputs { x, kernel, recurrent, bias, .. } = inputs;
    let RecurrentStates { h, h_state, .. } = states;
    let columns = cell.gates() * units;
    let saved = states.saved.filter(|saved| !saved.is_empty());

    let slot = batch * units;
    // A single step reads its start where it lives; to many steps a copy of it is nothing.
    let start = h_state.filter(|state| time == 1 && !state.same_buffer(h));
    if let (Some(state), None) = (h_state, start) {
        copy(rec, state, &h.slice(0, slot)?)?;
    }
    let row = gate_blocks(cell) * units;
    let chunk = layer.steps_per_chunk(rec);
    // A step of SimpleRNN has one gate, which waits where the state after it goes.
    let in_place = matches!(cell, Cell::SimpleRnn { .. });
    let scratch = match saved {
        Some(_) => None,
        None => Some(rec.scratch(if in_place { 4 } else { chunk * batch * row })?),
    };
    let weights = Weights::prepare(rec, cell, units, recurrent)?;
    let input_bias = bias.map(|bias| bias.slice(0, columns)).transpose()?;
    let recurrence = Recurrence::new(rec, &layer, weights, start)?;
    for first in (0..time).step_by(chunk) {
        let steps = chunk.min(time - first);
        let gates = match (saved, &scratch) {
            (Some(saved), _) => saved.slice(first * batch * row, steps * batch * row)?,
            (None, Some(nowhere)) if in_place => nowhere.clone(),
            (None, Some(scratch)) => scratch.slice(0, steps * batch * row)?,
            (None, None) => unreachable!("gates are in `saved` or in scratch"),
        };
        let mut product = Matmul::new(steps * batch, columns, input);
        product.ldc = row;
        let x = x.slice(first * batch * input, steps * batch * input)?;
        let products = if in_place { h.slice((first + 1) * slot, steps * slot)? } else { gates.clone() };
        matmul(rec, product, &x, kernel, input_bias.as_ref(), &products)?;
        recurrence.record(rec, &gates, first, steps)?;
    }
    h_state.map_or(Ok(()), |state| copy(rec, &h.slice(time * slot, slot)?, state))
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

/// The steps of a sequence, beside their gates.
struct Recurrence<'a> {
    layer: &'a Layer<'a>,
    weights: Weights,
    calls: Calls,
    steps_at_once: usize,
    /// the recurrent bias of GRU with `reset_after`, the peepholes of LSTM
    extra: Option<Slice>,
    start: Option<&'a Slice>,
    /// bound where a kernel does not read, or does not write
    nothing: Slice,
    nowhere: Slice,
}

impl<'a> Recurrence<'a> {
    fn new(
        rec: &mut Recorder,
        layer: &'a Layer<'a>,
        weights: Weights,
        start: Option<&'a Slice>,
    ) -> Result<Recurrence<'a>> {
        let Layer { cell, shape, inputs, .. } = *layer;
        let RecurrentShape { batch, units, .. } = shape;
        let columns = cell.gates() * units;
        let in_tile = match cell {
            Cell::Lstm { .. } => 4,
            Cell::Gru { reset_after: true, .. } => 3,
            Cell::Gru { reset_after: false, .. } => 2,
            Cell::SimpleRnn { .. } => 0,
        };
        let Plan { geometry, steps_at_once } = plan(rec, cell, shape, in_tile, units)?;
        let (masked, start_here) = (inputs.h_mask.is_some(), start.is_some());
        let acts = cell.activations();
        let extras = inputs.extras;
        let calls = Calls { operation: OP, geometry, acts, batch, units, masked, extras, start: start_here };
        let extra = match (cell, inputs.bias) {
            (Cell::Gru { reset_after: true, .. }, Some(bias)) => Some(bias.slice(columns, columns)?),
            _ => inputs.peepholes.cloned(),
        };
        let (nothing, nowhere) = (rec.nothing()?, rec.scratch(4)?);
        Ok(Recurrence { layer, weights, calls, steps_at_once, extra, start, nothing, nowhere })
    }

    /// Steps `start..start + count`, whose gates these are.
    fn record(&self, rec: &mut Recorder, gates: &Slice, start: usize, count: usize) -> Result<()> {
        let Layer { cell, shape, inputs, states, .. } = *self.layer;
        let RecurrentShape { batch, units, .. } = shape;
        let slot = batch * units;
        let slots = |states: &Slice| states.slice(start * slot, (count + 1) * slot);
        let flags = inputs.flags.map(|flags| flags.slice(start * batch, count * batch)).transpose()?;
        let h = slots(states.h)?;
        let (c, c_step) = match states.c {
            Some(c) if c.len() == slot => (c.clone(), 0),
            Some(c) => (slots(c)?, slot),
            None => (self.nowhere.clone(), 0),
        };
        let size = |value| self.calls.size(value);
        let params = shader::ForwardParams {
            time: size(count)?,
            batch: size(batch)?,
            units: size(units)?,
            depth: size(units)?,
            ldw: size(self.weights.ldw)?,
            block: size(self.weights.block)?,
            saved_row: size(gate_blocks(cell) * units)?,
            c_step: size(c_step)?,
            has_flags: u32::from(flags.is_some()),
            has_extra: u32::from(self.extra.is_some()),
            keep: u32::from(states.saved.is_some()),
            clip: inputs.extras.clip.unwrap_or(0.0),
            ..Default::default()
        };
        let nothing = &self.nothing;
        let or_nothing = |slice: Option<&'a Slice>| slice.unwrap_or(nothing).clone();
        let (mask, h_start) = (or_nothing(inputs.h_mask), or_nothing(self.start));
        let flags = flags.as_ref().unwrap_or(nothing);
        let extra = self.extra.as_ref().unwrap_or(nothing);
        each_dispatch(count, self.steps_at_once, false, |first, count| {
            let params = shader::ForwardParams { first: size(first)?, steps: size(count)?, ..params };
            let mut call = |kernel, calls: Calls, w: &Slice| {
                let buffers = [flags, w, extra, &mask, &h_start, gates, &h, &c];
                calls.record(rec, kernel, &buffers, bytemuck::bytes_of(&params), count, units)
            };
            let (calls, w) = (self.calls, &self.weights.slice);
            match cell {
                Cell::Lstm { .. } => call(&shader::LSTM_FORWARD, calls, w),
                Cell::Gru { reset_after: true, .. } => call(&shader::GRU_FORWARD, calls, w),
                Cell::Gru { reset_after: false, .. } => {
                    call(&shader::GRU_RESET_FORWARD, calls, w)?;
                    // The mask is in q already.
                    let geometry = Geometry { gates: 0, ..calls.geometry };
                    let calls = Calls { geometry, masked: false, ..calls };
                    call(&shader::GRU_CANDIDATE_FORWARD, calls, &self.weights.gate(2)?)
                }
                Cell::SimpleRnn { .. } => call(&shader::SIMPLE_RNN_FORWARD, calls, w),
            }
        })
    }
}
