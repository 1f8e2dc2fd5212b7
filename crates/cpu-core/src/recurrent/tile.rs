//! The product at the heart of a step: a tile of rows times a panel of packed columns, sums in registers.
//!
//! A panel is `[k][vectors][N]`: for each `k` up to four vectors of `N` columns, contiguous, so that the inner loop
//! reads the weights as one stream. With six rows and four vectors the 24 sums, four weights and one broadcast fill
//! AVX-512's registers, and each weight that is read serves six rows.

use super::form::Form;
#[cfg(target_arch = "x86_64")]
use super::tiles;
use crate::math::{Kernel, Lanes, Level, run_f32};

/// Rows in the largest tile.
pub(super) const MOST_ROWS: usize = 8;
/// Vectors in the widest panel.
pub(super) const MOST_VECTORS: usize = 4;
/// Rows whose sums are kept in the cache while the panel's blocks go by.
pub(super) const GROUP: usize = 48;
/// Bytes of a block of a panel: with operands and sums it stays in a first-level cache of 48 KiB.
const BLOCK_BYTES: usize = 32 * 1024;
/// Steps of the inner loop that are written out.
const UNROLL: usize = 4;

/// Sums of a group, `[vectors][items][N]`. An item is a row of a panel; where rows are few, several panels are in one
/// group.
#[repr(align(64))]
pub(super) struct Sums([f32; SUMS]);

/// Room for a group, and for the three items that a step of four may read after the last one.
const SUMS: usize = GROUP * MOST_VECTORS * 16 + 3 * 16;

impl Sums {
    pub fn new() -> Self {
        Sums([0.0; SUMS])
    }

    /// Vectors `from..to` of every item, for `items` items.
    #[inline(always)]
    pub fn vectors<S: Lanes>(&mut self, _: S, items: usize, from: usize, to: usize) -> &mut [f32] {
        &mut self.0[from * items * S::N..to * items * S::N]
    }

    /// Vector `v` of item `item`.
    #[inline(always)]
    pub fn get<S: Lanes<T = f32>>(&self, s: S, items: usize, v: usize, item: usize) -> S::V {
        s.load(&self.0[(v * items + item) * S::N..][..S::N])
    }

    /// Vector `v` of four items; of those after the last item it is another number that is there.
    #[inline(always)]
    pub fn four<S: Lanes<T = f32>>(&self, s: S, items: usize, v: usize, first: usize) -> [S::V; 4] {
        let from = &self.0[(v * items + first) * S::N..][..4 * S::N];
        [s.load(from), s.load(&from[S::N..]), s.load(&from[2 * S::N..]), s.load(&from[3 * S::N..])]
    }

    /// Overwrites vector `v` of item `item`.
    #[inline(always)]
    pub fn set<S: Lanes<T = f32>>(&mut self, s: S, items: usize, v: usize, item: usize, to: S::V) {
        s.store(&mut self.0[(v * items + item) * S::N..][..S::N], to);
    }
}

/// Panels that go into one group of `rows` rows.
#[inline(always)]
pub(super) fn panels_at_once(rows: usize) -> usize {
    (GROUP / rows.max(1)).max(1)
}

/// Most rows of a tile of `vectors` vectors so that its sums stay in registers.
#[inline(always)]
pub(super) const fn most_rows<S: Lanes>(vectors: usize) -> usize {
    match (S::N, vectors) {
        // AVX2 has 16 registers, the others 32.
        (8, 1) => 8,
        (8, 2) => 5,
        (8, 3) => 4,
        (8, _) => 3,
        (_, 1..=3) => 8,
        (_, _) => 6,
    }
}

/// `n` rows in pieces of at most `most`, as even as possible: `(first, rows)` of each.
#[inline(always)]
pub(super) fn balanced(n: usize, most: usize) -> Balanced {
    Balanced { next: 0, n, pieces: n.div_ceil(most), whole: 1 }
}

