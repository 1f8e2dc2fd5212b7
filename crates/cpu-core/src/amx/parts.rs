//! Numbers in three parts, as the tiles take them.

use std::arch::x86_64::*;
use std::ops::Range;

use super::{DEPTH, PARTS, ROWS, TILE};

/// Writes a row of an operand, times `factors` where there are any, and zeros up to the end of `to`.
pub(crate) fn stage(row: &[f32], factors: Option<&[f32]>, to: &mut [f32]) {
    // SAFETY: whoever has numbers in tiles has found that the unit is available.
    unsafe { stage_row(row, factors, to) }
}

#[target_feature(enable = "avx512f,avx512bf16")]
fn stage_row(row: &[f32], factors: Option<&[f32]>, to: &mut [f32]) {
    for (i, block) in to.chunks_exact_mut(DEPTH * PARTS / 2).enumerate() {
        let first = (i * DEPTH).min(row.len());
        let row = &row[first..];
        let whole = match factors {
            None => pairs(load(row), load_second(row)),
            Some(factors) => {
                let factors = &factors[first..];
                let second = _mm512_mul_ps(load_second(row), load_second(factors));
                pairs(_mm512_mul_ps(load(row), load(factors)), second)
            }
        };
        for (to, part) in block.chunks_exact_mut(DEPTH / 2).zip(whole) {
            store(to, part);
        }
    }
}

/// Lines whose numbers are multiplied and summed up: rows of the first matrix of a product, columns of the second.
#[derive(Clone, Copy)]
pub(crate) struct Lines<'a> {
    pub values: &'a [f32],
    /// from a line to the next
    pub line: usize,
    /// from a number of a line to the next; this or `line` is 1
    pub step: usize,
}

/// Three parts of 16 lines of 32 numbers: `[part][line][pair]`, or `[part][pair][line]`.
type Block = [[__m512i; ROWS]; PARTS];

impl Lines<'_> {
    /// Calls `f(tile, block, lines, numbers)` for each 16 of the lines and 32 of the numbers, for those `tiles` of 16 lines, in the
    /// order in which they lie in memory.
    #[inline]
    pub fn each_block(
        &self,
        lines: Range<usize>,
        numbers: Range<usize>,
        tiles: Range<usize>,
        mut f: impl FnMut(usize, usize, Range<usize>, Range<usize>),
    ) {
        let mut call = |tile: usize, block: usize| {
            let part = |all: &Range<usize>, at: usize, len: usize| {
                let start = (all.start + at * len).min(all.end);
                start..all.end.min(start + len)
            };
            f(tile, block, part(&lines, tile, ROWS), part(&numbers, block, DEPTH));
        };
        let blocks = 0..numbers.len().div_ceil(DEPTH);
        if self.step == 1 {
            tiles.for_each(|tile| blocks.clone().for_each(|block| call(tile, block)));
        } else {
            blocks.for_each(|block| tiles.clone().for_each(|tile| call(tile, block)));
        }
    }

    /// Writes a block of at most 16 lines and 32 numbers as tiles of rows, one for each part, `apart` numbers of `to` from one to the next.
    pub fn stage(&self, lines: Range<usize>, numbers: Range<usize>, apart: usize, to: &mut [f32]) {
        // SAFETY: as in `stage`.
        let block = unsafe { self.block(lines, numbers, self.step == 1) };
        for (rows, to) in block.iter().zip(to.chunks_mut(apart)) {
            // SAFETY: as in `stage`.
            unsafe { store_tile(rows, &mut to[..TILE / 2]) };
        }
    }

    /// Packs at most 16 lines as vector `v` of the `vectors` of a panel, from its block `first` on, with zeros for what is missing.
    pub fn pack(
        &self,
        lines: Range<usize>,
        numbers: Range<usize>,
        first: usize,
        (v, vectors): (usize, usize),
        panel: &mut [f32],
    ) {
        self.each_block(lines, numbers, 0..1, |_, at, lines, numbers| {
            // SAFETY: as in `stage`.
            let block = unsafe { self.block(lines, numbers, self.step != 1) };
            for (part, pairs) in block.iter().enumerate() {
                let at = ((first + at) * PARTS + part) * vectors + v;
                // SAFETY: as in `stage`.
                unsafe { store_tile(pairs, &mut panel[at * TILE / 2..][..TILE / 2]) };
            }
        });
    }

    /// A block, transposed unless it is as the numbers lie.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bf16")]
    fn block(&self, lines: Range<usize>, numbers: Range<usize>, as_they_lie: bool) -> Block {
        let mut block = [[_mm512_setzero_si512(); ROWS]; PARTS];
        let mut put = |at: usize, whole: [__m512i; PARTS]| {
            for (part, pairs) in block.iter_mut().zip(whole) {
                part[at] = pairs;
            }
        };
        if self.step == 1 {
            for (at, line) in lines.enumerate() {
                let row = &self.values[line * self.line..][numbers.clone()];
                fetch(row.as_ptr().wrapping_add(DEPTH));
                fetch(row.as_ptr().wrapping_add(DEPTH + 16));
                put(at, pairs(load(row), load_second(row)));
            }
        } else {
            let across =
                |number: usize| load(&self.values[number * self.step + lines.start..][..lines.len()]);
            for (at, number) in numbers.clone().step_by(2).enumerate() {
                let odd = if number + 1 < numbers.end { across(number + 1) } else { _mm512_setzero_ps() };
                put(at, interleaved(parts(across(number)), parts(odd)));
            }
        }
        if !as_they_lie {
            block.iter_mut().for_each(|part| transpose(part));
        }
        block
    }
}

