//! One step: the sums of a group, then its cells.

use super::super::pack::Layout;
use super::super::tile::{
    NO_ROWS, Operand, Product, Starting, Sums, fetch, panels_at_once, product, staged_stride,
};
use super::super::workspace::Row;
use super::super::{RecurrentShape, saved_blocks};
use super::cells::Group;
use super::{Pass, Span, bias_vectors};
use crate::math::Lanes;
use crate::view::load;
use crate::{Cell, CellExtras};

impl Pass<'_> {
    /// What a tile's sums start from: the bias, or from number `offset` on the projection of the row.
    #[inline(always)]
    fn starting(&self, span: &Span<'_>, rows: &[Row], bias: *const f32, offset: usize, n: usize) -> Starting {
        if self.plan.fused {
            return Starting::Same(bias);
        }
        let mut out = NO_ROWS;
        for (r, row) in rows.iter().enumerate() {
            let row = span.slot * self.shape.batch + row.b as usize;
            out[r] = self.projection.at(row * self.projected + offset, n);
        }
        Starting::Each(out)
    }

    #[inline(always)]
    pub(super) fn step<S: Lanes<T = f32>>(&self, s: S, span: &Span<'_>, sums: &mut Sums) {
        // A SimpleRNN's panel has several items per row.
        let more = self.peepholes.is_some() || self.extras != CellExtras::default();
        let at_once = if self.main.gates > 0 { panels_at_once(span.rows.len()) } else { 1 };
        let mut first = span.panels.start;
        while first < span.panels.end {
            let count = at_once.min(span.panels.end - first);
            for (at, n) in self.plan.form.groups(span.rows.len()) {
                let rows = &span.rows[at..at + n];
                let group = Group {
                    t: span.t,
                    slots: &span.slots,
                    base: span.base + at,
                    rows,
                    panel: self.main.panel(first),
                    items: count * n,
                };
                for i in 0..count {
                    // SAFETY: these rows and panels are this member's.
                    unsafe { self.sums_of(s, span, (at, n), first + i, i * n, group.items, sums) };
                }
                // SAFETY: as above.
                unsafe {
                    match self.cell {
                        Cell::Lstm { .. } if more => self.lstm::<S, true>(s, &group, sums),
                        Cell::Lstm { .. } => self.lstm::<S, false>(s, &group, sums),
                        Cell::Gru { reset_after: true, .. } if more => {
                            self.gru_after::<S, true>(s, &group, sums);
                        }
                        Cell::Gru { reset_after: true, .. } => self.gru_after::<S, false>(s, &group, sums),
                        Cell::Gru { reset_after: false, .. } => self.gru_early(s, &group, sums),
                        Cell::SimpleRnn { .. } => self.simple(s, &group, sums),
                    }
                }
            }
            first += count;
        }
    }

    /// The sums of a panel, from item `item` of `items` on.
    ///
    /// # Safety
    /// The rows' and panel's states are this member's.
    #[inline(always)]
    unsafe fn sums_of<S: Lanes<T = f32>>(
        &self,
        s: S,
        span: &Span<'_>,
        (at, n): (usize, usize),
        index: usize,
        item: usize,
        items: usize,
        sums: &mut Sums,
    ) {
        let rows = &span.rows[at..at + n];
        let form = self.plan.form;
        let panel = self.main.panel(index);
        let v = panel.vectors;
        let bias_vector = bias_vectors(self.cell) * S::N;
        let bias = self.packed_bias.at(panel.vector * bias_vector, v * S::N).cast_const();
        let offset = panel.vector * self.cell.gates() * S::N;
        let whole = Product {
            vectors: v,
            operand: Operand { first: span.staged.at(0, 0), stride: form.stride(self.main.k) }.from(at, 0),
            k: self.main.k,
            panel: self.weights.at(panel.offset, self.main.panel_len(panel)),
            level: self.plan.level,
            form,
            stream: self.plan.stream,
        };
        let starting = |at: usize, n: usize| {
            self.fetch_states(span, &rows[at..at + n], panel.unit);
            self.starting(span, &rows[at..at + n], bias, offset, v * S::N)
        };
        // SAFETY: rows, weights, bias and projection are as long as the layouts say, and packed before the barrier.
        unsafe {
            if !matches!(self.cell, Cell::Gru { reset_after: true, .. }) {
                // A SimpleRNN's group is one panel, whose vectors are the items.
                product(s, whole, n, sums, (item, items), starting);
                return;
            }
            // z, r, n of the input; the third sum then makes place for the recurrent one.
            let of_input = Product { k: self.inputs_k, ..whole };
            product(s, of_input, n, sums, (item, items), starting);
            let q = load(s, bias.add(3 * S::N), S::N);
            for item in item..item + n {
                let x = sums.get(s, items, 2, item);
                sums.set(s, items, 3, item, x);
                sums.set(s, items, 2, item, q);
            }
            let panel = whole.panel.wrapping_add(form.room(self.inputs_k * v * S::N));
            let of_state = Product {
                operand: whole.operand.from(0, form.room(self.inputs_k)),
                k: self.main.k - self.inputs_k,
                panel,
                ..whole
            };
            product(s, of_state, n, sums, (item, items), |_, _| Starting::Sums);
        }
    }

    /// Asks for the states that a group will read and write after its product.
    #[inline(always)]
    fn fetch_states(&self, span: &Span<'_>, rows: &[Row], unit: usize) {
        let units = self.shape.units;
        let lstm = matches!(self.cell, Cell::Lstm { .. });
        let slots = &span.slots;
        for row in rows {
            let at = row.b as usize * units + unit;
            fetch(if lstm { slots.c.at(at, 1) } else { slots.h.at(at, 1) });
            fetch(slots.h_new.at(at, 1));
            if lstm {
                fetch(slots.c_new.at(at, 1));
            }
            if let Some(saved) = self.saved {
                for block in 0..saved_blocks(self.cell) {
                    let flat = self.row(span.t, *row);
                    fetch(saved.at((flat * saved_blocks(self.cell) + block) * units + unit, 1));
                }
            }
        }
    }

    /// The second product of GRU with the reset before it, and what follows.
    #[inline(always)]
    pub(super) fn late_step<S: Lanes<T = f32>>(&self, s: S, span: &Span<'_>, late: &Layout, sums: &mut Sums) {
        let RecurrentShape { units, .. } = self.shape;
        for index in span.panels.clone() {
            let panel = late.panel(index);
            let whole = Product {
                vectors: 1,
                operand: Operand { first: self.late_rows.at(0, 0), stride: staged_stride(units) }
                    .from(span.base, 0),
                k: units,
                panel: self.late_weights.at(panel.offset, units * S::N),
                level: self.plan.level,
                form: self.plan.form,
                stream: self.plan.stream,
            };
            let offset = (panel.vector * 3 + 2) * S::N;
            for (at, n) in self.plan.form.groups(span.rows.len()) {
                let rows = &span.rows[at..at + n];
                let whole = Product { operand: whole.operand.from(at, 0), ..whole };
                let starting = |at: usize, n: usize| {
                    self.starting(span, &rows[at..at + n], std::ptr::null(), offset, S::N)
                };
                // SAFETY: as in `sums_of`; `r hp` was written before the barrier.
                unsafe {
                    product(s, whole, n, sums, (0, n), starting);
                    let (t, slots, base) = (span.t, &span.slots, span.base + at);
                    self.gru_late(s, &Group { t, slots, base, rows, panel, items: n }, sums);
                }
            }
        }
    }

    #[inline(always)]
    pub(super) fn row(&self, t: usize, row: Row) -> usize {
        t * self.shape.batch + row.b as usize
    }
}
