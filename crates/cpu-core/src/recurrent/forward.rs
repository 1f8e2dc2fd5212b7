//! The forward pass over packed weights, `f32`: one product per panel of units and tile of rows, the gates applied
//! straight after it.
//!
//! Members of the team share either the rows, and then never meet inside the sequence, or the panels of units, and
//! then meet after every step. A row's sums are the same whatever tile, member or mode computes them.

use std::sync::Mutex;

use super::pack::Layout;
use super::plan::{Plan, Split};
use super::tile::{MOST_ROWS, Rows, Start, TILE_LEN, Term, Tile, TileBuffer, balanced, most_rows};
use super::view::{View, load, store};
use super::workspace::{Key, Packed, Row};
use super::{RecurrentShape, activations, flag, saved_blocks};
use crate::activation;
use crate::math::{Kernel, Lanes, dispatch};
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
        standard: standard(cell),
    };
    team::run(plan.threads, |member| dispatch(Work { pass: &pass, member: &member }));
}

/// Whether the activations are tanh and sigmoid.
pub(super) fn standard(cell: Cell) -> bool {
    activations(cell) == (Activation::Tanh, Activation::Sigmoid)
        || cell == Cell::SimpleRnn { activation: Activation::Tanh }
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
    /// tanh and sigmoid
    standard: bool,
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
        if self.pass.standard {
            self.pass.sequence::<S, true>(s, self.member);
        } else {
            self.pass.sequence::<S, false>(s, self.member);
        }
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
            if inputs > 0 {
                self.main.pack(panel, 0, self.kernel, width, 0, self.weights);
            }
            self.main.pack(panel, inputs, self.recurrent, width, 0, self.weights);
        }
        if let Some(late) = &self.late {
            for index in member.share(late.panels()) {
                late.pack(late.panel(index), 0, self.recurrent, width, 2, self.late_weights);
            }
        }
        if let Some(first) = &self.first {
            for index in member.share(first.panels()) {
                first.pack(first.panel(index), 0, self.kernel, width, 0, self.first_weights);
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
                    _ => add(v),
                }
            }
        }
    }

    #[inline(always)]
    fn sequence<S: Lanes<T = f32>, const STANDARD: bool>(&self, s: S, member: &Member<'_>) {
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
        let mut buffer = TileBuffer([0.0; TILE_LEN]);
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
            self.step::<S, STANDARD>(s, &span, &mut buffer);
            if let Some(late) = &self.late {
                if !by_rows {
                    member.wait();
                }
                self.late_step::<S, STANDARD>(s, &Span { panels: panels(late), ..span }, late, &mut buffer);
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
                let mut from: Rows = [std::ptr::null(); MOST_ROWS];
                let mut to = [std::ptr::null_mut(); MOST_ROWS];
                for r in 0..n {
                    let (slot, b) = ((at + r) / rows.len(), rows.start + (at + r) % rows.len());
                    from[r] = self.x[((t + slot) * batch + b) * input..][..input].as_ptr();
                    let row = (slot * batch + b) * self.projected + panel.vector * per_vector;
                    to[r] = self.projection.at(row, panel.vectors * S::N);
                }
                let terms = [Term { rows: &from, k: input, panel: weights }];
                // SAFETY: rows, weights and bias are as long as the layout says; these rows and panels of the
                // projection are this member's.
                unsafe { Tile::<0>::scattered(panel.vectors, n, Start::Same(start), &terms, &to) };
            }
        }
    }

    /// The tile's rows of the input and of the state before the step.
    #[inline(always)]
    fn operands(&self, t: usize, rows: &[Row]) -> (Rows, Rows) {
        let RecurrentShape { batch, input, units, .. } = self.shape;
        let mut x: Rows = [std::ptr::null(); MOST_ROWS];
        let mut h: Rows = [std::ptr::null(); MOST_ROWS];
        for (r, &row) in rows.iter().enumerate() {
            if self.plan.fused {
                x[r] = self.x[(t * batch + row.b as usize) * input..][..input].as_ptr();
            }
            h[r] = self.before(self.h, t, row, 0, units);
        }
        (x, h)
    }

    /// Where the projection of the tile's rows is, from vector `vector` of units on.
    #[inline(always)]
    fn projections(&self, span: &Span<'_>, rows: &[Row], offset: usize, n: usize) -> Rows {
        let mut out: Rows = [std::ptr::null(); MOST_ROWS];
        if !self.plan.fused {
            for (r, row) in rows.iter().enumerate() {
                let row = span.slot * self.shape.batch + row.b as usize;
                out[r] = self.projection.at(row * self.projected + offset, n);
            }
        }
        out
    }

    #[inline(always)]
    fn step<S: Lanes<T = f32>, const STANDARD: bool>(&self, s: S, span: &Span<'_>, buffer: &mut TileBuffer) {
        let RecurrentShape { input, units, .. } = self.shape;
        let inputs = if self.plan.fused { input } else { 0 };
        let gates = self.cell.gates();
        let out = buffer.0.as_mut_ptr();
        for index in span.panels.clone() {
            let panel = self.main.panel(index);
            let v = panel.vectors;
            let weights = self.weights.at(panel.offset, v * self.main.k * S::N);
            let recurrent = self.weights.at(panel.offset + inputs * v * S::N, v * units * S::N);
            let bias_vector = bias_vectors(self.cell) * S::N;
            let bias = self.packed_bias.at(panel.vector * bias_vector, v * S::N);
            for (at, n) in balanced(span.rows.len(), most_rows::<S>(v)) {
                let rows = &span.rows[at..at + n];
                let (x, h) = self.operands(span.t, rows);
                let projections = self.projections(span, rows, panel.vector * gates * S::N, v * S::N);
                let from_x = Term { rows: &x, k: inputs, panel: weights };
                let from_h = Term { rows: &h, k: units, panel: recurrent };
                let start = if self.plan.fused { Start::Same(bias) } else { Start::Each(&projections) };
                let terms = if self.plan.fused { &[from_x, from_h][..] } else { &[from_h] };
                // SAFETY: rows, weights, bias and projection are as long as the layouts say, and packed before the
                // barrier; a tile's states and saved values are this member's.
                unsafe {
                    match self.cell {
                        Cell::Lstm { .. } => {
                            Tile::<4>::run(n, start, terms, out, 4 * S::N);
                            // In two rounds over the rows: each is a chain of dependent instructions half as long,
                            // so that more rows are under way at a time.
                            for (r, &row) in rows.iter().enumerate() {
                                self.lstm_state::<S, STANDARD>(
                                    s,
                                    span.t,
                                    row,
                                    panel.unit,
                                    out.add(r * 4 * S::N),
                                );
                            }
                            for (r, &row) in rows.iter().enumerate() {
                                self.lstm_output::<S, STANDARD>(
                                    s,
                                    span.t,
                                    row,
                                    panel.unit,
                                    out.add(r * 4 * S::N),
                                );
                            }
                        }
                        Cell::Gru { reset_after: true, .. } => {
                            self.gru_start(s, n, start, from_x, bias, out);
                            let mut starts: Rows = [std::ptr::null(); MOST_ROWS];
                            (0..n).for_each(|r| starts[r] = out.add(r * 4 * S::N));
                            Tile::<3>::run(n, Start::Each(&starts), &[from_h], out, 4 * S::N);
                            for (r, &row) in rows.iter().enumerate() {
                                self.gru_after::<S, STANDARD>(s, span.t, row, panel.unit, starts[r]);
                            }
                        }
                        Cell::Gru { reset_after: false, .. } => {
                            Tile::<2>::run(n, start, terms, out, 2 * S::N);
                            for (r, &row) in rows.iter().enumerate() {
                                self.gru_early::<S, STANDARD>(
                                    s,
                                    span.t,
                                    row,
                                    panel.unit,
                                    out.add(r * 2 * S::N),
                                );
                            }
                        }
                        Cell::SimpleRnn { .. } => {
                            Tile::<0>::of(v, n, start, terms, out, v * S::N);
                            for (r, &row) in rows.iter().enumerate() {
                                for i in 0..v {
                                    let unit = panel.unit + i * S::N;
                                    let z = out.add((r * v + i) * S::N);
                                    self.simple::<S, STANDARD>(s, span.t, row, unit, z);
                                }
                            }
                        }
                    }
                }
            }
        }
    }

    /// The second product of GRU with the reset before it, and what follows.
    #[inline(always)]
    fn late_step<S: Lanes<T = f32>, const STANDARD: bool>(
        &self,
        s: S,
        span: &Span<'_>,
        late: &Layout,
        buffer: &mut TileBuffer,
    ) {
        let RecurrentShape { units, .. } = self.shape;
        let out = buffer.0.as_mut_ptr();
        for index in span.panels.clone() {
            let panel = late.panel(index);
            let weights = self.late_weights.at(panel.offset, units * S::N);
            for (at, n) in balanced(span.rows.len(), most_rows::<S>(1)) {
                let rows = &span.rows[at..at + n];
                let mut rh: Rows = [std::ptr::null(); MOST_ROWS];
                for (r, row) in rows.iter().enumerate() {
                    rh[r] = self.late_rows.at(row.b as usize * units, units);
                }
                let projections = self.projections(span, rows, (panel.vector * 3 + 2) * S::N, S::N);
                let terms = [Term { rows: &rh, k: units, panel: weights }];
                // SAFETY: as in `step`; `r hp` was written before the barrier.
                unsafe {
                    Tile::<1>::run(n, Start::Each(&projections), &terms, out, S::N);
                    for (r, &row) in rows.iter().enumerate() {
                        self.gru_late::<S, STANDARD>(s, span.t, row, panel.unit, out.add(r * S::N));
                    }
                }
            }
        }
    }
}

