//! The way back through a sequence, and the gradients of weights and inputs.
use super::plan::{Plan, plan};
use super::{
    Calls, Layer, RecurrentInputs, RecurrentShape, RecurrentStates, each_dispatch, elements, gate_blocks,
    size,
};
use crate::buffer::expect_len;
use crate::kernels::matmul::{Matmul, matmul, pack_rows};
use crate::kernels::operands::ELEMENT_GROUP;
use crate::kernels::{add_assign, copy, fill, sum_rows};
use crate::{Call, Error, Groups, Recorder, Result, Slice};
use rnn_shaders::vocabulary::Cell;
use rnn_shaders::{recurrent as shader, reset_mask};

const OP: &str = "recurrent_backward";

/// Where [`recurrent_backward`] puts its gradients.
#[derive(Clone, Copy, Debug)]
pub struct RecurrentGrads<'a> {
    /// `[I, G*U]`, added to
    pub kernel: &'a Slice,
    /// `[U, G*U]`, added to
    pub recurrent: &'a Slice,
    /// `[bias_blocks*U]`, added to
    pub bias: Option<&'a Slice>,
    /// `[3*U]`, added to; where there are peepholes
    pub peepholes: Option<&'a Slice>,
    /// `[T, B, I]`, overwritten. It may stand where something is read for the last time: in the place of `dy`, of a layer with as many
    /// inputs as units, or in that of the last `T*B*I` values of `h`, of a layer with no more inputs than units
    pub x: Option<&'a Slice>,
    /// `[B, U]`, overwritten
    pub h0: Option<&'a Slice>,
    /// `[B, U]`, overwritten; LSTM only
    pub c0: Option<&'a Slice>,
}

/// The gradient of every step's output `h[t+1]`, `[T, B, U]`.
#[derive(Clone, Copy, Debug)]
pub enum OutputGradient<'a> {
    /// In memory.
    Made(&'a Slice),
    /// The product of `left [T*B, n]` and the transposed `right [U, n]`, as a dense layer behind the sequence gives it. It is made for
    /// those steps alone that go back together, and never stands in memory as a whole.
    Product {
        /// `[T*B, n]`
        left: &'a Slice,
        /// `[U, n]`
        right: &'a Slice,
    },
}

/// The gradients that reach the outputs of a sequence; one that is absent is zero.
#[derive(Clone, Copy, Debug)]
pub struct RecurrentUpstream<'a> {
    /// of every step's output
    pub dy: Option<OutputGradient<'a>>,
    /// `[B, U]`, of the last h, added to the last step's `dy`
    pub dh_last: Option<&'a Slice>,
    /// `[B, U]`, of the last c; LSTM only
    pub dc_last: Option<&'a Slice>,
}