/// See [`balanced`]. An iterator and not a function that takes a closure: a closure is not compiled for the
/// instruction set that its surroundings are compiled for.
pub(super) struct Balanced {
    next: usize,
    n: usize,
    pieces: usize,
    whole: usize,
}

impl Balanced {
    /// All pieces but the last are multiples of `whole`, by which `most` can be divided.
    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    pub fn of_whole(self, whole: usize) -> Self {
        Balanced { whole, ..self }
    }
}

impl Iterator for Balanced {
    type Item = (usize, usize);
    #[inline(always)]
    fn next(&mut self) -> Option<(usize, usize)> {
        if self.pieces == 0 {
            return None;
        }
        let left = self.n - self.next;
        let rows = left.div_ceil(self.pieces).next_multiple_of(self.whole).min(left);
        let first = self.next;
        self.next += rows;
        self.pieces -= 1;
        Some((first, rows))
    }
}

/// Pointers to a vector per row of a tile; only the first rows of the tile are read.
pub(super) type Rows = [*const f32; MOST_ROWS];
/// No rows.
pub(super) const NO_ROWS: Rows = [std::ptr::null(); MOST_ROWS];

/// The left operand: row `r` begins at `first + r * stride`.
#[derive(Clone, Copy)]
pub(super) struct Operand {
    pub first: *const f32,
    pub stride: usize,
}

impl Operand {
    /// From row `row` and number `skip` of its rows on.
    #[inline(always)]
    pub fn from(self, row: usize, skip: usize) -> Self {
        Operand { first: self.first.wrapping_add(row * self.stride + skip), ..self }
    }
}

/// Numbers from one staged row to the next. Rows a power of two apart would all fall into a few sets of the
/// first-level cache, which then holds a fraction of them; a line more spreads them.
#[inline]
pub(super) fn staged_stride(len: usize) -> usize {
    len.next_multiple_of(16) + 16
}

/// Memory to be fetched into the second-level cache meanwhile: this many lines from here, per `k`.
#[derive(Clone, Copy)]
pub(super) struct Ahead {
    pub from: *const f32,
    pub lines: usize,
}

impl Ahead {
    /// None.
    pub const NOTHING: Ahead = Ahead { from: std::ptr::null(), lines: 0 };
}

/// A tile on its way to the instruction set. Each number of vectors and rows exists once, for all callers.
///
/// `out[v * stride + r * N] = starts[r][v * start_stride] + sum over k of operand[r][k] * panel[k][v]`, each a vector.
#[derive(Clone, Copy)]
struct Tile {
    level: Level,
    rows: usize,
    starts: Rows,
    start_stride: usize,
    operand: Operand,
    k: usize,
    panel: *const f32,
    out: *mut f32,
    stride: usize,
    ahead: Ahead,
}

impl Tile {
    /// # Safety
    /// The first `rows` rows of the operand hold `k` numbers, the panel `k * vectors * N`; starts and `out` hold a
    /// vector everywhere, and `out` is used by nobody else.
    #[inline(always)]
    unsafe fn run(&self, vectors: usize) {
        match vectors {
            1 => run_f32(self.level, Of::<1>(self)),
            2 => run_f32(self.level, Of::<2>(self)),
            3 => run_f32(self.level, Of::<3>(self)),
            4 => run_f32(self.level, Of::<4>(self)),
            _ => unreachable!("a panel has 1 to {MOST_VECTORS} vectors"),
        }
    }
}

/// A tile of so many vectors. By reference: a copy of what was just written in pieces would wait for all of them.
struct Of<'a, const V: usize>(&'a Tile);

