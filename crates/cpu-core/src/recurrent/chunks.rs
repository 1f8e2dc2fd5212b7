//! The way back in parts of a sequence, the last first, so that the gate gradients of a part alone are in memory: they are as
//! large as what the forward pass saved, and would double what a training step needs. So it is with gradients of the outputs
//! that come as a product.

use super::workspace::aligned;
use super::{
    InputGradient, OutputGradient, RecurrentGrads, RecurrentInputs, RecurrentShape, RecurrentTrace,
    RecurrentUpstream, RecurrentWorkspace, gradients, saved_blocks,
};
use crate::matmul::{Matmul, matmul};
use crate::{Cell, Real, Result};
use std::mem::take;
use std::ops::Range;

/// States of this many values are not taken apart.
pub(super) const WHOLE: usize = 1 << 18;

/// What reaches the outputs of a part; an absent one is zero.
#[derive(Clone, Copy)]
pub(super) struct Upstream<'a, T> {
    /// `[T, B, U]`
    pub dy: Option<&'a [T]>,
    /// `[B, U]`
    pub dh_last: Option<&'a [T]>,
    /// `[B, U]`, of LSTM
    pub dc_last: Option<&'a [T]>,
}

/// Calls `back` for each part of the sequence, of `steps` steps, with what belongs to it, and then makes the gradients of its inputs.
/// What reaches the states between two parts is handed from one to the next.
pub(super) fn each<T: Real>(
    steps: usize,
    cell: Cell,
    shape: RecurrentShape,
    inputs: RecurrentInputs<'_, T>,
    trace: RecurrentTrace<'_, T>,
    up: RecurrentUpstream<'_, T>,
    mut grads: RecurrentGrads<'_, T>,
    workspace: &mut RecurrentWorkspace<T>,
    threads: usize,
    mut back: impl FnMut(
        RecurrentShape,
        RecurrentInputs<'_, T>,
        RecurrentTrace<'_, T>,
        Upstream<'_, T>,
        &mut RecurrentGrads<'_, T>,
        &mut RecurrentWorkspace<T>,
    ) -> Result<()>,
) -> Result<()> {
    let RecurrentShape { time, batch, input, units } = shape;
    let (slot, lstm) = (batch * units, cell.states() == 2);
    let (mut handed, mut made) = (take(&mut workspace.handed), take(&mut workspace.dy));
    if steps < time {
        handed.clear();
        handed.resize(4 * slot, T::ZERO);
    }
    let mut places = Places { h: trace.h, x: grads.x.take() };
    let mut done = Ok(());
    for start in (0..time.max(1)).step_by(steps).rev() {
        let end = time.min(start + steps);
        let shape = RecurrentShape { time: end - start, ..shape };
        let rows = |width: usize| start * batch * width..end * batch * width;
        let states = start * slot..(end + 1) * slot;
        let half = handed.len() / 2;
        let (before, after) = handed.split_at_mut(half);
        let (h_before, c_before) = before.split_at_mut(half / 2);
        let (h_after, c_after) = after.split_at(half / 2);
        let (first, last) = (start == 0, end == time);
        let mut part = RecurrentGrads {
            kernel: &mut *grads.kernel,
            recurrent: &mut *grads.recurrent,
            bias: grads.bias.as_deref_mut(),
            peepholes: grads.peepholes.as_deref_mut(),
            x: None,
            h0: if first { grads.h0.as_deref_mut() } else { Some(h_before) },
            c0: if first { grads.c0.as_deref_mut() } else { lstm.then_some(c_before) },
        };
        done = output_gradient(up.dy, rows, units, &places, &mut made, threads)
            .and_then(|dy| {
                back(
                    shape,
                    RecurrentInputs {
                        x: &inputs.x[rows(input)],
                        flags: inputs.flags.map(|flags| &flags[rows(1)]),
                        ..inputs
                    },
                    RecurrentTrace {
                        h: &places.h()[states.clone()],
                        c: trace.c.map(|c| &c[states]),
                        saved: &trace.saved[rows(saved_blocks(cell) * units)],
                    },
                    Upstream {
                        dy,
                        dh_last: if last { up.dh_last } else { Some(h_after) },
                        dc_last: if last { up.dc_last } else { lstm.then_some(c_after) },
                    },
                    &mut part,
                    workspace,
                )
            })
            .and_then(|()| match places.input_gradient(rows(input), time * batch * input) {
                Some(dx) => gradients::of_inputs(cell, shape, inputs.kernel, workspace, dx, threads),
                None => Ok(()),
            });
        if done.is_err() {
            break;
        }
        handed.rotate_left(half);
    }
    (workspace.handed, workspace.dy) = (handed, made);
    done
}

/// The gradients of a part's outputs; those that come as a product are `made` now.
fn output_gradient<'a, T: Real>(
    dy: Option<OutputGradient<'a, T>>,
    rows: impl Fn(usize) -> Range<usize>,
    units: usize,
    places: &'a Places<'_, T>,
    made: &'a mut Vec<T>,
    threads: usize,
) -> Result<Option<&'a [T]>> {
    match dy {
        None => Ok(places.dy().map(|dy| &dy[rows(units)])),
        Some(OutputGradient::Made(dy)) => Ok(Some(&dy[rows(units)])),
        Some(OutputGradient::Product { left, right }) => {
            let n = right.len() / units.max(1);
            let made = aligned(made, rows(units).len(), T::ZERO);
            let spec = Matmul::new(rows(1).len(), units, n).trans_b();
            matmul(spec, &left[rows(n)], right, None, made, threads)?;
            Ok(Some(made))
        }
    }
}

/// Where the states are, and where the gradients of the inputs go, which may be the same.
struct Places<'a, T> {
    h: &'a [T],
    x: Option<InputGradient<'a, T>>,
}

impl<T> Places<'_, T> {
    /// The states of all steps: those of parts that have not gone back yet.
    fn h(&self) -> &[T] {
        match &self.x {
            Some(InputGradient::OverH(h)) => h,
            _ => self.h,
        }
    }

    /// The gradients of the outputs, where those of the inputs go.
    fn dy(&self) -> Option<&[T]> {
        match &self.x {
            Some(InputGradient::OverDy(dy)) => Some(dy),
            _ => None,
        }
    }

    /// The gradients of the inputs of a part, a `range` of `all`.
    fn input_gradient(&mut self, range: Range<usize>, all: usize) -> Option<&mut [T]> {
        match self.x.as_mut()? {
            InputGradient::Apart(x) | InputGradient::OverDy(x) => Some(&mut x[range]),
            InputGradient::OverH(h) => {
                // Of no more inputs than units, so behind the states of all steps before.
                let first = h.len() - all;
                Some(&mut h[first..][range])
            }
        }
    }
}
