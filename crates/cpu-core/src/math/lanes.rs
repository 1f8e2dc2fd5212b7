//! The vocabulary that formulas are written in: a handful of numbers worked on together.

use super::elementary::{self, F32Lanes};
use crate::Real;
use std::marker::PhantomData;

/// An instruction set. A value of this type is the proof that the machine has it; `V` is its vector of `N` numbers.
///
/// Every method is `inline(always)`, so that it becomes one instruction inside a function compiled for that set
/// ([`super::dispatch`]).
pub trait Lanes: Copy {
    /// The number in a lane.
    type T: Real;
    /// A vector.
    type V: Copy;
    /// Lanes in a vector.
    const N: usize;

    /// The same number in every lane.
    fn splat(self, x: Self::T) -> Self::V;
    /// The first `N` numbers of `x`, which has at least as many.
    fn load(self, x: &[Self::T]) -> Self::V;
    /// Into the first `N` places of `x`, which has at least as many.
    fn store(self, x: &mut [Self::T], v: Self::V);
    /// The numbers of `x`, at most `N` of them, and 0 in the other lanes.
    #[inline(always)]
    fn load_part(self, x: &[Self::T]) -> Self::V {
        let mut pad = [Self::T::ZERO; WIDEST];
        pad[..x.len()].copy_from_slice(x);
        self.load(&pad)
    }
    /// The first lanes into `x`, which has at most `N` places.
    #[inline(always)]
    fn store_part(self, x: &mut [Self::T], v: Self::V) {
        let mut pad = [Self::T::ZERO; WIDEST];
        self.store(&mut pad, v);
        x.copy_from_slice(&pad[..x.len()]);
    }
    fn add(self, a: Self::V, b: Self::V) -> Self::V;
    fn sub(self, a: Self::V, b: Self::V) -> Self::V;
    fn mul(self, a: Self::V, b: Self::V) -> Self::V;
    fn div(self, a: Self::V, b: Self::V) -> Self::V;
    fn sqrt(self, a: Self::V) -> Self::V;
    /// `a * b + c`, in one rounding where the instruction set has it.
    fn fma(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// `a` where `a < b`, else `b`: a NaN in `b` passes through.
    fn min(self, a: Self::V, b: Self::V) -> Self::V;
    /// `a` where `a > b`, else `b`: a NaN in `b` passes through.
    fn max(self, a: Self::V, b: Self::V) -> Self::V;
    fn abs(self, a: Self::V) -> Self::V;
    /// The magnitude of `a` with the sign of `b`.
    fn copysign(self, a: Self::V, b: Self::V) -> Self::V;
    /// `yes` where `a > b`, else `no`.
    fn select_gt(self, a: Self::V, b: Self::V, yes: Self::V, no: Self::V) -> Self::V;

    /// `e^x`
    fn exp(self, x: Self::V) -> Self::V;
    /// `e^x - 1` for `x <= 0`.
    fn expm1_negative(self, x: Self::V) -> Self::V;
    fn tanh(self, x: Self::V) -> Self::V;
    fn sigmoid(self, x: Self::V) -> Self::V;
    /// [`Lanes::tanh`] of four vectors, in less than four times the time.
    fn tanh_of_four(self, x: [Self::V; 4]) -> [Self::V; 4];
    /// [`Lanes::sigmoid`] of four vectors, in less than four times the time.
    fn sigmoid_of_four(self, x: [Self::V; 4]) -> [Self::V; 4];
    /// `ln(1 + x)` for `x` in `[0, 1]`.
    fn ln_1p(self, x: Self::V) -> Self::V;
    /// The complement of the error function.
    fn erfc(self, x: Self::V) -> Self::V;

    /// A constant of a formula.
    #[inline(always)]
    fn c(self, x: f64) -> Self::V {
        self.splat(Self::T::from_f64(x))
    }
    #[inline(always)]
    fn neg(self, a: Self::V) -> Self::V {
        self.sub(self.c(-0.0), a)
    }
}

/// One number at a time, on any machine.
#[derive(Clone, Copy)]
pub struct Scalar<T>(PhantomData<T>);

impl<T> Scalar<T> {
    /// Every machine has it.
    #[inline(always)]
    pub fn new() -> Self {
        Scalar(PhantomData)
    }
}

/// The operations that both scalar types share.
macro_rules! scalar {
    ($type:ident) => {
        type T = $type;
        type V = $type;
        const N: usize = 1;
        #[inline(always)]
        fn splat(self, x: $type) -> $type {
            x
        }
        #[inline(always)]
        fn load(self, x: &[$type]) -> $type {
            x[0]
        }
        #[inline(always)]
        fn store(self, x: &mut [$type], v: $type) {
            x[0] = v;
        }
        #[inline(always)]
        fn add(self, a: $type, b: $type) -> $type {
            a + b
        }
        #[inline(always)]
        fn sub(self, a: $type, b: $type) -> $type {
            a - b
        }
        #[inline(always)]
        fn mul(self, a: $type, b: $type) -> $type {
            a * b
        }
        #[inline(always)]
        fn div(self, a: $type, b: $type) -> $type {
            a / b
        }
        #[inline(always)]
        fn sqrt(self, a: $type) -> $type {
            a.sqrt()
        }
        // Where fused multiply-add is not in the instruction set, `mul_add` would be a slow library call.
        #[inline(always)]
        fn fma(self, a: $type, b: $type, c: $type) -> $type {
            if cfg!(any(target_arch = "aarch64", target_feature = "fma")) {
                a.mul_add(b, c)
            } else {
                a * b + c
            }
        }
        #[inline(always)]
        fn min(self, a: $type, b: $type) -> $type {
            if a < b { a } else { b }
        }
        #[inline(always)]
        fn max(self, a: $type, b: $type) -> $type {
            if a > b { a } else { b }
        }
        #[inline(always)]
        fn abs(self, a: $type) -> $type {
            a.abs()
        }
        #[inline(always)]
        fn copysign(self, a: $type, b: $type) -> $type {
            a.copysign(b)
        }
        #[inline(always)]
        fn select_gt(self, a: $type, b: $type, yes: $type, no: $type) -> $type {
            if a > b { yes } else { no }
        }
    };
}

impl Lanes for Scalar<f32> {
    scalar!(f32);
    elementary::f32_functions!(f32);
}

impl F32Lanes for Scalar<f32> {
    #[inline(always)]
    fn scale(self, x: f32, n: f32) -> f32 {
        let n = (n + elementary::ROUND).to_bits().wrapping_sub(elementary::ROUND.to_bits()) as i32;
        let half = n >> 1;
        x * power_of_two(half) * power_of_two(n - half)
    }
    #[inline(always)]
    fn quotient(self, a: f32, b: f32) -> f32 {
        a / b
    }
}

/// `2^n` for `n` in `[-126, 127]`.
#[inline(always)]
fn power_of_two(n: i32) -> f32 {
    f32::from_bits((n.wrapping_add(127) as u32) << 23)
}

impl Lanes for Scalar<f64> {
    scalar!(f64);
    #[inline(always)]
    fn exp(self, x: f64) -> f64 {
        x.exp()
    }
    #[inline(always)]
    fn expm1_negative(self, x: f64) -> f64 {
        x.exp_m1()
    }
    #[inline(always)]
    fn tanh(self, x: f64) -> f64 {
        x.tanh()
    }
    #[inline(always)]
    fn sigmoid(self, x: f64) -> f64 {
        Real::sigmoid(x)
    }
    #[inline(always)]
    fn tanh_of_four(self, x: [f64; 4]) -> [f64; 4] {
        x.map(f64::tanh)
    }
    #[inline(always)]
    fn sigmoid_of_four(self, x: [f64; 4]) -> [f64; 4] {
        x.map(Real::sigmoid)
    }
    #[inline(always)]
    fn ln_1p(self, x: f64) -> f64 {
        x.ln_1p()
    }
    #[inline(always)]
    fn erfc(self, x: f64) -> f64 {
        libm::erfc(x)
    }
}

/// The widest vector of any instruction set, in numbers: the size of the buffer that the end of a slice goes through.
pub(crate) const WIDEST: usize = 16;

/// `y[i] = f(x[i])`. The end of the slices goes through a partly filled vector, so that an element's result does not
/// depend on its position.
#[inline(always)]
pub(crate) fn map<S: Lanes>(s: S, x: &[S::T], y: &mut [S::T], f: impl Fn(S::V) -> S::V) {
    let n = x.len().min(y.len());
    let whole = n / S::N * S::N;
    let (x, x_end) = x[..n].split_at(whole);
    let (y, y_end) = y[..n].split_at_mut(whole);
    for (x, y) in x.chunks_exact(S::N).zip(y.chunks_exact_mut(S::N)) {
        s.store(y, f(s.load(x)));
    }
    if !x_end.is_empty() {
        s.store_part(y_end, f(s.load_part(x_end)));
    }
}

/// `x[i] = f(x[i])`, as [`map`].
#[inline(always)]
pub(crate) fn map_in_place<S: Lanes>(s: S, x: &mut [S::T], f: impl Fn(S::V) -> S::V) {
    let mut chunks = x.chunks_exact_mut(S::N);
    for x in &mut chunks {
        let v = f(s.load(x));
        s.store(x, v);
    }
    let end = chunks.into_remainder();
    if !end.is_empty() {
        let v = f(s.load_part(end));
        s.store_part(end, v);
    }
}

/// `y[i] = f(a[i], b[i])`, as [`map`].
#[inline(always)]
pub(crate) fn zip_map<S: Lanes>(
    s: S,
    a: &[S::T],
    b: &[S::T],
    y: &mut [S::T],
    f: impl Fn(S::V, S::V) -> S::V,
) {
    let n = a.len().min(b.len()).min(y.len());
    let whole = n / S::N * S::N;
    let (a, a_end) = a[..n].split_at(whole);
    let (b, b_end) = b[..n].split_at(whole);
    let (y, y_end) = y[..n].split_at_mut(whole);
    for ((a, b), y) in a.chunks_exact(S::N).zip(b.chunks_exact(S::N)).zip(y.chunks_exact_mut(S::N)) {
        s.store(y, f(s.load(a), s.load(b)));
    }
    if !a_end.is_empty() {
        s.store_part(y_end, f(s.load_part(a_end), s.load_part(b_end)));
    }
}
