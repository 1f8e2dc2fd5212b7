//! The product at the heart of a step: a tile of rows times a panel of packed columns, sums in registers.
//!
//! A panel is `[k][vectors][N]`: for each `k` up to four vectors of `N` columns, contiguous, so that the inner loop
//! reads the weights as one stream. With six rows and four vectors the 24 sums, four weights and one broadcast fill
//! AVX-512's registers, and each weight that is read serves six rows.

use crate::math::{Kernel, Lanes, dispatch};

/// Rows in the largest tile.
pub(super) const MOST_ROWS: usize = 8;
/// Vectors in the widest panel.
pub(super) const MOST_VECTORS: usize = 4;
/// Numbers in the largest tile's result.
pub(super) const TILE_LEN: usize = MOST_ROWS * MOST_VECTORS * 16;

/// The result of a tile, `[rows][vectors][N]`.
#[repr(align(64))]
pub(super) struct TileBuffer(pub [f32; TILE_LEN]);

/// Most rows of a tile of `vectors` vectors so that its sums stay in registers.
#[inline(always)]
pub(super) const fn most_rows<S: Lanes>(vectors: usize) -> usize {
    match (S::N, vectors) {
        (16, 1..=3) => 8,
        (16, _) => 6,
        (_, 1) => 8,
        (_, 2) => 5,
        (_, 3) => 4,
        (_, _) => 3,
    }
}

/// `n` rows in tiles of at most `most`, as even as possible: `(first, rows)` of each.
#[inline(always)]
pub(super) fn balanced(n: usize, most: usize) -> Balanced {
    Balanced { next: 0, n, tiles: n.div_ceil(most) }
}

/// See [`balanced`]. An iterator and not a function that takes a closure: a closure is not compiled for the
/// instruction set that its surroundings are compiled for.
pub(super) struct Balanced {
    next: usize,
    n: usize,
    tiles: usize,
}

impl Iterator for Balanced {
    type Item = (usize, usize);
    #[inline(always)]
    fn next(&mut self) -> Option<(usize, usize)> {
        if self.tiles == 0 {
            return None;
        }
        let (first, rows) = (self.next, (self.n - self.next).div_ceil(self.tiles));
        self.next += rows;
        self.tiles -= 1;
        Some((first, rows))
    }
}

/// Pointers to the rows of a tile; only the first rows of the tile are read.
pub(super) type Rows = [*const f32; MOST_ROWS];

/// `acc[r][v] += sum over k of rows[r][k] * panel[k][v]`
///
/// # Safety
/// Every one of the first `R` rows holds `k` numbers, the panel `k * V * N`.
#[inline(always)]
unsafe fn multiply<S: Lanes<T = f32>, const R: usize, const V: usize>(
    s: S,
    acc: &mut [[S::V; V]; R],
    rows: &Rows,
    k: usize,
    panel: *const f32,
) {
    let mut weights = panel;
    for p in 0..k {
        // SAFETY: `p < k`, and the caller says that rows and panel are that long.
        unsafe {
            let mut w = [s.splat(0.0); V];
            for v in 0..V {
                w[v] = s.load(std::slice::from_raw_parts(weights.add(v * S::N), S::N));
            }
            for r in 0..R {
                let x = s.splat(*rows[r].add(p));
                for v in 0..V {
                    acc[r][v] = s.fma(x, w[v], acc[r][v]);
                }
            }
            weights = weights.add(V * S::N);
        }
    }
}

/// One product of a tile: rows of `k` numbers times a panel.
#[derive(Clone, Copy)]
pub(super) struct Term<'a> {
    pub rows: &'a Rows,
    pub k: usize,
    pub panel: *const f32,
}

/// What a tile's sums start from.
#[derive(Clone, Copy)]
pub(super) enum Start<'a> {
    Zero,
    /// the same `[vectors][N]` for every row
    Same(*const f32),
    /// `[vectors][N]` of its own for every row
    Each(&'a Rows),
}

/// A tile on its way to the instruction set. It is not inlined into its callers, so that each size exists once.
pub(super) struct Tile<'a, const V: usize> {
    rows: usize,
    start: Start<'a>,
    terms: &'a [Term<'a>],
    out: Out<'a>,
}