/// `kind(x)`, or where the pass is standard the `usual` function, chosen when compiled.
#[inline(always)]
pub(super) fn act<S: Lanes<T = f32>, const STANDARD: bool>(
    s: S,
    usual: Activation,
    kind: Activation,
    x: S::V,
) -> S::V {
    match (STANDARD, usual) {
        (true, Activation::Tanh) => s.tanh(x),
        (true, _) => s.sigmoid(x),
        (false, _) => activation::forward(s, kind, x),
    }
}

/// Vector `i` of a cell's sums.
///
/// # Safety
/// There are more than `i`.
#[inline(always)]
unsafe fn sum<S: Lanes<T = f32>>(s: S, sums: *const f32, i: usize) -> S::V {
    // SAFETY: the caller's.
    unsafe { load(s, sums.add(i * S::N), S::N) }
}

/// The cells' equations on one vector of units of one row.
///
/// # Safety
/// Of all: `z` holds the cell's sums, `[sums][N]`; the row's new states and saved values at these units are this
/// member's.
impl Pass<'_> {
    #[inline(always)]
    fn row(&self, t: usize, row: Row) -> usize {
        t * self.shape.batch + row.b as usize
    }

    /// Stores the vectors of a row in its saved blocks.
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
            let units = self.shape.units;
            for (block, v) in blocks {
                // SAFETY: the saved values of this row and these units are this member's.
                unsafe { store(s, saved.at((row * 4 + block) * units + unit, n), n, v) };
            }
        }
    }

    /// The new cell state; it is left in place of the first sum.
    #[inline(always)]
    unsafe fn lstm_state<S: Lanes<T = f32>, const STANDARD: bool>(
        &self,
        s: S,
        t: usize,
        row: Row,
        unit: usize,
        z: *mut f32,
    ) {
        use Activation::{Sigmoid, Tanh};
        let n = self.main.valid(unit);
        let (kind, gate) = activations(self.cell);
        let new = (self.row(t, row) + self.shape.batch) * self.shape.units + unit;
        // SAFETY: the impl's.
        unsafe {
            let i = act::<S, STANDARD>(s, Sigmoid, gate, sum(s, z, 0));
            let f = act::<S, STANDARD>(s, Sigmoid, gate, sum(s, z, 1));
            let g = act::<S, STANDARD>(s, Tanh, kind, sum(s, z, 2));
            let cp = load(s, self.before(self.c, t, row, unit, n), n);
            let c = s.fma(f, cp, s.mul(i, g));
            store(s, self.c.at(new, n), n, c);
            store(s, z, S::N, c);
            self.save(s, self.row(t, row), unit, n, [(0, i), (1, f), (2, g)]);
        }
    }

    #[inline(always)]
    unsafe fn lstm_output<S: Lanes<T = f32>, const STANDARD: bool>(
        &self,
        s: S,
        t: usize,
        row: Row,
        unit: usize,
        z: *const f32,
    ) {
        use Activation::{Sigmoid, Tanh};
        let n = self.main.valid(unit);
        let (kind, gate) = activations(self.cell);
        let new = (self.row(t, row) + self.shape.batch) * self.shape.units + unit;
        // SAFETY: the impl's.
        unsafe {
            let o = act::<S, STANDARD>(s, Sigmoid, gate, sum(s, z, 3));
            let tc = act::<S, STANDARD>(s, Tanh, kind, sum(s, z, 0));
            store(s, self.h.at(new, n), n, s.mul(o, tc));
            self.save(s, self.row(t, row), unit, n, [(3, o)]);
        }
    }

    /// Puts z, r, the candidate's recurrent bias and the candidate's input part of a tile into `out [rows][4][N]`.
    #[inline(always)]
    unsafe fn gru_start<S: Lanes<T = f32>>(
        &self,
        s: S,
        rows: usize,
        start: Start<'_>,
        from_x: Term<'_>,
        bias: *const f32,
        out: *mut f32,
    ) {
        // SAFETY: the impl's; the bias has four vectors, the projection three.
        unsafe {
            if self.plan.fused {
                Tile::<3>::run(rows, start, &[from_x], out, 4 * S::N);
            }
            let q = load(s, bias.add(3 * S::N), S::N);
            for r in 0..rows {
                let to = out.add(r * 4 * S::N);
                let from = match start {
                    Start::Each(projections) => projections[r],
                    _ => to.cast_const(),
                };
                let n = load(s, from.add(2 * S::N), S::N);
                if !self.plan.fused {
                    store(s, to, S::N, load(s, from, S::N));
                    store(s, to.add(S::N), S::N, load(s, from.add(S::N), S::N));
                }
                store(s, to.add(2 * S::N), S::N, q);
                store(s, to.add(3 * S::N), S::N, n);
            }
        }
    }

    #[inline(always)]
    unsafe fn gru_after<S: Lanes<T = f32>, const STANDARD: bool>(
        &self,
        s: S,
        t: usize,
        row: Row,
        unit: usize,
        sums: *const f32,
    ) {
        use Activation::{Sigmoid, Tanh};
        let (units, len) = (self.shape.units, self.main.valid(unit));
        let (kind, gate) = activations(self.cell);
        let new = (self.row(t, row) + self.shape.batch) * units + unit;
        // SAFETY: the impl's.
        unsafe {
            let z = act::<S, STANDARD>(s, Sigmoid, gate, sum(s, sums, 0));
            let r = act::<S, STANDARD>(s, Sigmoid, gate, sum(s, sums, 1));
            let q = sum(s, sums, 2);
            let n = act::<S, STANDARD>(s, Tanh, kind, s.fma(r, q, sum(s, sums, 3)));
            let hp = load(s, self.before(self.h, t, row, unit, len), len);
            store(s, self.h.at(new, len), len, s.fma(z, s.sub(hp, n), n));
            self.save(s, self.row(t, row), unit, len, [(0, z), (1, r), (2, n), (3, q)]);
        }
    }

    #[inline(always)]
    unsafe fn gru_early<S: Lanes<T = f32>, const STANDARD: bool>(
        &self,
        s: S,
        t: usize,
        row: Row,
        unit: usize,
        sums: *const f32,
    ) {
        let RecurrentShape { batch, units, .. } = self.shape;
        let n = self.main.valid(unit);
        let (_, gate) = activations(self.cell);
        // SAFETY: the impl's.
        unsafe {
            let z = act::<S, STANDARD>(s, Activation::Sigmoid, gate, load(s, sums, S::N));
            let r = act::<S, STANDARD>(s, Activation::Sigmoid, gate, load(s, sums.add(S::N), S::N));
            let q = s.mul(r, load(s, self.before(self.h, t, row, unit, n), n));
            store(s, self.late_rows.at(row.b as usize * units + unit, n), n, q);
            store(s, self.late_rows.at((batch + row.b as usize) * units + unit, n), n, z);
            self.save(s, self.row(t, row), unit, n, [(0, z), (1, r), (3, q)]);
        }
    }

    #[inline(always)]
    unsafe fn gru_late<S: Lanes<T = f32>, const STANDARD: bool>(
        &self,
        s: S,
        t: usize,
        row: Row,
        unit: usize,
        sum: *const f32,
    ) {
        let RecurrentShape { batch, units, .. } = self.shape;
        let len = self.main.valid(unit);
        let (kind, _) = activations(self.cell);
        let new = (self.row(t, row) + batch) * units + unit;
        // SAFETY: the impl's.
        unsafe {
            let n = act::<S, STANDARD>(s, Activation::Tanh, kind, load(s, sum, S::N));
            let z = load(s, self.late_rows.at((batch + row.b as usize) * units + unit, len), len);
            let hp = load(s, self.before(self.h, t, row, unit, len), len);
            store(s, self.h.at(new, len), len, s.fma(z, s.sub(hp, n), n));
            self.save(s, self.row(t, row), unit, len, [(2, n)]);
        }
    }

    #[inline(always)]
    unsafe fn simple<S: Lanes<T = f32>, const STANDARD: bool>(
        &self,
        s: S,
        t: usize,
        row: Row,
        unit: usize,
        z: *const f32,
    ) {
        let n = self.main.valid(unit);
        let (kind, _) = activations(self.cell);
        let new = (self.row(t, row) + self.shape.batch) * self.shape.units + unit;
        // SAFETY: the impl's.
        unsafe {
            let h = act::<S, STANDARD>(s, Activation::Tanh, kind, load(s, z, S::N));
            store(s, self.h.at(new, n), n, h);
        }
    }
}
