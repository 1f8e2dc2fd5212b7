//! The forward pass over packed weights, `f32`: one product per panel of units and tile of rows, the gates applied
//! straight after it.
//!
//! Members of the team share either the rows, and then never meet inside the sequence, or the panels of units, and
//! then meet after every step. A row's sums are the same whatever tile, member or mode computes them.

use std::ops::Range;
use std::sync::Mutex;

use super::pack::{Layout, Panel};
use super::plan::{Plan, Split};
use super::pointwise::activate;
use super::tile::{
    GROUP, NO_ROWS, Operand, Product, Starting, Sums, balanced, fetch, panels_at_once, product, staged_stride,
};
use super::view::{View, load, store};
use super::workspace::{Key, Packed, Row};
use super::{RecurrentShape, activations, flag, saved_blocks};
use crate::math::{Kernel, Lanes, Level, run_f32};
use crate::team::{self, Member};
use crate::{Activation, Cell};

/// Runs the sequence; arguments as for [`super::recurrent_forward`].
pub(super) fn forward(
    plan: Plan,
    cell: Cell,
    shape: RecurrentShape,
    x: &[f32],
    kernel: &[f32],
    recurrent: &[f32],
    bias: Option<&[f32]>,
    flags: Option<&[u32]>,
    h: &mut [f32],
    c: Option<&mut [f32]>,
    saved: Option<&mut [f32]>,
    packed: &mut Packed,
    version: u64,
) {
    let RecurrentShape { batch, input, units, .. } = shape;
    let lanes = plan.lanes;
    let gates = cell.gates();
    let layout = |k, gates| Layout { k, units, lanes, gates };
    let fused_k = if plan.fused { input + units } else { units };
    let (main, late) = match cell {
        Cell::Lstm { .. } => (layout(fused_k, 4), None),
        Cell::Gru { reset_after: true, .. } => (layout(fused_k, 3), None),
        Cell::Gru { reset_after: false, .. } => (layout(units, 2), Some(layout(units, 1))),
        Cell::SimpleRnn { .. } => (layout(fused_k, 0), None),
    };
    let first = (!plan.fused).then(|| layout(input, if gates == 1 { 0 } else { gates }));
    let vectors = main.unit_vectors();
    let bias_len = vectors * bias_vectors(cell) * lanes;
    let lens = [main.len(), late.map_or(0, |l| l.len()), first.map_or(0, |l| l.len()), bias_len];
    let key = Key { version, kind: kind(cell), input, units, lanes, fused: plan.fused, bias: bias.is_some() };
    let repack = version == 0 || packed.key != Some(key);
    packed.key = Some(key);
    packed.lists(plan.threads, batch);
    let (weights, rest) = packed.weights.sized(lens.iter().sum()).split_at_mut(lens[0]);
    let (late_weights, rest) = rest.split_at_mut(lens[1]);
    let (first_weights, packed_bias) = rest.split_at_mut(lens[2]);
    let projected = if plan.fused { 0 } else { vectors * gates * lanes };
    let late_len = if late.is_some() { batch * (units + staged_stride(units)) } else { 0 };
    let zeros = units.next_multiple_of(16);
    let inputs_staged = if plan.fused { 0 } else { plan.chunk * staged_stride(input) };
    let staged_row = inputs_staged.max(staged_stride(main.k));
    let staged_len = plan.staged_rows(batch) * staged_row;
    let len = zeros + staged_len + plan.chunk * batch * projected + late_len;
    let scratch = packed.scratch.sized(len);
    let (zeros, scratch) = scratch.split_at_mut(zeros);
    let (staged, scratch) = scratch.split_at_mut(staged_len);
    let (projection, late_rows) = scratch.split_at_mut(plan.chunk * batch * projected);
    zeros.fill(0.0);
    let pass = Pass {
        plan,
        cell,
        shape,
        x,
        kernel,
        recurrent,
        bias,
        flags,
        h: View::new(h),
        c: c.map_or(View::empty(), View::new),
        saved: saved.map(View::new),
        main,
        late,
        first,
        weights: View::new(weights),
        late_weights: View::new(late_weights),
        first_weights: View::new(first_weights),
        packed_bias: View::new(packed_bias),
        projection: View::new(projection),
        projected,
        late_rows: View::new(late_rows),
        zeros: View::new(zeros),
        staged: View::new(staged),
        staged_row,
        active: &packed.active,
        repack,
    };
    team::run(plan.threads, |member| run_f32(plan.level, Work { pass: &pass, member: &member }));
}

