//! What the recurrent operations take and give, and whether it fits together.

use super::{RecurrentShape, saved_blocks, saved_len};
use crate::error::{check_len, volume};
use crate::{Activation, Cell, CellExtras, Error, Result};

pub(super) const FORWARD: &str = "recurrent_forward";
const BACKWARD: &str = "recurrent_backward";
const ONLY_LSTM: &str = "only LSTM has a cell state c";

/// What both directions read.
#[derive(Clone, Copy, Debug)]
pub struct RecurrentInputs<'a, T> {
    /// `[T, B, I]`
    pub x: &'a [T],
    /// `[I, G*U]`
    pub kernel: &'a [T],
    /// `[U, G*U]`
    pub recurrent: &'a [T],
    /// `[bias_blocks*U]`; of the forward pass
    pub bias: Option<&'a [T]>,
    /// `[T, B]`; without them every step is `VALID` and none has `RESET`
    pub flags: Option<&'a [u32]>,
    /// `[B, U]`, factors of the state on its way into the recurrent product, the same at every step (recurrent
    /// dropout); the state that GRU's `z` carries over is whole
    pub h_mask: Option<&'a [T]>,
    /// `[3*U]`, LSTM: weights of the cell state on its way into the gates, in ONNX's order i, o, f; i and f see the
    /// state before the step, o the one after it
    pub peepholes: Option<&'a [T]>,
    /// what the cell has beyond Keras's
    pub extras: CellExtras,
}

impl<'a, T> RecurrentInputs<'a, T> {
    /// Without any of what may be left out.
    pub fn new(x: &'a [T], kernel: &'a [T], recurrent: &'a [T]) -> Self {
        let (bias, flags, h_mask, peepholes) = (None, None, None, None);
        RecurrentInputs {
            x,
            kernel,
            recurrent,
            bias,
            flags,
            h_mask,
            peepholes,
            extras: CellExtras::default(),
        }
    }
}

/// Where the forward pass puts states.
#[derive(Debug)]
pub struct RecurrentStates<'a, T> {
    /// `[T+1, B, U]`, slot 0 the start state, the others are written
    pub h: &'a mut [T],
    /// `[B, U]`, a state that lives on between sequences: read in place of slot 0 of `h`, which is then left alone, and
    /// overwritten with the last state. Not where `saved` is given: the way back needs slot 0
    pub h_state: Option<&'a mut [T]>,
    /// LSTM: `[T+1, B, U]` as `h`, or, where nothing is saved, `[B, U]`: one slot that every step overwrites
    pub c: Option<&'a mut [T]>,
    /// what the backward pass needs, [`saved_len`] long
    pub saved: Option<&'a mut [T]>,
}

impl<'a, T> RecurrentStates<'a, T> {
    /// All steps' states in `h` and `c`, nothing saved.
    pub fn new(h: &'a mut [T], c: Option<&'a mut [T]>) -> Self {
        RecurrentStates { h, h_state: None, c, saved: None }
    }
}

/// What the forward pass left for the backward pass.
#[derive(Clone, Copy, Debug)]
pub struct RecurrentTrace<'a, T> {
    /// `[T+1, B, U]`; empty where it is handed over as [`InputGradient::OverH`]
    pub h: &'a [T],
    /// `[T+1, B, U]`, of LSTM
    pub c: Option<&'a [T]>,
    /// [`saved_len`] long
    pub saved: &'a [T],
}

/// The gradient of every step's output `h[t+1]`, `[T, B, U]`.
#[derive(Clone, Copy, Debug)]
pub enum OutputGradient<'a, T> {
    /// In memory.
    Made(&'a [T]),
    /// The product of `left [T*B, n]` and the transposed `right [U, n]`, as a dense layer behind the sequence gives it. It is made for
    /// those steps alone that go back together, and never stands in memory as a whole.
    Product {
        /// `[T*B, n]`
        left: &'a [T],
        /// `[U, n]`
        right: &'a [T],
    },
}

/// The gradients that reach the outputs of a sequence; one that is absent is zero.
#[derive(Clone, Copy, Debug)]
pub struct RecurrentUpstream<'a, T> {
    /// of every step's output
    pub dy: Option<OutputGradient<'a, T>>,
    /// `[B, U]`, of the last h, added to the last step's `dy`
    pub dh_last: Option<&'a [T]>,
    /// `[B, U]`, of the last c; LSTM only
    pub dc_last: Option<&'a [T]>,
}