/// Records the gradients of a sequence that [`recurrent_forward`](super::recurrent_forward) ran with these inputs and states,
/// `saved` among them.
///
/// # Errors
/// As [`recurrent_forward`](super::recurrent_forward).
pub fn recurrent_backward(
    rec: &mut Recorder,
    cell: Cell,
    shape: RecurrentShape,
    inputs: RecurrentInputs<'_>,
    states: RecurrentStates<'_>,
    up: RecurrentUpstream<'_>,
    grads: &RecurrentGrads<'_>,
) -> Result<()> {
    let layer = Layer { operation: OP, cell, shape, inputs, states };
    layer.check()?;
    let saved = check(&layer, up, grads)?;
    let RecurrentShape { time, batch, units, .. } = shape;
    let columns = cell.gates() * units;
    let slot = batch * units;
    let carry = rec.scratch(2 * slot)?;
    for (from, to) in [(up.dh_last, carry.slice(0, slot)?), (up.dc_last, carry.slice(slot, slot)?)] {
        match from {
            Some(from) => copy(rec, from, &to)?,
            None => fill(rec, 0.0, &to)?,
        }
    }
    let padded = units.next_multiple_of(4);
    let row = layer.gradient_blocks() * units;
    let extra_rows = if inputs.peepholes.is_some() { 3 } else { 0 };
    let steps = shape
        .steps_of_a_part(WHOLE)
        .max(FEWEST_ROWS.div_ceil(batch))
        .min(layer.steps_per_chunk(rec))
        .min(time);
    let samples = steps * batch;
    let changes = inputs.flags.is_some() || inputs.h_mask.is_some();
    let work = Work {
        saved,
        weights: rec.scratch((columns + extra_rows) * padded)?,
        dgates: rec.scratch(elements(&[samples, row]))?,
        row,
        of_state: if matches!(cell, Cell::Gru { reset_after: true, .. }) { columns } else { 0 },
        carry,
        product: rec.scratch(slot)?,
        handed: rec.scratch(slot)?,
        dy: match up.dy {
            Some(OutputGradient::Product { .. }) => Some(rec.scratch(samples * units)?),
            _ => None,
        },
        changed: if changes { Some(rec.scratch(samples * units)?) } else { None },
        sums: if inputs.peepholes.is_some() { Some(rec.scratch(row)?) } else { None },
    };
    let transposed = work.weights.slice(0, columns * padded)?;
    pack_rows(rec, inputs.recurrent, (1, columns), (columns, units, padded), &transposed)?;
    if let Some(peepholes) = inputs.peepholes {
        let rows = work.weights.slice(columns * padded, 3 * padded)?;
        pack_rows(rec, peepholes, (units, 1), (3, units, padded), &rows)?;
    }
    for start in (0..time).step_by(steps).rev() {
        let part = Part { start, count: steps.min(time - start), time };
        if !part.is_last() {
            // What reached the state before the part behind this one, whose gradients are still there.
            state_gradient(rec, &layer, &work, start + part.count, &work.handed)?;
            copy(rec, &work.handed, &work.carry.slice(0, slot)?)?;
        }
        recurrence(rec, &layer, up.dy, &work, part)?;
        weight_gradients(rec, &layer, &work, grads, part)?;
    }
    if let Some(sums) = &work.sums {
        let (of_bias, of_peepholes) = (sums.slice(0, columns)?, sums.slice(columns, 3 * units)?);
        grads.bias.map_or(Ok(()), |bias| add_assign(rec, &of_bias, bias))?;
        grads.peepholes.map_or(Ok(()), |peepholes| add_assign(rec, &of_peepholes, peepholes))?;
    }
    grads.h0.map_or(Ok(()), |dh0| state_gradient(rec, &layer, &work, 0, dh0))?;
    grads.c0.map_or(Ok(()), |dc0| copy(rec, &work.carry.slice(slot, slot)?, dc0))
}

/// States of this many values are not taken apart.
const WHOLE: usize = 1 << 16;
/// Nor are so few rows: the weights' gradients, read and written for each part, would cost more than their products.
const FEWEST_ROWS: usize = 256;

/// Says what was saved.
fn check<'a>(layer: &Layer<'a>, up: RecurrentUpstream<'_>, grads: &RecurrentGrads<'_>) -> Result<&'a Slice> {
    let RecurrentShape { time, batch, input, units } = layer.shape;
    let cell = layer.cell;
    let columns = cell.gates() * units;
    let state = batch * units;
    expect_len(OP, "grads.kernel", grads.kernel, input * columns)?;
    expect_len(OP, "grads.recurrent", grads.recurrent, units * columns)?;
    match up.dy {
        None => {}
        Some(OutputGradient::Made(dy)) => expect_len(OP, "dy", dy, time * state)?,
        Some(OutputGradient::Product { left, right }) => {
            let n = right.len() / units;
            expect_len(OP, "right factor of dy", right, n * units)?;
            expect_len(OP, "left factor of dy", left, time * batch * n)?;
        }
    }
    for (what, slice, expected) in [
        ("dh_last", up.dh_last, state),
        ("dc_last", up.dc_last, state),
        ("grads.bias", grads.bias, cell.bias_blocks() * units),
        ("grads.peepholes", grads.peepholes, 3 * units),
        ("grads.x", grads.x, time * batch * input),
        ("grads.h0", grads.h0, state),
        ("grads.c0", grads.c0, state),
    ] {
        slice.map_or(Ok(()), |slice| expect_len(OP, what, slice, expected))?;
    }
    let invalid = |reason: &str| Err(Error::InvalidArgument { operation: OP, reason: reason.into() });
    if !matches!(cell, Cell::Lstm { .. }) && (up.dc_last.is_some() || grads.c0.is_some()) {
        return invalid("only LSTM has a cell state c");
    }
    if grads.peepholes.is_some() && layer.inputs.peepholes.is_none() {
        return invalid("a gradient of peepholes that are not there");
    }
    layer.states.saved.map_or_else(|| invalid("needs what the forward pass saved"), Ok)
}

