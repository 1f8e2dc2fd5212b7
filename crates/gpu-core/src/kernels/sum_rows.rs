//! Sums of columns and of whole arrays, in an order that depends on nothing but the shape.
use super::fill;
use super::operands::{ROW_GROUP, apart, elements, size};
use crate::buffer::expect_len;
use crate::{Call, Groups, Recorder, Result, Slice};
use rnn_shaders::sum_rows::{KERNEL, Params};

/// What the last pass does with a sum.
#[derive(Clone, Copy, PartialEq)]
enum Mode {
    Overwrite,
    Accumulate,
    Running,
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

/// Running sums that stay exact over many batches: `acc[c] += scale * sum over r of x[r, c]` for `x [rows, cols]`, and
/// `acc[cols + c]` gathers what the rounding of `acc[c]` lost, so that the two together are the sum. With a `count`,
/// `acc[2 cols]` and `acc[2 cols + 1]` are one more such number, to which the count is added. Counts of whole numbers
/// are exact up to 2^48.
///
/// # Errors
/// [`ShapeMismatch`](crate::Error::ShapeMismatch) where `x` is not `[rows, cols]`, or `acc` not `2 cols` elements, two
/// more with a count.
pub fn accumulate(
    rec: &mut Recorder,
    rows: usize,
    cols: usize,
    x: &Slice,
    scale: f32,
    count: Option<f32>,
    acc: &Slice,
) -> Result<()> {
    const NAME: &str = "accumulate";
    expect_len(NAME, "x", x, elements(&[rows, cols]))?;
    expect_len(NAME, "acc", acc, elements(&[2, cols]).saturating_add(if count.is_some() { 2 } else { 0 }))?;
    if x.is_empty() {
        return Ok(());
    }
    reduce(rec, NAME, [rows, cols], x, acc, Mode::Running, scale, count)
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
        return if mode == Mode::Overwrite { fill(rec, 0.0, out) } else { Ok(()) };
    }
    reduce(rec, operation, [rows, cols], x, out, mode, 1.0, None)
}

fn reduce(
    rec: &mut Recorder,
    operation: &'static str,
    [rows, cols]: [usize; 2],
    x: &Slice,
    out: &Slice,
    mode: Mode,
    scale: f32,
    count: Option<f32>,
) -> Result<()> {
    // Few rows make one block of any tile: no reason for a pipeline of their own.
    let few = rows <= 16 * ROW_GROUP / 32;
    let tile = match cols {
        1 if !few => 1,
        2..=8 if !few => 8,
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
        let running = mode == Mode::Running;
        rec.call(Call {
            kernel: &KERNEL,
            overrides: &[
                ("TILE", tile as f64),
                ("RUNNING", f64::from(u8::from(running))),
                ("COUNTED", f64::from(u8::from(running && count.is_some()))),
            ],
            buffers: &[&x, &target],
            params: bytemuck::bytes_of(&Params {
                rows: size(operation, left)?,
                cols: size(operation, cols)?,
                accumulate: u32::from(mode == Mode::Accumulate),
                count: count.unwrap_or(0.0),
                scale,
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
