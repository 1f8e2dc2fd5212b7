//! Gradients gathered over several steps, and the moving average of weights.

use crate::error::check_len;
use crate::{EMA_OVERWRITE, EMA_START, HOLD, Real, Result, StepParams, parallel};

/// In a step on [`HOLD`] `gathered += grads`; else `grads = (grads + gathered) / steps`, `gathered = 0`.
///
/// # Errors
/// [`crate::Error::Length`] where the lengths differ.
pub fn gather_gradients<T: Real>(
    steps: u32,
    step: &StepParams,
    grads: &mut [T],
    gathered: &mut [T],
) -> Result<()> {
    check_len("gather_gradients", "gathered", grads.len(), gathered.len())?;
    let (hold, steps) = (step.phase & HOLD != 0, T::from_usize(steps as usize));
    each(grads, gathered, |g, sum| {
        if hold {
            *sum += *g;
        } else {
            *g = (*g + *sum) / steps;
            *sum = T::ZERO;
        }
    });
    Ok(())
}

/// `average = momentum average + (1 - momentum) weights`, with a momentum of 0 in a step of [`EMA_START`]; in one of
/// [`EMA_OVERWRITE`] then `weights = average`.
///
/// # Errors
/// [`crate::Error::Length`] where the lengths differ.
pub fn weight_average<T: Real>(
    momentum: f64,
    step: &StepParams,
    weights: &mut [T],
    average: &mut [T],
) -> Result<()> {
    check_len("weight_average", "average", weights.len(), average.len())?;
    let (starts, overwrites) = (step.phase & EMA_START != 0, step.phase & EMA_OVERWRITE != 0);
    let (momentum, rest) = (T::from_f64(momentum), T::from_f64(1.0 - momentum));
    each(weights, average, |w, mean| {
        *mean = if starts { *w } else { momentum * *mean + rest * *w };
        if overwrites {
            *w = *mean;
        }
    });
    Ok(())
}

fn each<T: Real>(a: &mut [T], b: &mut [T], f: impl Fn(&mut T, &mut T) + Sync) {
    let chunk = parallel::MEMORY.chunk(a.len(), 64);
    parallel::share_out(a.chunks_mut(chunk).zip(b.chunks_mut(chunk)), |(a, b)| {
        a.iter_mut().zip(b).for_each(|(a, b)| f(a, b));
    });
}
