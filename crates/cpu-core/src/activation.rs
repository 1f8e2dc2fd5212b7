//! Element-wise activations and their derivatives; formulas of [`Activation`].

use crate::error::check_len;
use crate::math::{Kernel, Lanes, Scalar, WIDEST, dispatch, map, zip_map};
use crate::{Activation, Formula, Real, Result, parallel};

/// `y[i] = kind(x[i])`, any length.
///
/// In `f32` the relative error is below 3e-7 wherever the result is a normal number (gelu at -12: 2e-5); NaN passes
/// through.
///
/// # Errors
/// [`crate::Error::Length`] where `y` is not as long as `x`.
pub fn activation_forward<T: Real>(kind: Activation, x: &[T], y: &mut [T]) -> Result<()> {
    check_len("activation_forward", "y", x.len(), y.len())?;
    let chunk = parallel::COMPUTE.chunk(x.len(), WIDEST);
    parallel::share_out(x.chunks(chunk).zip(y.chunks_mut(chunk)), |(x, y)| dispatch(Forward { kind, x, y }));
    Ok(())
}

/// `dx[i] = dy[i] * kind'(..)`, any length. `saved` is the forward pass's output where
/// [`Activation::derivative_from_output`] says so, else its input.
///
/// At a kink the derivative is the one that Keras takes: 0 for relu and relu6, the slope for leaky relu. Where the output
/// can not tell the kink from the flat part behind it (hard tanh at 1) it is 0.
///
/// # Errors
/// [`crate::Error::Length`] where `dy` or `dx` is not as long as `saved`.
pub fn activation_backward<T: Real>(kind: Activation, saved: &[T], dy: &[T], dx: &mut [T]) -> Result<()> {
    check_len("activation_backward", "dy", saved.len(), dy.len())?;
    check_len("activation_backward", "dx", saved.len(), dx.len())?;
    let chunk = parallel::COMPUTE.chunk(saved.len(), WIDEST);
    let inputs = saved.chunks(chunk).zip(dy.chunks(chunk));
    parallel::share_out(inputs.zip(dx.chunks_mut(chunk)), |((saved, dy), dx)| {
        dispatch(Backward { kind, saved, dy, dx });
    });
    Ok(())
}

/// `x[i] = kind(x[i])`, on the calling thread.
pub(crate) fn activate_in_place<T: Real>(kind: Activation, x: &mut [T]) {
    if kind != Activation::Linear {
        dispatch(InPlace { kind, x });
    }
}

/// `kind(x)` of one number, in the standard library's precision.
pub fn value<T: Real>(kind: Activation, x: T) -> T {
    let (formula, numbers) = kind.formula();
    match T::f64s(&[x]) {
        Some(x) => T::from_f64(forward(Scalar::<f64>::new(), formula, numbers, x[0])),
        None => T::from_f32(forward(Scalar::<f32>::new(), formula, numbers, x.to_f32())),
    }
}

/// The derivative of `kind` at one point; `saved` as in [`activation_backward`].
pub fn slope<T: Real>(kind: Activation, saved: T) -> T {
    let (formula, numbers) = kind.formula();
    match T::f64s(&[saved]) {
        Some(saved) => T::from_f64(derivative(Scalar::<f64>::new(), formula, numbers, saved[0])),
        None => T::from_f32(derivative(Scalar::<f32>::new(), formula, numbers, saved.to_f32())),
    }
}

/// A formula with its numbers in every lane.
#[inline(always)]
pub(crate) fn forward<S: Lanes>(s: S, formula: Formula, [a, b, c]: [f64; 3], x: S::V) -> S::V {
    let (zero, one) = (s.c(0.0), s.c(1.0));
    match formula {
        Formula::Linear => x,
        Formula::Tanh => s.tanh(x),
        Formula::Sigmoid => s.sigmoid(x),
        Formula::Relu => s.max(zero, x),
        Formula::Clamp => s.min(one, s.max(s.c(c), s.fma(s.c(a), x, s.c(b)))),
        Formula::Softplus => softplus(s, x),
        Formula::Softsign => s.div(x, s.add(one, s.abs(x))),
        Formula::ExpUnit => {
            let below = s.mul(s.c(a), s.expm1_negative(s.mul(s.c(b), s.min(zero, x))));
            s.mul(s.c(c), s.select_gt(x, zero, x, below))
        }
        Formula::Exponential => s.exp(x),
        Formula::Leaky => s.select_gt(x, zero, x, s.mul(s.c(a), x)),
        Formula::ClippedRelu => {
            // A slope of 0 keeps its 0 also where x is -infinity.
            let below = s.mul(s.c(a), s.max(s.c(f64::from(f32::MIN)), s.sub(x, s.c(c))));
            s.select_gt(x, s.c(c), s.min(s.c(b), x), below)
        }
        Formula::Silu => s.mul(x, s.sigmoid(x)),
        Formula::Gelu => s.mul(x, normal_cdf(s, x)),
        Formula::GeluTanh => s.mul(x, s.sigmoid(gelu_inner(s, within(s, x, 100.0)))),
        Formula::HardSilu => s.mul(x, s.min(one, s.max(zero, s.fma(x, s.c(1.0 / 6.0), s.c(0.5))))),
        Formula::Mish => s.mul(x, tanh_softplus(s, x).0),
        Formula::TanhShrink => s.sub(x, s.tanh(x)),
        Formula::Threshold => {
            // NaN is above nothing, and passes by way of x * 0.
            s.add(s.select_gt(x, s.c(a), x, s.c(b)), s.mul(s.c(0.0), within(s, x, 1.0)))
        }
        Formula::LogSigmoid => s.neg(softplus(s, s.neg(x))),
        Formula::Squareplus => {
            let size = s.abs(x);
            // Past 1e18 the square would overflow in f32, and a is lost in it.
            let small = within(s, x, 1e18);
            let root = s.select_gt(size, s.c(1e18), size, s.sqrt(s.fma(small, small, s.c(a))));
            let below = s.div(s.c(0.5 * a), s.max(s.c(1e-30), s.sub(root, x)));
            s.select_gt(x, zero, s.mul(s.c(0.5), s.add(x, root)), below)
        }
        Formula::SparsePlus => {
            let t = s.max(zero, s.add(x, one));
            s.select_gt(one, x, s.mul(s.c(0.25), s.mul(t, t)), x)
        }
        Formula::HardShrink => s.select_gt(s.abs(x), s.c(a), x, s.mul(zero, x)),
        Formula::SoftShrink => s.sub(x, within(s, x, a)),
        Formula::Affine => s.fma(s.c(a), x, s.c(b)),
        Formula::ScaledTanh => s.mul(s.c(a), s.tanh(s.mul(s.c(b), x))),
    }
}

