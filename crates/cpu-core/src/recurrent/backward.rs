//! The backward pass through time over packed transposed weights, `f32`: per step the gate gradients of the step after
//! times the transposed recurrent weights, and the cell's derivative straight after it.
//!
//! The team shares the work as in [`super::forward`].

mod cells;

use cells::Limits;
use std::ops::Range;
use std::sync::Mutex;

use super::pack::{Layout, Panel};
use super::plan::{Plan, Split};
use super::pointwise::activate;
use super::tile::{GROUP, Operand, Product, Starting, Sums, product};
use super::workspace::{Key, Packed, Row};
use super::{
    RecurrentInputs, RecurrentShape, RecurrentTrace, Upstream, flag, forward, gradient_blocks, is_usual,
};
use crate::Cell;
use crate::math::{Kernel, Lanes, run_f32};
use crate::team::{self, Member};
use crate::view::{View, load, store};

/// Fills `gate_grads [T, B, gradient_blocks * U]` and the gradients `h0`, `c0` of the start states; other arguments as for
/// [`super::recurrent_backward`].
pub(super) fn through_time(
    plan: Plan,
    cell: Cell,
    shape: RecurrentShape,
    inputs: RecurrentInputs<'_, f32>,
    trace: RecurrentTrace<'_, f32>,
    up: Upstream<'_, f32>,
    [h0, c0]: [Option<&mut [f32]>; 2],
    gate_grads: &mut [f32],
    packed: &mut Packed,
    version: u64,
) {
    let RecurrentInputs { recurrent, flags, h_mask, peepholes, extras, .. } = inputs;
    let RecurrentTrace { h, c, saved } = trace;
    let Upstream { dy, dh_last, dc_last } = up;
    let RecurrentShape { batch, units, .. } = shape;
    let layout = |k| Layout { k: plan.form.padded(k), form: plan.form, units, lanes: plan.lanes, gates: 0 };
    let (k, late) = match cell {
        Cell::Gru { reset_after: false, .. } => (2 * units, Some(layout(units))),
        other => (other.gates() * units, None),
    };
    let main = layout(k);
    let key = Key {
        version,
        kind: forward::kind(cell),
        form: plan.form,
        input_form: plan.input_form,
        input: 0,
        units,
        lanes: plan.lanes,
        fused: false,
        bias: false,
    };
    let repack = packed.key != Some(key);
    packed.key = Some(key);
    packed.lists(plan.threads, batch);
    let late_len = late.map_or(0, |late| late.len());
    let (weights, late_weights) = packed.weights.sized(main.len() + late_len).split_at_mut(main.len());
    let uses_direct = flags.is_some() || matches!(cell, Cell::Gru { .. });
    let direct_len = if uses_direct { batch * units } else { 0 };
    let dc_len = if c.is_some() { batch * units } else { 0 };
    let zeros = units.next_multiple_of(16);
    let staged_len = plan.staged_rows(batch) * plan.form.stride(main.k);
    let len = zeros + staged_len + direct_len + dc_len;
    let (zeros, scratch) = packed.scratch.sized(len).split_at_mut(zeros);
    let (staged, scratch) = scratch.split_at_mut(staged_len);
    zeros.fill(0.0);
    let (direct, dc) = scratch.split_at_mut(direct_len);
    match dc_last {
        Some(dc_last) => dc.copy_from_slice(dc_last),
        None => dc.fill(0.0),
    }
    let pass = Pass {
        plan,
        cell,
        shape,
        recurrent,
        flags,
        h_mask,
        peepholes,
        coupled: extras.coupled,
        usual: is_usual(cell, inputs),
        limits: extras.clip.map(|clip| cells::limits(plan.level, cell, clip)),
        h,
        c: c.unwrap_or(&[]),
        saved,
        dy,
        dh_last,
        h0: h0.map(View::new),
        gate_grads: View::new(gate_grads),
        direct: View::new(direct),
        uses_direct,
        dc: View::new(dc),
        zeros: View::new(zeros),
        staged: View::new(staged),
        k,
        main,
        late,
        weights: View::new(weights),
        late_weights: View::new(late_weights),
        active: &packed.active,
        repack,
    };
    team::run(plan.threads, |member| run_f32(plan.level, Work { pass: &pass, member: &member }));
    if let Some(c0) = c0 {
        c0.copy_from_slice(dc);
    }
}

