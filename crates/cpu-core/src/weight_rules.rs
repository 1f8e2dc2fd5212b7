//! Penalties and constraints on weights (Keras's regularizers and constraints).

use crate::error::check_len;
use crate::score::sum_of;
use crate::sum_rows::accumulate;
use crate::{Bound, Error, Limit, Penalty, Real, Result};

/// Adds `scale` times the sum of all penalties `l1 sum |w| + l2 sum w^2` to the running sum `acc [2]` (as
/// [`crate::accumulate`]), and their derivative `l1 sign(w) + 2 l2 w` to `grads`, which are laid out as the weights.
///
/// # Errors
/// [`Error::Length`], [`Error::OutOfRange`] where a variable ends past the end of the weights.
pub fn weight_penalty<T: Real>(
    penalties: &[Penalty],
    weights: &[T],
    grads: Option<&mut [T]>,
    scale: T,
    acc: &mut [T],
) -> Result<()> {
    let op = "weight_penalty";
    check_len(op, "acc", 2, acc.len())?;
    let mut grads = grads;
    if let Some(grads) = &grads {
        check_len(op, "grads", weights.len(), grads.len())?;
    }
    for &Penalty { offset, len, l1, l2 } in penalties {
        let range = offset as usize..offset as usize + len as usize;
        if range.end > weights.len() {
            return Err(Error::OutOfRange {
                op,
                what: "the end of a variable",
                got: range.end as f64,
                limit: weights.len() + 1,
            });
        }
        let (l1, l2) = (T::from_f32(l1), T::from_f32(l2));
        let w = &weights[range.clone()];
        let value = sum_of(w.len(), |i| l1 * w[i].abs() + l2 * w[i] * w[i]);
        accumulate(1, 1, &[value], scale, None, acc)?;
        if let Some(grads) = &mut grads {
            for (g, &w) in grads[range].iter_mut().zip(w) {
                *g += l1 * sign(w) + (l2 + l2) * w;
            }
        }
    }
    Ok(())
}

/// Holds every variable to its bound: see [`Limit`]. Columns are those of `[rows, cols]`.
///
/// # Errors
/// [`Error::OutOfRange`] where a variable ends past the end of the weights; nothing is written then.
pub fn constrain<T: Real>(bounds: &[Bound], weights: &mut [T]) -> Result<()> {
    for bound in bounds {
        let end = bound.offset as usize + bound.rows as usize * bound.cols as usize;
        if end > weights.len() {
            let (op, what) = ("constrain", "the end of a variable");
            return Err(Error::OutOfRange { op, what, got: end as f64, limit: weights.len() + 1 });
        }
    }
    for &Bound { offset, rows, cols, limit } in bounds {
        let (rows, cols) = (rows as usize, cols as usize);
        let w = &mut weights[offset as usize..][..rows * cols];
        match limit {
            Limit::NonNegative => w.iter_mut().for_each(|w| {
                if *w < T::ZERO {
                    *w = T::ZERO;
                }
            }),
            Limit::Norm { low, high, rate } => {
                for c in 0..cols {
                    let norm = sum_of(rows, |r| w[r * cols + c] * w[r * cols + c]).sqrt();
                    let factor = factor(norm, low, high, rate);
                    (0..rows).for_each(|r| w[r * cols + c] *= factor);
                }
            }
        }
    }
    Ok(())
}

fn factor<T: Real>(norm: T, low: f32, high: f32, rate: f32) -> T {
    let [low, high, rate] = [low, high, rate].map(T::from_f32);
    let clipped = crate::score::clip(norm, (low, high));
    (rate * clipped + (T::ONE - rate) * norm) / (crate::score::tiny::<T>() + norm)
}

/// -1, 0 or 1; NaN passes through.
fn sign<T: Real>(x: T) -> T {
    if x > T::ZERO {
        T::ONE
    } else if x < T::ZERO {
        -T::ONE
    } else {
        x
    }
}
