//! Weight, bias and input gradients: products over the steps of a part at once, from the gate gradients that the pass through
//! time left in the workspace.

use super::thin;
use super::workspace::{aligned_ref, sized};
use super::{
    RecurrentGrads, RecurrentInputs, RecurrentShape, RecurrentTrace, RecurrentWorkspace, flag,
    gradient_blocks,
};
use crate::matmul::{Matmul, matmul};
use crate::{Cell, RESET, Real, Result, mul};

/// Adds the gradients of kernel, recurrent kernel, bias and peepholes.
pub(super) fn of_weights<T: Real>(
    cell: Cell,
    shape: RecurrentShape,
    inputs: RecurrentInputs<'_, T>,
    trace: RecurrentTrace<'_, T>,
    grads: &mut RecurrentGrads<'_, T>,
    workspace: &mut RecurrentWorkspace<T>,
    threads: usize,
) -> Result<()> {
    let RecurrentInputs { x, flags, h_mask, .. } = inputs;
    let RecurrentTrace { h, saved, .. } = trace;
    let RecurrentShape { time, batch, input, units } = shape;
    let rows = time * batch;
    let columns = cell.gates() * units;
    let width = gradient_blocks(cell) * units;
    let da = aligned_ref(&workspace.gate_grads, rows * width);
    let resets = flags.filter(|flags| flags.iter().any(|flag| flag & RESET != 0));
    let before = if resets.is_some() || h_mask.is_some() {
        let states = sized(&mut workspace.states, rows * units, T::ZERO);
        match h_mask {
            Some(mask) if !mask.is_empty() => {
                for (to, from) in states.chunks_exact_mut(mask.len()).zip(h.chunks_exact(mask.len())) {
                    mul(from, mask, to)?;
                }
            }
            _ => states.copy_from_slice(&h[..rows * units]),
        }
        if let Some(flags) = resets {
            for (row, flag) in states.chunks_exact_mut(units).zip(flags) {
                if flag & RESET != 0 {
                    row.fill(T::ZERO);
                }
            }
        }
        &*states
    } else {
        &h[..rows * units]
    };
    // weights[:, first..first + n] += rows^T da[:, from..from + n]
    let outer =
        |left: &[T], inner: usize, stride: usize, weights: &mut [T], first: usize, from: usize, n: usize| {
            let spec = Matmul {
                trans_a: true,
                lda: stride,
                ldb: width,
                ldc: columns,
                accumulate: true,
                ..Matmul::new(inner, n, rows)
            };
            matmul(spec, left, &da[from..], None, &mut weights[first..], threads)
        };
    if let Cell::Gru { reset_after: false, .. } = cell {
        outer(before, units, units, grads.recurrent, 0, 0, 2 * units)?;
        outer(&saved[3 * units..], units, 4 * units, grads.recurrent, 2 * units, 2 * units, units)?;
    } else {
        outer(before, units, units, grads.recurrent, 0, 0, columns)?;
    }
    let is_thin = input <= thin::MOST_INPUTS;
    match cell {
        _ if is_thin => {}
        Cell::Gru { reset_after: true, .. } => {
            outer(x, input, input, grads.kernel, 0, 0, 2 * units)?;
            outer(x, input, input, grads.kernel, 2 * units, 3 * units, units)?;
        }
        _ => outer(x, input, input, grads.kernel, 0, 0, columns)?,
    }
    let inputs = if is_thin { input } else { 0 };
    if is_thin || grads.bias.is_some() {
        let sums = sized(&mut workspace.rows, thin::sums_len(width, inputs), T::ZERO);
        thin::sums(width, da, inputs, x, sums, threads);
        for column in 0..width {
            let sum = |i: usize| sums[thin::place(inputs, i, column)];
            let (of_input, of_bias) = targets(cell, units, column);
            for i in 0..inputs {
                if let Some(to) = of_input {
                    grads.kernel[i * columns + to] += sum(i);
                }
            }
            if let Some(bias) = grads.bias.as_deref_mut() {
                of_bias.into_iter().flatten().for_each(|to| bias[to] += sum(inputs));
            }
        }
    }
    if let (Some(to), Some(c)) = (grads.peepholes.as_deref_mut(), trace.c) {
        peepholes(shape, flags, c, da, sized(&mut workspace.rows, units, T::ZERO), to);
    }
    Ok(())
}

/// Writes the gradients of the inputs, `dx [T, B, I]`.
pub(super) fn of_inputs<T: Real>(
    cell: Cell,
    shape: RecurrentShape,
    kernel: &[T],
    workspace: &RecurrentWorkspace<T>,
    dx: &mut [T],
    threads: usize,
) -> Result<()> {
    let RecurrentShape { time, batch, input, units } = shape;
    let rows = time * batch;
    let columns = cell.gates() * units;
    let width = gradient_blocks(cell) * units;
    let da = aligned_ref(&workspace.gate_grads, rows * width);
    // dx = da[:, from..from + n] kernel[:, first..first + n]^T
    let mut back = |accumulate: bool, first: usize, from: usize, n: usize| {
        let spec =
            Matmul { trans_b: true, lda: width, ldb: columns, accumulate, ..Matmul::new(rows, input, n) };
        matmul(spec, &da[from..], &kernel[first..], None, dx, threads)
    };
    if let Cell::Gru { reset_after: true, .. } = cell {
        back(false, 0, 0, 2 * units)?;
        back(true, 2 * units, 3 * units, units)
    } else {
        back(false, 0, 0, columns)
    }
}

/// Adds the gradients of the peepholes i, o, f, `[3*U]`: sums of the gates' gradients times the cell state that each saw.
/// Rows are summed up in blocks, as in [`thin`].
fn peepholes<T: Real>(
    shape: RecurrentShape,
    flags: Option<&[u32]>,
    c: &[T],
    da: &[T],
    sums: &mut [T],
    to: &mut [T],
) {
    let RecurrentShape { batch, units, .. } = shape;
    let rows = da.len() / (4 * units).max(1);
    // Gate, its block of gradients, and whether it saw the state after the step.
    for (gate, block, after) in [(0, 0, false), (1, 3, true), (2, 1, false)] {
        let to = &mut to[gate * units..][..units];
        for first in (0..rows).step_by(thin::BLOCK) {
            sums.fill(T::ZERO);
            for row in first..rows.min(first + thin::BLOCK) {
                if !after && flag(flags, row).1 {
                    continue;
                }
                let state = &c[(row + if after { batch } else { 0 }) * units..][..units];
                let da = &da[(row * 4 + block) * units..][..units];
                sums.iter_mut().zip(da.iter().zip(state)).for_each(|(sum, (da, c))| *sum += *da * *c);
            }
            to.iter_mut().zip(&*sums).for_each(|(to, sum)| *to += *sum);
        }
    }
}

/// Where the gate gradients of a column belong: a column of the kernel, and places of the bias.
fn targets(cell: Cell, units: usize, column: usize) -> (Option<usize>, [Option<usize>; 2]) {
    let Cell::Gru { reset_after: true, .. } = cell else {
        return (Some(column), [Some(column), None]);
    };
    // z, r, n of the recurrent product, n of the input; the recurrent bias comes after the input's.
    match column / units {
        0 | 1 => (Some(column), [Some(column), Some(column + 3 * units)]),
        2 => (None, [Some(column + 3 * units), None]),
        _ => (Some(column - units), [Some(column - units), None]),
    }
}