/// Memory of the way back.
struct Work<'a> {
    saved: &'a Slice,
    /// the recurrent weights transposed, `[G*U, units padded to 4]`, and the peepholes behind them
    weights: Slice,
    /// gradients of the pre-activations, `[steps at a time, B, row]`
    dgates: Slice,
    row: usize,
    /// where those of the recurrent product begin in a row
    of_state: usize,
    /// what is handed to the step before, `[2, B, U]`: of h beside the product, and of c
    carry: Slice,
    /// the gradient of a state by way of the product, `[B, U]`
    product: Slice,
    /// the gradient of a state between two parts, `[B, U]`
    handed: Slice,
    /// gradients of the outputs, `[steps at a time, B, U]`, where they come as a product
    dy: Option<Slice>,
    /// states before the steps as the product saw them, `[steps at a time, B, U]`, where they differ from what is kept
    changed: Option<Slice>,
    /// of peepholes, whose gradients stand behind those of the gates: their sums and the bias's, `[row]`
    sums: Option<Slice>,
}

/// Steps that go back together.
#[derive(Clone, Copy)]
struct Part {
    start: usize,
    count: usize,
    /// of the whole sequence
    time: usize,
}

impl Part {
    /// Whether no other is behind it; that one goes back first.
    fn is_last(self) -> bool {
        self.start + self.count == self.time
    }

    /// The part's steps of an array whose steps are `row` long, and `more` behind them.
    fn of(self, slice: &Slice, row: usize, more: usize) -> Result<Slice> {
        slice.slice(self.start * row, (self.count + more) * row)
    }
}

