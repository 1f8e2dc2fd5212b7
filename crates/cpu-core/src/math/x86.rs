//! AVX-512 and AVX2 with FMA.

use super::elementary::{self, F32Lanes};
use super::lanes::Lanes;
use std::arch::x86_64::*;

/// Proof that the machine has AVX-512F; sixteen `f32`.
#[derive(Clone, Copy)]
pub(crate) struct Avx512(());

/// Proof that the machine has AVX2 and FMA; eight `f32`.
#[derive(Clone, Copy)]
pub(crate) struct Avx2(());

impl Avx512 {
    /// Where the machine has it.
    #[inline]
    pub fn detect() -> Option<Self> {
        is_x86_feature_detected!("avx512f").then_some(Avx512(()))
    }
}

impl Avx2 {
    /// Where the machine has it.
    #[inline]
    pub fn detect() -> Option<Self> {
        (is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")).then_some(Avx2(()))
    }
}

/// Methods that are one expression of intrinsics. They are unsafe to call only because the machine may lack them.
macro_rules! methods {
    ($($name:ident($($arg:ident),*) $body:expr;)*) => {
        $(#[inline(always)]
        fn $name(self, $($arg: Self::V),*) -> Self::V {
            // SAFETY: a value of this type exists only where the instruction set does.
            unsafe { $body }
        })*
    };
}

impl Lanes for Avx512 {
    type T = f32;
    type V = __m512;
    const N: usize = 16;
    #[inline(always)]
    fn splat(self, x: f32) -> __m512 {
        // SAFETY: a value of this type exists only where the instruction set does.
        unsafe { _mm512_set1_ps(x) }
    }
    #[inline(always)]
    fn load(self, x: &[f32]) -> __m512 {
        let x = &x[..16];
        // SAFETY: the instruction set is present and the slice holds sixteen numbers.
        unsafe { _mm512_loadu_ps(x.as_ptr()) }
    }
    #[inline(always)]
    fn store(self, x: &mut [f32], v: __m512) {
        let x = &mut x[..16];
        // SAFETY: the instruction set is present and the slice holds sixteen numbers.
        unsafe { _mm512_storeu_ps(x.as_mut_ptr(), v) }
    }
    #[inline(always)]
    fn load_part(self, x: &[f32]) -> __m512 {
        assert!(x.len() <= 16);
        let mask = ((1u32 << x.len()) - 1) as __mmask16;
        // SAFETY: the instruction set is present, and lanes beyond the slice are masked out.
        unsafe { _mm512_maskz_loadu_ps(mask, x.as_ptr()) }
    }
    #[inline(always)]
    fn store_part(self, x: &mut [f32], v: __m512) {
        assert!(x.len() <= 16);
        let mask = ((1u32 << x.len()) - 1) as __mmask16;
        // SAFETY: the instruction set is present, and lanes beyond the slice are masked out.
        unsafe { _mm512_mask_storeu_ps(x.as_mut_ptr(), mask, v) }
    }
    methods! {
        add(a, b) _mm512_add_ps(a, b);
        sub(a, b) _mm512_sub_ps(a, b);
        mul(a, b) _mm512_mul_ps(a, b);
        div(a, b) _mm512_div_ps(a, b);
        sqrt(a) _mm512_sqrt_ps(a);
        fma(a, b, c) _mm512_fmadd_ps(a, b, c);
        min(a, b) _mm512_min_ps(a, b);
        max(a, b) _mm512_max_ps(a, b);
        abs(a) _mm512_abs_ps(a);
        copysign(a, b) _mm512_castsi512_ps(_mm512_ternarylogic_epi32::<0xE4>(
            _mm512_castps_si512(a),
            _mm512_castps_si512(b),
            _mm512_set1_epi32(i32::MAX),
        ));
        select_gt(a, b, yes, no) _mm512_mask_blend_ps(_mm512_cmp_ps_mask::<_CMP_GT_OQ>(a, b), no, yes);
    }
    elementary::f32_functions!(__m512);
}

impl F32Lanes for Avx512 {
    methods! {
        scale(x, n) _mm512_scalef_ps(x, n);
    }
    // The estimate is good to 2^-14; one correction of the quotient doubles the bits.
    #[inline(always)]
    fn quotient(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: a value of this type exists only where the instruction set does.
        unsafe {
            let inverse = _mm512_rcp14_ps(b);
            let estimate = _mm512_mul_ps(a, inverse);
            _mm512_fmadd_ps(_mm512_fnmadd_ps(b, estimate, a), inverse, estimate)
        }
    }
}

impl Lanes for Avx2 {
    type T = f32;
    type V = __m256;
    const N: usize = 8;
    #[inline(always)]
    fn splat(self, x: f32) -> __m256 {
        // SAFETY: a value of this type exists only where the instruction set does.
        unsafe { _mm256_set1_ps(x) }
    }
    #[inline(always)]
    fn load(self, x: &[f32]) -> __m256 {
        let x = &x[..8];
        // SAFETY: the instruction set is present and the slice holds eight numbers.
        unsafe { _mm256_loadu_ps(x.as_ptr()) }
    }
    #[inline(always)]
    fn store(self, x: &mut [f32], v: __m256) {
        let x = &mut x[..8];
        // SAFETY: the instruction set is present and the slice holds eight numbers.
        unsafe { _mm256_storeu_ps(x.as_mut_ptr(), v) }
    }
    methods! {
        add(a, b) _mm256_add_ps(a, b);
        sub(a, b) _mm256_sub_ps(a, b);
        mul(a, b) _mm256_mul_ps(a, b);
        div(a, b) _mm256_div_ps(a, b);
        sqrt(a) _mm256_sqrt_ps(a);
        fma(a, b, c) _mm256_fmadd_ps(a, b, c);
        min(a, b) _mm256_min_ps(a, b);
        max(a, b) _mm256_max_ps(a, b);
        abs(a) _mm256_andnot_ps(_mm256_set1_ps(-0.0), a);
        copysign(a, b) _mm256_or_ps(
            _mm256_andnot_ps(_mm256_set1_ps(-0.0), a),
            _mm256_and_ps(_mm256_set1_ps(-0.0), b),
        );
        select_gt(a, b, yes, no) _mm256_blendv_ps(no, yes, _mm256_cmp_ps::<_CMP_GT_OQ>(a, b));
    }
    elementary::f32_functions!(__m256);
}

impl F32Lanes for Avx2 {
    methods! {
        quotient(a, b) _mm256_div_ps(a, b);
    }
    // In two halves, so that neither power leaves the range of normal numbers.
    #[inline(always)]
    fn scale(self, x: __m256, n: __m256) -> __m256 {
        // SAFETY: a value of this type exists only where the instruction set does.
        unsafe {
            let n = _mm256_cvtps_epi32(n);
            let half = _mm256_srai_epi32::<1>(n);
            let bias = _mm256_set1_epi32(127);
            let low = _mm256_slli_epi32::<23>(_mm256_add_epi32(half, bias));
            let high = _mm256_slli_epi32::<23>(_mm256_add_epi32(_mm256_sub_epi32(n, half), bias));
            let x = _mm256_mul_ps(x, _mm256_castsi256_ps(low));
            _mm256_mul_ps(x, _mm256_castsi256_ps(high))
        }
    }
}
