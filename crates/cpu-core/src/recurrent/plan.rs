//! How a pass is carried out: chosen from cell, shape and threads alone, so that the same call always runs the same way.

use super::RecurrentShape;
use crate::Cell;
use crate::math::{Kernel, Lanes, dispatch};
use crate::team::cores;

/// What the members of the team share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Split {
    /// rows of the batch: no meeting inside the sequence
    Rows,
    /// units: a meeting after every step
    Units,
}

/// How a pass is carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    pub threads: usize,
    pub split: Split,
    /// the input's product is part of every step's, else it is made for `chunk` steps at a time
    pub fused: bool,
    pub chunk: usize,
    /// weights do not stay in a core's own cache from step to step: fetch them ahead
    pub stream: bool,
    pub lanes: usize,
}

/// Multiply-adds that pay for handing work to another thread and back, about 5 us.
const HANDOFF: usize = 300_000;
/// Multiply-adds per step that pay for a barrier: 0.3 us where both threads run, but a time slice of the system where
/// one of them has to wait for a core.
const BARRIER: usize = 2_000_000;
/// Bytes of packed weights that stay in a core's own cache from step to step.
const CACHE: usize = 1_500_000;

impl Plan {
    pub fn new(cell: Cell, shape: RecurrentShape, threads: usize) -> Plan {
        let RecurrentShape { time, batch, input, units } = shape;
        let columns = cell.gates() * units;
        let per_step = (input + units).saturating_mul(columns).saturating_mul(batch);
        let mut threads = threads.clamp(1, cores());
        if per_step.saturating_mul(time) < HANDOFF {
            threads = 1;
        }
        let lanes = dispatch(Width);
        let weights = units * columns * 4;
        let rows_each = batch / threads;
        let few_rows = rows_each < 4 || (weights > CACHE && rows_each < 12);
        let split = if threads > 1 && few_rows && per_step >= BARRIER && units > lanes {
            Split::Units
        } else {
            threads = threads.min(batch).max(1);
            Split::Rows
        };
        if split == Split::Units {
            threads = threads.min(units.div_ceil(lanes));
        }
        let before = matches!(cell, Cell::Gru { reset_after: false, .. });
        let small = (input + units) * columns * 4 <= CACHE;
        let fused = !before && (input <= 16 || (small && rows_each >= 4));
        let chunk = if fused { 1 } else { (512 / batch.max(1)).clamp(1, time.max(1)) };
        let stream = weights / if split == Split::Units { threads } else { 1 } > CACHE;
        Plan { threads, split, fused, chunk, stream, lanes }
    }
}

/// Numbers in this machine's vectors.
struct Width;

impl Kernel<f32> for Width {
    type Output = usize;
    #[inline(always)]
    fn run<S: Lanes<T = f32>>(self, _: S) -> usize {
        S::N
    }
}
