//! Collects the outputs of an autoregressive forecast.

use crate::{Error, Real, Result, StepParams};

const OP: &str = "store_step";

/// `seq[step.cursor * stride ..][..x.len()] = x`.
///
/// # Errors
/// [`Error::OutOfRange`] where that is past the end of `seq`.
pub fn store_step<T: Real>(stride: usize, step: &StepParams, x: &[T], seq: &mut [T]) -> Result<()> {
    let len = seq.len();
    let at = step.cursor as usize * stride;
    let Some(to) = seq.get_mut(at..at + x.len()) else {
        return Err(Error::OutOfRange {
            op: OP,
            what: "the cursor",
            got: f64::from(step.cursor),
            limit: len,
        });
    };
    to.copy_from_slice(x);
    Ok(())
}