/// One pass, as all members see it.
struct Pass<'a> {
    plan: Plan,
    cell: Cell,
    shape: RecurrentShape,
    recurrent: &'a [f32],
    flags: Option<&'a [u32]>,
    h_mask: Option<&'a [f32]>,
    peepholes: Option<&'a [f32]>,
    coupled: bool,
    /// see [`is_usual`]
    usual: bool,
    /// what activations give at the limits of what goes into them
    limits: Option<Limits>,
    h: &'a [f32],
    c: &'a [f32],
    saved: &'a [f32],
    dy: Option<&'a [f32]>,
    dh_last: Option<&'a [f32]>,
    h0: Option<View<'a>>,
    gate_grads: View<'a>,
    /// what reaches the state before the step other than through the product, `[B, U]`
    direct: View<'a>,
    uses_direct: bool,
    /// gradient of the cell state, `[B, U]`
    dc: View<'a>,
    zeros: View<'a>,
    /// operands, a line apart, for each row of every member
    staged: View<'a>,
    /// gate gradients of a row that `main` takes
    k: usize,
    /// gate gradients to the state before
    main: Layout,
    /// the candidate's gradient to `r hp`, of GRU with the reset before the product
    late: Option<Layout>,
    weights: View<'a>,
    late_weights: View<'a>,
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
        let _ready = self.pass.plan.form.begin();
        self.pass.sequence(s, self.member);
    }
}

/// What a member works on in a step.
struct Span<'a> {
    t: usize,
    rows: &'a [Row],
    /// the first of `rows` get a product from the step after
    linked: usize,
    panels: Range<usize>,
    /// operands of the step's product
    staged: View<'a>,
}

/// One vector of units of one row.
#[derive(Clone, Copy)]
struct Place {
    /// step and sample, `t * B + b`
    row: usize,
    b: usize,
    reset: bool,
    unit: usize,
    n: usize,
}