fn recurrence(
    rec: &mut Recorder,
    layer: &Layer<'_>,
    dy: Option<OutputGradient<'_>>,
    work: &Work<'_>,
    of: Part,
) -> Result<()> {
    let Layer { cell, shape, inputs, states, .. } = *layer;
    let RecurrentShape { batch, units, .. } = shape;
    let dy = output_gradient(rec, layer, dy, work, of)?;
    let columns = cell.gates() * units;
    let padded = units.next_multiple_of(4);
    let depth = if matches!(cell, Cell::Gru { reset_after: false, .. }) { 2 * units } else { columns };
    let Plan { geometry, steps_at_once } = plan(rec, cell, shape, 0, depth)?;
    let (acts, masked) = (cell.activations(), inputs.h_mask.is_some());
    let extras = inputs.extras;
    let calls = Calls { operation: OP, geometry, acts, batch, units, masked, extras, start: false };
    let nothing = rec.nothing()?;
    let flags = inputs.flags.map_or(Ok(nothing.clone()), |flags| of.of(flags, batch, 0))?;
    let dgates = work.dgates.slice(0, of.count * batch * work.row)?;
    let states = of.of(states.c.unwrap_or(states.h), batch * units, 1)?;
    let saved_row = gate_blocks(cell) * units;
    let saved =
        if work.saved.is_empty() { nothing.clone() } else { of.of(work.saved, batch * saved_row, 0)? };
    let has_dy = dy.is_some();
    let dy = dy.unwrap_or_else(|| nothing.clone());
    let mask = inputs.h_mask.unwrap_or(&nothing);
    let size = |value| calls.size(value);
    let params = shader::BackwardParams {
        time: size(of.count)?,
        batch: size(batch)?,
        units: size(units)?,
        ldw: size(padded / 4)?,
        saved_row: size(saved_row)?,
        grad_row: size(work.row)?,
        has_flags: u32::from(inputs.flags.is_some()),
        has_dy: u32::from(has_dy),
        has_peepholes: u32::from(inputs.peepholes.is_some()),
        clip: extras.clip.unwrap_or(0.0),
        ..Default::default()
    };
    each_dispatch(of.count, steps_at_once, true, |first, count| {
        let params = shader::BackwardParams { first: size(first)?, steps: size(count)?, ..params };
        let mut call = |kernel, w: &Slice, left_at: usize, depth: usize| {
            let params = shader::BackwardParams { left_at: size(left_at)?, depth: size(depth)?, ..params };
            let buffers = [&flags, w, &saved, &states, &dy, mask, &dgates, &work.carry];
            calls.record(rec, kernel, &buffers, bytemuck::bytes_of(&params), count, depth)
        };
        let w = &work.weights;
        match cell {
            Cell::Lstm { .. } => call(&shader::LSTM_BACKWARD, w, work.of_state, depth),
            Cell::Gru { reset_after: true, .. } => call(&shader::GRU_BACKWARD, w, work.of_state, depth),
            Cell::Gru { reset_after: false, .. } => {
                call(&shader::GRU_CANDIDATE_BACKWARD, w, 0, depth)?;
                let of_candidate = w.slice(2 * units * padded, units * padded)?;
                call(&shader::GRU_RESET_BACKWARD, &of_candidate, 2 * units, units)
            }
            Cell::SimpleRnn { .. } => call(&shader::SIMPLE_RNN_BACKWARD, w, work.of_state, depth),
        }
    })
}

/// The gradients of a part's outputs; those that come as a product are made now.
fn output_gradient(
    rec: &mut Recorder,
    layer: &Layer<'_>,
    dy: Option<OutputGradient<'_>>,
    work: &Work<'_>,
    of: Part,
) -> Result<Option<Slice>> {
    let RecurrentShape { batch, units, .. } = layer.shape;
    match (dy, &work.dy) {
        (Some(OutputGradient::Made(dy)), _) => Ok(Some(of.of(dy, batch * units, 0)?)),
        (Some(OutputGradient::Product { left, right }), Some(made)) => {
            let (samples, n) = (of.count * batch, right.len() / units);
            let made = made.slice(0, samples * units)?;
            let spec = Matmul::new(samples, units, n).trans_b();
            matmul(rec, spec, &of.of(left, batch * n, 0)?, right, None, &made)?;
            Ok(Some(made))
        }
        _ => Ok(None),
    }
}

