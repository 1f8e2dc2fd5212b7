//! The way back through a sequence, and the gradients of weights and inputs.
use super::plan::{Plan, plan};
use super::{
    Layer, RecurrentShape, Steps, activations, each_dispatch, elements, gate_blocks, record, saved_len, size,
};
use crate::buffer::expect_len;
use crate::kernels::matmul::{Matmul, matmul, pack_rows};
use crate::kernels::operands::ELEMENT_GROUP;
use crate::kernels::{copy, fill, sum_rows};
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
    /// `[T, B, I]`, overwritten
    pub x: Option<&'a Slice>,
    /// `[B, U]`, overwritten
    pub h0: Option<&'a Slice>,
    /// `[B, U]`, overwritten; LSTM only
    pub c0: Option<&'a Slice>,
}

/// Records the gradients of a sequence that [`recurrent_forward`](super::recurrent_forward) ran with `saved`.
///
/// `dy [T, B, U]` is the gradient with respect to every step's output `h[t+1]`; `dh_last`, `dc_last [B, U]` are those with
/// respect to the last states (`dh_last` is added to `dy` of the last step). An absent gradient is zero.
///
/// # Errors
/// As [`recurrent_forward`](super::recurrent_forward).
pub fn recurrent_backward(
    rec: &mut Recorder,
    cell: Cell,
    shape: RecurrentShape,
    x: &Slice,
    kernel: &Slice,
    recurrent: &Slice,
    flags: Option<&Slice>,
    h: &Slice,
    c: Option<&Slice>,
    saved: &Slice,
    dy: Option<&Slice>,
    dh_last: Option<&Slice>,
    dc_last: Option<&Slice>,
    grads: &RecurrentGrads<'_>,
) -> Result<()> {
    let layer = Layer { operation: OP, cell, shape, x, kernel, recurrent, flags, h, c };
    layer.check()?;
    check(&layer, saved, dy, dh_last, dc_last, grads)?;
    let RecurrentShape { time, batch, units, .. } = shape;
    let columns = cell.gates() * units;
    let state = |rec: &mut Recorder, from: Option<&Slice>| -> Result<Slice> {
        let slice = rec.scratch(batch * units)?;
        match from {
            Some(from) => copy(rec, from, &slice)?,
            None => fill(rec, 0.0, &slice)?,
        }
        Ok(slice)
    };
    let padded = units.next_multiple_of(4);
    let work = Work {
        weights: rec.scratch(columns * padded)?,
        dgates: rec.scratch(elements(&[time, batch, columns]))?,
        drec: match cell {
            Cell::Gru { reset_after: true, .. } => Some(rec.scratch(elements(&[time, batch, columns]))?),
            _ => None,
        },
        dpass: state(rec, dh_last)?,
        dc: match cell {
            Cell::Lstm { .. } => Some(state(rec, dc_last)?),
            _ => None,
        },
    };
    pack_rows(rec, recurrent, (1, columns), (columns, units, padded), &work.weights)?;
    recurrence(rec, &layer, saved, dy, &work)?;
    weight_gradients(rec, &layer, saved, &work, grads)?;
    state_gradients(rec, &layer, &work, grads)
}

fn check(
    layer: &Layer<'_>,
    saved: &Slice,
    dy: Option<&Slice>,
    dh_last: Option<&Slice>,
    dc_last: Option<&Slice>,
    grads: &RecurrentGrads<'_>,
) -> Result<()> {
    let RecurrentShape { time, batch, input, units } = layer.shape;
    let cell = layer.cell;
    let columns = cell.gates() * units;
    let state = batch * units;
    expect_len(OP, "saved", saved, saved_len(cell, layer.shape))?;
    expect_len(OP, "grads.kernel", grads.kernel, input * columns)?;
    expect_len(OP, "grads.recurrent", grads.recurrent, units * columns)?;
    for (what, slice, expected) in [
        ("dy", dy, time * batch * units),
        ("dh_last", dh_last, state),
        ("dc_last", dc_last, state),
        ("grads.bias", grads.bias, cell.bias_blocks() * units),
        ("grads.x", grads.x, time * batch * input),
        ("grads.h0", grads.h0, state),
        ("grads.c0", grads.c0, state),
    ] {
        slice.map_or(Ok(()), |slice| expect_len(OP, what, slice, expected))?;
    }
    let invalid = |reason: &str| Err(Error::InvalidArgument { operation: OP, reason: reason.into() });
    if !matches!(cell, Cell::Lstm { .. }) && (dc_last.is_some() || grads.c0.is_some()) {
        return invalid("only LSTM has a cell state c");
    }
    Ok(())
}

