//! A batch from a data set that stays in place.

use crate::error::{check_len, volume};
use crate::{Error, Real, Result, StepParams, parallel};

const OP: &str = "gather_batch";

/// `out[t, b, :] = dataset[indices[step.cursor + b], t, :]` for `rows` samples, from `dataset [N, time, features]` to the
/// time-major `out [time, rows, features]`.
///
/// # Errors
/// [`Error::Length`] where the data set is not a whole number of samples or `out` has the wrong length;
/// [`Error::OutOfRange`] where the index list ends before `cursor + rows`, or an index is not below `N`.
pub fn gather_batch<T: Real>(
    rows: usize,
    time: usize,
    features: usize,
    dataset: &[T],
    indices: &[u32],
    step: &StepParams,
    out: &mut [T],
) -> Result<()> {
    let sample = volume(OP, &[time, features])?;
    check_len(OP, "out", volume(OP, &[rows, sample])?, out.len())?;
    let cursor = step.cursor as usize;
    let chosen =
        cursor.checked_add(rows).and_then(|end| indices.get(cursor..end)).ok_or(Error::OutOfRange {
            op: OP,
            what: "the end of the batch in the index list",
            got: cursor as f64 + rows as f64,
            limit: indices.len() + 1,
        })?;
    if sample == 0 {
        return Ok(());
    }
    let samples = dataset.len() / sample;
    check_len(OP, "dataset", samples * sample, dataset.len())?;
    if let Some(&index) = chosen.iter().find(|&&index| index as usize >= samples) {
        return Err(Error::OutOfRange {
            op: OP,
            what: "a sample index",
            got: f64::from(index),
            limit: samples,
        });
    }
    if rows == 0 {
        return Ok(());
    }
    let step_len = rows * features;
    let chunk = parallel::MEMORY.chunk(out.len(), step_len);
    parallel::share_out(out.chunks_mut(chunk).enumerate(), |(piece, out)| {
        for (t, out) in out.chunks_exact_mut(step_len).enumerate() {
            let at = (piece * chunk / step_len + t) * features;
            for (to, &index) in out.chunks_exact_mut(features).zip(chosen) {
                let from = &dataset[index as usize * sample + at..][..features];
                if features == 1 { to[0] = from[0] } else { to.copy_from_slice(from) }
            }
        }
    });
    Ok(())
}
