//! `exp`, `expm1`, `tanh`, `sigmoid`, `ln_1p` and `erfc` in `f32`, over any [`F32Lanes`], without branches or tables.
//!
//! All go through `e^x = 2^n e^r` with `n = round(x / ln 2)`, `|r| <= ln(2) / 2`, and `e^r - 1 = r + r^2 Q(r)`.

use super::lanes::Lanes;

/// What the algorithms need of an instruction set beyond arithmetic.
pub(crate) trait F32Lanes: Lanes<T = f32> {
    /// `x * 2^n` for whole `n` in `[-252, 254]`, gradual at both ends of the range.
    fn scale(self, x: Self::V, n: Self::V) -> Self::V;
    /// `a / b` for `b` in `[1, 2]`, to within one unit in the last place.
    fn quotient(self, a: Self::V, b: Self::V) -> Self::V;
}

/// 1.5 * 2^23: added to a number and taken away again, it rounds to a whole number.
pub(super) const ROUND: f32 = 12_582_912.0;

const LOG2_E: f64 = std::f64::consts::LOG2_E;
/// ln 2 in two parts; products of the first with a whole number below 2^15 are exact (Cephes).
const LN_2_HIGH: f64 = 0.693_359_375;
const LN_2_LOW: f64 = -2.121_944_400_546_905_8e-4;

/// Q of `e^r - 1 = r + r^2 Q(r)`, highest power first: least squares with weights that even out the error of `e^r`,
/// which is below 5e-9 for `|r| <= ln(2) / 2`.
const EXP: [f64; 5] = [
    1.395_049_029_022_323_5e-3,
    8.368_889_464_941_253e-3,
    4.166_620_581_363_447e-2,
    1.666_651_883_847_216_4e-1,
    5.000_000_095_182_842e-1,
];

/// Numerical Recipes' `erfc(z) = t exp(-z^2 + P(t))`, `t = 1 / (1 + z/2)`, highest power first.
const ERFC: [f64; 10] = [
    0.17087277,
    -0.82215223,
    1.48851587,
    -1.13520398,
    0.27886807,
    -0.18628806,
    0.09678418,
    0.37409196,
    1.00002368,
    -1.26551223,
];

/// Polynomial with these coefficients, highest power first.
#[inline(always)]
fn polynomial<S: F32Lanes, const N: usize>(s: S, coefficients: [f64; N], x: S::V) -> S::V {
    let mut sum = s.c(coefficients[0]);
    for &c in &coefficients[1..] {
        sum = s.fma(sum, x, s.c(c));
    }
    sum
}

/// `(n, e^r - 1)` with `x = n ln 2 + r`.
#[inline(always)]
fn reduce<S: F32Lanes>(s: S, x: S::V) -> (S::V, S::V) {
    // Added to 1.5 * 2^23, the product loses its fraction.
    let round = s.c(f64::from(ROUND));
    let n = s.sub(s.fma(x, s.c(LOG2_E), round), round);
    let r = s.fma(n, s.c(-LN_2_HIGH), x);
    let r = s.fma(n, s.c(-LN_2_LOW), r);
    let q = polynomial(s, EXP, r);
    (n, s.fma(q, s.mul(r, r), r))
}

/// `e^x`; above 88.73 infinity, below -104 zero, in between gradual.
#[inline(always)]
pub(super) fn exp<S: F32Lanes>(s: S, x: S::V) -> S::V {
    let x = s.max(s.c(-104.0), s.min(s.c(89.0), x));
    let (n, p) = reduce(s, x);
    s.scale(s.add(p, s.c(1.0)), n)
}

/// `e^x - 1` for `x <= 0`: `2^n (e^r - 1) + (2^n - 1)`, where the last bracket is exact, and 0 for small `x`.
#[inline(always)]
pub(super) fn expm1_negative<S: F32Lanes>(s: S, x: S::V) -> S::V {
    let (n, p) = reduce(s, s.max(s.c(-30.0), x));
    let power = s.scale(s.c(1.0), n);
    s.fma(p, power, s.sub(power, s.c(1.0)))
}