/// Memory of the way back.
struct Work {
    /// the recurrent weights transposed, `[G*U, units padded to 4]`
    weights: Slice,
    /// gradients of the pre-activations, `[T, B, G*U]`
    dgates: Slice,
    /// GRU with `reset_after`: those of the recurrent product
    drec: Option<Slice>,
    /// what is handed to the step before beside the product, `[B, U]`
    dpass: Slice,
    dc: Option<Slice>,
}

fn recurrence(
    rec: &mut Recorder,
    layer: &Layer<'_>,
    saved: &Slice,
    dy: Option<&Slice>,
    work: &Work,
) -> Result<()> {
    let Layer { cell, shape, flags, h, c, .. } = *layer;
    let RecurrentShape { time, batch, units, .. } = shape;
    let columns = cell.gates() * units;
    let padded = units.next_multiple_of(4);
    let depth = if matches!(cell, Cell::Gru { reset_after: false, .. }) { 2 * units } else { columns };
    let Plan { geometry, steps_at_once } = plan(rec, cell, shape, 0, depth)?;
    let acts = activations(cell);
    let nothing = rec.nothing()?;
    let chunk = layer.steps_per_chunk(rec);
    for start in (0..time).step_by(chunk).rev() {
        let count = chunk.min(time - start);
        // The product of a step needs the gradients and flags of the step after it, also across chunks.
        let ahead = usize::from(start + count < time);
        let part = |slice: &Slice, width: usize, more: usize| {
            slice.slice(start * batch * width, (count + more) * batch * width)
        };
        let flag = flags.map_or(Ok(nothing.clone()), |flags| part(flags, 1, ahead))?;
        let dgates = part(&work.dgates, columns, ahead)?;
        let h = part(h, units, 1)?;
        let c = c.map(|c| part(c, units, 1)).transpose()?;
        let row = gate_blocks(cell) * units;
        let saved = if saved.is_empty() { nothing.clone() } else { part(saved, row, 0)? };
        let drec = work.drec.as_ref().map(|drec| part(drec, columns, ahead)).transpose()?;
        let has_dy = dy.is_some();
        let dy = dy.map_or(Ok(nothing.clone()), |dy| part(dy, units, 0))?;
        let steps = Steps {
            first: 0,
            count: 1,
            time: count + ahead,
            batch,
            units,
            depth,
            ldw: padded / 4,
            block: 0,
            saved_row: row,
            has_flags: flags.is_some(),
            has_bias: false,
            has_dy,
            keep: false,
        };
        each_dispatch(count, steps_at_once, true, |first, count| {
            let steps = Steps { first, count, ..steps };
            let mut call = |kernel, buffers: &[&Slice], depth: usize| {
                record(rec, OP, kernel, geometry, acts, buffers, Steps { depth, ..steps })
            };
            let (w, dpass) = (&work.weights, &work.dpass);
            match (cell, &c, &work.dc, &drec) {
                (Cell::Lstm { .. }, Some(c), Some(dc), _) => call(
                    &shader::lstm_backward::KERNEL,
                    &[&flag, w, &saved, c, &dy, &dgates, dpass, dc],
                    depth,
                ),
                (Cell::Gru { reset_after: true, .. }, _, _, Some(drec)) => call(
                    &shader::gru_backward::KERNEL,
                    &[&flag, w, &saved, &h, &dy, &dgates, drec, dpass],
                    depth,
                ),
                (Cell::Gru { .. }, ..) => {
                    let buffers = [&flag, w, &saved, &h, &dy, &dgates, dpass];
                    call(&shader::gru_candidate_backward::KERNEL, &buffers, depth)?;
                    let w = w.slice(2 * units * padded, units * padded)?;
                    let buffers = [&flag, &w, &saved, &h, &dgates, dpass];
                    call(&shader::gru_reset_backward::KERNEL, &buffers, units)
                }
                _ => call(&shader::simple_rnn_backward::KERNEL, &[&flag, w, &h, &dy, &dgates, dpass], depth),
            }
        })?;
    }
    Ok(())
}

