//! The forward pass over packed weights, `f32`: one product per panel of units and tile of rows, the gates applied
//! straight after it.
//!
//! Members of the team share either the rows, and then never meet inside the sequence, or the panels of units, and
//! then meet after every step. A row's sums are the same whatever tile, member or mode computes them.

mod cells;
mod prepare;
mod step;

use std::ops::Range;
use std::sync::Mutex;

use super::pack::Layout;
use super::plan::{Plan, Split};
use super::tile::{Sums, staged_stride};
use super::workspace::{Key, Packed, Row};
use super::{RecurrentInputs, RecurrentShape, RecurrentStates};
use crate::math::{Kernel, Lanes, run_f32};
use crate::team::{self, Member};
use crate::view::View;
use crate::{Cell, CellExtras};

/// Runs the sequence; arguments as for [`super::recurrent_forward`].
pub(super) fn forward(
    plan: Plan,
    cell: Cell,
    shape: RecurrentShape,
    inputs: RecurrentInputs<'_, f32>,
    states: RecurrentStates<'_, f32>,
    packed: &mut Packed,
    version: u64,
) {
    let RecurrentInputs { x, kernel, recurrent, bias, flags, h_mask, peepholes, extras } = inputs;
    let RecurrentStates { h, h_state, c, saved } = states;
    let RecurrentShape { batch, input, units, .. } = shape;
    let lanes = plan.lanes;
    let gates = cell.gates();
    let form = plan.form;
    let layout = |k, gates| Layout { k, form, units, lanes, gates };
    let inputs_k = if plan.fused { form.padded(input) } else { 0 };
    let fused_k = inputs_k + form.padded(units);
    let (main, late) = match cell {
        Cell::Lstm { .. } => (layout(fused_k, 4), None),
        Cell::Gru { reset_after: true, .. } => (layout(fused_k, 3), None),
        Cell::Gru { reset_after: false, .. } => (layout(fused_k, 2), Some(layout(fused_k, 1))),
        Cell::SimpleRnn { .. } => (layout(fused_k, 0), None),
    };
    let first = (!plan.fused).then(|| {
        let form = plan.input_form;
        Layout { form, ..layout(form.padded(input), if gates == 1 { 0 } else { gates }) }
    });
    let vectors = main.unit_vectors();
    let bias_len = vectors * bias_vectors(cell) * lanes;
    let lens = [main.len(), late.map_or(0, |l| l.len()), first.map_or(0, |l| l.len()), bias_len];
    let key = Key {
        version,
        kind: kind(cell),
        form,
        input_form: plan.input_form,
        input,
        units,
        lanes,
        fused: plan.fused,
        bias: bias.is_some(),
    };
    let repack = version == 0 || packed.key != Some(key);
    packed.key = Some(key);
    packed.lists(plan.threads, batch);
    let (weights, rest) = packed.weights.sized(lens.iter().sum()).split_at_mut(lens[0]);
    let (late_weights, rest) = rest.split_at_mut(lens[1]);
    let (first_weights, packed_bias) = rest.split_at_mut(lens[2]);
    let projected = if plan.fused { 0 } else { vectors * gates * lanes };
    let late_len = if late.is_some() { batch * (units + staged_stride(units)) } else { 0 };
    let zeros = units.next_multiple_of(16);
    let inputs_staged = first.map_or(0, |first| plan.chunk * first.form.stride(first.k));
    let staged_row = inputs_staged.max(form.stride(main.k));
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
        h_mask,
        peepholes,
        extras,
        one_c: c.as_ref().is_some_and(|c| c.len() == batch * units),
        h: View::new(h),
        h_state: h_state.map(View::new),
        c: c.map_or(View::empty(), View::new),
        saved: saved.map(View::new),
        main,
        inputs_k,
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
    h_mask: Option<&'a [f32]>,
    peepholes: Option<&'a [f32]>,
    extras: CellExtras,
    h: View<'a>,
    /// `[B, U]`, where the first step's state is read and the last one's goes too
    h_state: Option<View<'a>>,
    c: View<'a>,
    /// `c` has one slot, which every step overwrites
    one_c: bool,
    saved: Option<View<'a>>,
    /// the product of every step
    main: Layout,
    /// rows of `main` for the inputs, where they are part of it
    inputs_k: usize,
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
        let plan = &self.pass.plan;
        // Where steps are made in tiles, so is the input's product.
        let _ready = if plan.fused { plan.form.begin() } else { plan.input_form.begin() };
        self.pass.sequence(s, self.member);
    }
}

/// The states before and after a step, each `[B, U]`.
#[derive(Clone, Copy)]
struct Slots<'a> {
    h: View<'a>,
    h_new: View<'a>,
    /// where the new h goes as well
    h_state: Option<View<'a>>,
    c: View<'a>,
    /// may be the same memory as `c`
    c_new: View<'a>,
}

/// What a member works on in a step.
struct Span<'a> {
    t: usize,
    slots: Slots<'a>,
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
        let RecurrentShape { units, .. } = self.shape;
        let width = self.cell.gates() * units;
        for index in member.share(self.main.panels()) {
            let panel = self.main.panel(index);
            let order = order(self.cell);
            if self.inputs_k > 0 {
                self.main.pack(panel, 0, self.kernel, width, order, self.weights);
            }
            self.main.pack(panel, self.inputs_k, self.recurrent, width, order, self.weights);
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
            let slots = self.slots(t);
            if self.flags.is_some() {
                active.clear();
                self.select(t, &slots, rows.clone(), by_rows || member.index == 0, &mut active);
            }
            self.stage(t, &slots, &active, staged);
            if !by_rows && time == 1 && self.h_state.is_some() {
                // The step overwrites the state that every member stages.
                member.wait();
            }
            let (panels_main, base) = (panels(&self.main), rows.start);
            let span = Span { t, slots, slot, rows: &active, panels: panels_main, staged, base };
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
}
