//! Sums of columns and of whole arrays, in an order that depends on nothing but the shape.
use super::fill;
use super::operands::{ROW_GROUP, apart, elements, size};
use crate::buffer::expect_len;
use crate::{Call, Groups, Recorder, Result, Slice};
use rnn_shaders::sum_rows::{KERNEL, Params};

/// What the last pass does with a sum: the codes of the kernel's `MODE`.
#[derive(Clone, Copy)]
enum Mode {
    Overwrite = 0,
    Accumulate = 1,
    Mean = 2,
}

/// `out[c] = sum over r of x[r, c]`, or `+=` with `accumulate`: `x [rows, cols]`, `out [cols]`.
///
/// The sum is blocked: runs of 16 rows, then a tree, so its rounding error grows with the logarithm of the rows.
///
/// # Errors
/// [`ShapeMismatch`](crate::Error::ShapeMismatch).
pub fn sum_rows(
    rec: &mut Recorder,
    rows: usize,
    cols: usize,
    x: &Slice,
    out: &Slice,
    accumulate: bool,
) -> Result<()> {
    expect_len("sum_rows", "x", x, elements(&[rows, cols]))?;
    expect_len("sum_rows", "out", out, cols)?;
    let mode = if accumulate { Mode::Accumulate } else { Mode::Overwrite };
    record(rec, "sum_rows", rows, cols, x, out, mode)
}

/// `out[0] = sum(x)`, or `+=` with `accumulate`. Any length; blocked as [`sum_rows`].
///
/// # Errors
/// [`ShapeMismatch`](crate::Error::ShapeMismatch) where `out` is not one element.
pub fn sum_all(rec: &mut Recorder, x: &Slice, out: &Slice, accumulate: bool) -> Result<()> {
    expect_len("sum_all", "out", out, 1)?;
    let mode = if accumulate { Mode::Accumulate } else { Mode::Overwrite };
    record(rec, "sum_all", x.len(), 1, x, out, mode)
}

/// `acc[0] += sum(x)`, `acc[1] += length of x`: a mean that gathers on the device, such as a loss over an epoch. The
/// count is exact up to 2^24.
///
/// # Errors
/// [`ShapeMismatch`](crate::Error::ShapeMismatch) where `acc` is not two elements.
pub fn accumulate_mean(rec: &mut Recorder, x: &Slice, acc: &Slice) -> Result<()> {
    expect_len("accumulate_mean", "acc", acc, 2)?;
    record(rec, "accumulate_mean", x.len(), 1, x, acc, Mode::Mean)
}

fn record(
    rec: &mut Recorder,
    operation: &'static str,
    rows: usize,
    cols: usize,
    x: &Slice,
    out: &Slice,
    mode: Mode,
) -> Result<()> {
    if x.is_empty() {
        return if matches!(mode, Mode::Overwrite) { fill(rec, 0.0, out) } else { Ok(()) };
    }
    let tile = match cols {
        1 => 1,
        2..=8 => 8,
        _ => 32,
    };
    // As in the kernel: 16 rows for each of the invocations that share a column.
    let rows_per_block = 16 * ROW_GROUP / tile;
    let mut x = apart(rec, x, &[out])?;
    let mut left = rows;
    loop {
        let blocks = left.div_ceil(rows_per_block);
        let last = blocks == 1;
        let target = if last { out.clone() } else { rec.scratch(blocks * cols)? };
        let mode = if last { mode } else { Mode::Overwrite };
        rec.call(Call {
            kernel: &KERNEL,
            overrides: &[("TILE", tile as f64), ("MODE", mode as u32 as f64)],
            buffers: &[&x, &target],
            params: bytemuck::bytes_of(&Params {
                rows: size(operation, left)?,
                cols: size(operation, cols)?,
                count: rows as f32,
                ..Default::default()
            }),
            groups: Groups::linear(blocks * cols.div_ceil(tile), 1),
            flops: x.len() as f64,
        })?;
        if last {
            return Ok(());
        }
        (x, left) = (target, blocks);
    }
}