/// A number for each kind of cell.
pub(super) fn kind(cell: Cell) -> u8 {
    match cell {
        Cell::Lstm { .. } => 0,
        Cell::Gru { reset_after: true, .. } => 1,
        Cell::Gru { reset_after: false, .. } => 2,
        Cell::SimpleRnn { .. } => 3,
    }
}

/// Vectors of the packed bias per vector of units: one per sum that starts from it. GRU with `reset_after` has
/// z, r (both biases added up), n of the input, n of the recurrent product.
fn bias_vectors(cell: Cell) -> usize {
    match cell {
        Cell::Gru { reset_after: true, .. } => 4,
        other => other.gates(),
    }
}

/// The gates in the order of a panel's vectors: those with the same activation next to each other.
fn order(cell: Cell) -> &'static [usize] {
    match cell {
        Cell::Lstm { .. } => &[0, 1, 3, 2],
        Cell::Gru { .. } => &[0, 1, 2],
        Cell::SimpleRnn { .. } => &[0],
    }
}

/// One forward pass, as all members see it.
struct Pass<'a> {
    plan: Plan,
    cell: Cell,
    shape: RecurrentShape,
    x: &'a [f32],
    kernel: &'a [f32],
    recurrent: &'a [f32],
    bias: Option<&'a [f32]>,
    flags: Option<&'a [u32]>,
    h: View<'a>,
    c: View<'a>,
    saved: Option<View<'a>>,
    /// the product of every step
    main: Layout,
    /// the candidate's product of GRU with the reset before it
    late: Option<Layout>,
    /// the input's product, where it is not part of `main`
    first: Option<Layout>,
    weights: View<'a>,
    late_weights: View<'a>,
    first_weights: View<'a>,
    packed_bias: View<'a>,
    /// input's product and bias of a chunk of steps, `[chunk, B, projected]`
    projection: View<'a>,
    projected: usize,
    /// `r hp` and `z`, `[2, B, U]`, where there is a `late` product
    late_rows: View<'a>,
    zeros: View<'a>,
    /// operands, a line apart, `staged_row` numbers for each row of every member
    staged: View<'a>,
    staged_row: usize,
    active: &'a [Mutex<Vec<Row>>],
    repack: bool,
}

struct Work<'a> {
    pass: &'a Pass<'a>,
    member: &'a Member<'a>,
}

impl Kernel<f32> for Work<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Lanes<T = f32>>(self, s: S) {
        if self.pass.repack {
            self.pass.pack(self.member);
            self.member.wait();
        }
        self.pass.sequence(s, self.member);
    }
}

/// What a member works on in a step.
struct Span<'a> {
    t: usize,
    /// step within the chunk of the projection
    slot: usize,
    rows: &'a [Row],
    panels: Range<usize>,
    /// the rows' inputs and states before the step
    staged: View<'a>,
    /// where the rows are among all members' rows
    base: usize,
}

