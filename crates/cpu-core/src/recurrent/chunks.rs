//! The way back in parts of a sequence, the last first, so that the gate gradients of a part alone are in memory: they are as
//! large as what the forward pass saved, and would double what a training step needs.

use super::{
    RecurrentGrads, RecurrentInputs, RecurrentShape, RecurrentTrace, RecurrentUpstream, RecurrentWorkspace,
    saved_blocks,
};
use crate::{Cell, Real, Result};
use std::mem::take;
use std::ops::Range;

/// States of this many values are not taken apart.
pub(super) const WHOLE: usize = 1 << 18;

/// Calls `back` for each part of the sequence, of `steps` steps, with what belongs to it. What reaches the states between two parts is
/// handed from one to the next.
pub(super) fn each<T: Real>(
    steps: usize,
    cell: Cell,
    shape: RecurrentShape,
    inputs: RecurrentInputs<'_, T>,
    trace: RecurrentTrace<'_, T>,
    up: RecurrentUpstream<'_, T>,
    mut grads: RecurrentGrads<'_, T>,
    workspace: &mut RecurrentWorkspace<T>,
    mut back: impl FnMut(
        RecurrentShape,
        RecurrentInputs<'_, T>,
        RecurrentTrace<'_, T>,
        RecurrentUpstream<'_, T>,
        RecurrentGrads<'_, T>,
        &mut RecurrentWorkspace<T>,
    ) -> Result<()>,
) -> Result<()> {
    let RecurrentShape { time, batch, input, units } = shape;
    if steps >= time {
        return back(shape, inputs, trace, up, grads, workspace);
    }
    let (slot, lstm) = (batch * units, cell.states() == 2);
    let mut handed = take(&mut workspace.handed);
    handed.clear();
    handed.resize(4 * slot, T::ZERO);
    let mut done = Ok(());
    for start in (0..time).step_by(steps).rev() {
        let end = time.min(start + steps);
        let rows = |width: usize| start * batch * width..end * batch * width;
        let states = start * slot..(end + 1) * slot;
        let (before, after) = handed.split_at_mut(2 * slot);
        let (h_before, c_before) = before.split_at_mut(slot);
        let (h_after, c_after) = after.split_at(slot);
        let (first, last) = (start == 0, end == time);
        done = back(
            RecurrentShape { time: end - start, ..shape },
            RecurrentInputs {
                x: &inputs.x[rows(input)],
                flags: inputs.flags.map(|flags| &flags[rows(1)]),
                ..inputs
            },
            RecurrentTrace {
                h: &trace.h[states.clone()],
                c: trace.c.map(|c| &c[states]),
                saved: &trace.saved[rows(saved_blocks(cell) * units)],
            },
            RecurrentUpstream {
                dy: up.dy.map(|dy| &dy[rows(units)]),
                dh_last: if last { up.dh_last } else { Some(h_after) },
                dc_last: if last { up.dc_last } else { lstm.then_some(c_after) },
            },
            RecurrentGrads {
                kernel: &mut *grads.kernel,
                recurrent: &mut *grads.recurrent,
                bias: grads.bias.as_deref_mut(),
                peepholes: grads.peepholes.as_deref_mut(),
                x: part(&mut grads.x, rows(input)),
                h0: if first { grads.h0.as_deref_mut() } else { Some(h_before) },
                c0: if first { grads.c0.as_deref_mut() } else { lstm.then_some(c_before) },
            },
            workspace,
        );
        if done.is_err() {
            break;
        }
        handed.rotate_left(2 * slot);
    }
    workspace.handed = handed;
    done
}

fn part<'a, T>(array: &'a mut Option<&mut [T]>, range: Range<usize>) -> Option<&'a mut [T]> {
    array.as_deref_mut().map(|array| &mut array[range])
}
