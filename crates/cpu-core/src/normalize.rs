//! Normalisation of rows, and its gradients.
//!
//! With `c` the row's mean (0 for [`Normalization::L2`]), `a = c` where the mean is taken off, else 0, and `g = dy gamma`:
//! `y = (x - a) inv gamma + beta`, and
//! `dx = inv (g - [layer] mean(g)) - inv^3 (x - c) D`, `D` the mean (L2: the sum, 0 where epsilon bounds) of `g (x - a)`.

use crate::error::{check_len, volume};
use crate::math::{Kernel, Lanes, dispatch};
use crate::{Normalization, Real, Result, parallel};

/// Partial sums that are kept side by side: their order does not depend on the machine.
const BESIDE: usize = 16;

/// `y[r, :] = ` the normalised row `x[r, :]`, times `gamma`, plus `beta`, where they are given: `x` and `y [rows, cols]`,
/// `gamma` and `beta [cols]`. `stats [rows, 2]` takes the row's mean and factor for the gradient.
///
/// # Errors
/// [`crate::Error::Length`].
#[allow(clippy::too_many_arguments)]
pub fn normalize_forward<T: Real>(
    kind: Normalization,
    rows: usize,
    cols: usize,
    x: &[T],
    gamma: Option<&[T]>,
    beta: Option<&[T]>,
    stats: &mut [T],
    y: &mut [T],
) -> Result<()> {
    const OP: &str = "normalize_forward";
    check_len(OP, "x", volume(OP, &[rows, cols])?, x.len())?;
    check_len(OP, "y", x.len(), y.len())?;
    check_len(OP, "gamma", cols, gamma.map_or(cols, <[T]>::len))?;
    check_len(OP, "beta", cols, beta.map_or(cols, <[T]>::len))?;
    check_len(OP, "stats", volume(OP, &[rows, 2])?, stats.len())?;
    if x.is_empty() {
        return Ok(());
    }
    let chunk = parallel::MEMORY.chunk(x.len(), cols);
    let pieces = stats.chunks_mut(chunk / cols * 2).zip(x.chunks(chunk).zip(y.chunks_mut(chunk)));
    parallel::share_out(pieces, |(stats, (x, y))| dispatch(Forward { kind, cols, x, gamma, beta, stats, y }));
    Ok(())
}

/// The gradient of [`normalize_forward`] by `x`, from the same `x`, `gamma` and `stats`: `dy` and `dx [rows, cols]`. That by
/// `gamma` is [`normalize_gamma`], that by `beta` is [`crate::sum_rows`] of `dy`.
///
/// # Errors
/// [`crate::Error::Length`].
#[allow(clippy::too_many_arguments)]
pub fn normalize_backward<T: Real>(
    kind: Normalization,
    rows: usize,
    cols: usize,
    x: &[T],
    gamma: Option<&[T]>,
    stats: &[T],
    dy: &[T],
    dx: &mut [T],
) -> Result<()> {
    const OP: &str = "normalize_backward";
    check_len(OP, "x", volume(OP, &[rows, cols])?, x.len())?;
    check_len(OP, "dy", x.len(), dy.len())?;
    check_len(OP, "dx", x.len(), dx.len())?;
    check_len(OP, "gamma", cols, gamma.map_or(cols, <[T]>::len))?;
    check_len(OP, "stats", volume(OP, &[rows, 2])?, stats.len())?;
    if x.is_empty() {
        return Ok(());
    }
    let chunk = parallel::MEMORY.chunk(x.len(), cols);
    let inputs = stats.chunks(chunk / cols * 2).zip(x.chunks(chunk).zip(dy.chunks(chunk)));
    parallel::share_out(inputs.zip(dx.chunks_mut(chunk)), |((stats, (x, dy)), dx)| {
        dispatch(Backward { kind, cols, x, gamma, stats, dy, dx });
    });
    Ok(())
}

/// `dgamma[c] += sum over r of dy[r, c] (x[r, c] - a_r) inv_r`, in runs of 64 rows: the gradient of [`normalize_forward`] by
/// `gamma [cols]`.
///
/// # Errors
/// [`crate::Error::Length`].
pub fn normalize_gamma<T: Real>(
    kind: Normalization,
    rows: usize,
    cols: usize,
    x: &[T],
    stats: &[T],
    dy: &[T],
    dgamma: &mut [T],
) -> Result<()> {
    const OP: &str = "normalize_gamma";
    check_len(OP, "x", volume(OP, &[rows, cols])?, x.len())?;
    check_len(OP, "dy", x.len(), dy.len())?;
    check_len(OP, "stats", volume(OP, &[rows, 2])?, stats.len())?;
    check_len(OP, "dgamma", cols, dgamma.len())?;
    if x.is_empty() {
        return Ok(());
    }
    let chunk = parallel::MEMORY.chunk(x.len(), rows * TILE) / rows;
    parallel::share_out(dgamma.chunks_mut(chunk.max(1)).enumerate(), |(piece, dgamma)| {
        for (i, dgamma) in dgamma.chunks_mut(TILE).enumerate() {
            dispatch(Gamma { kind, cols, first: piece * chunk + i * TILE, x, stats, dy, dgamma });
        }
    });
    Ok(())
}

/// Columns whose sums are kept together.
const TILE: usize = 256;
/// Rows that are added one by one before they join the sum.
const RUN: usize = 64;

