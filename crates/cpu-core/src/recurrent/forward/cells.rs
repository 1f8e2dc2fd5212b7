//! The cells' equations on groups of sums.

use super::super::RecurrentShape;
use super::super::pack::Panel;
use super::super::pointwise::activate;
use super::super::tile::{Sums, staged_stride};
use super::super::workspace::Row;
use super::{Pass, Slots};
use crate::math::{Lanes, Level};
use crate::view::{View, load, store};
use crate::{Activation, CellActivations};

/// Rows and panels whose sums are ready: item `i` is row `i % rows`, and of the panels that begin with `panel` the
/// `i / rows`-th.
pub(super) struct Group<'a> {
    pub t: usize,
    pub slots: &'a Slots<'a>,
    /// where its rows are among all members' rows
    pub base: usize,
    pub rows: &'a [Row],
    pub panel: Panel,
    pub items: usize,
}

/// Where an item's values are.
#[derive(Clone, Copy)]
struct Item {
    row: Row,
    unit: usize,
    /// units in the vector
    len: usize,
    /// number of the first unit in a state `[B, U]`
    at: usize,
    /// step and sample, `t * B + b`
    flat: usize,
}

/// The items of a group in order, and after the last one again and again.
struct Places<'a> {
    pass: &'a Pass<'a>,
    group: &'a Group<'a>,
    panel: usize,
    row: usize,
}

impl<'a> Places<'a> {
    #[inline(always)]
    fn new(pass: &'a Pass<'a>, group: &'a Group<'a>) -> Self {
        Places { pass, group, panel: 0, row: 0 }
    }

    #[inline(always)]
    fn next<S: Lanes<T = f32>>(&mut self, s: S) -> Item {
        let item = self.pass.item(s, self.group, self.panel, self.row);
        self.row += 1;
        if self.row == self.group.rows.len() {
            let last = (self.panel + 1) * self.row >= self.group.items;
            (self.panel, self.row) = if last { (self.panel, self.row - 1) } else { (self.panel + 1, 0) };
        }
        item
    }
}

/// `kind` of four vectors, by way of memory: for activations that are rare in a cell.
#[inline(always)]
fn four_of<S: Lanes<T = f32>>(s: S, level: Level, kind: Activation, x: [S::V; 4]) -> [S::V; 4] {
    let mut buffer = [0.0; 64];
    for j in 0..4 {
        s.store(&mut buffer[j * S::N..], x[j]);
    }
    activate(level, kind, &mut buffer[..4 * S::N]);
    let mut y = x;
    for j in 0..4 {
        y[j] = s.load(&buffer[j * S::N..]);
    }
    y
}

/// Stores one vector of a state or of saved values.
///
/// # Safety
/// `to` is good for `n` numbers and nobody else uses them.
#[inline(always)]
pub(super) unsafe fn put<S: Lanes<T = f32>>(s: S, view: View<'_>, at: usize, n: usize, v: S::V) {
    // SAFETY: the caller's.
    unsafe { store(s, view.at(at, n), n, v) }
}

