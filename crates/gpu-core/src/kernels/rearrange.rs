//! Copies that move values by index, bit for bit: they serve flags and indices as well as numbers.
use super::operands::{ELEMENT_GROUP, apart, elements, size};
use crate::buffer::expect_len;
use crate::{Call, Groups, Recorder, Result, Slice};
use rnn_shaders::copy;
use rnn_shaders::rearrange::{KERNEL, Params};

/// The codes of the kernel's `OP`.
#[derive(Clone, Copy)]
enum Op {
    Copy = 0,
    RepeatVector = 1,
    ReverseTime = 2,
    Transpose01 = 3,
    ShiftAppend = 4,
}

/// `y = x`. Within one buffer too, overlapping or not.
///
/// # Errors
/// [`ShapeMismatch`](crate::Error::ShapeMismatch) where the lengths differ.
pub fn copy(rec: &mut Recorder, x: &Slice, y: &Slice) -> Result<()> {
    expect_len("copy", "x", x, y.len())?;
    let by_four = [x.offset(), y.offset(), y.len()].iter().all(|n| n.is_multiple_of(4));
    if by_four && !y.is_empty() && !x.same_buffer(y) {
        let n = size("copy", y.len())?;
        return rec.call(Call {
            kernel: &copy::KERNEL,
            overrides: &[],
            buffers: &[x, y],
            params: bytemuck::bytes_of(&copy::Params { n, ..Default::default() }),
            groups: Groups::linear(y.len() / 4, ELEMENT_GROUP),
            flops: y.len() as f64,
        });
    }
    record(rec, "copy", Op::Copy, (1, 1, y.len()), x, None, y)
}

/// `y[t, :] = x`: `x [n]`, `y [time, n]`. Its gradient is [`sum_rows`](super::sum_rows).
///
/// # Errors
/// [`ShapeMismatch`](crate::Error::ShapeMismatch).
pub fn repeat_vector(rec: &mut Recorder, time: usize, n: usize, x: &Slice, y: &Slice) -> Result<()> {
    expect_len("repeat_vector", "x", x, n)?;
    expect_len("repeat_vector", "y", y, elements(&[time, n]))?;
    record(rec, "repeat_vector", Op::RepeatVector, (time, 1, n), x, None, y)
}

/// `y[t, :] = x[time - 1 - t, :]`: `x`, `y [time, n]`.
///
/// # Errors
/// [`ShapeMismatch`](crate::Error::ShapeMismatch).
pub fn reverse_time(rec: &mut Recorder, time: usize, n: usize, x: &Slice, y: &Slice) -> Result<()> {
    expect_len("reverse_time", "x", x, elements(&[time, n]))?;
    expect_len("reverse_time", "y", y, elements(&[time, n]))?;
    record(rec, "reverse_time", Op::ReverseTime, (time, 1, n), x, None, y)
}

/// `y[q, p, :] = x[p, q, :]`: `x [a, b, f]`, `y [b, a, f]`.
///
/// # Errors
/// [`ShapeMismatch`](crate::Error::ShapeMismatch).
pub fn transpose01(rec: &mut Recorder, a: usize, b: usize, f: usize, x: &Slice, y: &Slice) -> Result<()> {
    expect_len("transpose01", "x", x, elements(&[a, b, f]))?;
    expect_len("transpose01", "y", y, elements(&[a, b, f]))?;
    record(rec, "transpose01", Op::Transpose01, (a, b, f), x, None, y)
}

/// `y = x` moved one step earlier, with `new` as the last step: `x`, `y [time, n]`, `new [n]`.
///
/// # Errors
/// [`ShapeMismatch`](crate::Error::ShapeMismatch).
pub fn shift_append(
    rec: &mut Recorder,
    time: usize,
    n: usize,
    x: &Slice,
    new: &Slice,
    y: &Slice,
) -> Result<()> {
    expect_len("shift_append", "x", x, elements(&[time, n]))?;
    expect_len("shift_append", "new", new, n)?;
    expect_len("shift_append", "y", y, elements(&[time, n]))?;
    record(rec, "shift_append", Op::ShiftAppend, (time, 1, n), x, Some(new), y)
}

fn record(
    rec: &mut Recorder,
    operation: &'static str,
    op: Op,
    (time, b, inner): (usize, usize, usize),
    x: &Slice,
    tail: Option<&Slice>,
    y: &Slice,
) -> Result<()> {
    if y.is_empty() {
        return Ok(());
    }
    let x = apart(rec, x, &[y])?;
    let tail = tail.map_or(Ok(x.clone()), |tail| apart(rec, tail, &[y]))?;
    rec.call(Call {
        kernel: &KERNEL,
        overrides: &[("OP", op as u32 as f64)],
        buffers: &[&x, &tail, y],
        params: bytemuck::bytes_of(&Params {
            n: size(operation, y.len())?,
            time: size(operation, time)?,
            inner: size(operation, inner)?,
            b: size(operation, b)?,
            ..Default::default()
        }),
        groups: Groups::linear(y.len(), ELEMENT_GROUP),
        flops: y.len() as f64,
    })
}