/// The derivative of a formula in every lane; `saved` as in [`activation_backward`].
#[inline(always)]
pub(crate) fn derivative<S: Lanes>(s: S, formula: Formula, [a, b, c]: [f64; 3], saved: S::V) -> S::V {
    let (zero, one, y) = (s.c(0.0), s.c(1.0), saved);
    match formula {
        Formula::Linear => one,
        Formula::Tanh => s.sub(one, s.mul(y, y)),
        Formula::Sigmoid => s.mul(y, s.sub(one, y)),
        Formula::Relu => s.select_gt(y, zero, one, s.mul(zero, y)),
        // y is the output of a clamp, so never infinite.
        Formula::Clamp => s.select_gt(y, s.c(c), s.select_gt(one, y, s.c(a), zero), s.mul(zero, y)),
        // sigmoid(x) = 1 - e^-y
        Formula::Softplus => s.neg(s.expm1_negative(s.neg(y))),
        Formula::Softsign => {
            let d = s.sub(one, s.abs(y));
            s.mul(d, d)
        }
        // b (y + c a) below 0, c above
        Formula::ExpUnit => s.select_gt(y, zero, s.c(c), s.mul(s.c(b), s.add(y, s.c(c * a)))),
        Formula::Exponential => y,
        Formula::Leaky => s.select_gt(y, zero, one, s.add(s.c(a), s.mul(zero, y))),
        Formula::ClippedRelu => {
            let above = s.select_gt(s.c(b), y, one, zero);
            s.select_gt(y, zero, above, s.select_gt(zero, y, s.c(a), s.mul(zero, y)))
        }
        Formula::Silu => {
            let g = s.sigmoid(y);
            s.mul(g, s.fma(y, s.sub(one, g), one))
        }
        Formula::Gelu => {
            let density = s.mul(s.c(NORMAL_PEAK), s.exp(s.mul(s.mul(y, y), s.c(-0.5))));
            s.fma(y, density, normal_cdf(s, y))
        }
        Formula::GeluTanh => {
            let x = within(s, y, 100.0);
            let g = s.sigmoid(gelu_inner(s, x));
            let inner = s.mul(s.c(GELU_SLOPE), s.fma(s.mul(x, x), s.c(3.0 * GELU_CUBE), one));
            s.fma(s.mul(g, s.sub(one, g)), s.mul(x, inner), g)
        }
        Formula::HardSilu => {
            let between = s.fma(y, s.c(1.0 / 3.0), s.c(0.5));
            let above = s.select_gt(s.c(3.0), y, between, one);
            s.select_gt(y, s.c(-3.0), above, s.mul(zero, within(s, y, 4.0)))
        }
        Formula::Mish => {
            let (w, lack) = tanh_softplus(s, y);
            s.fma(s.mul(y, lack), s.mul(s.add(one, w), s.sigmoid(y)), w)
        }
        Formula::TanhShrink => {
            let t = s.tanh(y);
            s.mul(t, t)
        }
        Formula::Threshold => s.select_gt(y, s.c(a), one, s.mul(zero, within(s, y, 1.0))),
        // sigmoid(-x) = 1 - e^y
        Formula::LogSigmoid => s.neg(s.expm1_negative(y)),
        // y^2 / (y^2 + a / 4) without squares; 0 where y is
        Formula::Squareplus => {
            let slope = s.div(y, s.add(y, s.div(s.c(0.25 * a), y)));
            s.select_gt(y, zero, slope, s.mul(zero, y))
        }
        Formula::SparsePlus => s.sqrt(s.min(one, y)),
        Formula::HardShrink | Formula::SoftShrink => s.select_gt(s.abs(y), zero, one, s.mul(zero, y)),
        Formula::Affine => s.c(a),
        // b (a - y^2 / a)
        Formula::ScaledTanh => s.mul(s.c(b), s.sub(s.c(a), s.mul(s.c(c), s.mul(y, y)))),
    }
}

