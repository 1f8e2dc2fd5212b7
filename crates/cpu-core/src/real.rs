//! The element types: `f32` (the device) and `f64` (the oracle).

use crate::math::{Kernel, Level, run_f32, run_f64};
use std::fmt::{Debug, Display};
use std::iter::Sum;
use std::ops::{Add, AddAssign, Div, DivAssign, Mul, MulAssign, Neg, Sub, SubAssign};

/// A floating point number that the kernels compute in: `f32` or `f64`.
///
/// The scalar functions are the standard library's: exact enough for an oracle. Loops over slices in `f32` take the
/// vectorised ones of [`crate::math`].
pub trait Real:
    Copy
    + Debug
    + Display
    + Default
    + PartialOrd
    + Send
    + Sync
    + 'static
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
    + AddAssign
    + SubAssign
    + MulAssign
    + DivAssign
    + Sum
{
    /// 0
    const ZERO: Self;
    /// 1
    const ONE: Self;
    /// Positive infinity.
    const INFINITY: Self;
    /// The difference between 1 and the next larger number.
    const EPSILON: Self;
    /// The nearest number of this type.
    fn from_f64(x: f64) -> Self;
    /// Exact.
    fn from_f32(x: f32) -> Self;
    /// The nearest number of this type.
    fn from_usize(n: usize) -> Self;
    /// Exact.
    fn to_f64(self) -> f64;
    /// The nearest `f32`.
    fn to_f32(self) -> f32;
    /// `e^self`
    fn exp(self) -> Self;
    /// `e^self - 1`, exact near 0.
    fn exp_m1(self) -> Self;
    /// Natural logarithm.
    fn ln(self) -> Self;
    /// `ln(1 + self)`, exact near 0.
    fn ln_1p(self) -> Self;
    /// Hyperbolic tangent.
    fn tanh(self) -> Self;
    /// `1 / (1 + e^-self)`, with full relative precision at both ends.
    fn sigmoid(self) -> Self;
    /// `2 / sqrt(pi)` times the integral of `e^(-t^2)` from `self` to infinity.
    fn erfc(self) -> Self;
    /// Square root.
    fn sqrt(self) -> Self;
    /// Absolute value.
    fn abs(self) -> Self;
    /// Whether this is NaN.
    fn is_nan(self) -> bool;
    /// Whether this is neither infinite nor NaN.
    fn is_finite(self) -> bool;
    /// The slice itself where `Self` is `f32`: the door to the `f32` fast paths.
    fn f32s(x: &[Self]) -> Option<&[f32]>;
    /// As [`Real::f32s`], mutable.
    fn f32s_mut(x: &mut [Self]) -> Option<&mut [f32]>;
    /// The slice itself where `Self` is `f64`.
    fn f64s(x: &[Self]) -> Option<&[f64]>;
    /// Runs work compiled for an instruction set; the way in is [`crate::math`].
    #[doc(hidden)]
    fn run_at<K: Kernel<Self>>(level: Level, kernel: K) -> K::Output;
}

macro_rules! real {
    ($type:ident, $erfc:path, $f32s:expr, $f32s_mut:expr, $f64s:expr, $run_at:path) => {
        impl Real for $type {
            const ZERO: Self = 0.0;
            const ONE: Self = 1.0;
            const INFINITY: Self = $type::INFINITY;
            const EPSILON: Self = $type::EPSILON;
            #[inline(always)]
            fn from_f64(x: f64) -> Self {
                x as $type
            }
            #[inline(always)]
            fn from_f32(x: f32) -> Self {
                x as $type
            }
            #[inline(always)]
            fn from_usize(n: usize) -> Self {
                n as $type
            }
            #[inline(always)]
            fn to_f64(self) -> f64 {
                self as f64
            }
            #[inline(always)]
            fn to_f32(self) -> f32 {
                self as f32
            }
            #[inline(always)]
            fn exp(self) -> Self {
                $type::exp(self)
            }
            #[inline(always)]
            fn exp_m1(self) -> Self {
                $type::exp_m1(self)
            }
            #[inline(always)]
            fn ln(self) -> Self {
                $type::ln(self)
            }
            #[inline(always)]
            fn ln_1p(self) -> Self {
                $type::ln_1p(self)
            }
            #[inline(always)]
            fn tanh(self) -> Self {
                $type::tanh(self)
            }
            #[inline]
            fn sigmoid(self) -> Self {
                // e^-|x| never overflows; the small tail is e / (1 + e) and not 1 - something.
                let e = $type::exp(-$type::abs(self));
                (if self < 0.0 { e } else { 1.0 }) / (1.0 + e)
            }
            #[inline]
            fn erfc(self) -> Self {
                $erfc(self)
            }
            #[inline(always)]
            fn sqrt(self) -> Self {
                $type::sqrt(self)
            }
            #[inline(always)]
            fn abs(self) -> Self {
                $type::abs(self)
            }
            #[inline(always)]
            fn is_nan(self) -> bool {
                $type::is_nan(self)
            }
            #[inline(always)]
            fn is_finite(self) -> bool {
                $type::is_finite(self)
            }
            #[inline(always)]
            fn f32s(x: &[Self]) -> Option<&[f32]> {
                $f32s(x)
            }
            #[inline(always)]
            fn f32s_mut(x: &mut [Self]) -> Option<&mut [f32]> {
                $f32s_mut(x)
            }
            #[inline(always)]
            fn f64s(x: &[Self]) -> Option<&[f64]> {
                $f64s(x)
            }
            #[inline]
            fn run_at<K: Kernel<Self>>(level: Level, kernel: K) -> K::Output {
                $run_at(level, kernel)
            }
        }
    };
}

real!(f32, libm::erfcf, Some, Some, |_| None, run_f32);
real!(f64, libm::erfc, |_| None, |_| None, Some, run_f64);
