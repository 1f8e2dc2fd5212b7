//! The weight of each row of a loss or metric.

use crate::error::check_len;
use crate::{Error, Real, Result, VALID};

const OP: &str = "row_weights";

/// `out[r] = weights[r % len] * mask(r) * share` for `out [rows]`, rows time-major: `weights` are one per sample, repeated
/// over the steps, or one per row; the mask is 0 where `flags[r]` has no VALID bit; with `valid [1]`, the number of
/// valid rows, the share is `rows / valid`, or 0 where none is valid (Keras's mean over a masked sequence). What is absent
/// counts as 1.
///
/// # Errors
/// [`Error::Length`] where a slice does not have its shape's length; [`Error::Invalid`] where the rows are no whole number
/// of repetitions of the weights.
pub fn row_weights<T: Real>(
    weights: Option<&[T]>,
    flags: Option<&[u32]>,
    valid: Option<&[T]>,
    out: &mut [T],
) -> Result<()> {
    let rows = out.len();
    flags.map_or(Ok(()), |flags| check_len(OP, "flags", rows, flags.len()))?;
    valid.map_or(Ok(()), |valid| check_len(OP, "valid", 1, valid.len()))?;
    if rows == 0 {
        return Ok(());
    }
    let share = match valid {
        Some(&[count]) if count == T::ZERO => T::ZERO,
        Some(&[count]) => T::from_usize(rows) / count,
        _ => T::ONE,
    };
    match weights {
        None => out.fill(share),
        Some(weights) => {
            if weights.is_empty() || !rows.is_multiple_of(weights.len()) {
                return Err(Error::Invalid {
                    op: OP,
                    reason: "the rows are no whole number of times the weights; give one per sample or per row",
                });
            }
            for out in out.chunks_exact_mut(weights.len()) {
                for (out, &weight) in out.iter_mut().zip(weights) {
                    // Not 0 times the weight: that would be NaN for an infinite one.
                    *out = if share == T::ZERO { T::ZERO } else { weight * share };
                }
            }
        }
    }
    for (out, flags) in out.iter_mut().zip(flags.unwrap_or_default()) {
        if flags & VALID == 0 {
            *out = T::ZERO;
        }
    }
    Ok(())
}
