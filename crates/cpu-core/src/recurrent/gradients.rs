//! Weight, bias and input gradients: products over all steps at once, from the gate gradients that the pass through
//! time left in the workspace.

use super::workspace::sized;
use super::{RecurrentGrads, RecurrentShape, RecurrentWorkspace, gradient_blocks};
use crate::matmul::{Matmul, matmul};
use crate::{Cell, RESET, Real, Result};

pub(super) fn weights_and_input<T: Real>(
    cell: Cell,
    shape: RecurrentShape,
    x: &[T],
    kernel: &[T],
    flags: Option<&[u32]>,
    h: &[T],
    saved: &[T],
    grads: &mut RecurrentGrads<'_, T>,
    workspace: &mut RecurrentWorkspace<T>,
    threads: usize,
) -> Result<()> {
    let RecurrentShape { time, batch, input, units } = shape;
    let rows = time * batch;
    let columns = cell.gates() * units;
    let width = gradient_blocks(cell) * units;
    let da = &workspace.gate_grads[..rows * width];
    let before = match flags {
        Some(flags) if flags.iter().any(|flag| flag & RESET != 0) => {
            let states = sized(&mut workspace.states, rows * units, T::ZERO);
            states.copy_from_slice(&h[..rows * units]);
            for (row, flag) in states.chunks_exact_mut(units).zip(flags) {
                if flag & RESET != 0 {
                    row.fill(T::ZERO);
                }
            }
            &*states
        }
        _ => &h[..rows * units],
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
    match cell {
        Cell::Gru { reset_after: true, .. } => {
            outer(before, units, units, grads.recurrent, 0, 0, columns)?;
            outer(x, input, input, grads.kernel, 0, 0, 2 * units)?;
            outer(x, input, input, grads.kernel, 2 * units, 3 * units, units)?;
        }
        Cell::Gru { reset_after: false, .. } => {
            outer(before, units, units, grads.recurrent, 0, 0, 2 * units)?;
            outer(&saved[3 * units..], units, 4 * units, grads.recurrent, 2 * units, 2 * units, units)?;
            outer(x, input, input, grads.kernel, 0, 0, columns)?;
        }
        Cell::Lstm { .. } | Cell::SimpleRnn { .. } => {
            outer(before, units, units, grads.recurrent, 0, 0, columns)?;
            outer(x, input, input, grads.kernel, 0, 0, columns)?;
        }
    }
    if let Some(bias) = grads.bias.as_deref_mut() {
        bias_gradient(cell, units, da, width, bias);
    }
    if let Some(dx) = grads.x.as_deref_mut() {
        // dx = da[:, from..from + n] kernel[:, first..first + n]^T
        let mut back = |accumulate: bool, first: usize, from: usize, n: usize| {
            let spec =
                Matmul { trans_b: true, lda: width, ldb: columns, accumulate, ..Matmul::new(rows, input, n) };
            matmul(spec, &da[from..], &kernel[first..], None, dx, threads)
        };
        if let Cell::Gru { reset_after: true, .. } = cell {
            back(false, 0, 0, 2 * units)?;
            back(true, 2 * units, 3 * units, units)?;
        } else {
            back(false, 0, 0, columns)?;
        }
    }
    Ok(())
}

/// Column sums of the gate gradients, added to the bias gradient. Blocks of 64 rows are summed first, so that the
/// error grows with the number of blocks, not of rows.
fn bias_gradient<T: Real>(cell: Cell, units: usize, da: &[T], width: usize, bias: &mut [T]) {
    const BLOCK_ROWS: usize = 64;
    const COLUMNS: usize = 64;
    let gates = cell.gates() * units;
    for first in (0..width).step_by(COLUMNS) {
        let n = COLUMNS.min(width - first);
        let mut total = [T::ZERO; COLUMNS];
        for block in da.chunks(BLOCK_ROWS * width) {
            let mut sum = [T::ZERO; COLUMNS];
            for row in block.chunks_exact(width) {
                for (sum, &value) in sum[..n].iter_mut().zip(&row[first..]) {
                    *sum += value;
                }
            }
            total.iter_mut().zip(&sum).for_each(|(total, sum)| *total += *sum);
        }
        for (j, &value) in total[..n].iter().enumerate() {
            let column = first + j;
            let mut add = |at: usize| bias[at] += value;
            if !matches!(cell, Cell::Gru { reset_after: true, .. }) {
                add(column);
            } else if column < 2 * units {
                add(column);
                add(gates + column);
            } else if column < 3 * units {
                add(gates + column);
            } else {
                add(column - units);
            }
        }
    }
}