fn weight_gradients(
    rec: &mut Recorder,
    layer: &Layer<'_>,
    saved: &Slice,
    work: &Work,
    grads: &RecurrentGrads<'_>,
) -> Result<()> {
    let Layer { cell, shape, x, kernel, flags, h, .. } = *layer;
    let RecurrentShape { time, batch, input, units } = shape;
    let columns = cell.gates() * units;
    let chunk = layer.steps_per_chunk(rec);
    let masked = flags.map(|_| rec.scratch(chunk * batch * units)).transpose()?;
    for start in (0..time).step_by(chunk) {
        let samples = chunk.min(time - start) * batch;
        let part = |slice: &Slice, width: usize| slice.slice(start * batch * width, samples * width);
        let dgates = part(&work.dgates, columns)?;
        let drec = work.drec.as_ref().map_or(Ok(dgates.clone()), |drec| part(drec, columns))?;

        let spec = Matmul::new(input, columns, samples).trans_a().accumulate();
        matmul(rec, spec, &part(x, input)?, &dgates, None, grads.kernel)?;

        // The state before each step as the step saw it: zero after a reset.
        let mut before = part(h, units)?;
        if let (Some(flags), Some(masked)) = (flags, &masked) {
            let masked = masked.slice(0, samples * units)?;
            mask(rec, Some(&part(flags, 1)?), &before, None, units, &masked)?;
            before = masked;
        }
        let mut spec = Matmul::new(units, columns, samples).trans_a().accumulate();
        if let Cell::Gru { reset_after: false, .. } = cell {
            // z and r saw the state, the candidate saw r times the state, block 3 of what is saved.
            spec = Matmul { n: 2 * units, ..spec };
            matmul(rec, spec, &before, &drec, None, grads.recurrent)?;
            let spec = Matmul { n: units, lda: 4 * units, ..spec };
            let after = |slice: &Slice, at: usize| slice.slice(at, slice.len() - at);
            let (q, dn) = (after(&part(saved, 4 * units)?, 3 * units)?, after(&drec, 2 * units)?);
            matmul(rec, spec, &q, &dn, None, &after(grads.recurrent, 2 * units)?)?;
        } else {
            matmul(rec, spec, &before, &drec, None, grads.recurrent)?;
        }
        if let Some(bias) = grads.bias {
            sum_rows(rec, samples, columns, &dgates, &bias.slice(0, columns)?, true)?;
            if cell.bias_blocks() > cell.gates() {
                sum_rows(rec, samples, columns, &drec, &bias.slice(columns, columns)?, true)?;
            }
        }
        if let Some(dx) = grads.x {
            let spec = Matmul::new(samples, input, columns).trans_b();
            matmul(rec, spec, &dgates, kernel, None, &part(dx, input)?)?;
        }
    }
    Ok(())
}

fn state_gradients(
    rec: &mut Recorder,
    layer: &Layer<'_>,
    work: &Work,
    grads: &RecurrentGrads<'_>,
) -> Result<()> {
    let Layer { cell, shape, recurrent, flags, .. } = *layer;
    let RecurrentShape { batch, units, .. } = shape;
    let columns = cell.gates() * units;
    if let Some(dh0) = grads.h0 {
        let product = rec.scratch(batch * units)?;
        let mut spec = Matmul::new(batch, units, columns).trans_b();
        if let Cell::Gru { reset_after: false, .. } = cell {
            spec.k = 2 * units;
        }
        let drec = work.drec.as_ref().unwrap_or(&work.dgates);
        matmul(rec, spec, &drec.slice(0, batch * columns)?, recurrent, None, &product)?;
        let first = flags.map(|flags| flags.slice(0, batch)).transpose()?;
        mask(rec, first.as_ref(), &product, Some(&work.dpass), units, dh0)?;
    }
    match (grads.c0, &work.dc) {
        (Some(dc0), Some(dc)) => copy(rec, dc, dc0),
        _ => Ok(()),
    }
}

/// `y = (0 where the row resets, else x) + z`, rows of `cols`.
fn mask(
    rec: &mut Recorder,
    flags: Option<&Slice>,
    x: &Slice,
    z: Option<&Slice>,
    cols: usize,
    y: &Slice,
) -> Result<()> {
    let nothing = rec.nothing()?;
    rec.call(Call {
        kernel: &reset_mask::KERNEL,
        overrides: &[],
        buffers: &[flags.unwrap_or(&nothing), x, z.unwrap_or(&nothing), y],
        params: bytemuck::bytes_of(&reset_mask::Params {
            n: size(OP, x.len())?,
            cols: size(OP, cols)?,
            has_flags: u32::from(flags.is_some()),
            has_z: u32::from(z.is_some()),
            ..Default::default()
        }),
        groups: Groups::linear(x.len(), ELEMENT_GROUP),
        flops: x.len() as f64,
    })
}
