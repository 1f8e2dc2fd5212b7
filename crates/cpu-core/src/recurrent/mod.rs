//! Recurrent layers over a whole sequence: LSTM, GRU and SimpleRNN, forward and backward.
//!
//! Shapes: `x [T, B, I]`, `kernel [I, G*U]`, `recurrent [U, G*U]`, `bias [bias_blocks*U]`, states `h, c [T+1, B, U]`
//! with slot 0 the state that the sequence starts from. Gate order is Keras's. Equations (`hp`, `cp` the states
//! before the step, zero where the step's flag has `RESET`):
//!
//! ```text
//! LSTM       i, f, o = rec_act(x W + hp U + b)    g = act(..)    c = f cp + i g    h = o act(c)
//! GRU after  z, r = rec_act(x W + hp U + b + b')  n = act(x W_h + b_h + r (hp U_h + b'_h))   h = z hp + (1 - z) n
//! GRU before z, r = rec_act(x W + hp U + b)       n = act(x W_h + b_h + (r hp) U_h)          h = z hp + (1 - z) n
//! SimpleRNN  h = act(x W + hp U + b)
//! ```
//!
//! A step without `VALID` carries the states over; the gradient passes straight through it.
//!
//! Two implementations stand behind one face: a plain one, generic over the element type, that is the oracle in f64;
//! and for f32 the packed one (see [`strategy`]).

mod backward;
mod forward;
mod gradients;
mod pack;
mod plain;
mod plain_backward;
mod plan;
mod pointwise;
mod thin;
mod tile;
mod view;
mod workspace;

use crate::error::{check_len, volume};
use crate::{Activation, Cell, Error, RESET, Real, Result, VALID};
use plan::Plan;
pub use plan::strategy;
pub use workspace::RecurrentWorkspace;
use workspace::aligned;

const FORWARD: &str = "recurrent_forward";
const BACKWARD: &str = "recurrent_backward";
const ONLY_LSTM: &str = "only LSTM has a cell state c";

pub use rnn_shaders::shape::RecurrentShape;

/// Where [`recurrent_backward`] puts its gradients.
pub struct RecurrentGrads<'a, T> {
    /// `[I, G*U]`, added to
    pub kernel: &'a mut [T],
    /// `[U, G*U]`, added to
    pub recurrent: &'a mut [T],
    /// `[bias_blocks*U]`, added to
    pub bias: Option<&'a mut [T]>,
    /// `[T, B, I]`, overwritten
    pub x: Option<&'a mut [T]>,
    /// `[B, U]`, overwritten
    pub h0: Option<&'a mut [T]>,
    /// `[B, U]`, overwritten; LSTM only
    pub c0: Option<&'a mut [T]>,
}

/// Blocks of `units` values that the forward pass keeps per step and sample for the backward pass:
/// LSTM `i, f, g, o`; GRU `z, r, n, q` with `q` the recurrent product of the candidate (`reset_after`) or `r hp`
/// (before); SimpleRNN nothing beyond its output.
pub(crate) fn saved_blocks(cell: Cell) -> usize {
    match cell {
        Cell::Lstm { .. } | Cell::Gru { .. } => 4,
        Cell::SimpleRnn { .. } => 0,
    }
}

/// Blocks of `units` gradients per step and sample in the workspace: as the gates, and for GRU with `reset_after`
/// `z, r, n of the recurrent product, n of the input`.
pub(crate) fn gradient_blocks(cell: Cell) -> usize {
    match cell {
        Cell::Lstm { .. } | Cell::Gru { reset_after: true, .. } => 4,
        Cell::Gru { reset_after: false, .. } => 3,
        Cell::SimpleRnn { .. } => 1,
    }
}

/// Length of the `saved` buffer that connects [`recurrent_forward`] with [`recurrent_backward`].
pub fn saved_len(cell: Cell, shape: RecurrentShape) -> usize {
    shape.time * shape.batch * shape.units * saved_blocks(cell)
}

