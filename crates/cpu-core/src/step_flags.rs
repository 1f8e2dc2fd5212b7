//! Step flags: words of the bits [`VALID`] and [`RESET`] for each step and sample, `[time, batch]`.

use crate::error::{check_len, volume};
use crate::{Error, RESET, Real, Result, VALID};
use rnn_shaders::shape::Steps;

/// Refuses flags of another length than the steps, and arrays that do not reach as far.
fn check_steps<T>(op: &'static str, steps: Steps, cols: usize, x: &[T], flags: &[u32]) -> Result<()> {
    check_len(op, "flags", volume(op, &[steps.time, steps.batch])?, flags.len())?;
    let span = steps.span(cols);
    if x.len() < span {
        return Err(Error::Length { op, what: "x", expected: span, got: x.len() });
    }
    Ok(())
}

/// The place of each flag's number in the array, with the flag.
fn places(steps: Steps, flags: &mut [u32]) -> impl Iterator<Item = (usize, usize, &mut u32)> {
    flags.iter_mut().enumerate().map(move |(i, flag)| {
        let (t, b) = (i / steps.batch, i % steps.batch);
        (t, t * steps.time_stride + b * steps.batch_stride, flag)
    })
}

/// VALID where any of the `cols` numbers of a step differs from `value` (NaN differs): Keras's Masking, and with ids, one
/// column and 0, its `mask_zero`.
///
/// # Errors
/// [`Error::Length`] where `flags` is not `[time, batch]`, or `x` is shorter than `steps` reaches.
pub fn flags_from_values<T: Real>(
    steps: Steps,
    cols: usize,
    value: T,
    x: &[T],
    flags: &mut [u32],
) -> Result<()> {
    check_steps("flags_from_values", steps, cols, x, flags)?;
    for (_, at, flag) in places(steps, flags) {
        *flag = if x[at..at + cols].iter().any(|&x| x != value) { VALID } else { 0 };
    }
    Ok(())
}

/// VALID where `t < lengths[b]`: `lengths [batch]`, `flags [time, batch]`.
///
/// # Errors
/// [`Error::Length`].
pub fn flags_from_lengths<T: Real>(
    time: usize,
    batch: usize,
    lengths: &[T],
    flags: &mut [u32],
) -> Result<()> {
    let steps = Steps { time, batch, time_stride: 0, batch_stride: 1 };
    check_len("flags_from_lengths", "lengths", batch, lengths.len())?;
    check_steps("flags_from_lengths", steps, 1, lengths, flags)?;
    for (t, b, flag) in places(steps, flags) {
        *flag = if T::from_usize(t) < lengths[b] { VALID } else { 0 };
    }
    Ok(())
}

/// Several series in one row: VALID where the segment's id is not 0, RESET at the first step of all and at each valid one whose
/// id is not that of the step before.
///
/// # Errors
/// [`Error::Length`] where `flags` is not `[time, batch]`, or there are fewer ids than `steps` reaches.
pub fn flags_from_segments<T: Real>(steps: Steps, ids: &[T], flags: &mut [u32]) -> Result<()> {
    check_steps("flags_from_segments", steps, 1, ids, flags)?;
    for (t, at, flag) in places(steps, flags) {
        let valid = ids[at] != T::ZERO;
        let starts = t == 0 || (valid && ids[at] != ids[at - steps.time_stride]);
        *flag = if valid { VALID } else { 0 } | if starts { RESET } else { 0 };
    }
    Ok(())
}

/// VALID where both are, or with `either` where one is; RESET where one is. All of one length.
///
/// # Errors
/// [`Error::Length`].
pub fn combine_flags(either: bool, a: &[u32], b: &[u32], out: &mut [u32]) -> Result<()> {
    check_len("combine_flags", "b", a.len(), b.len())?;
    check_len("combine_flags", "out", a.len(), out.len())?;
    for ((&a, &b), out) in a.iter().zip(b).zip(out) {
        let valid = if either { a | b } else { a & b };
        *out = (valid & VALID) | ((a | b) & RESET);
    }
    Ok(())
}

/// The flags of the sequence in reverse order. Steps that a RESET keeps apart stay apart: it goes to the first valid step after
/// its place. The first step's RESET, which keeps the start state off, does so again. `a` and `out [time, batch]`.
///
/// # Errors
/// [`Error::Length`].
pub fn reverse_flags(time: usize, batch: usize, a: &[u32], out: &mut [u32]) -> Result<()> {
    const OP: &str = "reverse_flags";
    check_len(OP, "a", volume(OP, &[time, batch])?, a.len())?;
    check_len(OP, "out", a.len(), out.len())?;
    if a.is_empty() {
        return Ok(());
    }
    let mut pending: Vec<u32> = a[..batch].iter().map(|flag| flag & RESET).collect();
    for (t, out) in out.chunks_exact_mut(batch).enumerate() {
        let source = time - 1 - t;
        for (b, (out, pending)) in out.iter_mut().zip(&mut pending).enumerate() {
            if t > 0 {
                *pending |= a[(source + 1) * batch + b] & RESET;
            }
            *out = a[source * batch + b] & VALID;
            if *out != 0 {
                *out |= std::mem::take(pending);
            }
        }
    }
    Ok(())
}

/// VALID where this step or one before is: where Keras has something to repeat. `a` and `out [time, batch]`.
///
/// # Errors
/// [`Error::Length`].
pub fn seen_flags(time: usize, batch: usize, a: &[u32], out: &mut [u32]) -> Result<()> {
    const OP: &str = "seen_flags";
    check_len(OP, "a", volume(OP, &[time, batch])?, a.len())?;
    check_len(OP, "out", a.len(), out.len())?;
    for i in 0..a.len() {
        let before = if i < batch { 0 } else { out[i - batch] };
        out[i] = (a[i] & VALID) | before;
    }
    Ok(())
}