impl<const V: usize> Kernel<f32> for Of<'_, V> {
    type Output = ();
    #[inline(always)]
    fn run<S: Lanes<T = f32>>(self, s: S) {
        // SAFETY: the maker's.
        unsafe {
            match self.0.rows {
                1 => fixed::<S, 1, V>(s, self.0),
                2 => fixed::<S, 2, V>(s, self.0),
                3 => fixed::<S, 3, V>(s, self.0),
                4 => fixed::<S, 4, V>(s, self.0),
                5 => fixed::<S, 5, V>(s, self.0),
                6 => fixed::<S, 6, V>(s, self.0),
                7 => fixed::<S, 7, V>(s, self.0),
                8 => fixed::<S, 8, V>(s, self.0),
                _ => unreachable!("a tile has 1 to {MOST_ROWS} rows"),
            }
        }
    }
}

/// # Safety
/// As [`Tile::run`].
#[inline(always)]
unsafe fn fixed<S: Lanes<T = f32>, const R: usize, const V: usize>(s: S, tile: &Tile) {
    if R > most_rows::<S>(V) {
        unreachable!("tiles are cut to fit the registers");
    }
    // SAFETY: the caller's.
    unsafe {
        if tile.ahead.lines == 0 {
            multiply::<S, R, V, false>(s, tile);
        } else {
            multiply::<S, R, V, true>(s, tile);
        }
    }
}

/// # Safety
/// As [`Tile::run`].
#[inline(always)]
unsafe fn multiply<S: Lanes<T = f32>, const R: usize, const V: usize, const FETCH: bool>(s: S, tile: &Tile) {
    // All loops over `R` and `V` have to be unrolled, so that the sums are only indexed by constants and live in
    // registers: no match inside them, and no call that is not inlined.
    let mut sums = [[s.splat(0.0); V]; R];
    let mut rows = [tile.operand.first; R];
    for r in 0..R {
        rows[r] = tile.operand.from(r, 0).first;
        for v in 0..V {
            let from = tile.starts[r].wrapping_add(v * tile.start_stride);
            // SAFETY: the caller's.
            sums[r][v] = s.load(unsafe { std::slice::from_raw_parts(from, S::N) });
        }
    }
    let mut weights = tile.panel;
    let mut ahead = tile.ahead;
    let whole = tile.k - tile.k % UNROLL;
    for first in (0..whole).step_by(UNROLL) {
        if FETCH {
            for _ in 0..ahead.lines * UNROLL {
                fetch(ahead.from);
                ahead.from = ahead.from.wrapping_add(16);
            }
        }
        for p in first..first + UNROLL {
            // SAFETY: `p < k`, and the caller says that rows and panel are that long.
            unsafe { add(s, &mut sums, &rows, p, weights) };
            weights = weights.wrapping_add(V * S::N);
        }
    }
    for p in whole..tile.k {
        // SAFETY: as above.
        unsafe { add(s, &mut sums, &rows, p, weights) };
        weights = weights.wrapping_add(V * S::N);
    }
    for r in 0..R {
        for v in 0..V {
            let to = tile.out.wrapping_add(v * tile.stride + r * S::N);
            // SAFETY: the caller's.
            s.store(unsafe { std::slice::from_raw_parts_mut(to, S::N) }, sums[r][v]);
        }
    }
}

/// `sums[r][v] += rows[r][p] * weights[v]`
///
/// # Safety
/// The rows hold more than `p` numbers, the weights `V` vectors.
#[inline(always)]
unsafe fn add<S: Lanes<T = f32>, const R: usize, const V: usize>(
    s: S,
    sums: &mut [[S::V; V]; R],
    rows: &[*const f32; R],
    p: usize,
    weights: *const f32,
) {
    // SAFETY: the caller's.
    unsafe {
        let mut w = [s.splat(0.0); V];
        for v in 0..V {
            w[v] = s.load(std::slice::from_raw_parts(weights.add(v * S::N), S::N));
        }
        for r in 0..R {
            let x = s.splat(*rows[r].add(p));
            for v in 0..V {
                sums[r][v] = s.fma(x, w[v], sums[r][v]);
            }
        }
    }
}

/// Asks for a line of memory in the second-level cache.
#[inline(always)]
pub(super) fn fetch(line: *const f32) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch of any address is allowed and never faults.
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T1 }>(line.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = line;
}

