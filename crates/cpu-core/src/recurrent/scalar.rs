//! Activations of one value and their derivatives in terms of the output.

use crate::{Activation, Real};

/// `kind(x)`
pub(crate) fn value<T: Real>(kind: Activation, x: T) -> T {
    let n = T::from_f64;
    let clamp = |x: T, low: T, high: T| {
        if x < low {
            low
        } else if x > high {
            high
        } else {
            x
        }
    };
    match kind {
        Activation::Linear => x,
        Activation::Tanh => x.tanh(),
        Activation::Sigmoid => x.sigmoid(),
        Activation::Relu if x < T::ZERO => T::ZERO,
        Activation::Relu => x,
        Activation::HardSigmoid => clamp(x + n(3.0), T::ZERO, n(6.0)) / n(6.0),
        Activation::Softplus => (if x > T::ZERO { x } else { T::ZERO }) + (-x.abs()).exp().ln_1p(),
        Activation::Softsign => x / (T::ONE + x.abs()),
        Activation::Elu if x > T::ZERO => x,
        Activation::Elu => x.exp_m1(),
        Activation::Selu if x > T::ZERO => n(SELU_SCALE) * x,
        Activation::Selu => n(SELU_SCALE * SELU_ALPHA) * x.exp_m1(),
        Activation::Exponential => x.exp(),
        Activation::LeakyRelu if x < T::ZERO => n(0.2) * x,
        Activation::LeakyRelu => x,
        Activation::Relu6 => clamp(x, T::ZERO, n(6.0)),
        Activation::Silu => x * x.sigmoid(),
        Activation::Gelu => n(0.5) * x * (-x * n(std::f64::consts::FRAC_1_SQRT_2)).erfc(),
    }
}

const SELU_SCALE: f64 = 1.050_700_987_355_480_5;
const SELU_ALPHA: f64 = 1.673_263_242_354_377_2;

/// `d kind(x) / dx` for `y = kind(x)`, of the activations whose derivative can be written so; 1 for the others.
pub(crate) fn slope<T: Real>(kind: Activation, y: T) -> T {
    let n = T::from_f64;
    let inside = |y: T, high: T, slope: T| if y > T::ZERO && y < high { slope } else { T::ZERO };
    match kind {
        Activation::Linear | Activation::Silu | Activation::Gelu => T::ONE,
        Activation::Tanh => T::ONE - y * y,
        Activation::Sigmoid => y * (T::ONE - y),
        Activation::Relu => inside(y, T::INFINITY, T::ONE),
        Activation::HardSigmoid => inside(y, T::ONE, n(1.0 / 6.0)),
        Activation::Softplus => -(-y).exp_m1(),
        Activation::Softsign => (T::ONE - y.abs()) * (T::ONE - y.abs()),
        Activation::Elu if y > T::ZERO => T::ONE,
        Activation::Elu => y + T::ONE,
        Activation::Selu if y > T::ZERO => n(SELU_SCALE),
        Activation::Selu => y + n(SELU_SCALE * SELU_ALPHA),
        Activation::Exponential => y,
        Activation::LeakyRelu if y < T::ZERO => n(0.2),
        Activation::LeakyRelu => T::ONE,
        Activation::Relu6 => inside(y, n(6.0), T::ONE),
    }
}
