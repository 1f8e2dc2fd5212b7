//! Adafactor's direction from factored means of squared gradients.

use crate::error::check_len;
use crate::score::sum_of;
use crate::{Error, Factored, HOLD, Matrix, Real, Result, StepParams};

const OP: &str = "factored_step";

/// Makes Adafactor's direction in `x` ([`Factored`]) for each matrix or vector; weights decay on the way. All slices are as
/// long as the weights. In a step on [`HOLD`] nothing is written.
///
/// # Errors
/// [`Error::Length`]; [`Error::OutOfRange`] where a matrix ends past the end.
pub fn factored_step<T: Real>(
    spec: &Factored,
    step: &StepParams,
    matrices: &[Matrix],
    params: &mut [T],
    grads: &[T],
    m: &mut [T],
    v: &mut [T],
    x: &mut [T],
) -> Result<()> {
    let n = params.len();
    for (what, len) in [("grads", grads.len()), ("m", m.len()), ("v", v.len()), ("x", x.len())] {
        check_len(OP, what, n, len)?;
    }
    if let Some(end) = matrices.iter().map(|matrix| matrix.end()).find(|&end| end > n) {
        let what = "the end of a matrix";
        return Err(Error::OutOfRange { op: OP, what, got: end as f64, limit: n + 1 });
    }
    if step.phase & HOLD != 0 {
        return Ok(());
    }
    let (beta, epsilon) = (T::from_f32(step.beta), T::from_f64(spec.epsilon_1));
    let rest = T::ONE - beta;
    let clip = T::from_f32(spec.clip_value);
    let clipped = |g: T| crate::score::clip(g, (-clip, clip));
    let square = |g: T| clipped(g) * clipped(g) + epsilon;
    let decay = T::from_f32(spec.weight_decay) * T::from_f32(step.lr);
    for matrix in matrices {
        let (at, end) = (matrix.offset as usize, matrix.end());
        let (rows, cols) = (matrix.rows as usize, matrix.cols as usize);
        let (g, m, v) = (&grads[at..end], &mut m[at..end], &mut v[at..end]);
        if rows == 0 {
            for ((v, x), &g) in v.iter_mut().zip(&mut x[at..end]).zip(g) {
                *v = beta * *v + rest * square(g);
                *x = clipped(g) / v.sqrt();
            }
        } else {
            for (r, m) in m.iter_mut().enumerate().take(rows) {
                let mean = sum_of(cols, |c| square(g[r * cols + c])) / T::from_usize(cols);
                *m = beta * *m + rest * mean;
            }
            for (c, v) in v.iter_mut().enumerate().take(cols) {
                let mean = sum_of(rows, |r| square(g[r * cols + c])) / T::from_usize(rows);
                *v = beta * *v + rest * mean;
            }
            let mean = sum_of(rows, |r| m[r]) / T::from_usize(rows);
            for (i, (x, &g)) in x[at..end].iter_mut().zip(g).enumerate() {
                *x = clipped(g) / (m[i / cols] / mean * v[i % cols]).sqrt();
            }
        }
        params[at..end].iter_mut().for_each(|w| *w -= *w * decay);
    }
    Ok(())
}