impl Pass<'_> {
    fn pack(&self, member: &Member<'_>) {
        let width = self.cell.gates() * self.shape.units;
        for index in member.share(self.main.panels()) {
            self.main.pack_transposed(self.main.panel(index), self.recurrent, width, 0, self.weights);
        }
        if let Some(late) = &self.late {
            for index in member.share(late.panels()) {
                let column = 2 * self.shape.units;
                late.pack_transposed(late.panel(index), self.recurrent, width, column, self.late_weights);
            }
        }
    }

    #[inline(always)]
    fn sequence<S: Lanes<T = f32>>(&self, s: S, member: &Member<'_>) {
        let RecurrentShape { time, batch, .. } = self.shape;
        let by_rows = self.plan.split == Split::Rows;
        let rows = if by_rows { member.share(batch) } else { 0..batch };
        let panels = if by_rows { 0..self.main.panels() } else { member.share(self.main.panels()) };
        let mut active = self.active[member.index].lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let staged = self.plan.staged(self.staged, self.plan.form.stride(self.main.k), member, batch);
        let mut sums = Sums::new();
        for t in (0..time).rev() {
            let linked = self.select(t, rows.clone(), &mut active);
            self.stage((t + 1) * batch, 0, self.k, &active[..linked], staged);
            let span = Span { t, rows: &active, linked, panels: panels.clone(), staged };
            self.step(s, &span, &mut sums);
            if let Some(late) = &self.late {
                if !by_rows {
                    member.wait();
                }
                self.late_step(s, &span, late, &mut sums);
            }
            if !by_rows {
                member.wait();
            }
        }
        if let Some(h0) = self.h0 {
            let linked = self.order(None, rows, &mut active);
            self.stage(0, 0, self.k, &active[..linked], staged);
            self.start_state(s, h0, &Span { t: 0, rows: &active, linked, panels, staged }, &mut sums);
        }
    }

    /// Lists the rows of step `t`, those first that the step after is linked to; says how many they are.
    fn select(&self, t: usize, rows: Range<usize>, active: &mut Vec<Row>) -> usize {
        if self.flags.is_some() || active.is_empty() {
            return self.order(Some(t), rows, active);
        }
        // Without flags the list never changes.
        active.len()
    }

    /// [`Self::select`] for a step, or for the start states.
    fn order(&self, t: Option<usize>, rows: Range<usize>, active: &mut Vec<Row>) -> usize {
        let RecurrentShape { time, batch, .. } = self.shape;
        let after = t.map_or(0, |t| t + 1);
        let is_linked = |b: usize| after < time && flag(self.flags, after * batch + b) == (true, false);
        active.clear();
        let add = |linked: bool, active: &mut Vec<Row>| {
            for b in rows.clone().filter(|&b| is_linked(b) == linked) {
                let (valid, reset) = t.map_or((true, false), |t| flag(self.flags, t * batch + b));
                active.push(Row { b: b as u32, valid, reset });
            }
        };
        add(true, active);
        let linked = active.len();
        add(false, active);
        linked
    }

    /// Copies gate gradients of the rows next to each other: `k` numbers from number `column` on, of the step that
    /// begins at step-and-sample `first_row`.
    fn stage(&self, first_row: usize, column: usize, k: usize, rows: &[Row], staged: View<'_>) {
        let width = gradient_blocks(self.cell) * self.shape.units;
        let (form, padded) = (self.plan.form, self.plan.form.padded(k));
        for (r, row) in rows.iter().enumerate() {
            let from = (first_row + row.b as usize) * width + column;
            // SAFETY: the staged rows are this member's; the gate gradients were written by this member, or before the
            // last barrier.
            unsafe {
                let to = staged.get_mut(r * form.stride(padded), form.room(padded));
                form.stage(self.gate_grads.get(from, k), None, to);
            }
        }
    }

    /// The product of staged rows with a panel.
    #[inline(always)]
    fn product<S: Lanes<T = f32>>(
        &self,
        s: S,
        layout: &Layout,
        weights: View<'_>,
        panel: Panel,
        (at, n): (usize, usize),
        staged: View<'_>,
        sums: &mut Sums,
    ) {
        let whole = Product {
            vectors: panel.vectors,
            operand: Operand { first: staged.at(0, 0), stride: layout.form.stride(layout.k) }.from(at, 0),
            k: layout.k,
            panel: weights.at(panel.offset, layout.panel_len(panel)),
            level: self.plan.level,
            form: layout.form,
            stream: self.plan.stream,
        };
        // SAFETY: staged rows and weights are as long as the layout says.
        unsafe { product(s, whole, n, sums, (0, n), |_, _| Starting::Zero) };
    }

    /// The step's rows in groups of one kind: `(first, rows, linked to the step after)`.
    #[inline(always)]
    fn groups(&self, span: &Span<'_>) -> impl Iterator<Item = (usize, usize, bool)> + use<> {
        let (form, linked) = (self.plan.form, span.linked);
        let unlinked = form.groups(span.rows.len() - linked).map(move |(at, n)| (at + linked, n, false));
        form.groups(linked).map(|(at, n)| (at, n, true)).chain(unlinked)
    }

    #[inline(always)]
    fn step<S: Lanes<T = f32>>(&self, s: S, span: &Span<'_>, sums: &mut Sums) {
        let batch = self.shape.batch;
        for index in span.panels.clone() {
            let panel = self.main.panel(index);
            for (at, n, linked) in self.groups(span) {
                let rows = &span.rows[at..at + n];
                if linked {
                    self.product(s, &self.main, self.weights, panel, (at, n), span.staged, sums);
                } else {
                    sums.vectors(s, n, 0, panel.vectors).fill(0.0);
                }
                let mut cell_outputs = [0.0; GROUP * 16];
                for v in 0..panel.vectors {
                    let unit = panel.unit + v * S::N;
                    let n = self.main.valid(unit);
                    let place = |row: &Row| {
                        let b = row.b as usize;
                        Place { row: span.t * batch + b, b, reset: row.reset, unit, n }
                    };
                    let outputs = &mut cell_outputs[..rows.len() * S::N];
                    // SAFETY: these rows and units are this member's.
                    unsafe {
                        if let Cell::Lstm { output_activation, .. } = self.cell {
                            for (r, row) in rows.iter().enumerate() {
                                let c = self.after(s, self.c, place(row));
                                s.store(&mut outputs[r * S::N..], c);
                            }
                            activate(self.plan.level, output_activation, outputs);
                        }
                        let sum = |s: S, r| sums.get(s, rows.len(), v, r);
                        if self.usual {
                            self.cell_steps::<S, true>(s, span.t, rows, place, sum, outputs);
                        } else {
                            self.cell_steps::<S, false>(s, span.t, rows, place, sum, outputs);
                        }
                    }
                }
            }
        }
    }

    /// The cell's derivatives on one vector of units of each row, whose products are `sum`.
    ///
    /// # Safety
    /// Rows and units are this member's.
    #[inline(always)]
    unsafe fn cell_steps<S: Lanes<T = f32>, const USUAL: bool>(
        &self,
        s: S,
        t: usize,
        rows: &[Row],
        place: impl Fn(&Row) -> Place,
        sum: impl Fn(S, usize) -> S::V,
        outputs: &[f32],
    ) {
        for (r, row) in rows.iter().enumerate() {
            // SAFETY: the caller's.
            unsafe {
                let dh = self.unmasked(s, place(row), sum(s, r));
                let dh = self.incoming(s, t, place(row), dh);
                if row.valid {
                    let output = s.load(&outputs[r * S::N..]);
                    self.cell_step::<S, USUAL>(s, place(row), dh, output);
                } else {
                    self.carried(s, place(row), dh);
                }
            }
        }
    }

    /// The last step of the chain: the gradient of the start state.
    #[inline(always)]
    fn start_state<S: Lanes<T = f32>>(&self, s: S, h0: View<'_>, span: &Span<'_>, sums: &mut Sums) {
        let units = self.shape.units;
        for index in span.panels.clone() {
            let panel = self.main.panel(index);
            for (at, n, linked) in self.groups(span) {
                let rows = &span.rows[at..at + n];
                if linked {
                    self.product(s, &self.main, self.weights, panel, (at, n), span.staged, sums);
                } else {
                    sums.vectors(s, n, 0, panel.vectors).fill(0.0);
                }
                for v in 0..panel.vectors {
                    let unit = panel.unit + v * S::N;
                    let n = self.main.valid(unit);
                    for (r, row) in rows.iter().enumerate() {
                        let b = row.b as usize;
                        let at = b * units + unit;
                        // SAFETY: these rows and units are this member's.
                        unsafe {
                            let place = Place { row: b, b, reset: row.reset, unit, n };
                            let mut dh = self.unmasked(s, place, sums.get(s, rows.len(), v, r));
                            if self.uses_direct {
                                dh = s.add(dh, load(s, self.direct.at(at, n), n));
                            }
                            store(s, h0.at(at, n), n, dh);
                        }
                    }
                }
            }
        }
    }

    /// The second product of GRU with the reset before the first, and what follows.
    #[inline(always)]
    fn late_step<S: Lanes<T = f32>>(&self, s: S, span: &Span<'_>, late: &Layout, sums: &mut Sums) {
        let RecurrentShape { batch, units, .. } = self.shape;
        self.stage(span.t * batch, 2 * units, units, span.rows, span.staged);
        for index in span.panels.clone() {
            let panel = late.panel(index);
            for (at, n) in self.plan.form.groups(span.rows.len()) {
                let rows = &span.rows[at..at + n];
                self.product(s, late, self.late_weights, panel, (at, n), span.staged, sums);
                for v in 0..panel.vectors {
                    let unit = panel.unit + v * S::N;
                    let n = late.valid(unit);
                    for (r, row) in rows.iter().enumerate() {
                        if row.valid {
                            let b = row.b as usize;
                            let place = Place { row: span.t * batch + b, b, reset: row.reset, unit, n };
                            let product = sums.get(s, rows.len(), v, r);
                            // SAFETY: these rows and units are this member's.
                            unsafe { self.gru_late(s, place, self.unmasked(s, place, product)) };
                        }
                    }
                }
            }
        }
    }
}