/// The product of a group of rows with one panel.
#[derive(Clone, Copy)]
pub(super) struct Product {
    pub vectors: usize,
    pub operand: Operand,
    /// length of the operand's rows
    pub k: usize,
    pub panel: *const f32,
    pub level: Level,
    pub form: Form,
    /// the weights do not stay in the second-level cache: fetch ahead
    pub stream: bool,
}

/// What the sums of a tile start from.
pub(super) enum Starting {
    Zero,
    /// the same `[vectors][N]` for every row
    Same(*const f32),
    /// `[vectors][N]` of its own for every row
    Each(Rows),
    /// what is in the place of the result
    Sums,
}

impl Starting {
    /// The first vector of each row and the way from one vector to the next; nothing where they are in place.
    #[inline(always)]
    pub fn pointers(self, lanes: usize) -> Option<(Rows, usize)> {
        match self {
            Starting::Zero => Some(([ZEROS.0.as_ptr(); MOST_ROWS], 0)),
            Starting::Same(from) => Some(([from; MOST_ROWS], lanes)),
            Starting::Each(rows) => Some((rows, lanes)),
            Starting::Sums => None,
        }
    }
}

/// `sums[v][item + row] = start + operand[row] * panel` for `n` rows, where `starting(first, rows)` gives what a tile
/// starts from.
///
/// The panel is taken in blocks that stay in the first-level cache while the tiles go over them; the sums wait in
/// `sums`, which holds `items` items.
///
/// # Safety
/// As [`Tile::run`].
#[inline(always)]
pub(super) unsafe fn product<S: Lanes<T = f32>>(
    s: S,
    product: Product,
    n: usize,
    sums: &mut Sums,
    (item, items): (usize, usize),
    starting: impl Fn(usize, usize) -> Starting,
) {
    match product.form {
        Form::Vectors => {}
        // SAFETY: the caller's.
        #[cfg(target_arch = "x86_64")]
        Form::Tiles => return unsafe { tiles::product(s, product, n, sums, (item, items), starting) },
    }
    let _ = s;
    let Product { vectors, operand, k, panel, level, stream, .. } = product;
    let most = most_rows::<S>(vectors);
    let tiles = n.div_ceil(most);
    let lines = if stream { vectors.div_ceil(tiles) } else { 0 };
    let block = if tiles > 1 { (BLOCK_BYTES / (4 * S::N * vectors)).max(1) } else { k.max(1) };
    let blocks = Balanced { next: 0, n: k, pieces: k.div_ceil(block).max(1), whole: 1 };
    let width = vectors * S::N;
    for (first, len) in blocks {
        let next = panel.wrapping_add((first + len) * width);
        for (i, (at, rows)) in balanced(n, most).enumerate() {
            let out = sums.0.as_mut_ptr().wrapping_add((item + at) * S::N);
            let in_place = || {
                let mut starts = NO_ROWS;
                (0..MOST_ROWS).for_each(|r| starts[r] = out.wrapping_add(r * S::N));
                (starts, items * S::N)
            };
            let (starts, start_stride) = if first == 0 {
                starting(at, rows).pointers(S::N).unwrap_or_else(in_place)
            } else {
                in_place()
            };
            let ahead = if i * lines < vectors {
                Ahead { from: next.wrapping_add(i * len * lines * 16), lines }
            } else {
                Ahead::NOTHING
            };
            let (operand, panel) = (operand.from(at, first), panel.wrapping_add(first * width));
            let (k, stride) = (len, items * S::N);
            // SAFETY: the caller's.
            unsafe {
                Tile { level, rows, starts, start_stride, operand, k, panel, out, stride, ahead }.run(vectors)
            };
        }
    }
}

/// The widest vector of zeros.
static ZEROS: Zeros = Zeros([0.0; 16]);
#[repr(align(64))]
struct Zeros([f32; 16]);
