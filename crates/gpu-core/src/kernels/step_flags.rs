//! Step flags: words of the bits VALID and RESET for each step and sample, `[time, batch]`.
use super::operands::{ELEMENT_GROUP, apart, elements, size};
use crate::buffer::expect_len;
use crate::{Call, Error, Groups, Recorder, Result, Slice};
use rnn_shaders::shape::Steps;
use rnn_shaders::{flags_scan, step_flags};

/// The codes of `step_flags.wgsl`'s `OP`.
#[derive(Clone, Copy)]
enum Source {
    Values = 0,
    Lengths = 1,
    Segments = 2,
}

/// VALID where any of the `cols` numbers of a step differs from `value` (NaN differs): Keras's Masking, and with ids, one
/// column and 0, its `mask_zero`.
///
/// # Errors
/// [`ShapeMismatch`](Error::ShapeMismatch) where `flags` is not `[time, batch]`, or `x` is shorter than `steps` reaches;
/// [`InvalidArgument`](Error::InvalidArgument) where a software adapter can not run `cols` steps of a loop.
pub fn flags_from_values(
    rec: &mut Recorder,
    steps: Steps,
    cols: usize,
    value: f32,
    x: &Slice,
    flags: &Slice,
) -> Result<()> {
    if cols > 10_000
        && let Some(limit) = rec.context().loop_limit()?
        && cols > limit as usize
    {
        let reason = format!("{cols} values per step pass the {limit} loop iterations of this adapter");
        return Err(Error::InvalidArgument { operation: "flags_from_values", reason });
    }
    record(rec, "flags_from_values", Source::Values, steps, cols, value, x, flags)
}

/// VALID where `t < lengths[b]`: `lengths [batch]`, `flags [time, batch]`.
///
/// # Errors
/// [`ShapeMismatch`](Error::ShapeMismatch).
pub fn flags_from_lengths(
    rec: &mut Recorder,
    time: usize,
    batch: usize,
    lengths: &Slice,
    flags: &Slice,
) -> Result<()> {
    expect_len("flags_from_lengths", "lengths", lengths, batch)?;
    let steps = Steps { time, batch, time_stride: 0, batch_stride: 1 };
    record(rec, "flags_from_lengths", Source::Lengths, steps, 1, 0.0, lengths, flags)
}

/// Several series in one row: VALID where the segment's id is not 0, RESET at the first step of all and at each valid one whose
/// id is not that of the step before.
///
/// # Errors
/// [`ShapeMismatch`](Error::ShapeMismatch) where `flags` is not `[time, batch]`, or there are fewer ids than `steps` reaches.
pub fn flags_from_segments(rec: &mut Recorder, steps: Steps, ids: &Slice, flags: &Slice) -> Result<()> {
    record(rec, "flags_from_segments", Source::Segments, steps, 1, 0.0, ids, flags)
}

#[allow(clippy::too_many_arguments)]
fn record(
    rec: &mut Recorder,
    operation: &'static str,
    source: Source,
    steps: Steps,
    cols: usize,
    value: f32,
    x: &Slice,
    flags: &Slice,
) -> Result<()> {
    expect_len(operation, "flags", flags, elements(&[steps.time, steps.batch]))?;
    let expected = steps.span(cols);
    if x.len() < expected {
        return Err(Error::ShapeMismatch { operation, what: "x", expected, got: x.len() });
    }
    if flags.is_empty() {
        return Ok(());
    }
    let x = if x.is_empty() { rec.nothing()? } else { apart(rec, x, &[flags])? };
    rec.call(Call {
        kernel: &step_flags::KERNEL,
        overrides: &[("OP", source as u32 as f64)],
        buffers: &[&x, flags],
        params: bytemuck::bytes_of(&step_flags::Params {
            n: size(operation, flags.len())?,
            batch: size(operation, steps.batch)?,
            cols: size(operation, cols)?,
            time_stride: size(operation, steps.time_stride)?,
            batch_stride: size(operation, steps.batch_stride)?,
            value,
            ..Default::default()
        }),
        groups: Groups::linear(flags.len(), ELEMENT_GROUP),
        flops: (flags.len() * cols) as f64,
    })
}

/// The codes of `flags_scan.wgsl`'s `OP`.
#[derive(Clone, Copy)]
enum Scan {
    Combine = 0,
    Reverse = 1,
    Seen = 2,
    Either = 3,
}

/// VALID where both are, or with `either` where one is; RESET where one is. All of one length.
///
/// # Errors
/// [`ShapeMismatch`](Error::ShapeMismatch).
pub fn combine_flags(rec: &mut Recorder, either: bool, a: &Slice, b: &Slice, out: &Slice) -> Result<()> {
    expect_len("combine_flags", "b", b, a.len())?;
    let op = if either { Scan::Either } else { Scan::Combine };
    scan(rec, "combine_flags", op, 1, a.len(), a, Some(b), out)
}

/// The flags of the sequence in reverse order. Steps that a RESET keeps apart stay apart: it goes to the first valid step after
/// its place. The first step's RESET, which keeps the start state off, does so again. `a` and `out [time, batch]`.
///
/// # Errors
/// [`ShapeMismatch`](Error::ShapeMismatch).
pub fn reverse_flags(rec: &mut Recorder, time: usize, batch: usize, a: &Slice, out: &Slice) -> Result<()> {
    scan(rec, "reverse_flags", Scan::Reverse, time, batch, a, None, out)
}

/// VALID where this step or one before is: where Keras has something to repeat. `a` and `out [time, batch]`.
///
/// # Errors
/// [`ShapeMismatch`](Error::ShapeMismatch).
pub fn seen_flags(rec: &mut Recorder, time: usize, batch: usize, a: &Slice, out: &Slice) -> Result<()> {
    scan(rec, "seen_flags", Scan::Seen, time, batch, a, None, out)
}

/// Steps of one dispatch: below the loop limit of software adapters.
const LONGEST: usize = 1 << 14;

#[allow(clippy::too_many_arguments)]
fn scan(
    rec: &mut Recorder,
    operation: &'static str,
    op: Scan,
    time: usize,
    batch: usize,
    a: &Slice,
    b: Option<&Slice>,
    out: &Slice,
) -> Result<()> {
    expect_len(operation, "a", a, elements(&[time, batch]))?;
    expect_len(operation, "out", out, a.len())?;
    if a.is_empty() {
        return Ok(());
    }
    let b_given = b.is_some();
    let a = apart(rec, a, &[out])?;
    let b = b.map_or(Ok(a.clone()), |b| apart(rec, b, &[out]))?;
    let carry = rec.scratch(if b_given { 1 } else { batch })?;
    for first in (0..time).step_by(LONGEST) {
        let count = LONGEST.min(time - first);
        rec.call(Call {
            kernel: &flags_scan::KERNEL,
            overrides: &[("OP", op as u32 as f64)],
            buffers: &[&a, &b, &carry, out],
            params: bytemuck::bytes_of(&flags_scan::Params {
                time: size(operation, time)?,
                batch: size(operation, batch)?,
                first: size(operation, first)?,
                count: size(operation, count)?,
                ..Default::default()
            }),
            groups: Groups::linear(batch, ELEMENT_GROUP),
            flops: (count * batch) as f64,
        })?;
    }
    Ok(())
}
