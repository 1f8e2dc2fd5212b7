//! Numbers in three parts: rows of operands, and weights.

use std::arch::x86_64::*;

use super::{COLUMNS, DEPTH, PARTS, TILE};

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

/// The first numbers of a slice, zeros behind them.
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

/// Writes a row of an operand, times `factors` where there are any, and zeros up to the end of `to`.
pub(in super::super) fn stage(row: &[f32], factors: Option<&[f32]>, to: &mut [f32]) {
    // SAFETY: `Form::Tiles` is only chosen where the unit is available.
    unsafe { stage_row(row, factors, to) }
}

#[target_feature(enable = "avx512f,avx512bf16")]
fn stage_row(row: &[f32], factors: Option<&[f32]>, to: &mut [f32]) {
    for (i, block) in to.chunks_exact_mut(DEPTH * PARTS / 2).enumerate() {
        for half in 0..2 {
            let first = (i * DEPTH + half * 16).min(row.len());
            let mut x = load(&row[first..]);
            if let Some(factors) = factors {
                x = _mm512_mul_ps(x, load(&factors[first..]));
            }
            let parts = parts(x);
            for p in 0..PARTS {
                let to = &mut block[p * DEPTH / 2 + half * 8..][..8];
                // SAFETY: eight numbers are 32 bytes.
                unsafe { _mm256_storeu_si256(to.as_mut_ptr().cast(), parts[p]) };
            }
        }
    }
}

/// Packs `rows` rows of weights as rows `first..` of a panel, zeros behind them; vector `v` of row `p` begins with `row(p, v)`.
pub(in super::super) fn pack<'a>(
    first: usize,
    rows: usize,
    vectors: usize,
    row: impl Fn(usize, usize) -> &'a [f32],
    panel: &mut [f32],
) {
    #[target_feature(enable = "avx512f,avx512bf16")]
    fn pack<'a>(
        first: usize,
        rows: usize,
        vectors: usize,
        row: impl Fn(usize, usize) -> &'a [f32],
        panel: &mut [f32],
    ) {
        pack_pairs(first, rows, vectors, |p, v| load(row(p, v)), panel);
    }
    // SAFETY: as in `stage`.
    unsafe { pack(first, rows, vectors, row, panel) }
}

/// Packs `rows` columns as rows: `matrix(v)` begins with the first number of the first of the rows, `width` numbers each, that vector
/// `v` is of, and says how many they are.
pub(in super::super) fn pack_transposed<'a>(
    rows: usize,
    vectors: usize,
    width: usize,
    matrix: impl Fn(usize) -> (&'a [f32], usize),
    panel: &mut [f32],
) {
    #[target_feature(enable = "avx512f,avx512bf16")]
    fn pack<'a>(
        rows: usize,
        vectors: usize,
        width: usize,
        matrix: impl Fn(usize) -> (&'a [f32], usize),
        panel: &mut [f32],
    ) {
        let lanes = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
        let offsets = _mm512_mullo_epi32(lanes, _mm512_set1_epi32(width as i32));
        let column = |p: usize, v: usize| {
            let (matrix, n) = matrix(v);
            let column = &matrix[p..];
            assert!(n <= COLUMNS && column.len() > (n - 1) * width, "a number in each of {n} rows");
            let mask = ((1_u32 << n) - 1) as u16;
            // SAFETY: the numbers that the mask leaves lie within the matrix, as asserted.
            unsafe { _mm512_mask_i32gather_ps::<4>(_mm512_setzero_ps(), mask, offsets, column.as_ptr()) }
        };
        pack_pairs(0, rows, vectors, column, panel);
    }
    // SAFETY: as in `stage`.
    unsafe { pack(rows, vectors, width, matrix, panel) }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bf16")]
fn pack_pairs(
    first: usize,
    rows: usize,
    vectors: usize,
    weights: impl Fn(usize, usize) -> __m512,
    panel: &mut [f32],
) {
    let row = |p: usize, v: usize| if p < rows { weights(p, v) } else { _mm512_setzero_ps() };
    for p in (0..rows.next_multiple_of(DEPTH)).step_by(2) {
        let (block, pair) = ((first + p) / DEPTH, (first + p) % DEPTH / 2);
        for v in 0..vectors {
            let (even, odd) = (parts(row(p, v)), parts(row(p + 1, v)));
            for part in 0..PARTS {
                let odd = _mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(odd[part]));
                let both = _mm512_or_si512(_mm512_cvtepu16_epi32(even[part]), odd);
                let at = ((block * PARTS + part) * vectors + v) * (TILE / 2) + pair * COLUMNS;
                let to = &mut panel[at..at + COLUMNS];
                // SAFETY: sixteen numbers are 64 bytes.
                unsafe { _mm512_storeu_si512(to.as_mut_ptr().cast(), both) };
            }
        }
    }
}
