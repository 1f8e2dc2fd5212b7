//! How a pass is carried out: chosen from cell, shape and threads alone, so that the same call always runs the same way.

use super::RecurrentShape;
use super::form::Form;
use crate::Cell;
use crate::math::{Kernel, Lanes, Level, level, run_f32};
use crate::team::{Member, cores};
use crate::view::View;

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
    pub level: Level,
    /// numbers in its vectors
    pub lanes: usize,
    pub form: Form,
    /// of the input's product, where it is made for a chunk
    pub input_form: Form,
}

/// Multiply-adds that pay for handing work to another thread and back, about 5 us.
const HANDOFF: usize = 300_000;
/// Multiply-adds per step that pay for a barrier: 0.3 us where both threads run, but a time slice of the system where
/// one of them has to wait for a core.
const BARRIER: usize = 2_000_000;
/// Samples and units from which on the matrix unit pays. Two tiles of rows make up for half as many bytes again of each weight; fewer
/// units leave much of the last block empty.
const TILE_BATCH: usize = 32;
#[cfg(target_arch = "x86_64")]
const TILE_UNITS: usize = 128;
/// As [`BARRIER`], of products that take less time.
#[cfg(target_arch = "x86_64")]
const TILE_BARRIER: usize = 3 * BARRIER;
/// Bytes of packed recurrent weights that stay in a core's own cache from step to step.
const CACHE: usize = 1_500_000;
/// Bytes of packed weights, the input's among them, that a step may read at once. More than [`CACHE`]: what does not stay costs less
/// than to write the input's products to memory and read them again.
const FUSED: usize = 1_700_000;

impl Plan {
    pub fn new(cell: Cell, shape: RecurrentShape, threads: usize) -> Plan {
        Plan::at(level(), cell, shape, threads)
    }

    /// A plan for an instruction set, which the machine has to have.
    pub fn at(level: Level, cell: Cell, shape: RecurrentShape, threads: usize) -> Plan {
        let RecurrentShape { time, batch, input, units } = shape;
        let columns = cell.gates() * units;
        let per_step = (input + units).saturating_mul(columns).saturating_mul(batch);
        let mut threads = threads.clamp(1, cores());
        if per_step.saturating_mul(time) < HANDOFF {
            threads = 1;
        }
        let lanes = run_f32(level, Width);
        let form = form(level, cell, shape, TILE_BATCH);
        let weights = units * columns * form.bytes();
        let rows_each = batch / threads;
        let few_rows = match form {
            Form::Vectors => rows_each < 4 || (weights > CACHE && rows_each < 12),
            // A tile that is read serves two tiles of rows at best.
            #[cfg(target_arch = "x86_64")]
            Form::Tiles => rows_each < TILE_BATCH || weights > CACHE,
        };
        let barrier = match form {
            Form::Vectors => BARRIER,
            #[cfg(target_arch = "x86_64")]
            Form::Tiles => TILE_BARRIER,
        };
        let split = if threads > 1 && few_rows && per_step >= barrier && units > lanes {
            Split::Units
        } else {
            threads = threads.min(batch).max(1);
            Split::Rows
        };
        if split == Split::Units {
            threads = threads.min(units.div_ceil(lanes));
        }
        let before = matches!(cell, Cell::Gru { reset_after: false, .. });
        let readers = if split == Split::Units { threads } else { 1 };
        let small = (input + units) * columns * form.bytes() / readers <= FUSED;
        let fused = !before && (input <= 16 || (small && rows_each >= 4));
        let chunk = if fused { 1 } else { (512 / batch.max(1)).clamp(1, time.max(1)) };
        let stream = weights / readers > CACHE;
        // Steps go together here, so that a tile of samples is enough.
        let input_form = self::form(level, cell, shape, TILE_BATCH / 2);
        Plan { threads, split, fused, chunk, stream, level, lanes, form, input_form }
    }

    /// Rows of operands that all members stage together: each row of the batch once, or by every member.
    pub fn staged_rows(self, batch: usize) -> usize {
        if self.split == Split::Rows { batch } else { self.threads * batch }
    }

    /// A member's part of the staged operands, `row_len` numbers to a row. There may be fewer members than planned.
    pub fn staged<'a>(self, staged: View<'a>, row_len: usize, member: &Member<'_>, batch: usize) -> View<'a> {
        let rows = if self.split == Split::Rows {
            member.share(batch)
        } else {
            member.index * batch..(member.index + 1) * batch
        };
        staged.part(rows.start * row_len, rows.len() * row_len)
    }
}

/// What multiplies, for batches of `least` samples and more in the matrix unit. It depends neither on the number of threads nor on that of the steps: a sequence in parts gives what it gives
/// at once.
fn form(level: Level, cell: Cell, shape: RecurrentShape, least: usize) -> Form {
    #[cfg(target_arch = "x86_64")]
    if level >= Level::Amx
        && !matches!(cell, Cell::Gru { reset_after: false, .. })
        && shape.batch >= least
        && shape.units >= TILE_UNITS
    {
        return Form::Tiles;
    }
    let _ = (level, cell, shape, least);
    Form::Vectors
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

/// What [`super::recurrent_forward`] and [`super::recurrent_backward`] do in `f32` for this cell, shape and number of
/// threads: a name, and a sentence that says why.
///
/// Names: `packed` on one thread, `packed-rows` with the batch divided between threads, `packed-units` with the units
/// divided; `empty` where there is nothing to compute.
pub fn strategy(cell: Cell, shape: RecurrentShape, threads: usize) -> (&'static str, String) {
    if shape.time == 0 || shape.batch == 0 || shape.units == 0 {
        return ("empty", "there are no steps, samples or units".to_owned());
    }
    let plan = Plan::new(cell, shape, threads);
    let width = match plan.lanes {
        #[cfg(target_arch = "x86_64")]
        _ if plan.form == Form::Tiles => "AMX, 16 samples and units at a time, each number in three parts",
        16 => "AVX-512, 16 units at a time",
        8 => "AVX2, 8 units at a time",
        4 => "NEON, 4 units at a time",
        _ => "plain code",
    };
    let input = if plan.fused {
        "the input's product is part of each step".to_owned()
    } else {
        let unit = if plan.input_form == plan.form { "" } else { ", in AMX" };
        format!("the input's product is made for {} steps at a time{unit}", plan.chunk)
    };
    let (name, share) = match (plan.threads, plan.split) {
        (1, _) if threads.min(cores()) > 1 => {
            ("packed", "one thread: too little work per hand-over to pay for a second".to_owned())
        }
        (1, _) => ("packed", "one thread".to_owned()),
        (n, Split::Rows) => (
            "packed-rows",
            format!("{n} threads share the batch and never wait for each other inside the sequence"),
        ),
        (n, Split::Units) => {
            let why = "too few samples for its weights to be read by every core";
            ("packed-units", format!("{n} threads share the units and meet after every step: {why}"))
        }
    };
    (name, format!("{share}; weights packed once per sequence ({width}); {input}"))
}
