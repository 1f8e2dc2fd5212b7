//! The forward pass over packed weights, `f32`: one product per panel of units and tile of rows, the gates applied
//! straight after it.
//!
//! Members of the team share either the rows, and then never meet inside the sequence, or the panels of units, and
//! then meet after every step. A row's sums are the same whatever tile, member or mode computes them.

mod cells;
mod step;

use std::ops::Range;
use std::sync::Mutex;

use super::pack::Layout;
use super::plan::{Plan, Split};
use super::tile::{GROUP, Operand, Product, Starting, Sums, balanced, product, staged_stride};
use super::view::View;
use super::workspace::{Key, Packed, Row};
use super::{RecurrentShape, flag, saved_blocks};
use crate::Cell;
use crate::math::{Kernel, Lanes, run_f32};
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
                            cells::put(s, self.projection, row + v * S::N, S::N, sums.get(s, n, v, r));
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
}
