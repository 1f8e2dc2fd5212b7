//! NEON, which every 64-bit Arm machine has.

use super::elementary::{self, F32Lanes};
use super::lanes::Lanes;
use std::arch::aarch64::*;

/// Four `f32`.
#[derive(Clone, Copy)]
pub(crate) struct Neon;

/// Methods that are one expression of intrinsics.
macro_rules! methods {
    ($($name:ident($($arg:ident),*) $body:expr;)*) => {
        $(#[inline(always)]
        fn $name(self, $($arg: Self::V),*) -> Self::V {
            // SAFETY: NEON is part of the architecture.
            #[allow(unused_unsafe, reason = "safe to call where the feature is on for the whole crate")]
            unsafe { $body }
        })*
    };
}

impl Lanes for Neon {
    type T = f32;
    type V = float32x4_t;
    const N: usize = 4;
    #[inline(always)]
    fn splat(self, x: f32) -> float32x4_t {
        // SAFETY: NEON is part of the architecture.
        #[allow(unused_unsafe, reason = "safe to call where the feature is on for the whole crate")]
        unsafe {
            vdupq_n_f32(x)
        }
    }
    #[inline(always)]
    fn load(self, x: &[f32]) -> float32x4_t {
        let x = &x[..4];
        // SAFETY: NEON is part of the architecture and the slice holds four numbers.
        unsafe { vld1q_f32(x.as_ptr()) }
    }
    #[inline(always)]
    fn store(self, x: &mut [f32], v: float32x4_t) {
        let x = &mut x[..4];
        // SAFETY: NEON is part of the architecture and the slice holds four numbers.
        unsafe { vst1q_f32(x.as_mut_ptr(), v) }
    }
    methods! {
        add(a, b) vaddq_f32(a, b);
        sub(a, b) vsubq_f32(a, b);
        mul(a, b) vmulq_f32(a, b);
        div(a, b) vdivq_f32(a, b);
        sqrt(a) vsqrtq_f32(a);
        fma(a, b, c) vfmaq_f32(c, a, b);
        min(a, b) vbslq_f32(vcltq_f32(a, b), a, b);
        max(a, b) vbslq_f32(vcgtq_f32(a, b), a, b);
        abs(a) vabsq_f32(a);
        copysign(a, b) vbslq_f32(vdupq_n_u32(1 << 31), b, a);
        select_gt(a, b, yes, no) vbslq_f32(vcgtq_f32(a, b), yes, no);
    }
    elementary::f32_functions!(float32x4_t);
}

impl F32Lanes for Neon {
    methods! {
        quotient(a, b) vdivq_f32(a, b);
    }
    // In two halves, so that neither power leaves the range of normal numbers.
    #[inline(always)]
    fn scale(self, x: float32x4_t, n: float32x4_t) -> float32x4_t {
        // SAFETY: NEON is part of the architecture.
        #[allow(unused_unsafe, reason = "safe to call where the feature is on for the whole crate")]
        unsafe {
            let n = vcvtq_s32_f32(n);
            let half = vshrq_n_s32::<1>(n);
            let bias = vdupq_n_s32(127);
            let low = vshlq_n_s32::<23>(vaddq_s32(half, bias));
            let high = vshlq_n_s32::<23>(vaddq_s32(vsubq_s32(n, half), bias));
            vmulq_f32(vmulq_f32(x, vreinterpretq_f32_s32(low)), vreinterpretq_f32_s32(high))
        }
    }
}
