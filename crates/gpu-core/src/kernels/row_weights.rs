//! The weight of each row of a loss or metric.
use super::operands::{ELEMENT_GROUP, apart, size};
use crate::buffer::expect_len;
use crate::{Call, Error, Groups, Recorder, Result, Slice};
use rnn_shaders::row_weights::{KERNEL, Params};

/// `out[r] = weights[r % len] * mask(r) * share` for `out [rows]`, rows time-major: `weights` are one per sample, repeated
/// over the steps, or one per row; the mask is 0 where `flags[r]` has no VALID bit; with `valid [1]`, the number of
/// valid rows, the share is `rows / valid`, or 0 where none is valid (Keras's mean over a masked sequence). What is absent
/// counts as 1.
///
/// # Errors
/// [`ShapeMismatch`](Error::ShapeMismatch); [`InvalidArgument`](Error::InvalidArgument) where the rows are no whole
/// number of repetitions of the weights.
pub fn row_weights(
    rec: &mut Recorder,
    weights: Option<&Slice>,
    flags: Option<&Slice>,
    valid: Option<&Slice>,
    out: &Slice,
) -> Result<()> {
    const NAME: &str = "row_weights";
    let rows = out.len();
    if let Some(weights) = weights
        && (weights.is_empty() || !rows.is_multiple_of(weights.len()))
        && rows > 0
    {
        return Err(Error::InvalidArgument {
            operation: NAME,
            reason: format!("{rows} rows are no whole number of times {} weights", weights.len()),
        });
    }
    flags.map_or(Ok(()), |flags| expect_len(NAME, "flags", flags, rows))?;
    valid.map_or(Ok(()), |valid| expect_len(NAME, "valid", valid, 1))?;
    if rows == 0 {
        return Ok(());
    }
    let nothing = rec.nothing()?;
    let mut input = |slice: Option<&Slice>| slice.map_or(Ok(nothing.clone()), |s| apart(rec, s, &[out]));
    let (sampled, flagged, shared) = (weights.is_some(), flags.is_some(), valid.is_some());
    let period = weights.map_or(1, Slice::len);
    let (weights, flags, valid) = (input(weights)?, input(flags)?, input(valid)?);
    let flag = |on: bool| f64::from(u8::from(on));
    rec.call(Call {
        kernel: &KERNEL,
        overrides: &[("SAMPLED", flag(sampled)), ("FLAGGED", flag(flagged)), ("SHARED", flag(shared))],
        buffers: &[&weights, &flags, &valid, out],
        params: bytemuck::bytes_of(&Params {
            rows: size(NAME, rows)?,
            period: size(NAME, period)?,
            ..Default::default()
        }),
        groups: Groups::linear(rows, ELEMENT_GROUP),
        flops: rows as f64,
    })
}
