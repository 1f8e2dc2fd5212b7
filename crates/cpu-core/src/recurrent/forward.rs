//! The forward pass over packed weights, `f32`: one product per panel of units and tile of rows, the gates applied
//! straight after it.
//!
//! Members of the team share either the rows, and then never meet inside the sequence, or the panels of units, and
//! then meet after every step. A row's sums are the same whatever tile, member or mode computes them.

use std::sync::Mutex;

use super::pack::Layout;
use super::plan::{Plan, Split};
use super::pointwise::activate;
use super::tile::{
    Ahead, GROUP, MOST_ROWS, NO_ROWS, Out, Product, Rows, Start, Starting, Sums, Term, balanced, fetch,
    most_rows, product, tile,
};
use super::view::{View, load, store};
use super::workspace::{Key, Packed, Row};
use super::{RecurrentShape, activations, flag, saved_blocks};
use crate::Cell;
use crate::math::{Kernel, Lanes, dispatch};
use crate::team::{self, Member};

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
    let late_len = if late.is_some() { 2 * batch * units } else { 0 };
    let zeros = units.next_multiple_of(16);
    let scratch = packed.scratch.sized(zeros + plan.chunk * batch * projected + late_len);
    let (zeros, scratch) = scratch.split_at_mut(zeros);
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
        active: &packed.active,
        repack,
    };
    team::run(plan.threads, |member| dispatch(Work { pass: &pass, member: &member }));
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
    panels: std::ops::Range<usize>,
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
        let mut sums = Sums::new();
        for t in 0..time {
            let slot = t % self.plan.chunk;
            if slot == 0
                && let Some(first) = &self.first
            {
                let steps = self.plan.chunk.min(time - t);
                self.project(s, first, t, steps, rows.clone(), panels(first));
            }
            if self.flags.is_some() {
                active.clear();
                self.select(t, rows.clone(), by_rows || member.index == 0, &mut active);
            }
            let span = Span { t, slot, rows: &active, panels: panels(&self.main) };
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
    fn select(&self, t: usize, rows: std::ops::Range<usize>, carry: bool, active: &mut Vec<Row>) {
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

    /// The state before the step, or zeros.
    #[inline(always)]
    fn before(&self, state: View<'_>, t: usize, row: Row, unit: usize, n: usize) -> *const f32 {
        let RecurrentShape { batch, units, .. } = self.shape;
        if row.reset {
            self.zeros.at(unit, n)
        } else {
            state.at((t * batch + row.b as usize) * units + unit, n)
        }
    }

    /// Input's product plus bias for a chunk of steps.
    #[inline(always)]
    fn project<S: Lanes<T = f32>>(
        &self,
        _: S,
        first: &Layout,
        t: usize,
        steps: usize,
        rows: std::ops::Range<usize>,
        panels: std::ops::Range<usize>,
    ) {
        let RecurrentShape { batch, input, .. } = self.shape;
        let per_vector = self.cell.gates() * S::N;
        let bias_vector = bias_vectors(self.cell) * S::N;
        for index in panels {
            let panel = first.panel(index);
            let weights = self.first_weights.at(panel.offset, panel.vectors * first.k * S::N);
            let start = self.packed_bias.at(panel.vector * bias_vector, panel.vectors * S::N);
            for (at, n) in balanced(steps * rows.len(), most_rows::<S>(panel.vectors)) {
                let mut from = NO_ROWS;
                let mut to = [std::ptr::null_mut(); MOST_ROWS];
                for r in 0..n {
                    let (slot, b) = ((at + r) / rows.len(), rows.start + (at + r) % rows.len());
                    from[r] = self.x[((t + slot) * batch + b) * input..][..input].as_ptr();
                    let row = (slot * batch + b) * self.projected + panel.vector * per_vector;
                    to[r] = self.projection.at(row, panel.vectors * S::N);
                }
                let x = Term { rows: &from, skip: 0, k: input, panel: weights };
                let nothing = Term { rows: &NO_ROWS, skip: 0, k: 0, panel: weights };
                // SAFETY: rows, weights and bias are as long as the layout says; these rows and panels of the
                // projection are this member's.
                unsafe {
                    tile(panel.vectors, n, Start::Same(start), [x, nothing], Out::Each(&to), Ahead::NOTHING);
                }
            }
        }
    }

    /// A tile's rows of the input and of the state before the step.
    #[inline(always)]
    fn operands(&self, t: usize, rows: &[Row]) -> (Rows, Rows) {
        let RecurrentShape { batch, input, units, .. } = self.shape;
        let (mut x, mut h) = (NO_ROWS, NO_ROWS);
        for (r, &row) in rows.iter().enumerate() {
            if self.plan.fused {
                x[r] = self.x[(t * batch + row.b as usize) * input..][..input].as_ptr();
            }
            h[r] = self.before(self.h, t, row, 0, units);
        }
        (x, h)
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
        let RecurrentShape { input, units, .. } = self.shape;
        let inputs = if self.plan.fused { input } else { 0 };
        for index in span.panels.clone() {
            let panel = self.main.panel(index);
            let v = panel.vectors;
            let bias_vector = bias_vectors(self.cell) * S::N;
            let bias = self.packed_bias.at(panel.vector * bias_vector, v * S::N).cast_const();
            let offset = panel.vector * self.cell.gates() * S::N;
            let whole = Product {
                vectors: v,
                panel: self.weights.at(panel.offset, v * self.main.k * S::N),
                inputs,
                k: self.main.k,
                stream: self.plan.stream,
            };
            for (at, n) in balanced(span.rows.len(), GROUP) {
                let rows = &span.rows[at..at + n];
                let operands = |at: usize, n: usize| self.operands(span.t, &rows[at..at + n]);
                let starting =
                    |at: usize, n: usize| self.starting(span, &rows[at..at + n], bias, offset, v * S::N);
                if self.plan.stream {
                    self.fetch_states(span.t, rows, panel.unit);
                }
                // SAFETY: rows, weights, bias and projection are as long as the layouts say, and packed before the
                // barrier; a group's states and saved values are this member's.
                unsafe {
                    match self.cell {
                        Cell::Lstm { .. } => {
                            product(s, whole, n, sums, operands, starting);
                            self.lstm(s, span.t, rows, panel.unit, &mut sums.0);
                        }
                        Cell::Gru { reset_after: true, .. } => {
                            // z, r, n of the input; the third sum then makes place for the recurrent one.
                            let of_input = Product { inputs, k: inputs, ..whole };
                            product(s, of_input, n, sums, operands, starting);
                            let (from, to) = (2 * n * S::N, 3 * n * S::N);
                            sums.0.copy_within(from..to, to);
                            let q = load(s, bias.add(3 * S::N), S::N);
                            sums.0[from..to].chunks_exact_mut(S::N).for_each(|sum| s.store(sum, q));
                            let panel_h = whole.panel.wrapping_add(inputs * v * S::N);
                            let of_state = Product { inputs: 0, k: units, panel: panel_h, ..whole };
                            product(s, of_state, n, sums, operands, |_, _| Starting::Sums);
                            self.gru_after(s, span.t, rows, panel.unit, &mut sums.0);
                        }
                        Cell::Gru { reset_after: false, .. } => {
                            product(s, whole, n, sums, operands, starting);
                            self.gru_early(s, span.t, rows, panel.unit, &mut sums.0);
                        }
                        Cell::SimpleRnn { .. } => {
                            product(s, whole, n, sums, operands, starting);
                            self.simple(s, span.t, rows, panel.unit, v, &mut sums.0);
                        }
                    }
                }
            }
        }
    }

    /// Asks for the states that a group will read and write after its product.
    #[inline(always)]
    fn fetch_states(&self, t: usize, rows: &[Row], unit: usize) {
        let RecurrentShape { batch, units, .. } = self.shape;
        let states = if matches!(self.cell, Cell::Lstm { .. }) { self.c } else { self.h };
        for row in rows {
            let at = self.row(t, *row) * units + unit;
            fetch(states.at(at, 1));
            fetch(states.at(at + batch * units, 1));
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
                panel: self.late_weights.at(panel.offset, units * S::N),
                inputs: 0,
                k: units,
                stream: self.plan.stream,
            };
            let offset = (panel.vector * 3 + 2) * S::N;
            for (at, n) in balanced(span.rows.len(), GROUP) {
                let rows = &span.rows[at..at + n];
                let operands = |at: usize, n: usize| {
                    let mut rh = NO_ROWS;
                    for (r, row) in rows[at..at + n].iter().enumerate() {
                        rh[r] = self.late_rows.at(row.b as usize * units, units);
                    }
                    (NO_ROWS, rh)
                };
                let starting = |at: usize, n: usize| {
                    self.starting(span, &rows[at..at + n], std::ptr::null(), offset, S::N)
                };
                // SAFETY: as in `step`; `r hp` was written before the barrier.
                unsafe {
                    product(s, whole, n, sums, operands, starting);
                    self.gru_late(s, span.t, rows, panel.unit, &mut sums.0);
                }
            }
        }
    }

    #[inline(always)]
    fn row(&self, t: usize, row: Row) -> usize {
        t * self.shape.batch + row.b as usize
    }
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

/// The cells' equations on a group of rows and one vector of units.
///
/// # Safety
/// Of all: `sums` holds the cell's sums, `[sums][rows][N]`; the rows' new states and saved values at these units are
/// this member's.
impl Pass<'_> {
    /// Stores vectors of a row in its saved blocks.
    #[inline(always)]
    unsafe fn save<S: Lanes<T = f32>, const K: usize>(
        &self,
        s: S,
        row: usize,
        unit: usize,
        n: usize,
        blocks: [(usize, S::V); K],
    ) {
        if let Some(saved) = self.saved {
            for (block, v) in blocks {
                // SAFETY: the impl's.
                unsafe { put(s, saved, (row * 4 + block) * self.shape.units + unit, n, v) };
            }
        }
    }

    #[inline(always)]
    unsafe fn lstm<S: Lanes<T = f32>>(&self, s: S, t: usize, rows: &[Row], unit: usize, sums: &mut [f32]) {
        let RecurrentShape { batch, units, .. } = self.shape;
        let (n, len) = (rows.len() * S::N, self.main.valid(unit));
        let (kind, gate) = activations(self.cell);
        activate(gate, &mut sums[..3 * n]);
        activate(kind, &mut sums[3 * n..4 * n]);
        for (r, &row) in rows.iter().enumerate() {
            let sum = |v: usize| v * n + r * S::N;
            let (i, f) = (s.load(&sums[sum(0)..]), s.load(&sums[sum(1)..]));
            let (o, g) = (s.load(&sums[sum(2)..]), s.load(&sums[sum(3)..]));
            // SAFETY: the impl's.
            unsafe {
                let cp = load(s, self.before(self.c, t, row, unit, len), len);
                let c = s.fma(f, cp, s.mul(i, g));
                put(s, self.c, (self.row(t, row) + batch) * units + unit, len, c);
                self.save(s, self.row(t, row), unit, len, [(0, i), (1, f), (2, g), (3, o)]);
                s.store(&mut sums[sum(3)..], c);
            }
        }
        activate(kind, &mut sums[3 * n..4 * n]);
        for (r, &row) in rows.iter().enumerate() {
            let h = s.mul(s.load(&sums[2 * n + r * S::N..]), s.load(&sums[3 * n + r * S::N..]));
            // SAFETY: the impl's.
            unsafe { put(s, self.h, (self.row(t, row) + batch) * units + unit, len, h) };
        }
    }

    #[inline(always)]
    unsafe fn gru_after<S: Lanes<T = f32>>(
        &self,
        s: S,
        t: usize,
        rows: &[Row],
        unit: usize,
        sums: &mut [f32],
    ) {
        let n = rows.len() * S::N;
        let (kind, gate) = activations(self.cell);
        activate(gate, &mut sums[..2 * n]);
        for at in (0..n).step_by(S::N) {
            let (r, q) = (s.load(&sums[n + at..]), s.load(&sums[2 * n + at..]));
            let x = s.load(&sums[3 * n + at..]);
            s.store(&mut sums[3 * n + at..], s.fma(r, q, x));
        }
        activate(kind, &mut sums[3 * n..4 * n]);
        for (index, &row) in rows.iter().enumerate() {
            let sum = |v: usize| v * n + index * S::N;
            let (z, r) = (s.load(&sums[sum(0)..]), s.load(&sums[sum(1)..]));
            let (q, new) = (s.load(&sums[sum(2)..]), s.load(&sums[sum(3)..]));
            // SAFETY: the impl's.
            unsafe {
                self.gru_state(s, t, row, unit, z, new);
                let len = self.main.valid(unit);
                self.save(s, self.row(t, row), unit, len, [(0, z), (1, r), (2, new), (3, q)]);
            }
        }
    }

    /// `h = z hp + (1 - z) n`
    #[inline(always)]
    unsafe fn gru_state<S: Lanes<T = f32>>(&self, s: S, t: usize, row: Row, unit: usize, z: S::V, n: S::V) {
        let RecurrentShape { batch, units, .. } = self.shape;
        let len = self.main.valid(unit);
        // SAFETY: the impl's.
        unsafe {
            let hp = load(s, self.before(self.h, t, row, unit, len), len);
            let h = s.fma(z, s.sub(hp, n), n);
            put(s, self.h, (self.row(t, row) + batch) * units + unit, len, h);
        }
    }

    #[inline(always)]
    unsafe fn gru_early<S: Lanes<T = f32>>(
        &self,
        s: S,
        t: usize,
        rows: &[Row],
        unit: usize,
        sums: &mut [f32],
    ) {
        let RecurrentShape { batch, units, .. } = self.shape;
        let (n, len) = (rows.len() * S::N, self.main.valid(unit));
        let (_, gate) = activations(self.cell);
        activate(gate, &mut sums[..2 * n]);
        for (index, &row) in rows.iter().enumerate() {
            let (z, r) = (s.load(&sums[index * S::N..]), s.load(&sums[n + index * S::N..]));
            // SAFETY: the impl's.
            unsafe {
                let q = s.mul(r, load(s, self.before(self.h, t, row, unit, len), len));
                put(s, self.late_rows, row.b as usize * units + unit, len, q);
                put(s, self.late_rows, (batch + row.b as usize) * units + unit, len, z);
                self.save(s, self.row(t, row), unit, len, [(0, z), (1, r), (3, q)]);
            }
        }
    }

    #[inline(always)]
    unsafe fn gru_late<S: Lanes<T = f32>>(
        &self,
        s: S,
        t: usize,
        rows: &[Row],
        unit: usize,
        sums: &mut [f32],
    ) {
        let RecurrentShape { batch, units, .. } = self.shape;
        let len = self.main.valid(unit);
        let (kind, _) = activations(self.cell);
        activate(kind, &mut sums[..rows.len() * S::N]);
        for (index, &row) in rows.iter().enumerate() {
            let n = s.load(&sums[index * S::N..]);
            // SAFETY: the impl's.
            unsafe {
                let z = load(s, self.late_rows.at((batch + row.b as usize) * units + unit, len), len);
                self.gru_state(s, t, row, unit, z, n);
                self.save(s, self.row(t, row), unit, len, [(2, n)]);
            }
        }
    }

    #[inline(always)]
    unsafe fn simple<S: Lanes<T = f32>>(
        &self,
        s: S,
        t: usize,
        rows: &[Row],
        unit: usize,
        vectors: usize,
        sums: &mut [f32],
    ) {
        let RecurrentShape { batch, units, .. } = self.shape;
        let (kind, _) = activations(self.cell);
        activate(kind, &mut sums[..vectors * rows.len() * S::N]);
        for v in 0..vectors {
            let unit = unit + v * S::N;
            let len = self.main.valid(unit);
            for (r, &row) in rows.iter().enumerate() {
                let h = s.load(&sums[(v * rows.len() + r) * S::N..]);
                // SAFETY: the impl's.
                unsafe { put(s, self.h, (self.row(t, row) + batch) * units + unit, len, h) };
            }
        }
    }
}
