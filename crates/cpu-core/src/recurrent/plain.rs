//! The forward pass as the equations read, one row at a time, for any element type.

use super::workspace::sized;
use super::{RecurrentInputs, RecurrentShape, RecurrentStates, RecurrentWorkspace, flag, saved_blocks};
use crate::{Cell, CellExtras, Real, activation};

pub(super) fn forward<T: Real>(
    cell: Cell,
    shape: RecurrentShape,
    inputs: RecurrentInputs<'_, T>,
    states: RecurrentStates<'_, T>,
    workspace: &mut RecurrentWorkspace<T>,
) {
    let RecurrentInputs { x, kernel, recurrent, bias, flags, h_mask, peepholes, extras } = inputs;
    let limited = |x: T| limited(extras, x);
    let RecurrentStates { h, h_state, mut c, mut saved } = states;
    let RecurrentShape { time, batch, input, units } = shape;
    let slot = batch * units;
    let columns = cell.gates() * units;
    let per_row = saved_blocks(cell) * units;
    let rows = sized(&mut workspace.rows, columns + 4 * units, T::ZERO);
    let (gates, rows) = rows.split_at_mut(columns);
    let (hp, rows) = rows.split_at_mut(units);
    let (cp, rows) = rows.split_at_mut(units);
    // The state as the recurrent product sees it, and `r` times that or its product.
    let (seen, q) = rows.split_at_mut(units);
    for row in 0..time * batch {
        let (valid, reset) = flag(flags, row);
        let (before, after) = h.split_at_mut((row / batch + 1) * slot);
        let b = row % batch * units;
        match &h_state {
            Some(start) if row < batch => load(hp, &start[b..][..units], reset),
            _ => load(hp, &before[row * units..][..units], reset),
        }
        match h_mask {
            Some(mask) => (0..units).for_each(|u| seen[u] = hp[u] * mask[b + u]),
            None => seen.copy_from_slice(hp),
        }
        let h_new = &mut after[b..][..units];
        let c_new = c.as_deref_mut().map(|c| {
            // With one slot for all steps the state before is where the state after will be.
            let (from, to) = if c.len() == slot { (b, b) } else { (row * units, row * units + slot) };
            load(cp, &c[from..][..units], reset);
            &mut c[to..][..units]
        });
        let kept = saved.as_deref_mut().map(|saved| &mut saved[row * per_row..][..per_row]);
        if !valid {
            h_new.copy_from_slice(hp);
            if let Some(c_new) = c_new {
                c_new.copy_from_slice(cp);
            }
            if let Some(kept) = kept {
                kept.fill(T::ZERO);
            }
            continue;
        }
        match bias {
            Some(bias) => gates.copy_from_slice(&bias[..columns]),
            None => gates.fill(T::ZERO),
        }
        product(&x[row * input..][..input], kernel, columns, 0, gates);
        match cell {
            Cell::Lstm { activation, recurrent_activation, output_activation } => {
                product(seen, recurrent, columns, 0, gates);
                let c_new = c_new.expect("LSTM has c");
                for u in 0..units {
                    let peep =
                        |gate: usize, state: T| peepholes.map_or(T::ZERO, |p| p[gate * units + u] * state);
                    let gate = |x| activation::value(recurrent_activation, limited(x));
                    let i = gate(gates[u] + peep(0, cp[u]));
                    let f = if extras.coupled { T::ONE - i } else { gate(gates[units + u] + peep(2, cp[u])) };
                    let g = activation::value(activation, limited(gates[2 * units + u]));
                    c_new[u] = f * cp[u] + i * g;
                    let o = gate(gates[3 * units + u] + peep(1, c_new[u]));
                    h_new[u] = o * activation::value(output_activation, c_new[u]);
                    (gates[u], gates[units + u]) = (i, f);
                    (gates[2 * units + u], gates[3 * units + u]) = (g, o);
                }
                if let Some(kept) = kept {
                    kept.copy_from_slice(gates);
                }
            }
            Cell::Gru { activation, recurrent_activation, reset_after } => {
                let (zr, n) = gates.split_at_mut(2 * units);
                if reset_after && let Some(bias) = bias {
                    for (gate, bias) in zr.iter_mut().zip(&bias[columns..]) {
                        *gate += *bias;
                    }
                }
                product(seen, recurrent, columns, 0, zr);
                zr.iter_mut().for_each(|v| *v = activation::value(recurrent_activation, limited(*v)));
                let r = &zr[units..];
                if reset_after {
                    match bias {
                        Some(bias) => q.copy_from_slice(&bias[columns + 2 * units..]),
                        None => q.fill(T::ZERO),
                    }
                    product(seen, recurrent, columns, 2 * units, q);
                    (0..units).for_each(|u| n[u] += r[u] * q[u]);
                } else {
                    (0..units).for_each(|u| q[u] = r[u] * seen[u]);
                    product(q, recurrent, columns, 2 * units, n);
                }
                n.iter_mut().for_each(|v| *v = activation::value(activation, limited(*v)));
                (0..units).for_each(|u| h_new[u] = n[u] + zr[u] * (hp[u] - n[u]));
                if let Some(kept) = kept {
                    kept[..columns].copy_from_slice(gates);
                    kept[columns..].copy_from_slice(q);
                }
            }
            Cell::SimpleRnn { activation } => {
                product(seen, recurrent, columns, 0, gates);
                (0..units).for_each(|u| h_new[u] = activation::value(activation, limited(gates[u])));
            }
        }
    }
    if let Some(state) = h_state
        && time > 0
    {
        state.copy_from_slice(&h[time * slot..]);
    }
}

fn load<T: Real>(to: &mut [T], from: &[T], reset: bool) {
    if reset {
        to.fill(T::ZERO);
    } else {
        to.copy_from_slice(from);
    }
}

/// What an activation gets of `x`. A NaN stays one.
fn limited<T: Real>(extras: CellExtras, x: T) -> T {
    let Some(clip) = extras.clip.map(T::from_f32) else { return x };
    if x > clip {
        clip
    } else if x < -clip {
        -clip
    } else {
        x
    }
}

/// `out += row * matrix[:, first .. first + out.len()]`, the matrix `columns` wide.
fn product<T: Real>(row: &[T], matrix: &[T], columns: usize, first: usize, out: &mut [T]) {
    for (k, &factor) in row.iter().enumerate() {
        let weights = &matrix[k * columns + first..][..out.len()];
        for (out, &weight) in out.iter_mut().zip(weights) {
            *out += factor * weight;
        }
    }
}