/// The cells' equations on a group.
///
/// # Safety
/// Of all: `sums` holds the group's sums; its rows' new states and saved values at these units are this member's.
impl Pass<'_> {
    #[inline(always)]
    fn item<S: Lanes<T = f32>>(&self, _: S, group: &Group<'_>, panel: usize, r: usize) -> Item {
        let row = group.rows[r];
        let unit = group.panel.unit + panel * S::N;
        let at = row.b as usize * self.shape.units + unit;
        Item { row, unit, len: self.main.valid(unit), at, flat: self.row(group.t, row) }
    }

    /// The state before the step.
    #[inline(always)]
    unsafe fn state<S: Lanes<T = f32>>(&self, s: S, state: View<'_>, item: Item) -> S::V {
        let from =
            if item.row.reset { self.zeros.at(item.unit, item.len) } else { state.at(item.at, item.len) };
        // SAFETY: the impl's.
        unsafe { load(s, from, item.len) }
    }

    /// The output and state after the step.
    #[inline(always)]
    unsafe fn set_h<S: Lanes<T = f32>>(&self, s: S, slots: &Slots<'_>, item: Item, to: S::V) {
        // SAFETY: the impl's.
        unsafe {
            put(s, slots.h_new, item.at, item.len, to);
            if let Some(state) = slots.h_state {
                put(s, state, item.at, item.len, to);
            }
        }
    }

    /// Stores vectors in the saved blocks.
    #[inline(always)]
    unsafe fn save<S: Lanes<T = f32>, const K: usize>(&self, s: S, item: Item, blocks: [(usize, S::V); K]) {
        if let Some(saved) = self.saved {
            let units = self.shape.units;
            let first = item.flat * 4 * units + item.unit;
            for (block, v) in blocks {
                // SAFETY: the impl's.
                unsafe { put(s, saved, first + block * units, item.len, v) };
            }
        }
    }

    /// Items are taken four at a time, so that the chains of instructions of four activations interleave; what is
    /// computed for places after the last item is dropped. `MORE` where there is more to it than Keras's cell.
    #[inline(always)]
    pub(super) unsafe fn lstm<S: Lanes<T = f32>, const MORE: bool>(
        &self,
        s: S,
        group: &Group<'_>,
        sums: &mut Sums,
    ) {
        let items = group.items;
        let CellActivations { candidate, gate, output } = self.cell.activations();
        let common = [candidate, gate, output] == [Activation::Tanh, Activation::Sigmoid, Activation::Tanh];
        if MORE {
            // SAFETY: the impl's.
            unsafe { self.peep_before(s, group, sums) };
            self.limit(sums.vectors(s, items, 0, 2));
            self.limit(sums.vectors(s, items, 3, 4));
        }
        if !common {
            activate(self.plan.level, gate, sums.vectors(s, items, 0, 2));
            activate(self.plan.level, candidate, sums.vectors(s, items, 3, 4));
        }
        let zero = s.splat(0.0);
        let mut place = Places::new(self, group);
        for first in (0..items).step_by(4) {
            let n = 4.min(items - first);
            let four = [place.next(s), place.next(s), place.next(s), place.next(s)];
            let (mut i, mut f) = (sums.four(s, items, 0, first), sums.four(s, items, 1, first));
            let mut g = sums.four(s, items, 3, first);
            if common {
                (i, f, g) = (s.sigmoid_of_four(i), s.sigmoid_of_four(f), s.tanh_of_four(g));
            }
            if MORE && self.extras.coupled {
                for j in 0..4 {
                    f[j] = s.sub(s.c(1.0), i[j]);
                }
            }
            let mut c = [zero; 4];
            // SAFETY: the impl's.
            unsafe {
                for j in 0..n {
                    c[j] = s.fma(f[j], self.state(s, group.slots.c, four[j]), s.mul(i[j], g[j]));
                    put(s, group.slots.c_new, four[j].at, four[j].len, c[j]);
                    self.save(s, four[j], [(0, i[j]), (1, f[j]), (2, g[j])]);
                }
                let mut o = sums.four(s, items, 2, first);
                if MORE {
                    for j in 0..n {
                        o[j] = self.limited(s, self.peep(s, four[j], 1, c[j], o[j]));
                    }
                }
                if common {
                    (o, c) = (s.sigmoid_of_four(o), s.tanh_of_four(c));
                } else {
                    o = four_of(s, self.plan.level, gate, o);
                    c = four_of(s, self.plan.level, output, c);
                }
                for j in 0..n {
                    self.set_h(s, group.slots, four[j], s.mul(o[j], c[j]));
                    self.save(s, four[j], [(3, o[j])]);
                }
            }
        }
    }

    /// Adds what the gates i and f see of the cell state before the step.
    #[inline(always)]
    unsafe fn peep_before<S: Lanes<T = f32>>(&self, s: S, group: &Group<'_>, sums: &mut Sums) {
        if self.peepholes.is_none() {
            return;
        }
        let mut place = Places::new(self, group);
        for at in 0..group.items {
            let item = place.next(s);
            // SAFETY: the impl's.
            unsafe {
                let cp = self.state(s, group.slots.c, item);
                // Weights come in the order i, o, f, sums as i, f, o.
                for (gate, v) in [(0, 0), (2, 1)] {
                    let sum = self.peep(s, item, gate, cp, sums.get(s, group.items, v, at));
                    sums.set(s, group.items, v, at, sum);
                }
            }
        }
    }

    /// `sum`, and with peepholes what the gate sees of the cell state.
    #[inline(always)]
    unsafe fn peep<S: Lanes<T = f32>>(&self, s: S, item: Item, gate: usize, state: S::V, sum: S::V) -> S::V {
        let Some(weights) = self.peepholes else { return sum };
        let weights = &weights[gate * self.shape.units + item.unit..][..item.len];
        // SAFETY: the slice is long enough.
        s.fma(unsafe { load(s, weights.as_ptr(), item.len) }, state, sum)
    }

    /// Keeps sums within the limit, if there is one.
    #[inline(always)]
    fn limit(&self, sums: &mut [f32]) {
        if let Some(clip) = self.extras.clip {
            sums.iter_mut().for_each(|sum| *sum = sum.clamp(-clip, clip));
        }
    }

    /// As [`Pass::limit`].
    #[inline(always)]
    fn limited<S: Lanes<T = f32>>(&self, s: S, x: S::V) -> S::V {
        match self.extras.clip {
            Some(clip) => s.max(s.splat(-clip), s.min(s.splat(clip), x)),
            None => x,
        }
    }

    /// As [`Pass::lstm`].
    #[inline(always)]
    pub(super) unsafe fn gru_after<S: Lanes<T = f32>, const MORE: bool>(
        &self,
        s: S,
        group: &Group<'_>,
        sums: &mut Sums,
    ) {
        let items = group.items;
        let CellActivations { candidate: kind, gate, .. } = self.cell.activations();
        let common = (kind, gate) == (Activation::Tanh, Activation::Sigmoid);
        if MORE {
            self.limit(sums.vectors(s, items, 0, 2));
        }
        if !common {
            activate(self.plan.level, gate, sums.vectors(s, items, 0, 2));
        }
        let mut place = Places::new(self, group);
        for first in (0..items).step_by(4) {
            let four = [place.next(s), place.next(s), place.next(s), place.next(s)];
            let (mut z, mut r) = (sums.four(s, items, 0, first), sums.four(s, items, 1, first));
            let (q, mut n) = (sums.four(s, items, 2, first), sums.four(s, items, 3, first));
            if common {
                (z, r) = (s.sigmoid_of_four(z), s.sigmoid_of_four(r));
            }
            for j in 0..4 {
                n[j] = s.fma(r[j], q[j], n[j]);
                if MORE {
                    n[j] = self.limited(s, n[j]);
                }
            }
            n = if common { s.tanh_of_four(n) } else { four_of(s, self.plan.level, kind, n) };
            for j in 0..4.min(items - first) {
                // SAFETY: the impl's.
                unsafe {
                    self.gru_state(s, group.slots, four[j], z[j], n[j]);
                    self.save(s, four[j], [(0, z[j]), (1, r[j]), (2, n[j]), (3, q[j])]);
                }
            }
        }
    }

    /// `h = z hp + (1 - z) n`
    #[inline(always)]
    unsafe fn gru_state<S: Lanes<T = f32>>(&self, s: S, slots: &Slots<'_>, item: Item, z: S::V, n: S::V) {
        // SAFETY: the impl's.
        unsafe {
            let hp = self.state(s, slots.h, item);
            self.set_h(s, slots, item, s.fma(z, s.sub(hp, n), n));
        }
    }

    #[inline(always)]
    pub(super) unsafe fn gru_early<S: Lanes<T = f32>>(&self, s: S, group: &Group<'_>, sums: &mut Sums) {
        let RecurrentShape { batch, units, .. } = self.shape;
        let (items, rows) = (group.items, group.rows.len());
        let gate = self.cell.activations().gate;
        self.limit(sums.vectors(s, items, 0, 2));
        activate(self.plan.level, gate, sums.vectors(s, items, 0, 2));
        for panel in 0..items / rows {
            for r_index in 0..rows {
                let (item, at) = (self.item(s, group, panel, r_index), panel * rows + r_index);
                let (z, r) = (sums.get(s, items, 0, at), sums.get(s, items, 1, at));
                // SAFETY: the impl's.
                unsafe {
                    let mut q = s.mul(r, self.state(s, group.slots.h, item));
                    if let Some(mask) = self.h_mask {
                        q = s.mul(q, load(s, mask[item.at..][..item.len].as_ptr(), item.len));
                    }
                    let b = item.row.b as usize;
                    let row = (group.base + r_index) * staged_stride(units);
                    put(s, self.late_rows, row + item.unit, item.len, q);
                    put(s, self.late_rows, batch * staged_stride(units) + b * units + item.unit, item.len, z);
                    self.save(s, item, [(0, z), (1, r), (3, q)]);
                }
            }
        }
    }

    #[inline(always)]
    pub(super) unsafe fn gru_late<S: Lanes<T = f32>>(&self, s: S, group: &Group<'_>, sums: &mut Sums) {
        let RecurrentShape { batch, units, .. } = self.shape;
        let kind = self.cell.activations().candidate;
        self.limit(sums.vectors(s, group.items, 0, 1));
        activate(self.plan.level, kind, sums.vectors(s, group.items, 0, 1));
        for r in 0..group.rows.len() {
            let item = self.item(s, group, 0, r);
            let n = sums.get(s, group.items, 0, r);
            // SAFETY: the impl's.
            unsafe {
                let z = batch * staged_stride(units) + item.row.b as usize * units + item.unit;
                let z = load(s, self.late_rows.at(z, item.len), item.len);
                self.gru_state(s, group.slots, item, z, n);
                self.save(s, item, [(2, n)]);
            }
        }
    }

    #[inline(always)]
    pub(super) unsafe fn simple<S: Lanes<T = f32>>(&self, s: S, group: &Group<'_>, sums: &mut Sums) {
        let kind = self.cell.activations().candidate;
        let vectors = group.panel.vectors;
        self.limit(sums.vectors(s, group.items, 0, vectors));
        activate(self.plan.level, kind, sums.vectors(s, group.items, 0, vectors));
        for v in 0..vectors {
            for r in 0..group.rows.len() {
                let item = self.item(s, group, v, r);
                let h = sums.get(s, group.items, v, r);
                // SAFETY: the impl's.
                unsafe { self.set_h(s, group.slots, item, h) };
            }
        }
    }
}
