//! Recurrent layers over a whole sequence: LSTM, GRU and SimpleRNN, forward and backward.
//!
//! Shapes: `x [T, B, I]`, `kernel [I, G*U]`, `recurrent [U, G*U]`, `bias [bias_blocks*U]`, states `h, c [T+1, B, U]`
//! with slot 0 the state that the sequence starts from. Gate order is Keras's. Equations (`hp`, `cp` the states
//! before the step, zero where the step's flag has `RESET`):
//!
//! ```text
//! LSTM       i, f, o = rec_act(x W + hp U + b)    g = act(..)    c = f cp + i g    h = o out_act(c)
//! GRU after  z, r = rec_act(x W + hp U + b + b')  n = act(x W_h + b_h + r (hp U_h + b'_h))   h = z hp + (1 - z) n
//! GRU before z, r = rec_act(x W + hp U + b)       n = act(x W_h + b_h + (r hp) U_h)          h = z hp + (1 - z) n
//! SimpleRNN  h = act(x W + hp U + b)
//! ```
//!
//! With [peepholes](RecurrentInputs::peepholes) `p` an LSTM adds `p_i cp`, `p_f cp` and `p_o c` inside the gates;
//! [`CellExtras`] has the rest of what ONNX's cells can do. A mask is on `hp` in the products, and
//! in `r hp`.
//!
//! A step without `VALID` carries the states over; the gradient passes straight through it.
//!
//! Two implementations stand behind one face: a plain one, generic over the element type, that is the oracle in f64;
//! and for f32 the packed one (see [`strategy`]).

mod arguments;
mod backward;
mod chunks;
mod form;
mod forward;
mod gradients;
mod pack;
mod plain;
mod plain_backward;
mod plan;
mod pointwise;
mod thin;
mod tile;
#[cfg(target_arch = "x86_64")]
mod tiles;
mod workspace;

use crate::{Activation, Cell, CellActivations, CellExtras, RESET, Real, Result, VALID};
pub use arguments::{
    InputGradient, OutputGradient, RecurrentGrads, RecurrentInputs, RecurrentStates, RecurrentTrace,
    RecurrentUpstream,
};
use arguments::{check_backward, check_forward};
use chunks::Upstream;
use plan::Plan;
pub use plan::strategy;
pub use workspace::RecurrentWorkspace;
use workspace::aligned;

pub use rnn_shaders::shape::RecurrentShape;

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

/// Runs the sequence; see [`RecurrentStates`] for where it starts and what it leaves.
///
/// The workspace keeps packed weights: they are reused when `weights_version` is not 0 and equals that of the
/// workspace's last call. `threads` is the most that are used; results for one value of `threads` are bit-identical.
///
/// # Errors
/// Where a buffer's length does not fit the shape, or `c` is given for another cell than LSTM or missing for it.
pub fn recurrent_forward<T: Real>(
    cell: Cell,
    shape: RecurrentShape,
    inputs: RecurrentInputs<'_, T>,
    states: RecurrentStates<'_, T>,
    workspace: &mut RecurrentWorkspace<T>,
    weights_version: u64,
    threads: usize,
) -> Result<()> {
    check_forward(cell, shape, &inputs, &states)?;
    if !nothing_to_do(shape) && is_f32::<T>() {
        let plan = Plan::new(cell, shape, threads);
        let (inputs, states) = (inputs.f32s(), states.f32s());
        forward::forward(plan, cell, shape, inputs, states, &mut workspace.forward, weights_version);
    } else {
        plain::forward(cell, shape, inputs, states, workspace);
    }
    Ok(())
}

/// Gradients of a sequence that [`recurrent_forward`] ran with `saved`.
///
/// # Errors
/// Where a buffer's length does not fit the shape, or where an activation's derivative needs its input (silu, gelu).
pub fn recurrent_backward<T: Real>(
    cell: Cell,
    shape: RecurrentShape,
    inputs: RecurrentInputs<'_, T>,
    trace: RecurrentTrace<'_, T>,
    up: RecurrentUpstream<'_, T>,
    grads: RecurrentGrads<'_, T>,
    workspace: &mut RecurrentWorkspace<T>,
    weights_version: u64,
    threads: usize,
) -> Result<()> {
    check_backward(cell, shape, &inputs, &trace, &up, &grads)?;
    let steps = shape.steps_of_a_part(chunks::WHOLE);
    backward_in(steps, cell, shape, inputs, trace, up, grads, workspace, weights_version, threads)
}