/// The parts of 32 numbers in a row, two numbers in 32 bits.
#[inline]
#[target_feature(enable = "avx512f,avx512bf16")]
fn pairs(first: __m512, second: __m512) -> [__m512i; PARTS] {
    let (first, second) = (parts(first), parts(second));
    std::array::from_fn(|part| _mm512_inserti64x4::<1>(_mm512_castsi256_si512(first[part]), second[part]))
}

/// Numbers of two vectors, those of the same place next to each other.
#[inline]
#[target_feature(enable = "avx512f,avx512bf16")]
fn interleaved(even: [__m256i; PARTS], odd: [__m256i; PARTS]) -> [__m512i; PARTS] {
    std::array::from_fn(|part| {
        let odd = _mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(odd[part]));
        _mm512_or_si512(_mm512_cvtepu16_epi32(even[part]), odd)
    })
}

/// The parts of sixteen numbers.
#[inline]
#[target_feature(enable = "avx512f,avx512bf16")]
fn parts(x: __m512) -> [__m256i; PARTS] {
    let (high, rest) = nearest(x);
    let (middle, rest) = nearest(rest);
    let (low, _) = nearest(rest);
    [high, middle, low]
}

/// Numbers rounded to the nearest of 8 bits, and what is left of them, which is exact.
#[inline]
#[target_feature(enable = "avx512f,avx512bf16")]
fn nearest(x: __m512) -> (__m256i, __m512) {
    // SAFETY: both are 32 bytes for which every value is valid.
    let part: __m256i = unsafe { std::mem::transmute(_mm512_cvtneps_pbh(x)) };
    let wide = _mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(part));
    (part, _mm512_sub_ps(x, _mm512_castsi512_ps(wide)))
}

/// Rows of 16 times 32 bits become columns.
#[inline]
#[target_feature(enable = "avx512f")]
fn transpose(rows: &mut [__m512i; ROWS]) {
    // Within 128 bits: pairs of rows, then four of them; `fours[4 * i + j]` has column `j` of each quarter for rows `4 * i..`.
    let mut fours = *rows;
    for i in (0..ROWS).step_by(4) {
        let low =
            [_mm512_unpacklo_epi32(rows[i], rows[i + 1]), _mm512_unpacklo_epi32(rows[i + 2], rows[i + 3])];
        let high =
            [_mm512_unpackhi_epi32(rows[i], rows[i + 1]), _mm512_unpackhi_epi32(rows[i + 2], rows[i + 3])];
        fours[i] = _mm512_unpacklo_epi64(low[0], low[1]);
        fours[i + 1] = _mm512_unpackhi_epi64(low[0], low[1]);
        fours[i + 2] = _mm512_unpacklo_epi64(high[0], high[1]);
        fours[i + 3] = _mm512_unpackhi_epi64(high[0], high[1]);
    }
    // Then the quarters: a transpose of four by four of them.
    for j in 0..4 {
        let [a, b, c, d] = [fours[j], fours[4 + j], fours[8 + j], fours[12 + j]];
        let even = [_mm512_shuffle_i32x4::<0x88>(a, b), _mm512_shuffle_i32x4::<0x88>(c, d)];
        let odd = [_mm512_shuffle_i32x4::<0xdd>(a, b), _mm512_shuffle_i32x4::<0xdd>(c, d)];
        rows[j] = _mm512_shuffle_i32x4::<0x88>(even[0], even[1]);
        rows[4 + j] = _mm512_shuffle_i32x4::<0x88>(odd[0], odd[1]);
        rows[8 + j] = _mm512_shuffle_i32x4::<0xdd>(even[0], even[1]);
        rows[12 + j] = _mm512_shuffle_i32x4::<0xdd>(odd[0], odd[1]);
    }
}

/// Asks for the line at an address, which may lie anywhere, in the first-level cache.
#[inline(always)]
pub(crate) fn fetch(line: *const f32) {
    // SAFETY: a hint; nothing is read.
    unsafe { _mm_prefetch::<_MM_HINT_T0>(line.cast()) };
}

/// The first 16 numbers of a slice, zeros behind them.
#[inline]
#[target_feature(enable = "avx512f")]
fn load(from: &[f32]) -> __m512 {
    if from.len() >= 16 {
        // SAFETY: there are sixteen numbers.
        unsafe { _mm512_loadu_ps(from.as_ptr()) }
    } else {
        // SAFETY: the mask leaves out what is behind the slice.
        unsafe { _mm512_maskz_loadu_ps((1 << from.len()) - 1, from.as_ptr()) }
    }
}

/// The second 16 numbers of a slice, zeros behind them.
#[inline]
#[target_feature(enable = "avx512f")]
fn load_second(from: &[f32]) -> __m512 {
    load(&from[from.len().min(16)..])
}

#[target_feature(enable = "avx512f")]
fn store_tile(tile: &[__m512i; ROWS], to: &mut [f32]) {
    for (to, row) in to.chunks_exact_mut(ROWS).zip(tile) {
        store(to, *row);
    }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn store(to: &mut [f32], pairs: __m512i) {
    assert_eq!(to.len(), 16);
    // SAFETY: sixteen numbers are 64 bytes.
    unsafe { _mm512_storeu_si512(to.as_mut_ptr().cast(), pairs) };
}
