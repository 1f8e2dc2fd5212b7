//! The backward pass through time as the equations read, for any element type: fills the workspace's gate gradients
//! and the gradients of the start states.

use super::workspace::{aligned, sized};
use super::{
    RecurrentGrads, RecurrentInputs, RecurrentShape, RecurrentTrace, RecurrentWorkspace, Upstream, flag,
    gradient_blocks, saved_blocks,
};
use crate::{Cell, Real, activation};

pub(super) fn through_time<T: Real>(
    cell: Cell,
    shape: RecurrentShape,
    inputs: RecurrentInputs<'_, T>,
    trace: RecurrentTrace<'_, T>,
    up: Upstream<'_, T>,
    grads: &mut RecurrentGrads<'_, T>,
    workspace: &mut RecurrentWorkspace<T>,
) {
    let RecurrentInputs { recurrent, flags, h_mask, peepholes, extras, .. } = inputs;
    // A limit that holds is met exactly: by the same function of the same number.
    let slope = |kind, y| match extras.clip.map(T::from_f32) {
        Some(clip) if beyond(y, activation::value(kind, -clip), activation::value(kind, clip)) => T::ZERO,
        _ => activation::slope(kind, y),
    };
    let RecurrentTrace { h, c, saved } = trace;
    let Upstream { dy, dh_last, dc_last } = up;
    let RecurrentShape { time, batch, units, .. } = shape;
    let columns = cell.gates() * units;
    let saved_width = saved_blocks(cell) * units;
    let width = gradient_blocks(cell) * units;
    let gate_grads = aligned(&mut workspace.gate_grads, time * batch * width, T::ZERO);
    let rows = sized(&mut workspace.rows, (2 * batch + 3) * units, T::ZERO);
    let (dh_all, rows) = rows.split_at_mut(batch * units);
    let (dc_all, rows) = rows.split_at_mut(batch * units);
    let (hp, rows) = rows.split_at_mut(units);
    let (cp, product) = rows.split_at_mut(units);
    let start = |to: &mut [T], from: Option<&[T]>| match from {
        Some(from) => to.copy_from_slice(from),
        None => to.fill(T::ZERO),
    };
    start(dh_all, dh_last);
    start(dc_all, dc_last);
    for row in (0..time * batch).rev() {
        let b = row % batch;
        let (valid, reset) = flag(flags, row);
        let dh = &mut dh_all[b * units..][..units];
        let dc = &mut dc_all[b * units..][..units];
        let mask = h_mask.map(|mask| &mask[b * units..][..units]);
        let da = &mut gate_grads[row * width..][..width];
        if let Some(dy) = dy {
            dh.iter_mut().zip(&dy[row * units..]).for_each(|(dh, dy)| *dh += *dy);
        }
        if valid {
            let kept = &saved[row * saved_width..][..saved_width];
            let before = |states: &[T], to: &mut [T]| {
                if reset {
                    to.fill(T::ZERO);
                } else {
                    to.copy_from_slice(&states[row * units..][..units]);
                }
            };
            before(h, hp);
            let after = (row + batch) * units..(row + batch + 1) * units;
            match cell {
                Cell::Lstm { activation, recurrent_activation, output_activation } => {
                    let c = c.expect("LSTM has c");
                    before(c, cp);
                    for (u, &c_new) in c[after].iter().enumerate() {
                        let [i, f, g, o] = [0, 1, 2, 3].map(|block| kept[block * units + u]);
                        let gate = |y| slope(recurrent_activation, y);
                        let peep = |gate: usize| peepholes.map_or(T::ZERO, |p| p[gate * units + u]);
                        let tc = activation::value(output_activation, c_new);
                        let d_o = dh[u] * tc * gate(o);
                        let dcu =
                            dc[u] + dh[u] * o * activation::slope(output_activation, tc) + d_o * peep(1);
                        // A coupled forget gate is 1 - i.
                        let (to_i, to_f) = if extras.coupled { (g - cp[u], T::ZERO) } else { (g, cp[u]) };
                        let (d_i, d_f) = (dcu * to_i * gate(i), dcu * to_f * gate(f));
                        da[u] = d_i;
                        da[units + u] = d_f;
                        da[2 * units + u] = dcu * i * slope(activation, g);
                        da[3 * units + u] = d_o;
                        dc[u] = dcu * f + d_i * peep(0) + d_f * peep(2);
                    }
                    transposed(da, recurrent, columns, 0, mask, dh);
                }
                Cell::Gru { activation, recurrent_activation, reset_after } => {
                    let gate = |y| slope(recurrent_activation, y);
                    let input_block = if reset_after { 3 } else { 2 } * units;
                    for u in 0..units {
                        let [z, r, n, q] = [0, 1, 2, 3].map(|block| kept[block * units + u]);
                        let dn = dh[u] * (T::ONE - z) * slope(activation, n);
                        da[u] = dh[u] * (hp[u] - n) * gate(z);
                        da[input_block + u] = dn;
                        if reset_after {
                            da[2 * units + u] = dn * r;
                            da[units + u] = dn * q * gate(r);
                        }
                        dh[u] *= z;
                    }
                    if reset_after {
                        transposed(&da[..columns], recurrent, columns, 0, mask, product);
                    } else {
                        transposed(&da[2 * units..], recurrent, columns, 2 * units, mask, product);
                        for u in 0..units {
                            let r = kept[units + u];
                            da[units + u] = product[u] * hp[u] * gate(r);
                            dh[u] += product[u] * r;
                        }
                        transposed(&da[..2 * units], recurrent, columns, 0, mask, product);
                    }
                    (0..units).for_each(|u| dh[u] += product[u]);
                }
                Cell::SimpleRnn { activation } => {
                    for (u, &y) in h[after].iter().enumerate() {
                        da[u] = dh[u] * slope(activation, y);
                    }
                    transposed(da, recurrent, columns, 0, mask, dh);
                }
            }
        } else {
            da.fill(T::ZERO);
        }
        if reset {
            dh.fill(T::ZERO);
            dc.fill(T::ZERO);
        }
    }
    if let Some(h0) = grads.h0.as_deref_mut() {
        h0.copy_from_slice(dh_all);
    }
    if let Some(c0) = grads.c0.as_deref_mut() {
        c0.copy_from_slice(dc_all);
    }
}

/// `out[u] = mask[u] * sum over j of row[j] * matrix[u, first + j]`, the matrix `columns` wide.
fn transposed<T: Real>(
    row: &[T],
    matrix: &[T],
    columns: usize,
    first: usize,
    mask: Option<&[T]>,
    out: &mut [T],
) {
    for (u, out) in out.iter_mut().enumerate() {
        let weights = &matrix[u * columns + first..][..row.len()];
        *out = row.iter().zip(weights).fold(T::ZERO, |sum, (&a, &w)| sum + a * w);
        if let Some(mask) = mask {
            *out *= mask[u];
        }
    }
}

/// Whether `y` is not between the outputs `a` and `b` at the limits, in whichever order they come.
fn beyond<T: Real>(y: T, a: T, b: T) -> bool {
    let (low, high) = if a < b { (a, b) } else { (b, a) };
    y <= low || y >= high
}