/// [`recurrent_backward`] of checked arguments, `steps` steps at a time.
fn backward_in<T: Real>(
    steps: usize,
    cell: Cell,
    shape: RecurrentShape,
    inputs: RecurrentInputs<'_, T>,
    trace: RecurrentTrace<'_, T>,
    up: RecurrentUpstream<'_, T>,
    grads: RecurrentGrads<'_, T>,
    workspace: &mut RecurrentWorkspace<T>,
    weights_version: u64,
    threads: usize,
) -> Result<()> {
    let plan = Plan::new(cell, shape, threads);
    if weights_version == 0 {
        // Packed for the first part of the sequence, and kept for the others.
        workspace.backward.key = None;
    }
    chunks::each(
        steps,
        cell,
        shape,
        inputs,
        trace,
        up,
        grads,
        workspace,
        threads,
        |shape, inputs, trace, up, grads, workspace| {
            let len = shape.time * shape.batch * gradient_blocks(cell) * shape.units;
            if !nothing_to_do(shape) && is_f32::<T>() {
                backward::through_time(
                    plan,
                    cell,
                    shape,
                    inputs.f32s(),
                    trace.f32s(),
                    up.f32s(),
                    [grads.h0.as_deref_mut().map(f32s_mut), grads.c0.as_deref_mut().map(f32s_mut)],
                    f32s_mut(aligned(&mut workspace.gate_grads, len, T::ZERO)),
                    &mut workspace.backward,
                    weights_version,
                );
            } else {
                plain_backward::through_time(cell, shape, inputs, trace, up, grads, workspace);
            }
            gradients::of_weights(cell, shape, inputs, trace, grads, workspace, threads)
        },
    )
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

impl<'a, T: Real> RecurrentInputs<'a, T> {
    fn f32s(self) -> RecurrentInputs<'a, f32> {
        RecurrentInputs {
            x: f32s(self.x),
            kernel: f32s(self.kernel),
            recurrent: f32s(self.recurrent),
            bias: self.bias.map(f32s),
            flags: self.flags,
            h_mask: self.h_mask.map(f32s),
            peepholes: self.peepholes.map(f32s),
            extras: self.extras,
        }
    }
}

impl<'a, T: Real> RecurrentStates<'a, T> {
    fn f32s(self) -> RecurrentStates<'a, f32> {
        RecurrentStates {
            h: f32s_mut(self.h),
            h_state: self.h_state.map(f32s_mut),
            c: self.c.map(f32s_mut),
            saved: self.saved.map(f32s_mut),
        }
    }
}

impl<'a, T: Real> RecurrentTrace<'a, T> {
    fn f32s(self) -> RecurrentTrace<'a, f32> {
        RecurrentTrace { h: f32s(self.h), c: self.c.map(f32s), saved: f32s(self.saved) }
    }
}

impl<'a, T: Real> Upstream<'a, T> {
    fn f32s(self) -> Upstream<'a, f32> {
        Upstream { dy: self.dy.map(f32s), dh_last: self.dh_last.map(f32s), dc_last: self.dc_last.map(f32s) }
    }
}

/// Whether the flag word of `(step, sample)` has `VALID` and `RESET`.
#[inline]
pub(crate) fn flag(flags: Option<&[u32]>, index: usize) -> (bool, bool) {
    flags.map_or((true, false), |flags| (flags[index] & VALID != 0, flags[index] & RESET != 0))
}

/// Whether a cell is Keras's by default: tanh and sigmoid, without limits, peepholes and a coupled gate. The backward pass
/// has code of its own for it, which asks for nothing at each vector.
fn is_usual<T>(cell: Cell, inputs: RecurrentInputs<'_, T>) -> bool {
    let CellActivations { candidate, gate, output } = cell.activations();
    let gates = matches!(cell, Cell::SimpleRnn { .. }) || gate == Activation::Sigmoid;
    candidate == Activation::Tanh
        && output == Activation::Tanh
        && gates
        && inputs.peepholes.is_none()
        && inputs.extras == CellExtras::default()
}

#[cfg(test)]
mod tests;