/// Where a tile's result goes.
#[derive(Clone, Copy)]
enum Out<'a> {
    /// row `r` at `r * stride`
    Strided(*mut f32, usize),
    Scattered(&'a [*mut f32; MOST_ROWS]),
}

impl<'a, const V: usize> Tile<'a, V> {
    /// Writes `start + sum of terms` for a tile of `rows` rows to `out[r * stride + v * N]`.
    ///
    /// # Safety
    /// Every one of the first `rows` rows of a term holds `k` numbers, its panel `k * V * N`; a start's rows hold
    /// `V * N` numbers; `out` has room. `out` may be where the start's rows are.
    #[inline(always)]
    pub unsafe fn run(rows: usize, start: Start<'a>, terms: &'a [Term<'a>], out: *mut f32, stride: usize) {
        dispatch(Self { rows, start, terms, out: Out::Strided(out, stride) });
    }
}

impl<'a> Tile<'a, 0> {
    /// [`Tile::run`] with the number of vectors known at run time.
    ///
    /// # Safety
    /// As there.
    #[inline(always)]
    pub unsafe fn of(
        vectors: usize,
        rows: usize,
        start: Start<'a>,
        terms: &'a [Term<'a>],
        out: *mut f32,
        stride: usize,
    ) {
        Self::any(vectors, rows, start, terms, Out::Strided(out, stride));
    }

    /// [`Tile::of`] with a place of its own for every row's result.
    ///
    /// # Safety
    /// As there.
    #[inline(always)]
    pub unsafe fn scattered(
        vectors: usize,
        rows: usize,
        start: Start<'a>,
        terms: &'a [Term<'a>],
        out: &'a [*mut f32; MOST_ROWS],
    ) {
        Self::any(vectors, rows, start, terms, Out::Scattered(out));
    }

    #[inline(always)]
    fn any(vectors: usize, rows: usize, start: Start<'a>, terms: &'a [Term<'a>], out: Out<'a>) {
        match vectors {
            1 => dispatch(Tile::<1> { rows, start, terms, out }),
            2 => dispatch(Tile::<2> { rows, start, terms, out }),
            3 => dispatch(Tile::<3> { rows, start, terms, out }),
            4 => dispatch(Tile::<4> { rows, start, terms, out }),
            _ => unreachable!("a panel has 1 to {MOST_VECTORS} vectors"),
        }
    }
}

impl<const V: usize> Kernel<f32> for Tile<'_, V> {
    type Output = ();
    #[inline(always)]
    fn run<S: Lanes<T = f32>>(self, s: S) {
        match self.rows {
            1 => self.fixed::<S, 1>(s),
            2 => self.fixed::<S, 2>(s),
            3 => self.fixed::<S, 3>(s),
            4 => self.fixed::<S, 4>(s),
            5 => self.fixed::<S, 5>(s),
            6 => self.fixed::<S, 6>(s),
            7 => self.fixed::<S, 7>(s),
            8 => self.fixed::<S, 8>(s),
            _ => unreachable!("a tile has 1 to {MOST_ROWS} rows"),
        }
    }
}

impl<const V: usize> Tile<'_, V> {
    #[inline(always)]
    fn fixed<S: Lanes<T = f32>, const R: usize>(self, s: S) {
        if R > most_rows::<S>(V) {
            unreachable!("tiles are cut to fit the registers");
        }
        let mut acc = [[s.splat(0.0); V]; R];
        for r in 0..R {
            let from = match self.start {
                Start::Zero => continue,
                Start::Same(from) => from,
                Start::Each(rows) => rows[r],
            };
            for v in 0..V {
                // SAFETY: the maker's: the start holds `V * N` numbers.
                acc[r][v] = s.load(unsafe { std::slice::from_raw_parts(from.add(v * S::N), S::N) });
            }
        }
        for term in self.terms {
            // SAFETY: the maker's.
            unsafe { multiply(s, &mut acc, term.rows, term.k, term.panel) };
        }
        for r in 0..R {
            let to = match self.out {
                Out::Strided(out, stride) => out.wrapping_add(r * stride),
                Out::Scattered(rows) => rows[r],
            };
            for v in 0..V {
                // SAFETY: the maker's: there is room for the tile.
                s.store(unsafe { std::slice::from_raw_parts_mut(to.add(v * S::N), S::N) }, acc[r][v]);
            }
        }
    }
}
