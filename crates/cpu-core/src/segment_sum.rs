//! Sums of long arrays in a fixed order.
//!
//! Runs of at most 4096 values are summed in vector lanes, 64 or fewer additions after one another, and runs are joined
//! pairwise: the rounding error of a sum of `n` values grows with `log2 n`, and the order depends on `n` alone (and on
//! the width of the machine's vectors).

use crate::error::check_len;
use crate::math::{Kernel, Lanes, WIDEST, dispatch};
use crate::{Error, Real, Result, parallel};

/// Values that are summed without dividing further.
const RUN: usize = 4096;

/// `out[0] = sum(x)`, or with `accumulate` `out[0] += sum(x)`.
///
/// # Errors
/// [`Error::Length`] where `out` does not have one element.
pub fn sum_all<T: Real>(x: &[T], out: &mut [T], accumulate: bool) -> Result<()> {
    check_len("sum_all", "out", 1, out.len())?;
    let sum = pairwise(x, false);
    out[0] = if accumulate { out[0] + sum } else { sum };
    Ok(())
}

/// `out[s]` = sum of the squares of segment `s` of `x`; `segments` holds pairs (offset, length).
///
/// # Errors
/// [`Error::Length`] where `segments` is not made of pairs or `out` is not as long as there are segments;
/// [`Error::OutOfRange`] where a segment ends past the end of `x`.
pub fn segment_norms<T: Real>(segments: &[u32], x: &[T], out: &mut [T]) -> Result<()> {
    let op = "segment_norms";
    check_segments(op, segments, x.len())?;
    check_len(op, "out", segments.len() / 2, out.len())?;
    for (out, range) in out.iter_mut().zip(ranges(segments)) {
        *out = pairwise(&x[range], true);
    }
    Ok(())
}

/// The ranges of a list of pairs (offset, length).
pub(crate) fn ranges(segments: &[u32]) -> impl Iterator<Item = std::ops::Range<usize>> {
    segments.as_chunks::<2>().0.iter().map(|&[offset, len]| offset as usize..offset as usize + len as usize)
}

/// Refuses a list that is not made of pairs, or a segment past the end of an array of `len` elements.
pub(crate) fn check_segments(op: &'static str, segments: &[u32], len: usize) -> Result<()> {
    check_len(op, "segments, pairs of offset and length,", segments.len() / 2 * 2, segments.len())?;
    match ranges(segments).find(|range| range.end > len) {
        None => Ok(()),
        Some(range) => {
            Err(Error::OutOfRange { op, what: "the end of a segment", got: range.end as f64, limit: len + 1 })
        }
    }
}

/// The sum of the values, or of their squares.
pub(crate) fn pairwise<T: Real>(x: &[T], square: bool) -> T {
    let chunk = parallel::MEMORY.chunk(x.len(), RUN);
    if chunk >= x.len() {
        return tree(0, x.len().div_ceil(RUN), &|i| {
            let x = &x[i * RUN..];
            dispatch(Run { x: &x[..x.len().min(RUN)], square })
        });
    }
    let mut sums = vec![T::ZERO; x.len().div_ceil(RUN)];
    parallel::share_out(x.chunks(chunk).zip(sums.chunks_mut(chunk / RUN)), |(x, sums)| {
        for (x, sum) in x.chunks(RUN).zip(sums) {
            *sum = dispatch(Run { x, square });
        }
    });
    tree(0, sums.len(), &|i| sums[i])
}

/// `sum(first) + .. + sum(end - 1)`, pairwise.
fn tree<T: Real>(first: usize, end: usize, sum: &impl Fn(usize) -> T) -> T {
    match end - first {
        0 => T::ZERO,
        1 => sum(first),
        n => {
            let middle = first + n.div_ceil(2);
            tree(first, middle, sum) + tree(middle, end, sum)
        }
    }
}

struct Run<'a, T> {
    x: &'a [T],
    square: bool,
}

impl<T: Real> Kernel<T> for Run<'_, T> {
    type Output = T;
    #[inline(always)]
    fn run<S: Lanes<T = T>>(self, s: S) -> T {
        if self.square {
            sum(
                s,
                self.x,
                T::ZERO,
                #[inline(always)]
                |sum, x| s.fma(x, x, sum),
            )
        } else {
            sum(
                s,
                self.x,
                T::ZERO,
                #[inline(always)]
                |sum, x| s.add(sum, x),
            )
        }
    }
}

/// `add(add(0, x[0]), x[1]) ..` in four vectors of lanes, joined pairwise; `add(sum, nothing)` must be `sum`.
#[inline(always)]
pub(crate) fn sum<S: Lanes>(s: S, x: &[S::T], nothing: S::T, add: impl Fn(S::V, S::V) -> S::V) -> S::T {
    let zero = s.c(0.0);
    let mut sums = [zero; 4];
    let mut blocks = x.chunks_exact(4 * S::N);
    for block in &mut blocks {
        for (sum, x) in sums.iter_mut().zip(block.chunks_exact(S::N)) {
            *sum = add(*sum, s.load(x));
        }
    }
    let mut vectors = blocks.remainder().chunks_exact(S::N);
    for (sum, x) in sums.iter_mut().zip(&mut vectors) {
        *sum = add(*sum, s.load(x));
    }
    let end = vectors.remainder();
    if !end.is_empty() {
        let mut pad = [nothing; WIDEST];
        pad[..end.len()].copy_from_slice(end);
        sums[3] = add(sums[3], s.load(&pad));
    }
    lane_sum(s, s.add(s.add(sums[0], sums[1]), s.add(sums[2], sums[3])))
}

/// The sum of the lanes of a vector, pairwise.
#[inline(always)]
fn lane_sum<S: Lanes>(s: S, v: S::V) -> S::T {
    let mut lanes = [S::T::ZERO; WIDEST];
    s.store(&mut lanes, v);
    let mut width = S::N;
    while width > 1 {
        width /= 2;
        for i in 0..width {
            lanes[i] += lanes[i + width];
        }
    }
    lanes[0]
}