/// Runs the sequence. `h` and, for LSTM, `c` hold the start states in slot 0 and get all others; `saved` (training) is
/// [`saved_len`] long.
///
/// The workspace keeps packed weights: they are reused when `weights_version` is not 0 and equals that of the
/// workspace's last call. `threads` is the most that are used; results for one value of `threads` are bit-identical.
///
/// # Errors
/// Where a buffer's length does not fit the shape, or `c` is given for another cell than LSTM or missing for it.
pub fn recurrent_forward<T: Real>(
    cell: Cell,
    shape: RecurrentShape,
    x: &[T],
    kernel: &[T],
    recurrent: &[T],
    bias: Option<&[T]>,
    flags: Option<&[u32]>,
    h: &mut [T],
    c: Option<&mut [T]>,
    saved: Option<&mut [T]>,
    workspace: &mut RecurrentWorkspace<T>,
    weights_version: u64,
    threads: usize,
) -> Result<()> {
    check(FORWARD, cell, shape, x, kernel, recurrent, flags, h, c.as_deref(), saved.as_deref())?;
    if let Some(bias) = bias {
        check_len(FORWARD, "bias", cell.bias_blocks() * shape.units, bias.len())?;
    }
    if !nothing_to_do(shape) && is_f32::<T>() {
        let plan = Plan::new(cell, shape, threads);
        forward::forward(
            plan,
            cell,
            shape,
            f32s(x),
            f32s(kernel),
            f32s(recurrent),
            bias.map(f32s),
            flags,
            f32s_mut(h),
            c.map(f32s_mut),
            saved.map(f32s_mut),
            &mut workspace.forward,
            weights_version,
        );
    } else {
        plain::forward(cell, shape, x, kernel, recurrent, bias, flags, h, c, saved, workspace);
    }
    Ok(())
}

/// Gradients of a sequence that [`recurrent_forward`] ran with `saved`. `dy [T, B, U]` is the gradient with respect to
/// every step's output `h[t+1]`; `dh_last`, `dc_last [B, U]` are those with respect to the last states (`dh_last` is
/// added to the last step's `dy`).
///
/// # Errors
/// Where a buffer's length does not fit the shape, or where an activation's derivative needs its input (silu, gelu).
pub fn recurrent_backward<T: Real>(
    cell: Cell,
    shape: RecurrentShape,
    x: &[T],
    kernel: &[T],
    recurrent: &[T],
    flags: Option<&[u32]>,
    h: &[T],
    c: Option<&[T]>,
    saved: &[T],
    dy: Option<&[T]>,
    dh_last: Option<&[T]>,
    dc_last: Option<&[T]>,
    mut grads: RecurrentGrads<'_, T>,
    workspace: &mut RecurrentWorkspace<T>,
    weights_version: u64,
    threads: usize,
) -> Result<()> {
    check(BACKWARD, cell, shape, x, kernel, recurrent, flags, h, c, Some(saved))?;
    check_gradients(cell, shape, dy, dh_last, dc_last, &grads)?;
    let len = shape.time * shape.batch * gradient_blocks(cell) * shape.units;
    if !nothing_to_do(shape) && is_f32::<T>() {
        backward::through_time(
            Plan::new(cell, shape, threads),
            cell,
            shape,
            f32s(recurrent),
            flags,
            f32s(h),
            c.map(f32s),
            f32s(saved),
            dy.map(f32s),
            dh_last.map(f32s),
            dc_last.map(f32s),
            grads.h0.as_deref_mut().map(f32s_mut),
            grads.c0.as_deref_mut().map(f32s_mut),
            f32s_mut(aligned(&mut workspace.gate_grads, len, T::ZERO)),
            &mut workspace.backward,
            weights_version,
        );
    } else {
        plain_backward::through_time(
            cell, shape, recurrent, flags, h, c, saved, dy, dh_last, dc_last, &mut grads, workspace,
        );
    }
    gradients::weights_and_input(cell, shape, x, kernel, flags, h, saved, &mut grads, workspace, threads)
}

fn nothing_to_do(shape: RecurrentShape) -> bool {
    shape.time == 0 || shape.batch == 0 || shape.units == 0
}

fn is_f32<T: Real>() -> bool {
    T::f32s(&[]).is_some()
}

fn f32s<T: Real>(x: &[T]) -> &[f32] {
    T::f32s(x).expect("the packed path runs where the elements are f32")
}