impl Pass<'_> {
    fn pack(&self, member: &Member<'_>) {
        let RecurrentShape { input, units, .. } = self.shape;
        let width = self.cell.gates() * units;
        for index in member.share(self.main.panels()) {
            let panel = self.main.panel(index);
            let inputs = if self.plan.fused { input } else { 0 };
            let order = order(self.cell);
            if inputs > 0 {
                self.main.pack(panel, 0, self.kernel, width, order, self.weights);
            }
            self.main.pack(panel, inputs, self.recurrent, width, order, self.weights);
        }
        if let Some(late) = &self.late {
            for index in member.share(late.panels()) {
                late.pack(late.panel(index), 0, self.recurrent, width, &[2], self.late_weights);
            }
        }
        if let Some(first) = &self.first {
            for index in member.share(first.panels()) {
                first.pack(first.panel(index), 0, self.kernel, width, order(self.cell), self.first_weights);
            }
        }
        let (lanes, vectors) = (self.main.lanes, bias_vectors(self.cell));
        for vector in member.share(self.main.unit_vectors()) {
            let unit = vector * lanes;
            let n = self.main.valid(unit);
            for v in 0..vectors {
                // SAFETY: each vector has one member, before the barrier that lets others read.
                let out = unsafe { self.packed_bias.get_mut((vector * vectors + v) * lanes, lanes) };
                out.fill(0.0);
                let Some(bias) = self.bias else { continue };
                let mut add = |block: usize| {
                    let from = &bias[block * units + unit..][..n];
                    out.iter_mut().zip(from).for_each(|(out, bias)| *out += bias);
                };
                match self.cell {
                    Cell::Gru { reset_after: true, .. } if v == 3 => add(5),
                    Cell::Gru { reset_after: true, .. } if v < 2 => {
                        add(v);
                        add(v + 3);
                    }
                    Cell::Gru { .. } => add(v),
                    _ => add(order(self.cell)[v]),
                }
            }
        }
    }

    #[inline(always)]
    fn sequence<S: Lanes<T = f32>>(&self, s: S, member: &Member<'_>) {
        let RecurrentShape { time, batch, .. } = self.shape;
        let by_rows = self.plan.split == Split::Rows;
        let rows = if by_rows { member.share(batch) } else { 0..batch };
        let panels = |layout: &Layout| {
            if by_rows { 0..layout.panels() } else { member.share(layout.panels()) }
        };
        let mut active = self.active[member.index].lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if self.flags.is_none() {
            active.extend(rows.clone().map(|b| Row { b: b as u32, valid: true, reset: false }));
        }
        let staged = self.plan.staged(self.staged, self.staged_row, member, batch);
        let mut sums = Sums::new();
        for t in 0..time {
            let slot = t % self.plan.chunk;
            if slot == 0
                && let Some(first) = &self.first
            {
                let steps = self.plan.chunk.min(time - t);
                self.project(s, first, t, steps, rows.clone(), panels(first), staged, &mut sums);
            }
            if self.flags.is_some() {
                active.clear();
                self.select(t, rows.clone(), by_rows || member.index == 0, &mut active);
            }
            self.stage(t, &active, staged);
            let span = Span { t, slot, rows: &active, panels: panels(&self.main), staged, base: rows.start };
            self.step(s, &span, &mut sums);
            if let Some(late) = &self.late {
                if !by_rows {
                    member.wait();
                }
                self.late_step(s, &Span { panels: panels(late), ..span }, late, &mut sums);
            }
            if !by_rows {
                member.wait();
            }
        }
    }

    /// Lists the valid rows of a step; carries the states of the others over.
    fn select(&self, t: usize, rows: Range<usize>, carry: bool, active: &mut Vec<Row>) {
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
            let states = [Some(self.h), (self.cell.states() == 2).then_some(self.c)];
            for state in states.into_iter().flatten() {
                // SAFETY: a row's new state has one writer in a step, and its old one none.
                let (from, to) =
                    unsafe { (state.get(row * units, units), state.get_mut((row + batch) * units, units)) };
                if reset {
                    to.fill(0.0);
                } else {
                    to.copy_from_slice(from);
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
    fn project<S: Lanes<T = f32>>(
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
        for row in 0..steps * rows.len() {
            let (slot, b) = (row / rows.len(), rows.start + row % rows.len());
            // SAFETY: the staged rows are this member's.
            unsafe { staged.get_mut(row * staged_stride(input), input) }
                .copy_from_slice(&self.x[((t + slot) * batch + b) * input..][..input]);
        }
        let per_vector = self.cell.gates() * S::N;
        let bias_vector = bias_vectors(self.cell) * S::N;
        for index in panels {
            let panel = first.panel(index);
            let stride = staged_stride(input);
            let whole = Product {
                vectors: panel.vectors,
                operand: Operand { first: staged.at(0, 0), stride },
                k: input,
                panel: self.first_weights.at(panel.offset, panel.vectors * input * S::N),
                level: self.plan.level,
                stream: self.plan.stream,
            };
            let bias = self.packed_bias.at(panel.vector * bias_vector, panel.vectors * S::N);
            for (at, n) in balanced(steps * rows.len(), GROUP) {
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
                            put(s, self.projection, row + v * S::N, S::N, sums.get(s, n, v, r));
                        }
                    }
                }
            }
        }
    }

    /// Copies the rows' inputs (where they are part of the step's product) and states before the step next to each
    /// other.
    fn stage(&self, t: usize, rows: &[Row], staged: View<'_>) {
        let RecurrentShape { batch, input, units, .. } = self.shape;
        let (stride, inputs) = (staged_stride(self.main.k), if self.plan.fused { input } else { 0 });
        for (r, row) in rows.iter().enumerate() {
            // SAFETY: the staged rows are this member's, and the states before the step are written by nobody now.
            let (to, h) = unsafe {
                let h = if row.reset {
                    self.zeros.get(0, units)
                } else {
                    self.h.get(self.row(t, *row) * units, units)
                };
                (staged.get_mut(r * stride, self.main.k), h)
            };
            to[..inputs].copy_from_slice(&self.x[(t * batch + row.b as usize) * input..][..inputs]);
            to[inputs..].copy_from_slice(h);
        }
    }

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
    fn step<S: Lanes<T = f32>>(&self, s: S, span: &Span<'_>, sums: &mut Sums) {
        // A SimpleRNN's panel has several items per row.
        let at_once = if self.main.gates > 0 { panels_at_once(span.rows.len()) } else { 1 };
        let mut first = span.panels.start;
        while first < span.panels.end {
            let count = at_once.min(span.panels.end - first);
            for (at, n) in balanced(span.rows.len(), GROUP) {
                let rows = &span.rows[at..at + n];
                let group = Group {
                    t: span.t,
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
                        Cell::Lstm { .. } => self.lstm(s, &group, sums),
                        Cell::Gru { reset_after: true, .. } => self.gru_after(s, &group, sums),
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
        let RecurrentShape { input, units, .. } = self.shape;
        let inputs = if self.plan.fused { input } else { 0 };
        let panel = self.main.panel(index);
        let v = panel.vectors;
        let bias_vector = bias_vectors(self.cell) * S::N;
        let bias = self.packed_bias.at(panel.vector * bias_vector, v * S::N).cast_const();
        let offset = panel.vector * self.cell.gates() * S::N;
        let whole = Product {
            vectors: v,
            operand: Operand { first: span.staged.at(0, 0), stride: staged_stride(self.main.k) }.from(at, 0),
            k: self.main.k,
            panel: self.weights.at(panel.offset, v * self.main.k * S::N),
            level: self.plan.level,
            stream: self.plan.stream,
        };
        let starting = |at: usize, n: usize| {
            self.fetch_states(span.t, &rows[at..at + n], panel.unit);
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
            let of_input = Product { k: inputs, ..whole };
            product(s, of_input, n, sums, (item, items), starting);
            let q = load(s, bias.add(3 * S::N), S::N);
            for item in item..item + n {
                let x = sums.get(s, items, 2, item);
                sums.set(s, items, 3, item, x);
                sums.set(s, items, 2, item, q);
            }
            let panel = whole.panel.wrapping_add(inputs * v * S::N);
            let of_state = Product { operand: whole.operand.from(0, inputs), k: units, panel, ..whole };
            product(s, of_state, n, sums, (item, items), |_, _| Starting::Sums);
        }
    }

    /// Asks for the states that a group will read and write after its product.
    #[inline(always)]
    fn fetch_states(&self, t: usize, rows: &[Row], unit: usize) {
        let RecurrentShape { batch, units, .. } = self.shape;
        let lstm = matches!(self.cell, Cell::Lstm { .. });
        let states = if lstm { self.c } else { self.h };
        for row in rows {
            let at = self.row(t, *row) * units + unit;
            fetch(states.at(at, 1));
            fetch(self.h.at(at + batch * units, 1));
            if lstm {
                fetch(self.c.at(at + batch * units, 1));
            }
        }
    }

    /// The second product of GRU with the reset before it, and what follows.
    #[inline(always)]
    fn late_step<S: Lanes<T = f32>>(&self, s: S, span: &Span<'_>, late: &Layout, sums: &mut Sums) {
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
                stream: self.plan.stream,
            };
            let offset = (panel.vector * 3 + 2) * S::N;
            for (at, n) in balanced(span.rows.len(), GROUP) {
                let rows = &span.rows[at..at + n];
                let whole = Product { operand: whole.operand.from(at, 0), ..whole };
                let starting = |at: usize, n: usize| {
                    self.starting(span, &rows[at..at + n], std::ptr::null(), offset, S::N)
                };
                // SAFETY: as in `sums_of`; `r hp` was written before the barrier.
                unsafe {
                    product(s, whole, n, sums, (0, n), starting);
                    self.gru_late(s, &Group { t: span.t, base: span.base + at, rows, panel, items: n }, sums);
                }
            }
        }
    }

    #[inline(always)]
    fn row(&self, t: usize, row: Row) -> usize {
        t * self.shape.batch + row.b as usize
    }
}

