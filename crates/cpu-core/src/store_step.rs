//! Collects the outputs of an autoregressive forecast.

use crate::{Error, Real, Result, StepParams};

const OP: &str = "store_step";

/// `seq[step.cursor * stride ..][.. n] = x` for `x [n]`: with stride `n` the next step of `seq [steps, n]`.
///
/// # Errors
/// [`Error::OutOfRange`] where that is past the end of `seq`.
pub fn store_step<T: Real>(stride: usize, step: &StepParams, x: &[T], seq: &mut [T]) -> Result<()> {
    let (len, cursor) = (seq.len(), step.cursor as usize);
    let room = |at: usize| at.checked_add(x.len()).is_some_and(|end| end <= len);
    match cursor.checked_mul(stride).filter(|&at| room(at)) {
        Some(at) => {
            seq[at..at + x.len()].copy_from_slice(x);
            Ok(())
        }
        None => {
            let limit = len.checked_sub(x.len()).map_or(0, |last| last / stride.max(1) + 1);
            Err(Error::OutOfRange { op: OP, what: "the cursor", got: f64::from(step.cursor), limit })
        }
    }
}