/// The sum of `f(a[i], b[i])`.
#[inline(always)]
fn sum_of<T: Real>(a: &[T], b: &[T], f: impl Fn(T, T) -> T) -> T {
    let mut sums = [T::ZERO; BESIDE];
    let (a_whole, b_whole) = (a.chunks_exact(BESIDE), b.chunks_exact(BESIDE));
    let rest = a_whole.remainder().iter().zip(b_whole.remainder());
    for (a, b) in a_whole.zip(b_whole) {
        for i in 0..BESIDE {
            sums[i] += f(a[i], b[i]);
        }
    }
    for (sum, (&a, &b)) in sums.iter_mut().zip(rest) {
        *sum += f(a, b);
    }
    for half in [8, 4, 2, 1] {
        for i in 0..half {
            sums[i] += sums[i + half];
        }
    }
    sums[0]
}

struct Forward<'a, T> {
    kind: Normalization,
    cols: usize,
    x: &'a [T],
    gamma: Option<&'a [T]>,
    beta: Option<&'a [T]>,
    stats: &'a mut [T],
    y: &'a mut [T],
}

impl<T: Real> Kernel<T> for Forward<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Lanes<T = T>>(self, _: S) {
        let epsilon = T::from_f32(self.kind.epsilon());
        let count = T::from_usize(self.cols);
        let rows = self.x.chunks_exact(self.cols).zip(self.y.chunks_exact_mut(self.cols));
        for ((x, y), stats) in rows.zip(self.stats.chunks_exact_mut(2)) {
            let is_l2 = matches!(self.kind, Normalization::L2 { .. });
            let center = if is_l2 { T::ZERO } else { sum_of(x, x, |x, _| x) / count };
            let squares = sum_of(x, x, |x, _| (x - center) * (x - center));
            let inv = if !is_l2 {
                T::ONE / (squares / count + epsilon).sqrt()
            } else if squares <= epsilon * epsilon {
                T::ONE / epsilon
            } else {
                T::ONE / squares.sqrt()
            };
            stats.copy_from_slice(&[center, inv]);
            let origin = if self.kind.is_centered() { center } else { T::ZERO };
            y.iter_mut().zip(x).for_each(|(y, &x)| *y = (x - origin) * inv);
            if let Some(gamma) = self.gamma {
                y.iter_mut().zip(gamma).for_each(|(y, &gamma)| *y *= gamma);
            }
            if let Some(beta) = self.beta {
                y.iter_mut().zip(beta).for_each(|(y, &beta)| *y += beta);
            }
        }
    }
}

struct Backward<'a, T> {
    kind: Normalization,
    cols: usize,
    x: &'a [T],
    gamma: Option<&'a [T]>,
    stats: &'a [T],
    dy: &'a [T],
    dx: &'a mut [T],
}

impl<T: Real> Kernel<T> for Backward<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Lanes<T = T>>(self, _: S) {
        let count = T::from_usize(self.cols);
        let bound = T::ONE / T::from_f32(self.kind.epsilon());
        let inputs = self.x.chunks_exact(self.cols).zip(self.dy.chunks_exact(self.cols));
        let rows = inputs.zip(self.dx.chunks_exact_mut(self.cols)).zip(self.stats.chunks_exact(2));
        for (((x, dy), g), stats) in rows {
            let (center, inv) = (stats[0], stats[1]);
            g.copy_from_slice(dy);
            if let Some(gamma) = self.gamma {
                g.iter_mut().zip(gamma).for_each(|(g, &gamma)| *g *= gamma);
            }
            let (origin, mean) = if self.kind.is_centered() {
                (center, sum_of(g, g, |g, _| g) / count)
            } else {
                (T::ZERO, T::ZERO)
            };
            let dot = sum_of(g, x, |g, x| g * (x - origin));
            let dot = match self.kind {
                Normalization::L2 { .. } if inv >= bound => T::ZERO,
                Normalization::L2 { .. } => dot,
                _ => dot / count,
            };
            // inv^3 alone may pass the range.
            let slope = inv * dot * inv;
            g.iter_mut().zip(x).for_each(|(g, &x)| *g = inv * (*g - mean - slope * (x - center)));
        }
    }
}

struct Gamma<'a, T> {
    kind: Normalization,
    cols: usize,
    /// The tile's first column.
    first: usize,
    x: &'a [T],
    stats: &'a [T],
    dy: &'a [T],
    dgamma: &'a mut [T],
}

impl<T: Real> Kernel<T> for Gamma<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Lanes<T = T>>(self, _: S) {
        let columns = self.first..self.first + self.dgamma.len();
        let block = RUN * self.cols;
        let inputs = self.x.chunks(block).zip(self.dy.chunks(block));
        for ((x, dy), stats) in inputs.zip(self.stats.chunks(2 * RUN)) {
            let mut sums = [T::ZERO; TILE];
            let rows = x.chunks_exact(self.cols).zip(dy.chunks_exact(self.cols));
            for ((x, dy), stats) in rows.zip(stats.chunks_exact(2)) {
                let (origin, inv) = (if self.kind.is_centered() { stats[0] } else { T::ZERO }, stats[1]);
                let row = x[columns.clone()].iter().zip(&dy[columns.clone()]);
                sums.iter_mut().zip(row).for_each(|(sum, (&x, &dy))| *sum += dy * ((x - origin) * inv));
            }
            self.dgamma.iter_mut().zip(sums).for_each(|(dgamma, sum)| *dgamma += sum);
        }
    }
}
