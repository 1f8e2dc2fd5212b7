//! What a step needs before its product: where its states are, which rows take part, and their operands.

use std::ops::Range;

use super::super::pack::Layout;
use super::super::tile::{Operand, Product, Starting, Sums, product};
use super::super::workspace::Row;
use super::super::{RecurrentShape, flag, saved_blocks};
use super::{Pass, Slots, bias_vectors, cells};
use crate::math::Lanes;
use crate::view::View;

impl<'a> Pass<'a> {
    /// Where step `t` reads and writes states.
    pub(super) fn slots(&self, t: usize) -> Slots<'a> {
        let RecurrentShape { time, batch, units, .. } = self.shape;
        let len = batch * units;
        let slot = |states: View<'a>, t: usize| states.part(t * len, len);
        let (c, c_new) = match (self.cell.states(), self.one_c) {
            (2, false) => (slot(self.c, t), slot(self.c, t + 1)),
            _ => (self.c, self.c),
        };
        Slots {
            h: self.h_state.filter(|_| t == 0).unwrap_or_else(|| slot(self.h, t)),
            h_new: slot(self.h, t + 1),
            h_state: self.h_state.filter(|_| t + 1 == time),
            c,
            c_new,
        }
    }

    /// Lists the valid rows of a step; carries the states of the others over.
    pub(super) fn select(
        &self,
        t: usize,
        slots: &Slots<'_>,
        rows: Range<usize>,
        carry: bool,
        active: &mut Vec<Row>,
    ) {
        let RecurrentShape { batch, units, .. } = self.shape;
        for b in rows {
            let row = t * batch + b;
            let (valid, reset) = flag(self.flags, row);
            if valid {
                active.push(Row { b: b as u32, valid, reset });
                continue;
            }
            if !carry {
                continue;
            }
            let c = (self.cell.states() == 2).then_some((slots.c, slots.c_new));
            let h_state = slots.h_state.map(|state| (slots.h, state));
            for (from, to) in [Some((slots.h, slots.h_new)), h_state, c].into_iter().flatten() {
                let at = b * units;
                if reset {
                    // SAFETY: a row's new state has one writer in a step, and its old one none.
                    unsafe { to.get_mut(at, units) }.fill(0.0);
                } else if !from.is(&to) {
                    // SAFETY: as above, and they are two places.
                    unsafe { to.get_mut(at, units).copy_from_slice(from.get(at, units)) };
                }
            }
            if let Some(saved) = self.saved {
                let width = saved_blocks(self.cell) * units;
                // SAFETY: as above.
                unsafe { saved.get_mut(row * width, width) }.fill(0.0);
            }
        }
    }

    /// Input's product plus bias for a chunk of steps.
    #[inline(always)]
    pub(super) fn project<S: Lanes<T = f32>>(
        &self,
        s: S,
        first: &Layout,
        t: usize,
        steps: usize,
        rows: Range<usize>,
        panels: Range<usize>,
        staged: View<'_>,
        sums: &mut Sums,
    ) {
        let RecurrentShape { batch, input, .. } = self.shape;
        let form = first.form;
        for row in 0..steps * rows.len() {
            let (slot, b) = (row / rows.len(), rows.start + row % rows.len());
            // SAFETY: the staged rows are this member's.
            let to = unsafe { staged.get_mut(row * form.stride(first.k), form.room(first.k)) };
            form.stage(&self.x[((t + slot) * batch + b) * input..][..input], None, to);
        }
        let per_vector = self.cell.gates() * S::N;
        let bias_vector = bias_vectors(self.cell) * S::N;
        for index in panels {
            let panel = first.panel(index);
            let whole = Product {
                vectors: panel.vectors,
                operand: Operand { first: staged.at(0, 0), stride: form.stride(first.k) },
                k: first.k,
                panel: self.first_weights.at(panel.offset, first.panel_len(panel)),
                level: self.plan.level,
                form,
                stream: self.plan.stream,
            };
            let bias = self.packed_bias.at(panel.vector * bias_vector, panel.vectors * S::N);
            for (at, n) in form.groups(steps * rows.len()) {
                // Step within the chunk and sample of a row.
                let place = |row: usize| (row / rows.len(), rows.start + row % rows.len());
                let whole = Product { operand: whole.operand.from(at, 0), ..whole };
                // SAFETY: rows, weights and bias are as long as the layout says; these rows and panels of the
                // projection are this member's.
                unsafe {
                    product(s, whole, n, sums, (0, n), |_, _| Starting::Same(bias));
                    for r in 0..n {
                        let (slot, b) = place(at + r);
                        let row = (slot * batch + b) * self.projected + panel.vector * per_vector;
                        for v in 0..panel.vectors {
                            cells::put(s, self.projection, row + v * S::N, S::N, sums.get(s, n, v, r));
                        }
                    }
                }
            }
        }
    }

    /// Copies the rows' inputs (where they are part of the step's product) and states before the step next to each
    /// other.
    pub(super) fn stage(&self, t: usize, slots: &Slots<'_>, rows: &[Row], staged: View<'_>) {
        let RecurrentShape { batch, input, units, .. } = self.shape;
        let form = self.plan.form;
        let (stride, len) = (form.stride(self.main.k), form.room(self.main.k));
        for (r, row) in rows.iter().enumerate() {
            // SAFETY: the staged rows are this member's, and the states before the step are written by nobody now.
            let (to, h) = unsafe {
                let h = if row.reset {
                    self.zeros.get(0, units)
                } else {
                    slots.h.get(row.b as usize * units, units)
                };
                (staged.get_mut(r * stride, len), h)
            };
            let (inputs, to) = to.split_at_mut(form.room(self.inputs_k));
            if !inputs.is_empty() {
                form.stage(&self.x[(t * batch + row.b as usize) * input..][..input], None, inputs);
            }
            let factors = self.h_mask.map(|mask| &mask[row.b as usize * units..][..units]);
            form.stage(h, factors, to);
        }
    }
}