/// Rows and panels whose sums are ready: item `i` is row `i % rows`, and of the panels that begin with `panel` the
/// `i / rows`-th.
struct Group<'a> {
    t: usize,
    /// where its rows are among all members' rows
    base: usize,
    rows: &'a [Row],
    panel: Panel,
    items: usize,
}

/// Where an item's values are.
#[derive(Clone, Copy)]
struct Item {
    row: Row,
    unit: usize,
    /// units in the vector
    len: usize,
    /// number of the first unit in an array `[T, B, U]`
    at: usize,
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
unsafe fn put<S: Lanes<T = f32>>(s: S, view: View<'_>, at: usize, n: usize, v: S::V) {
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
        let at = self.row(group.t, row) * self.shape.units + unit;
        Item { row, unit, len: self.main.valid(unit), at }
    }

    /// The state before the step.
    #[inline(always)]
    unsafe fn state<S: Lanes<T = f32>>(&self, s: S, state: View<'_>, item: Item) -> S::V {
        let from =
            if item.row.reset { self.zeros.at(item.unit, item.len) } else { state.at(item.at, item.len) };
        // SAFETY: the impl's.
        unsafe { load(s, from, item.len) }
    }

    /// The state after the step.
    #[inline(always)]
    unsafe fn set_state<S: Lanes<T = f32>>(&self, s: S, state: View<'_>, item: Item, to: S::V) {
        // SAFETY: the impl's.
        unsafe { put(s, state, item.at + self.shape.batch * self.shape.units, item.len, to) }
    }