/// `x` clamped to `+-limit`; NaN passes through.
#[inline(always)]
fn within<S: Lanes>(s: S, x: S::V, limit: f64) -> S::V {
    s.min(s.c(limit), s.max(s.c(-limit), x))
}

/// `ln(1 + e^x)`
#[inline(always)]
fn softplus<S: Lanes>(s: S, x: S::V) -> S::V {
    s.add(s.max(s.c(0.0), x), s.ln_1p(s.exp(s.neg(s.abs(x)))))
}

/// `tanh(softplus(x))` and what it lacks to 1, from `e = exp(-|x|)`, each without cancellation.
#[inline(always)]
fn tanh_softplus<S: Lanes>(s: S, x: S::V) -> (S::V, S::V) {
    let (zero, one, two) = (s.c(0.0), s.c(1.0), s.c(2.0));
    let e = s.exp(s.neg(s.abs(x)));
    let linear = s.fma(two, e, one);
    let square = s.mul(two, s.mul(e, e));
    let above = s.add(linear, square);
    let low = s.mul(e, s.add(e, two));
    let below = s.add(low, two);
    let over = s.select_gt(x, zero, above, below);
    let part = |above, below| s.div(s.select_gt(x, zero, above, below), over);
    (part(linear, low), part(square, two))
}

/// `2 sqrt(2 / pi)`
const GELU_SLOPE: f64 = 1.595_769_121_605_730_7;
const GELU_CUBE: f64 = 0.044_715;

/// `2 sqrt(2 / pi) (x + 0.044715 x^3)`; gelu's approximation is `x` times the sigmoid of it.
#[inline(always)]
fn gelu_inner<S: Lanes>(s: S, x: S::V) -> S::V {
    s.mul(s.mul(s.c(GELU_SLOPE), x), s.fma(s.mul(x, x), s.c(GELU_CUBE), s.c(1.0)))
}

/// `1 / sqrt(2 pi)`
const NORMAL_PEAK: f64 = 0.398_942_280_401_432_7;

/// `(1 + erf(x / sqrt 2)) / 2`, without cancellation in the lower tail.
#[inline(always)]
fn normal_cdf<S: Lanes>(s: S, x: S::V) -> S::V {
    s.mul(s.c(0.5), s.erfc(s.mul(x, s.c(-std::f64::consts::FRAC_1_SQRT_2))))
}

/// Repeats `$loop` for every formula, so that the choice is made once per call and not per vector.
macro_rules! for_each_formula {
    ($kind:expr, |$f:ident, $numbers:ident| $loop:expr; $($name:ident)*) => {{
        let (formula, $numbers) = $kind.formula();
        match formula { $(Formula::$name => { const $f: Formula = Formula::$name; $loop })* }
    }};
    ($kind:expr, |$f:ident, $numbers:ident| $loop:expr) => {
        for_each_formula!($kind, |$f, $numbers| $loop; Linear Tanh Sigmoid Relu Clamp Softplus Softsign ExpUnit
            Exponential Leaky ClippedRelu Silu Gelu GeluTanh HardSilu Mish TanhShrink Threshold LogSigmoid Squareplus
            SparsePlus HardShrink SoftShrink Affine ScaledTanh)
    };
}

struct Forward<'a, T> {
    kind: Activation,
    x: &'a [T],
    y: &'a mut [T],
}

impl<T: Real> Kernel<T> for Forward<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Lanes<T = T>>(self, s: S) {
        for_each_formula!(self.kind, |FORMULA, numbers| map(
            s,
            self.x,
            self.y,
            #[inline(always)]
            |x| forward(s, FORMULA, numbers, x)
        ))
    }
}

struct Backward<'a, T> {
    kind: Activation,
    saved: &'a [T],
    dy: &'a [T],
    dx: &'a mut [T],
}

impl<T: Real> Kernel<T> for Backward<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Lanes<T = T>>(self, s: S) {
        for_each_formula!(self.kind, |FORMULA, numbers| zip_map(
            s,
            self.saved,
            self.dy,
            self.dx,
            #[inline(always)]
            |saved, dy| { s.mul(dy, derivative(s, FORMULA, numbers, saved)) }
        ))
    }
}

struct InPlace<'a, T> {
    kind: Activation,
    x: &'a mut [T],
}

impl<T: Real> Kernel<T> for InPlace<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Lanes<T = T>>(self, s: S) {
        for_each_formula!(self.kind, |FORMULA, numbers| crate::math::map_in_place(
            s,
            self.x,
            #[inline(always)]
            |x| forward(s, FORMULA, numbers, x)
        ))
    }
}