fn weight_gradients(
    rec: &mut Recorder,
    layer: &Layer<'_>,
    work: &Work<'_>,
    grads: &RecurrentGrads<'_>,
    of: Part,
) -> Result<()> {
    let Layer { cell, shape, inputs, states, .. } = *layer;
    let RecurrentInputs { x, kernel, flags, h_mask, .. } = inputs;
    let RecurrentShape { batch, input, units, .. } = shape;
    let (columns, row) = (cell.gates() * units, work.row);
    let samples = of.count * batch;
    let after = |slice: &Slice, at: usize| slice.slice(at, slice.len() - at);
    let dgates = work.dgates.slice(0, samples * row)?;
    let of_state = after(&dgates, work.of_state)?;

    let spec = Matmul { ldb: row, ..Matmul::new(input, columns, samples).trans_a().accumulate() };
    matmul(rec, spec, &of.of(x, batch * input, 0)?, &dgates, None, grads.kernel)?;

    // The state before each step as the product saw it: zero after a reset, and masked.
    let mut before = of.of(states.h, batch * units, 0)?;
    if let Some(changed) = &work.changed {
        let changed = changed.slice(0, samples * units)?;
        let flags = flags.map(|flags| of.of(flags, batch, 0)).transpose()?;
        reset(rec, flags.as_ref(), &before, h_mask, None, units, &changed)?;
        before = changed;
    }
    let spec = Matmul { ldb: row, ..Matmul::new(units, columns, samples).trans_a().accumulate() };
    if let Cell::Gru { reset_after: false, .. } = cell {
        // z and r saw the state, the candidate saw r times the state, block 3 of what is saved.
        let spec = Matmul { n: 2 * units, ..spec };
        matmul(rec, spec, &before, &of_state, None, grads.recurrent)?;
        let spec = Matmul { n: units, lda: 4 * units, ..spec };
        let q = after(&of.of(work.saved, batch * 4 * units, 0)?, 3 * units)?;
        let dn = after(&of_state, 2 * units)?;
        matmul(rec, spec, &q, &dn, None, &after(grads.recurrent, 2 * units)?)?;
    } else {
        matmul(rec, spec, &before, &of_state, None, grads.recurrent)?;
    }
    match (grads.bias, &work.sums) {
        // A row of gradients is laid out as the bias is.
        (Some(bias), None) => sum_rows(rec, samples, row, &dgates, bias, true)?,
        (_, Some(sums)) => sum_rows(rec, samples, row, &dgates, sums, !of.is_last())?,
        (None, None) => {}
    }
    match grads.x {
        Some(dx) => {
            let spec = Matmul { lda: row, ..Matmul::new(samples, input, columns).trans_b() };
            matmul(rec, spec, &dgates, kernel, None, &of.of(dx, batch * input, 0)?)
        }
        None => Ok(()),
    }
}

/// The gradient of the state before `step`, the first of the part that went back last.
fn state_gradient(
    rec: &mut Recorder,
    layer: &Layer<'_>,
    work: &Work<'_>,
    step: usize,
    to: &Slice,
) -> Result<()> {
    let Layer { cell, shape, inputs, .. } = *layer;
    let RecurrentShape { batch, units, .. } = shape;
    let (columns, row, slot) = (cell.gates() * units, work.row, batch * units);
    let product = &work.product;
    let mut spec = Matmul { lda: row, ..Matmul::new(batch, units, columns).trans_b() };
    if let Cell::Gru { reset_after: false, .. } = cell {
        spec.k = 2 * units;
    }
    let of_state = work.dgates.slice(work.of_state, batch * row - work.of_state)?;
    matmul(rec, spec, &of_state, inputs.recurrent, None, product)?;
    let flags = inputs.flags.map(|flags| flags.slice(step * batch, batch)).transpose()?;
    let passed = work.carry.slice(0, slot)?;
    reset(rec, flags.as_ref(), product, inputs.h_mask, Some(&passed), units, to)
}

/// `y = (0 where the row resets, else x) mask + z`, rows of `cols`; the mask's rows are used again and again.
fn reset(
    rec: &mut Recorder,
    flags: Option<&Slice>,
    x: &Slice,
    mask: Option<&Slice>,
    z: Option<&Slice>,
    cols: usize,
    y: &Slice,
) -> Result<()> {
    let nothing = rec.nothing()?;
    rec.call(Call {
        kernel: &reset_mask::KERNEL,
        overrides: &[],
        buffers: &[flags.unwrap_or(&nothing), x, mask.unwrap_or(&nothing), z.unwrap_or(&nothing), y],
        params: bytemuck::bytes_of(&reset_mask::Params {
            n: size(OP, x.len())?,
            cols: size(OP, cols)?,
            mask_len: size(OP, mask.map_or(0, Slice::len))?,
            has_flags: u32::from(flags.is_some()),
            has_z: u32::from(z.is_some()),
            ..Default::default()
        }),
        groups: Groups::linear(x.len(), ELEMENT_GROUP),
        flops: x.len() as f64,
    })
}