    /// Stores vectors in the saved blocks.
    #[inline(always)]
    unsafe fn save<S: Lanes<T = f32>, const K: usize>(&self, s: S, item: Item, blocks: [(usize, S::V); K]) {
        if let Some(saved) = self.saved {
            let units = self.shape.units;
            // Row times four blocks, plus the unit: `at` is row times units plus unit.
            let first = (item.at - item.unit) * 4 + item.unit;
            for (block, v) in blocks {
                // SAFETY: the impl's.
                unsafe { put(s, saved, first + block * units, item.len, v) };
            }
        }
    }

    /// Items are taken four at a time, so that the chains of instructions of four activations interleave; what is
    /// computed for places after the last item is dropped.
    #[inline(always)]
    unsafe fn lstm<S: Lanes<T = f32>>(&self, s: S, group: &Group<'_>, sums: &mut Sums) {
        let items = group.items;
        let (kind, gate) = activations(self.cell);
        let common = (kind, gate) == (Activation::Tanh, Activation::Sigmoid);
        if !common {
            activate(self.plan.level, gate, sums.vectors(s, items, 0, 3));
            activate(self.plan.level, kind, sums.vectors(s, items, 3, 4));
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
            let mut c = [zero; 4];
            // SAFETY: the impl's.
            unsafe {
                for j in 0..n {
                    c[j] = s.fma(f[j], self.state(s, self.c, four[j]), s.mul(i[j], g[j]));
                    self.set_state(s, self.c, four[j], c[j]);
                    self.save(s, four[j], [(0, i[j]), (1, f[j]), (2, g[j])]);
                }
                let mut o = sums.four(s, items, 2, first);
                if common {
                    (o, c) = (s.sigmoid_of_four(o), s.tanh_of_four(c));
                } else {
                    c = four_of(s, self.plan.level, kind, c);
                }
                for j in 0..n {
                    self.set_state(s, self.h, four[j], s.mul(o[j], c[j]));
                    self.save(s, four[j], [(3, o[j])]);
                }
            }
        }
    }