/// Memory for the gradient of the inputs, `[T, B, I]`: its own, or that of something that is read for the last time. A part of the
/// steps has read all it needs before the gradients of its inputs are written.
#[derive(Debug)]
pub enum InputGradient<'a, T> {
    /// `[T, B, I]`, overwritten.
    Apart(&'a mut [T]),
    /// `[T, B, U]`, of a layer with as many inputs as units: the gradients of the outputs at first, and there is no other
    /// [`RecurrentUpstream::dy`].
    OverDy(&'a mut [T]),
    /// `[T+1, B, U]`, of a layer with no more inputs than units: the states at first, and [`RecurrentTrace::h`] is empty. The last
    /// `T*B*I` values become the gradient; the slot that the sequence starts from stays.
    OverH(&'a mut [T]),
}

/// Where [`recurrent_backward`](super::recurrent_backward) puts its gradients.
#[derive(Debug)]
pub struct RecurrentGrads<'a, T> {
    /// `[I, G*U]`, added to
    pub kernel: &'a mut [T],
    /// `[U, G*U]`, added to
    pub recurrent: &'a mut [T],
    /// `[bias_blocks*U]`, added to
    pub bias: Option<&'a mut [T]>,
    /// `[3*U]`, added to; where there are peepholes
    pub peepholes: Option<&'a mut [T]>,
    /// of the inputs
    pub x: Option<InputGradient<'a, T>>,
    /// `[B, U]`, overwritten
    pub h0: Option<&'a mut [T]>,
    /// `[B, U]`, overwritten; LSTM only
    pub c0: Option<&'a mut [T]>,
}

fn fits<T>(op: &'static str, what: &'static str, buffer: Option<&[T]>, expected: usize) -> Result<()> {
    buffer.map_or(Ok(()), |buffer| check_len(op, what, expected, buffer.len()))
}

pub(super) fn check_forward<T>(
    cell: Cell,
    shape: RecurrentShape,
    inputs: &RecurrentInputs<'_, T>,
    states: &RecurrentStates<'_, T>,
) -> Result<()> {
    let slots = check_inputs(FORWARD, cell, shape, inputs)?;
    let slot = shape.batch * shape.units;
    fits(FORWARD, "bias", inputs.bias, cell.bias_blocks() * shape.units)?;
    check_len(FORWARD, "h", slots, states.h.len())?;
    fits(FORWARD, "h_state", states.h_state.as_deref(), slot)?;
    let one_slot = states.saved.is_none() && states.c.as_ref().is_some_and(|c| c.len() == slot);
    check_c(FORWARD, cell, states.c.as_deref(), if one_slot { slot } else { slots })?;
    fits(FORWARD, "saved", states.saved.as_deref(), saved_len(cell, shape))?;
    if states.h_state.is_some() && states.saved.is_some() {
        let reason = "a sequence that is saved for its way back starts from slot 0 of h, not from h_state";
        return Err(Error::Invalid { op: FORWARD, reason });
    }
    Ok(())
}

pub(super) fn check_backward<T>(
    cell: Cell,
    shape: RecurrentShape,
    inputs: &RecurrentInputs<'_, T>,
    trace: &RecurrentTrace<'_, T>,
    up: &RecurrentUpstream<'_, T>,
    grads: &RecurrentGrads<'_, T>,
) -> Result<()> {
    let slots = check_inputs(BACKWARD, cell, shape, inputs)?;
    check_places(shape, slots, trace, up, grads)?;
    check_c(BACKWARD, cell, trace.c, slots)?;
    check_len(BACKWARD, "saved", saved_len(cell, shape), trace.saved.len())?;
    let RecurrentShape { batch, input, units, .. } = shape;
    let columns = cell.gates() * units;
    for (what, buffer, expected) in [
        ("dh_last", up.dh_last, batch * units),
        ("dc_last", up.dc_last, batch * units),
        ("kernel gradient", Some(&*grads.kernel), input * columns),
        ("recurrent kernel gradient", Some(&*grads.recurrent), units * columns),
        ("bias gradient", grads.bias.as_deref(), cell.bias_blocks() * units),
        ("peephole gradient", grads.peepholes.as_deref(), 3 * units),
        ("h0 gradient", grads.h0.as_deref(), batch * units),
        ("c0 gradient", grads.c0.as_deref(), batch * units),
    ] {
        fits(BACKWARD, what, buffer, expected)?;
    }
    if cell.states() != 2 && (up.dc_last.is_some() || grads.c0.is_some()) {
        return Err(Error::Invalid { op: BACKWARD, reason: ONLY_LSTM });
    }
    if grads.peepholes.is_some() && inputs.peepholes.is_none() {
        return Err(Error::Missing { op: BACKWARD, what: "peepholes" });
    }
    if !cell.activations().each().into_iter().all(Activation::derivative_from_output) {
        let reason = "the derivative of silu and gelu needs their input, which a cell does not keep";
        return Err(Error::Invalid { op: BACKWARD, reason });
    }
    Ok(())
}

/// The states, the gradients of outputs and inputs, and which of them stand in one place.
fn check_places<T>(
    shape: RecurrentShape,
    slots: usize,
    trace: &RecurrentTrace<'_, T>,
    up: &RecurrentUpstream<'_, T>,
    grads: &RecurrentGrads<'_, T>,
) -> Result<()> {
    let RecurrentShape { time, batch, input, units } = shape;
    let steps = time * batch;
    let invalid = |reason| Err(Error::Invalid { op: BACKWARD, reason });
    match up.dy {
        None => {}
        Some(OutputGradient::Made(dy)) => check_len(BACKWARD, "dy", steps * units, dy.len())?,
        Some(OutputGradient::Product { left, right }) => {
            let n = right.len() / units.max(1);
            check_len(BACKWARD, "right factor of dy", volume(BACKWARD, &[n, units])?, right.len())?;
            check_len(BACKWARD, "left factor of dy", volume(BACKWARD, &[steps, n])?, left.len())?;
        }
    }
    let h = match &grads.x {
        None => trace.h,
        Some(InputGradient::Apart(x)) => {
            check_len(BACKWARD, "x gradient", steps * input, x.len())?;
            trace.h
        }
        Some(InputGradient::OverDy(dy)) => {
            if input != units || up.dy.is_some() {
                return invalid(
                    "dy stands where the gradient of x goes, so there is no other, and as many inputs as units",
                );
            }
            check_len(BACKWARD, "dy", steps * units, dy.len())?;
            trace.h
        }
        Some(InputGradient::OverH(h)) => {
            if input > units || !trace.h.is_empty() {
                return invalid(
                    "h stands where the gradient of x goes, so there is no other, and no more inputs than units",
                );
            }
            h
        }
    };
    check_len(BACKWARD, "h", slots, h.len())
}

/// What both directions read; says how long states `[T+1, B, U]` are.
fn check_inputs<T>(
    op: &'static str,
    cell: Cell,
    shape: RecurrentShape,
    inputs: &RecurrentInputs<'_, T>,
) -> Result<usize> {
    let RecurrentShape { time, batch, input, units } = shape;
    let columns = volume(op, &[cell.gates().max(saved_blocks(cell)).max(cell.bias_blocks()), units])?;
    volume(op, &[time, batch, columns])?;
    let columns = cell.gates() * units;
    let steps = time.checked_add(1).ok_or(Error::TooLarge { op })?;
    let states = volume(op, &[steps, batch, units])?;
    check_len(op, "x", volume(op, &[time, batch, input])?, inputs.x.len())?;
    check_len(op, "kernel", volume(op, &[input, columns])?, inputs.kernel.len())?;
    check_len(op, "recurrent kernel", volume(op, &[units, columns])?, inputs.recurrent.len())?;
    fits(op, "flags", inputs.flags, time * batch)?;
    fits(op, "h_mask", inputs.h_mask, batch * units)?;
    fits(op, "peepholes", inputs.peepholes, 3 * units)?;
    let CellExtras { clip, coupled } = inputs.extras;
    if cell.states() != 2 && (inputs.peepholes.is_some() || coupled) {
        return Err(Error::Invalid { op, reason: "only LSTM has peepholes and coupled gates" });
    }
    if clip.is_some_and(|clip| !(clip > 0.0 && clip.is_finite())) {
        return Err(Error::Invalid { op, reason: "clip has to be positive and finite" });
    }
    Ok(states)
}

fn check_c<T>(op: &'static str, cell: Cell, c: Option<&[T]>, expected: usize) -> Result<()> {
    match (c, cell.states() == 2) {
        (Some(c), true) => check_len(op, "c", expected, c.len()),
        (None, true) => Err(Error::Missing { op, what: "c" }),
        (Some(_), false) => Err(Error::Invalid { op, reason: ONLY_LSTM }),
        (None, false) => Ok(()),
    }
}