fn f32s_mut<T: Real>(x: &mut [T]) -> &mut [f32] {
    T::f32s_mut(x).expect("the packed path runs where the elements are f32")
}

/// Whether the flag word of `(step, sample)` has `VALID` and `RESET`.
#[inline]
pub(crate) fn flag(flags: Option<&[u32]>, index: usize) -> (bool, bool) {
    flags.map_or((true, false), |flags| (flags[index] & VALID != 0, flags[index] & RESET != 0))
}

fn check<T>(
    op: &'static str,
    cell: Cell,
    shape: RecurrentShape,
    x: &[T],
    kernel: &[T],
    recurrent: &[T],
    flags: Option<&[u32]>,
    h: &[T],
    c: Option<&[T]>,
    saved: Option<&[T]>,
) -> Result<()> {
    let RecurrentShape { time, batch, input, units } = shape;
    let columns = volume(op, &[cell.gates().max(saved_blocks(cell)).max(cell.bias_blocks()), units])?;
    volume(op, &[time, batch, columns])?;
    let columns = cell.gates() * units;
    let steps = time.checked_add(1).ok_or(Error::TooLarge { op })?;
    let states = volume(op, &[steps, batch, units])?;
    check_len(op, "x", volume(op, &[time, batch, input])?, x.len())?;
    check_len(op, "kernel", volume(op, &[input, columns])?, kernel.len())?;
    check_len(op, "recurrent kernel", volume(op, &[units, columns])?, recurrent.len())?;
    check_len(op, "h", states, h.len())?;
    match (c, cell.states() == 2) {
        (Some(c), true) => check_len(op, "c", states, c.len())?,
        (None, true) => return Err(Error::Missing { op, what: "c" }),
        (Some(_), false) => return Err(Error::Invalid { op, reason: ONLY_LSTM }),
        (None, false) => {}
    }
    if let Some(flags) = flags {
        check_len(op, "flags", time * batch, flags.len())?;
    }
    match saved {
        Some(saved) => check_len(op, "saved", saved_len(cell, shape), saved.len()),
        None => Ok(()),
    }
}

fn check_gradients<T>(
    cell: Cell,
    shape: RecurrentShape,
    dy: Option<&[T]>,
    dh_last: Option<&[T]>,
    dc_last: Option<&[T]>,
    grads: &RecurrentGrads<'_, T>,
) -> Result<()> {
    let RecurrentShape { time, batch, input, units } = shape;
    let columns = cell.gates() * units;
    let fits = |what, buffer: Option<&[T]>, expected| match buffer {
        Some(buffer) => check_len(BACKWARD, what, expected, buffer.len()),
        None => Ok(()),
    };
    fits("dy", dy, time * batch * units)?;
    fits("dh_last", dh_last, batch * units)?;
    fits("dc_last", dc_last, batch * units)?;
    fits("kernel gradient", Some(grads.kernel), input * columns)?;
    fits("recurrent kernel gradient", Some(grads.recurrent), units * columns)?;
    fits("bias gradient", grads.bias.as_deref(), cell.bias_blocks() * units)?;
    fits("x gradient", grads.x.as_deref(), time * batch * input)?;
    fits("h0 gradient", grads.h0.as_deref(), batch * units)?;
    fits("c0 gradient", grads.c0.as_deref(), batch * units)?;
    if cell.states() != 2 && (dc_last.is_some() || grads.c0.is_some()) {
        return Err(Error::Invalid { op: BACKWARD, reason: ONLY_LSTM });
    }
    let (activation, gate) = activations(cell);
    if !activation.derivative_from_output() || !gate.derivative_from_output() {
        let reason = "the derivative of silu and gelu needs their input, which a cell does not keep";
        return Err(Error::Invalid { op: BACKWARD, reason });
    }
    Ok(())
}

/// Activation of the candidate, activation of the gates.
pub(crate) fn activations(cell: Cell) -> (Activation, Activation) {
    match cell {
        Cell::Lstm { activation, recurrent_activation }
        | Cell::Gru { activation, recurrent_activation, .. } => (activation, recurrent_activation),
        Cell::SimpleRnn { activation } => (activation, activation),
    }
}

#[cfg(test)]
mod tests;