    /// As [`Pass::lstm`].
    #[inline(always)]
    unsafe fn gru_after<S: Lanes<T = f32>>(&self, s: S, group: &Group<'_>, sums: &mut Sums) {
        let items = group.items;
        let (kind, gate) = activations(self.cell);
        let common = (kind, gate) == (Activation::Tanh, Activation::Sigmoid);
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
            }
            n = if common { s.tanh_of_four(n) } else { four_of(s, self.plan.level, kind, n) };
            for j in 0..4.min(items - first) {
                // SAFETY: the impl's.
                unsafe {
                    self.gru_state(s, four[j], z[j], n[j]);
                    self.save(s, four[j], [(0, z[j]), (1, r[j]), (2, n[j]), (3, q[j])]);
                }
            }
        }
    }

    /// `h = z hp + (1 - z) n`
    #[inline(always)]
    unsafe fn gru_state<S: Lanes<T = f32>>(&self, s: S, item: Item, z: S::V, n: S::V) {
        // SAFETY: the impl's.
        unsafe {
            let hp = self.state(s, self.h, item);
            self.set_state(s, self.h, item, s.fma(z, s.sub(hp, n), n));
        }
    }

    #[inline(always)]
    unsafe fn gru_early<S: Lanes<T = f32>>(&self, s: S, group: &Group<'_>, sums: &mut Sums) {
        let RecurrentShape { batch, units, .. } = self.shape;
        let (items, rows) = (group.items, group.rows.len());
        let (_, gate) = activations(self.cell);
        activate(self.plan.level, gate, sums.vectors(s, items, 0, 2));
        for panel in 0..items / rows {
            for r_index in 0..rows {
                let (item, at) = (self.item(s, group, panel, r_index), panel * rows + r_index);
                let (z, r) = (sums.get(s, items, 0, at), sums.get(s, items, 1, at));
                // SAFETY: the impl's.
                unsafe {
                    let q = s.mul(r, self.state(s, self.h, item));
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
    unsafe fn gru_late<S: Lanes<T = f32>>(&self, s: S, group: &Group<'_>, sums: &mut Sums) {
        let RecurrentShape { batch, units, .. } = self.shape;
        let (kind, _) = activations(self.cell);
        activate(self.plan.level, kind, sums.vectors(s, group.items, 0, 1));
        for r in 0..group.rows.len() {
            let item = self.item(s, group, 0, r);
            let n = sums.get(s, group.items, 0, r);
            // SAFETY: the impl's.
            unsafe {
                let z = batch * staged_stride(units) + item.row.b as usize * units + item.unit;
                let z = load(s, self.late_rows.at(z, item.len), item.len);
                self.gru_state(s, item, z, n);
                self.save(s, item, [(2, n)]);
            }
        }
    }

    #[inline(always)]
    unsafe fn simple<S: Lanes<T = f32>>(&self, s: S, group: &Group<'_>, sums: &mut Sums) {
        let (kind, _) = activations(self.cell);
        let vectors = group.panel.vectors;
        activate(self.plan.level, kind, sums.vectors(s, group.items, 0, vectors));
        for v in 0..vectors {
            for r in 0..group.rows.len() {
                let item = self.item(s, group, v, r);
                let h = sums.get(s, group.items, v, r);
                // SAFETY: the impl's.
                unsafe { self.set_state(s, self.h, item, h) };
            }
        }
    }
}