/// `tanh |x| = -t / (2 + t)` with `t = e^(-2|x|) - 1`.
#[inline(always)]
pub(super) fn tanh<S: F32Lanes>(s: S, x: S::V) -> S::V {
    // tanh(10) is 1 in f32.
    let size = s.min(s.c(10.0), s.abs(x));
    let t = expm1_negative(s, s.mul(size, s.c(-2.0)));
    s.copysign(s.quotient(t, s.add(t, s.c(2.0))), x)
}

/// `1 / (1 + e)` for `x >= 0`, else `e / (1 + e)`, with `e = e^-|x|`.
#[inline(always)]
pub(super) fn sigmoid<S: F32Lanes>(s: S, x: S::V) -> S::V {
    let one = s.c(1.0);
    let (n, p) = reduce(s, s.max(s.c(-104.0), s.neg(s.abs(x))));
    let e = s.scale(s.add(p, one), n);
    s.quotient(s.select_gt(s.c(0.0), x, e, one), s.add(e, one))
}

/// `2 artanh(u)` with `u = x / (2 + x)`, by its series: `u <= 1/3`, so eight terms leave less than 2e-9.
#[inline(always)]
pub(super) fn ln_1p<S: F32Lanes>(s: S, x: S::V) -> S::V {
    let u = s.div(x, s.add(x, s.c(2.0)));
    let series = [2.0 / 15.0, 2.0 / 13.0, 2.0 / 11.0, 2.0 / 9.0, 2.0 / 7.0, 2.0 / 5.0, 2.0 / 3.0, 2.0];
    s.mul(u, polynomial(s, series, s.mul(u, u)))
}

/// The rounding error of `z^2` goes into the second exponential, so that the far tail keeps its relative precision.
#[inline(always)]
pub(super) fn erfc<S: F32Lanes>(s: S, x: S::V) -> S::V {
    // erfc(14) is 0 in f32.
    let z = s.min(s.c(14.0), s.abs(x));
    let t = s.div(s.c(1.0), s.fma(z, s.c(0.5), s.c(1.0)));
    let square = s.mul(z, z);
    let error = s.fma(z, z, s.neg(square));
    let p = s.sub(polynomial(s, ERFC, t), error);
    let tail = s.mul(t, s.mul(exp(s, s.neg(square)), exp(s, p)));
    s.select_gt(s.c(0.0), x, s.sub(s.c(2.0), tail), tail)
}

/// The functions of [`Lanes`] for an implementor of [`F32Lanes`] whose vector is `$v`.
macro_rules! f32_functions {
    ($v:ty) => {
        #[inline(always)]
        fn exp(self, x: $v) -> $v {
            $crate::math::elementary::exp(self, x)
        }
        #[inline(always)]
        fn expm1_negative(self, x: $v) -> $v {
            $crate::math::elementary::expm1_negative(self, x)
        }
        #[inline(always)]
        fn tanh(self, x: $v) -> $v {
            $crate::math::elementary::tanh(self, x)
        }
        #[inline(always)]
        fn sigmoid(self, x: $v) -> $v {
            $crate::math::elementary::sigmoid(self, x)
        }
        #[inline(always)]
        fn tanh_of_four(self, x: [$v; 4]) -> [$v; 4] {
            $crate::math::elementary::tanh($crate::math::four::Four(self), x)
        }
        #[inline(always)]
        fn sigmoid_of_four(self, x: [$v; 4]) -> [$v; 4] {
            $crate::math::elementary::sigmoid($crate::math::four::Four(self), x)
        }
        #[inline(always)]
        fn ln_1p(self, x: $v) -> $v {
            $crate::math::elementary::ln_1p(self, x)
        }
        #[inline(always)]
        fn erfc(self, x: $v) -> $v {
            $crate::math::elementary::erfc(self, x)
        }
    };
}
pub(super) use f32_functions;
