//! Gradients of the bias and of a kernel with few inputs: one pass over the gate gradients, which a product of so few
//! rows would spend its time reading twice.

use crate::Real;
use crate::math::{Kernel, Lanes, dispatch};
use crate::team::{cores, run_parts, share};

/// Most inputs of a kernel that is thin.
pub(super) const MOST_INPUTS: usize = 4;
/// Columns that a thread takes at a time.
const CHUNK: usize = 64;
/// Rows that are summed up before they are added to the total: the error grows with the number of blocks and not of
/// rows.
pub(super) const BLOCK: usize = 128;
/// Gate gradients that pay for handing a part to another thread.
const HANDOFF: usize = 1 << 16;

/// Length of the result of [`sums`].
pub(super) fn sums_len(width: usize, inputs: usize) -> usize {
    width.div_ceil(CHUNK) * CHUNK * (inputs + 1)
}

/// Where column `column` of sum `i` is in the result of [`sums`].
#[inline]
pub(super) fn place(inputs: usize, i: usize, column: usize) -> usize {
    (column / CHUNK * (inputs + 1) + i) * CHUNK + column % CHUNK
}

/// `out[i] = sum over rows of x[row, i] * da[row, ..]` for `i` in `0..inputs`, and `out[inputs]` without a factor; where
/// it is, see [`place`]. `da [rows, width]`, `x [rows, inputs]`.
pub(super) fn sums<T: Real>(width: usize, da: &[T], inputs: usize, x: &[T], out: &mut [T], threads: usize) {
    let chunks = width.div_ceil(CHUNK);
    let parts = if da.len() < HANDOFF { 1 } else { threads.clamp(1, cores()) };
    let chunk_len = CHUNK * (inputs + 1);
    let start = Shared(out.as_mut_ptr());
    let start = &start;
    assert!(out.len() >= chunks * chunk_len, "room for every chunk");
    run_parts(parts, |part| {
        for chunk in share(chunks, part, parts) {
            // SAFETY: chunks lie inside, as asserted, and do not overlap; each is one part's.
            let out = unsafe { std::slice::from_raw_parts_mut(start.0.add(chunk * chunk_len), chunk_len) };
            let first = chunk * CHUNK;
            let columns = CHUNK.min(width - first);
            match inputs {
                0 => dispatch(Chunk::<T, 0> { width, first, columns, da, x, out }),
                1 => dispatch(Chunk::<T, 1> { width, first, columns, da, x, out }),
                2 => dispatch(Chunk::<T, 2> { width, first, columns, da, x, out }),
                3 => dispatch(Chunk::<T, 3> { width, first, columns, da, x, out }),
                4 => dispatch(Chunk::<T, 4> { width, first, columns, da, x, out }),
                _ => unreachable!("a thin kernel has at most {MOST_INPUTS} inputs"),
            }
        }
    });
}

/// A result that several threads write at disjoint places.
struct Shared<T>(*mut T);

// SAFETY: it is only an address; `sums` says why what is done with it is sound.
unsafe impl<T: Send> Sync for Shared<T> {}

/// The sums of some columns.
struct Chunk<'a, T, const I: usize> {
    width: usize,
    first: usize,
    columns: usize,
    da: &'a [T],
    x: &'a [T],
    out: &'a mut [T],
}

impl<T: Real, const I: usize> Kernel<T> for Chunk<'_, T, I> {
    type Output = ();
    #[inline(always)]
    fn run<S: Lanes<T = T>>(mut self, s: S) {
        self.out.fill(T::ZERO);
        let mut column = 0;
        while column + 4 * S::N <= self.columns {
            self.add::<S, 4>(s, column);
            column += 4 * S::N;
        }
        while column + S::N <= self.columns {
            self.add::<S, 1>(s, column);
            column += S::N;
        }
        for (r, row) in self.da.chunks_exact(self.width).enumerate() {
            for (column, &value) in (column..self.columns).zip(&row[self.first + column..]) {
                for i in 0..I {
                    self.out[i * CHUNK + column] += self.x[r * I + i] * value;
                }
                self.out[I * CHUNK + column] += value;
            }
        }
    }
}

impl<T: Real, const I: usize> Chunk<'_, T, I> {
    /// Adds the sums of `V` vectors of columns.
    #[inline(always)]
    fn add<S: Lanes<T = T>, const V: usize>(&mut self, s: S, column: usize) {
        for (block, rows) in self.da.chunks(BLOCK * self.width).enumerate() {
            let mut plain = [s.splat(T::ZERO); V];
            let mut weighted = [[s.splat(T::ZERO); V]; I];
            for (r, row) in rows.chunks_exact(self.width).enumerate() {
                let row = &row[self.first + column..][..V * S::N];
                let x = &self.x[(block * BLOCK + r) * I..][..I];
                for v in 0..V {
                    let value = s.load(&row[v * S::N..]);
                    plain[v] = s.add(plain[v], value);
                    for i in 0..I {
                        weighted[i][v] = s.fma(s.splat(x[i]), value, weighted[i][v]);
                    }
                }
            }
            for v in 0..V {
                for i in 0..I {
                    self.add_to(s, i * CHUNK + column + v * S::N, weighted[i][v]);
                }
                self.add_to(s, I * CHUNK + column + v * S::N, plain[v]);
            }
        }
    }

    #[inline(always)]
    fn add_to<S: Lanes<T = T>>(&mut self, s: S, at: usize, v: S::V) {
        let to = &mut self.out[at..][..S::N];
        let sum = s.add(s.load(to), v);
        s.store(to, sum);
    }
}
