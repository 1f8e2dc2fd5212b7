//! Which strategy runs a recurrence, with what tile, and why.
use super::{RecurrentShape, gate_blocks};
use crate::kernels::operands::RowTile;
use crate::{Context, Error, Faces, Recorder, Result};
use rnn_shaders::SOFTWARE_LANES;
use rnn_shaders::vocabulary::Cell;

/// How a recurrence is scheduled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StrategyKind {
    /// One workgroup owns a few rows and runs many steps in one dispatch.
    Sequence,
    /// One fused dispatch (recurrent product and gates) per step.
    PerStep,
}

/// A choice, and why it was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecurrentStrategy {
    /// The schedule.
    pub kind: StrategyKind,
    /// The reason in words, for `explain()`.
    pub why: String,
}

/// Tile of a recurrent kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Geometry {
    /// lanes
    pub workgroup: usize,
    /// rows of the batch per lane
    pub rows: usize,
    /// the lanes of a workgroup own the same rows and share their loads
    pub shared: bool,
    /// invocations that share a product
    pub split: usize,
    /// many steps per dispatch
    pub sequence: bool,
    /// gates side by side in the tile; 0 where it has four blocks of one gate
    pub gates: usize,
}

impl Geometry {
    pub(super) fn units_per_lane(self) -> usize {
        if self.gates == 0 { 16 } else { 4 }
    }

    /// Floats of workgroup memory, where invocations that share a product bring their sums together.
    pub(super) fn park(self) -> usize {
        let gates = if self.gates == 0 { 4 } else { self.gates };
        if self.split == 1 { 1 } else { self.workgroup * self.split * self.rows * 4 * gates }
    }

    /// Workgroups of one dispatch.
    pub(super) fn groups(self, batch: usize, units: usize) -> usize {
        if self.sequence {
            return batch.div_ceil(self.rows);
        }
        let tile = RowTile { rows: self.rows, shared: self.shared };
        tile.groups(batch, units.div_ceil(self.units_per_lane()), self.workgroup)
    }
}

/// The strategy for a layer on this context: the one that the recorder is told to take, else by a model of what dispatches
/// and products cost.
pub fn recurrent_strategy(ctx: &Context, cell: Cell, shape: RecurrentShape) -> RecurrentStrategy {
    let RecurrentShape { time, batch, units, .. } = shape;
    let per_step = |why: String| RecurrentStrategy { kind: StrategyKind::PerStep, why };
    let sequence = |why: String| RecurrentStrategy { kind: StrategyKind::Sequence, why };
    if matches!(cell, Cell::Gru { reset_after: false, .. }) {
        return per_step("GRU with reset_after=false has two products per step, each a dispatch".into());
    }
    if time == 1 {
        return per_step("a single step is one dispatch".into());
    }
    let flops = 2.0 * (batch * units) as f64 * (units * gate_blocks(cell)) as f64;
    if ctx.faces() == Faces::Hardware {
        return if units <= 96 {
            sequence(format!(
                "{units} units: the weights stay in cache, all steps in one dispatch save {time} launches"
            ))
        } else {
            per_step(format!("{units} units: one fused dispatch per step uses the whole device"))
        };
    }
    // Measured on lavapipe: both take the same time at 1 x 64, 8 x 32 and 32 x 16 units; at 32 x 100 and 32 x 256 units all steps in one
    // dispatch take 8 to 15 % more, though each thread then has rows of its own.
    if flops <= 50_000.0 {
        sequence(format!("a step of {batch} x {units} is smaller than a dispatch; all steps in one"))
    } else {
        per_step(format!("software adapter: a step of {:.1} MFLOP outweighs its dispatch", flops / 1e6))
    }
}

/// The plan of one direction: tile and steps per dispatch.
pub(super) struct Plan {
    pub geometry: Geometry,
    pub steps_at_once: usize,
}

/// Makes the plan for a kernel with `gates` gates in its tile (0: one gate) and products of length `depth`.
pub(super) fn plan(
    rec: &Recorder,
    cell: Cell,
    shape: RecurrentShape,
    gates: usize,
    depth: usize,
) -> Result<Plan> {
    let ctx = rec.context();
    let kind = rec.recurrent_override().unwrap_or_else(|| recurrent_strategy(ctx, cell, shape).kind);
    let two_phases = matches!(cell, Cell::Gru { reset_after: false, .. });
    let sequence = kind == StrategyKind::Sequence && !two_phases;
    let geometry = match ctx.faces() {
        Faces::Hardware => hardware(shape, depth, sequence, gates),
        Faces::Software => software(ctx, shape, sequence, gates),
    };
    // Loop iterations of one invocation in one step.
    let lanes = shape.units.div_ceil(geometry.units_per_lane());
    let blocks = if sequence { lanes.div_ceil(geometry.workgroup) } else { 1 };
    let finish = geometry.rows * (1 + geometry.units_per_lane()) * geometry.split;
    let per_step = 1 + blocks * (1 + depth.div_ceil(4 * geometry.split) + finish);
    let steps = if sequence { shape.time } else { 1 };
    // Short loops are safe on any adapter; the canary is not run for them.
    let limit = if per_step.saturating_mul(steps) > 10_000 { ctx.loop_limit()? } else { None };
    if let Some(limit) = limit
        && per_step > limit as usize
    {
        let reason = format!(
            "{} units need {per_step} loop iterations per step, this adapter runs at most {limit}; use the CPU device",
            shape.units
        );
        return Err(Error::InvalidArgument { operation: "a recurrent layer", reason });
    }
    let steps_at_once = if sequence {
        // On hardware a bound too: one dispatch must stay far from the watchdog.
        limit.map_or((1usize << 24) / per_step, |limit| limit as usize / per_step).max(1)
    } else {
        1
    };
    Ok(Plan { geometry, steps_at_once })
}

fn software(ctx: &Context, shape: RecurrentShape, sequence: bool, gates: usize) -> Geometry {
    let tile = |RowTile { rows, shared }| Geometry {
        workgroup: SOFTWARE_LANES,
        rows,
        shared,
        split: 1,
        sequence,
        gates,
    };
    tile(RowTile::choose(ctx, shape.batch, |row_tile| tile(row_tile).groups(shape.batch, shape.units)))
}

/// The tile for hardware: at most 256 invocations and 16 KiB of workgroup memory (512 / rows invocations at four vec4 each).
fn hardware(shape: RecurrentShape, depth: usize, sequence: bool, gates: usize) -> Geometry {
    let share = (depth / 8).next_power_of_two();
    if sequence && shape.batch <= 256 {
        // A workgroup for every row: all units at once, weights from the cache nearest to it.
        let lanes = shape.units.div_ceil(if gates == 0 { 16 } else { 4 });
        let workgroup = lanes.next_power_of_two().clamp(8, 32);
        return Geometry {
            workgroup,
            rows: 1,
            shared: false,
            split: share.min(256 / workgroup).min(16),
            sequence,
            gates,
        };
    }
    // Many small workgroups fill the device; fewer rows leave room for more shares of the product.
    let rows = shape.batch.next_power_of_two().min(4);
    Geometry { workgroup: 8, rows, shared: false, split: share.min(32 / rows).min(16), sequence, gates }
}
