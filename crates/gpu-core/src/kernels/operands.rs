//! What several launchers need: inputs that share a buffer with the output, sizes as the shaders take them, and how
//! many invocations share a row.
use crate::{Context, Error, Recorder, Result, Slice};

/// The input, or a copy of it in scratch memory where it lives in the buffer of an output: one dispatch cannot read a
/// buffer through one binding and write it through another. So every operation may work in place, at the price of a copy.
pub(super) fn apart(rec: &mut Recorder, input: &Slice, outputs: &[&Slice]) -> Result<Slice> {
    if !outputs.iter().any(|output| output.same_buffer(input)) {
        return Ok(input.clone());
    }
    let staged = rec.scratch(input.len())?;
    super::copy(rec, input, &staged)?;
    Ok(staged)
}

/// A size as WGSL takes it. Slices are shorter than 2^32 elements, so after the length checks only a size that no buffer
/// can have is refused here.
pub(super) fn size(operation: &'static str, value: usize) -> Result<u32> {
    u32::try_from(value).map_err(|_| Error::InvalidArgument {
        operation,
        reason: format!("a size of {value} passes 32 bits; split the call"),
    })
}

/// Number of elements of a shape; beyond `usize` it saturates, which no slice's length equals.
pub(super) fn elements(shape: &[usize]) -> usize {
    shape.iter().fold(1, |product, &side| product.saturating_mul(side))
}

/// What a lane of the kernels of `row_tiles.wgsl` owns on a software adapter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RowTile {
    /// rows of a lane
    pub rows: usize,
    /// the lanes of a workgroup own the same rows, and each loads a part of them
    pub shared: bool,
}

impl RowTile {
    /// The tile that costs least for `rows` rows where threads take the workgroups evenly. For four steps along a product a lane
    /// loads 16 vec4s of weights, and a vec4 of each row. Measured, the weights of a lane cost as much as 10 rows, and a
    /// row that is handed on a third less than one that is loaded.
    pub(super) fn choose(ctx: &Context, rows: usize, groups: impl Fn(RowTile) -> usize) -> RowTile {
        let threads = std::thread::available_parallelism().map_or(1, |n| n.get());
        let shared = [true, false].into_iter().filter(|&shared| !shared || ctx.info().shares_rows());
        let tiles = [16, 8, 4, 2, 1].into_iter().filter(|&tile| tile < 2 * rows);
        let all = tiles.flat_map(|rows| shared.clone().map(move |shared| RowTile { rows, shared }));
        let row = |tile: RowTile| if tile.shared { 2 } else { 3 };
        let cost = |&tile: &RowTile| groups(tile).div_ceil(threads) * (30 + row(tile) * tile.rows);
        all.min_by_key(cost).unwrap_or(RowTile { rows: 1, shared: false })
    }

    /// Workgroups of `workgroup` lanes, where each row takes `lanes`.
    pub(super) fn groups(self, rows: usize, lanes: usize, workgroup: usize) -> usize {
        let blocks = rows.div_ceil(self.rows);
        if self.shared { blocks * lanes.div_ceil(workgroup) } else { (blocks * lanes).div_ceil(workgroup) }
    }
}

/// Invocations that share a row of `cols` values in the row kernels (`rows.wgsl`). Few choices, so few pipelines.
///
/// # Errors
/// [`Error::InvalidArgument`] where `passes` loops over the row would run past the adapter's loop limit.
pub(super) fn lanes(rec: &Recorder, operation: &'static str, cols: usize, passes: usize) -> Result<usize> {
    let hardware = rec.context().info().kind.is_hardware();
    let lanes = match cols {
        0..=16 => 1,
        // Software adapters switch between invocations at every barrier: a whole row each is faster there.
        17..=4096 if !hardware => 1,
        17..=128 => 8,
        129..=1024 => 32,
        _ => ROW_GROUP,
    };
    let iterations = passes.saturating_mul(cols.div_ceil(lanes));
    // Short loops are safe on any adapter; the canary is not run for them.
    if iterations > 10_000
        && let Some(limit) = rec.context().loop_limit()?
        && iterations > limit as usize
    {
        return Err(Error::InvalidArgument {
            operation,
            reason: format!(
                "rows of {cols} columns need {iterations} loop iterations, this adapter runs at most {limit}; use the CPU device"
            ),
        });
    }
    Ok(lanes)
}

/// Invocations of a workgroup of the row and reduction kernels.
pub(super) const ROW_GROUP: usize = 256;
/// Invocations of a workgroup of the kernels with one invocation per element (their `WORKGROUP`).
pub(super) const ELEMENT_GROUP: usize = 64;
