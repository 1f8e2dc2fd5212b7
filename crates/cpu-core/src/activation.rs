//! Element-wise activations and their derivatives; formulas of [`Activation`].

use crate::error::check_len;
use crate::math::{Kernel, Lanes, Scalar, WIDEST, dispatch, map, zip_map};
use crate::{Activation, Real, Result, parallel};

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
/// At a kink the derivative is the one of the left side (0 for relu and relu6, the slope for leaky relu).
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
    match T::f64s(&[x]) {
        Some(x) => T::from_f64(forward(Scalar::<f64>::new(), kind, x[0])),
        None => T::from_f32(forward(Scalar::<f32>::new(), kind, x.to_f32())),
    }
}

/// The derivative of `kind` at one point; `saved` as in [`activation_backward`].
pub fn slope<T: Real>(kind: Activation, saved: T) -> T {
    match T::f64s(&[saved]) {
        Some(saved) => T::from_f64(derivative(Scalar::<f64>::new(), kind, saved[0])),
        None => T::from_f32(derivative(Scalar::<f32>::new(), kind, saved.to_f32())),
    }
}

const SELU_SCALE: f64 = 1.050_700_987_355_480_5;
const SELU_ALPHA: f64 = 1.673_263_242_354_377_2;
const LEAKY_SLOPE: f64 = 0.2;

/// `kind(x)` in every lane.
#[inline(always)]
pub(crate) fn forward<S: Lanes>(s: S, kind: Activation, x: S::V) -> S::V {
    let zero = s.c(0.0);
    match kind {
        Activation::Linear => x,
        Activation::Tanh => s.tanh(x),
        Activation::Sigmoid => s.sigmoid(x),
        Activation::Relu => s.max(zero, x),
        Activation::HardSigmoid => s.div(s.min(s.c(6.0), s.max(zero, s.add(x, s.c(3.0)))), s.c(6.0)),
        Activation::Softplus => s.add(s.max(zero, x), s.ln_1p(s.exp(s.neg(s.abs(x))))),
        Activation::Softsign => s.div(x, s.add(s.c(1.0), s.abs(x))),
        Activation::Elu => s.select_gt(x, zero, x, s.expm1_negative(s.min(zero, x))),
        Activation::Selu => {
            let negative = s.mul(s.c(SELU_ALPHA), s.expm1_negative(s.min(zero, x)));
            s.mul(s.c(SELU_SCALE), s.select_gt(x, zero, x, negative))
        }
        Activation::Exponential => s.exp(x),
        Activation::LeakyRelu => s.select_gt(x, zero, x, s.mul(s.c(LEAKY_SLOPE), x)),
        Activation::Relu6 => s.min(s.c(6.0), s.max(zero, x)),
        Activation::Silu => s.mul(x, s.sigmoid(x)),
        Activation::Gelu => s.mul(x, normal_cdf(s, x)),
    }
}

/// The derivative of `kind` in every lane; `saved` as in [`activation_backward`].
#[inline(always)]
pub(crate) fn derivative<S: Lanes>(s: S, kind: Activation, saved: S::V) -> S::V {
    let (zero, one, y) = (s.c(0.0), s.c(1.0), saved);
    match kind {
        Activation::Linear => one,
        Activation::Tanh => s.sub(one, s.mul(y, y)),
        Activation::Sigmoid => s.mul(y, s.sub(one, y)),
        Activation::Relu => s.select_gt(y, zero, one, s.mul(zero, y)),
        Activation::HardSigmoid => inside(s, y, 1.0, 1.0 / 6.0),
        // sigmoid(x) = 1 - e^-y
        Activation::Softplus => s.neg(s.expm1_negative(s.neg(y))),
        Activation::Softsign => {
            let d = s.sub(one, s.abs(y));
            s.mul(d, d)
        }
        Activation::Elu => s.select_gt(y, zero, one, s.add(y, one)),
        Activation::Selu => s.select_gt(y, zero, s.c(SELU_SCALE), s.add(y, s.c(SELU_SCALE * SELU_ALPHA))),
        Activation::Exponential => y,
        Activation::LeakyRelu => s.select_gt(y, zero, one, s.add(s.c(LEAKY_SLOPE), s.mul(zero, y))),
        Activation::Relu6 => inside(s, y, 6.0, 1.0),
        Activation::Silu => {
            let g = s.sigmoid(y);
            s.mul(g, s.fma(y, s.sub(one, g), one))
        }
        Activation::Gelu => {
            let density = s.mul(s.c(NORMAL_PEAK), s.exp(s.mul(s.mul(y, y), s.c(-0.5))));
            s.fma(y, density, normal_cdf(s, y))
        }
    }
}

/// `slope` where `0 < y < high`, else 0; NaN passes through.
#[inline(always)]
fn inside<S: Lanes>(s: S, y: S::V, high: f64, slope: f64) -> S::V {
    let zero = s.c(0.0);
    // y * 0 is NaN where y is; y is the output of a clamp, so never infinite.
    s.select_gt(y, zero, s.select_gt(s.c(high), y, s.c(slope), zero), s.mul(zero, y))
}

/// `1 / sqrt(2 pi)`
const NORMAL_PEAK: f64 = 0.398_942_280_401_432_7;

/// `(1 + erf(x / sqrt 2)) / 2`, without cancellation in the lower tail.
#[inline(always)]
fn normal_cdf<S: Lanes>(s: S, x: S::V) -> S::V {
    s.mul(s.c(0.5), s.erfc(s.mul(x, s.c(-std::f64::consts::FRAC_1_SQRT_2))))
}

/// Repeats `$loop` for every activation, so that the choice is made once per call and not per vector.
macro_rules! for_each_kind {
    ($kind:expr, |$k:ident| $loop:expr; $($name:ident)*) => {
        match $kind { $(Activation::$name => { const $k: Activation = Activation::$name; $loop })* }
    };
    ($kind:expr, |$k:ident| $loop:expr) => {
        for_each_kind!($kind, |$k| $loop; Linear Tanh Sigmoid Relu HardSigmoid Softplus Softsign Elu Selu Exponential
            LeakyRelu Relu6 Silu Gelu)
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
        for_each_kind!(self.kind, |KIND| map(
            s,
            self.x,
            self.y,
            #[inline(always)]
            |x| forward(s, KIND, x)
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
        for_each_kind!(self.kind, |KIND| zip_map(
            s,
            self.saved,
            self.dy,
            self.dx,
            #[inline(always)]
            |saved, dy| { s.mul(dy, derivative(s, KIND, saved)) }
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
        for_each_kind!(self.kind, |KIND| crate::math::map_in_place(
            s,
            self.x,
            #[inline(always)]
            |x| forward(s, KIND, x)
        ))
    }
}
