//! The mean or maximum over the valid steps of a sequence, and its gradient.

use crate::error::{check_len, volume};
use crate::{Pool, Real, Result, VALID, parallel};

/// Columns that are worked on together.
const TILE: usize = 128;
/// Steps that are added one by one before they join the sum: its error grows with the steps over this.
const RUN: usize = 32;

/// Sizes of a sequence `[time, batch, cols]`.
#[derive(Clone, Copy)]
struct Shape {
    time: usize,
    batch: usize,
    cols: usize,
}

impl Shape {
    fn check(
        self,
        op: &'static str,
        flags: Option<&[u32]>,
        x: usize,
        pooled: &[(&'static str, usize)],
    ) -> Result<()> {
        check_len(op, "x", volume(op, &[self.time, self.batch, self.cols])?, x)?;
        let steps = volume(op, &[self.time, self.batch])?;
        check_len(op, "flags", steps, flags.map_or(steps, <[u32]>::len))?;
        let rows = volume(op, &[self.batch, self.cols])?;
        pooled.iter().try_for_each(|&(what, len)| check_len(op, what, rows, len))
    }

    fn is_valid(self, flags: Option<&[u32]>, t: usize, b: usize) -> bool {
        flags.is_none_or(|flags| flags[t * self.batch + b] & VALID != 0)
    }
}

/// `y[b, :]` = the mean or the maximum of `x[t, b, :]` over the steps whose flag has VALID, all without flags; 0 where there is
/// none. `count` takes how many steps that is (of a maximum, those that have it) for the gradient.
/// `x [time, batch, cols]`, `flags [time, batch]`, `y` and `count [batch, cols]`.
///
/// # Errors
/// [`crate::Error::Length`].
#[allow(clippy::too_many_arguments)]
pub fn pool_time<T: Real>(
    pool: Pool,
    time: usize,
    batch: usize,
    cols: usize,
    flags: Option<&[u32]>,
    x: &[T],
    count: &mut [T],
    y: &mut [T],
) -> Result<()> {
    let shape = Shape { time, batch, cols };
    shape.check("pool_time", flags, x.len(), &[("count", count.len()), ("y", y.len())])?;
    if y.is_empty() {
        return Ok(());
    }
    let chunk =
        (parallel::MEMORY.chunk(x.len().max(1), time.max(1) * cols) / time.max(1)).max(cols) / cols * cols;
    let pieces = count.chunks_mut(chunk).zip(y.chunks_mut(chunk)).enumerate();
    parallel::share_out(pieces, |(piece, (count, y))| {
        let rows = count.chunks_exact_mut(cols).zip(y.chunks_exact_mut(cols));
        for (i, (count, y)) in rows.enumerate() {
            let b = piece * (chunk / cols) + i;
            for (tile, (count, y)) in count.chunks_mut(TILE).zip(y.chunks_mut(TILE)).enumerate() {
                let steps = |t: usize| {
                    let at = (t * batch + b) * cols + tile * TILE;
                    shape.is_valid(flags, t, b).then(|| &x[at..at + TILE.min(cols - tile * TILE)])
                };
                match pool {
                    Pool::Average => average(time, steps, count, y),
                    Pool::Max => maximum(time, steps, count, y),
                }
            }
        }
    });
    Ok(())
}

fn average<'a, T: Real>(time: usize, steps: impl Fn(usize) -> Option<&'a [T]>, count: &mut [T], y: &mut [T]) {
    y.fill(T::ZERO);
    let mut found = 0;
    for start in (0..time).step_by(RUN) {
        let mut run = [T::ZERO; TILE];
        for x in (start..(start + RUN).min(time)).filter_map(&steps) {
            run.iter_mut().zip(x).for_each(|(run, &x)| *run += x);
            found += 1;
        }
        y.iter_mut().zip(run).for_each(|(y, run)| *y += run);
    }
    count.fill(T::from_usize(found));
    if found > 0 {
        y.iter_mut().for_each(|y| *y /= T::from_usize(found));
    }
}

fn maximum<'a, T: Real>(time: usize, steps: impl Fn(usize) -> Option<&'a [T]>, count: &mut [T], y: &mut [T]) {
    y.fill(T::ZERO);
    count.fill(T::ZERO);
    for x in (0..time).filter_map(steps) {
        for ((&x, y), count) in x.iter().zip(&mut *y).zip(&mut *count) {
            if *count == T::ZERO || x > *y || (x.is_nan() && !y.is_nan()) {
                (*y, *count) = (x, T::ONE);
            } else if x == *y {
                *count += T::ONE;
            }
        }
    }
}

/// The gradient of [`pool_time`]: `dx[t, b, :] = dy[b, :] / count[b, :]` at the steps that took part in the mean, or have the
/// maximum; 0 elsewhere. `x`, `y` and `count` are those of the forward pass.
///
/// # Errors
/// [`crate::Error::Length`].
#[allow(clippy::too_many_arguments)]
pub fn pool_time_backward<T: Real>(
    pool: Pool,
    time: usize,
    batch: usize,
    cols: usize,
    flags: Option<&[u32]>,
    x: &[T],
    y: &[T],
    count: &[T],
    dy: &[T],
    dx: &mut [T],
) -> Result<()> {
    let op = "pool_time_backward";
    let shape = Shape { time, batch, cols };
    shape.check(op, flags, x.len(), &[("y", y.len()), ("count", count.len()), ("dy", dy.len())])?;
    check_len(op, "dx", x.len(), dx.len())?;
    if dx.is_empty() {
        return Ok(());
    }
    let n = batch * cols;
    let chunk = parallel::MEMORY.chunk(x.len(), n);
    let pieces = x.chunks(chunk).zip(dx.chunks_mut(chunk)).enumerate();
    parallel::share_out(pieces, |(piece, (x, dx))| {
        for (i, (x, dx)) in x.chunks_exact(cols).zip(dx.chunks_exact_mut(cols)).enumerate() {
            let row = piece * (chunk / cols) + i;
            let (t, b) = (row / batch, row % batch);
            if !shape.is_valid(flags, t, b) {
                dx.fill(T::ZERO);
                continue;
            }
            let from = b * cols..(b + 1) * cols;
            let shares = dy[from.clone()].iter().zip(&count[from.clone()]).map(|(&dy, &count)| dy / count);
            for (((dx, share), &x), &y) in dx.iter_mut().zip(shares).zip(x).zip(&y[from]) {
                *dx = if pool == Pool::Average || x == y { share } else { T::ZERO };
            }
        }
    });
    Ok(())
}
