//! Activations: known values, derivatives against central differences, f32 against f64, every length.

mod common;

use common::{close, derivative, numbers, singles, with_threads};
use cpu_core::{Activation, Error, Formula, Parametric, activation_backward, activation_forward};
use proptest::prelude::*;

fn forward(kind: Activation, x: &[f64]) -> Vec<f64> {
    let mut y = vec![0.0; x.len()];
    activation_forward(kind, x, &mut y).unwrap();
    y
}

fn slopes(kind: Activation, x: &[f64]) -> Vec<f64> {
    let saved = if kind.derivative_from_output() { forward(kind, x) } else { x.to_vec() };
    let mut dx = vec![0.0; x.len()];
    activation_backward(kind, &saved, &vec![1.0; x.len()], &mut dx).unwrap();
    dx
}

/// Values of Keras 3's formulas at -4, -0.5 and 2, computed by hand from them.
#[test]
fn known_values() {
    let e = |x: f64| x.exp();
    let cases = [
        (Activation::Linear, [-4.0, -0.5, 2.0]),
        (Activation::Relu, [0.0, 0.0, 2.0]),
        (Activation::HardSigmoid, [0.0, 2.5 / 6.0, 5.0 / 6.0]),
        (Activation::Softplus, [0.01814992791780978, 0.47407698418010663, 2.1269280110429727]),
        (Activation::Softsign, [-0.8, -1.0 / 3.0, 2.0 / 3.0]),
        (Activation::Elu, [e(-4.0) - 1.0, e(-0.5) - 1.0, 2.0]),
        (Activation::Selu, [-1.725897, -0.691758, 2.101402]),
        (Activation::Exponential, [e(-4.0), e(-0.5), e(2.0)]),
        (Activation::LeakyRelu, [-0.8, -0.1, 2.0]),
        (Activation::Relu6, [0.0, 0.0, 2.0]),
        (Activation::Silu, [-0.07194483984836625, -0.1887703343990727, 1.7615941559557649]),
        (Activation::Gelu, [-0.00012668496733247986, -0.15426876936299347, 1.9544997361036416]),
        (Activation::HardShrink, [-4.0, 0.0, 2.0]),
        (Activation::HardSilu, [0.0, -0.5 * 2.5 / 6.0, 10.0 / 6.0]),
        (Activation::HardTanh, [-1.0, -0.5, 1.0]),
        (Activation::LogSigmoid, [-4.01814992791781, -0.9740769841801067, -0.1269280110429727]),
        (Activation::SoftShrink, [-3.5, 0.0, 1.5]),
        (Activation::SparsePlus, [0.0, 0.0625, 2.0]),
        (Activation::SparseSigmoid, [0.0, 0.25, 1.0]),
        (Activation::Squareplus, [5.0f64.sqrt() - 2.0, (4.25f64.sqrt() - 0.5) / 2.0, 1.0 + 2.0f64.sqrt()]),
        (Activation::TanhShrink, [-4.0 + 4.0f64.tanh(), -0.5 + 0.5f64.tanh(), 2.0 - 2.0f64.tanh()]),
        (Activation::HARD_SIGMOID_OF_KERAS_2, [0.0, 0.4, 0.9]),
        (Parametric::Celu { alpha: 2.0 }.into(), [2.0 * e(-2.0) - 2.0, 2.0 * e(-0.25) - 2.0, 2.0]),
        (Parametric::Elu { alpha: 0.5 }.into(), [0.5 * e(-4.0) - 0.5, 0.5 * e(-0.5) - 0.5, 2.0]),
        (Parametric::Relu { slope: 0.5, max: 1.5, threshold: 1.0 }.into(), [-2.5, -0.75, 1.5]),
        (Parametric::Affine { alpha: 2.0, beta: 1.0 }.into(), [-7.0, 0.0, 5.0]),
        (Parametric::Threshold { threshold: -1.0, value: 9.0 }.into(), [9.0, -0.5, 2.0]),
    ];
    assert_eq!(forward(Activation::Celu, &[-4.0, 2.0]), forward(Activation::Elu, &[-4.0, 2.0]));
    for (kind, want) in cases {
        for (got, want) in forward(kind, &[-4.0, -0.5, 2.0]).iter().zip(want) {
            close(*got, want, 1e-6, 0.0, &format!("{kind:?}"));
        }
    }
    assert_eq!(forward(Activation::Relu6, &[7.0]), [6.0]);
    assert_eq!(forward(Activation::HardSigmoid, &[3.5]), [1.0]);
}

#[test]
fn derivatives_equal_central_differences() {
    // Off the kinks, all at multiples of 0.25, by more than the difference's step.
    let x: Vec<f64> = (0..400).map(|i| -8.013 + 0.04 * f64::from(i)).collect();
    let off_kink = |x: f64| (4.0 * x - (4.0 * x).round()).abs() > 4.0 * 0.002;
    assert!(x.iter().all(|&x| off_kink(x)));
    for kind in Activation::ALL {
        for (&x, got) in x.iter().zip(slopes(kind, &x)) {
            let want = derivative(|x| forward(kind, &[x])[0], x);
            // The difference of two values near |x| is off by their last place over the step.
            close(got, want, 1e-6, 1e-10, &format!("{kind:?}'({x})"));
        }
    }
}

/// The side that Keras takes where the derivative jumps.
#[test]
fn derivatives_at_kinks() {
    assert_eq!(slopes(Activation::Relu, &[0.0]), [0.0]);
    assert_eq!(slopes(Activation::Relu6, &[0.0, 6.0]), [0.0, 0.0]);
    assert_eq!(slopes(Activation::LeakyRelu, &[0.0]), [0.2]);
    assert_eq!(slopes(Activation::Elu, &[0.0]), [1.0]);
    assert_eq!(slopes(Activation::HardSilu, &[-3.0, 3.0]), [0.0, 1.0]);
    assert_eq!(slopes(Activation::HardTanh, &[-1.0, 1.0]), [0.0, 0.0]);
    assert_eq!(slopes(Activation::SoftShrink, &[-0.5, 0.5]), [0.0, 0.0]);
    assert_eq!(slopes(Activation::SparsePlus, &[-1.0, 1.0]), [0.0, 1.0]);
    let relu = Parametric::Relu { slope: 0.5, max: 2.0, threshold: 1.0 }.into();
    assert_eq!(slopes(relu, &[1.0, 0.5, 1.5, 2.0, 3.0]), [0.0, 0.5, 1.0, 0.0, 0.0]);
}

#[test]
fn single_precision_follows_double() {
    let x = numbers(1, 4001, 12.0);
    let x: Vec<f64> = x.iter().map(|&x| f64::from(x as f32)).collect();
    for kind in Activation::ALL {
        let (want, slope) = (forward(kind, &x), slopes(kind, &x));
        let mut y = vec![0.0f32; x.len()];
        activation_forward(kind, &singles(&x), &mut y).unwrap();
        // Five roundings of half a unit; for gelu that of z, twice z^2 = 72 times, in an exponent.
        let rtol = if matches!(kind, Activation::Gelu | Activation::GeluTanh) { 2e-5 } else { 3e-7 };
        // Those that subtract lose units of their operands near their zeros.
        let formula = kind.formula().0;
        let differs = [
            Formula::Clamp,
            Formula::SoftShrink,
            Formula::TanhShrink,
            Formula::HardSilu,
            Formula::Affine,
            Formula::ClippedRelu,
            Formula::SparsePlus,
        ];
        // Below that f32 has no normal numbers.
        let atol = if differs.contains(&formula) { 2e-6 } else { 1e-37 };
        for ((y, want), x) in y.iter().zip(&want).zip(&x) {
            close(f64::from(*y), *want, rtol, atol, &format!("{kind:?}({x})"));
        }
        let saved = if kind.derivative_from_output() { y.clone() } else { singles(&x) };
        let mut dx = vec![0.0f32; x.len()];
        activation_backward(kind, &saved, &vec![1.0; x.len()], &mut dx).unwrap();
        // 1 - y^2 and its like lose what the rounding of y takes: one unit of 1, and of y itself where that is larger.
        for ((dx, want), x) in dx.iter().zip(&slope).zip(&x) {
            close(f64::from(*dx), *want, 1e-6, 2e-6, &format!("{kind:?}'({x})"));
        }
    }
}

#[test]
fn nan_passes_and_extremes_do_not_make_it() {
    for kind in Activation::ALL {
        let x = [f32::NAN, 100.0, -100.0, 1e-40, 88.0, -88.0, 0.0, -0.0, 1e30, -1e30];
        let mut y = [0.0f32; 10];
        activation_forward(kind, &x, &mut y).unwrap();
        assert!(y[0].is_nan(), "{kind:?} hides NaN");
        assert!(y[1..].iter().all(|y| !y.is_nan()), "{kind:?} makes NaN: {y:?}");
        let saved = if kind.derivative_from_output() { y } else { x };
        let mut dx = [0.0f32; 10];
        activation_backward(kind, &saved, &[1.0; 10], &mut dx).unwrap();
        assert!(
            dx[0].is_nan() || matches!(kind.formula().0, Formula::Linear | Formula::Affine),
            "{kind:?}' hides NaN"
        );
        assert!(dx[1..].iter().all(|d| !d.is_nan()), "{kind:?}' makes NaN: {dx:?}");
    }
}

#[test]
fn threads_change_nothing() {
    let x = singles(&numbers(2, 200_003, 5.0));
    for kind in Activation::ALL {
        let [one, four] = with_threads(|| {
            let (mut y, mut dx) = (vec![0.0; x.len()], vec![0.0; x.len()]);
            activation_forward(kind, &x, &mut y).unwrap();
            activation_backward(kind, &x, &y, &mut dx).unwrap();
            (y, dx)
        });
        // By bits: inputs that are no outputs of the activation may give NaN on the way back.
        let bits =
            |(y, dx): &(Vec<f32>, Vec<f32>)| y.iter().chain(dx).map(|v| v.to_bits()).collect::<Vec<_>>();
        assert!(bits(&one) == bits(&four), "{kind:?}");
    }
}

#[test]
fn wrong_lengths_are_errors() {
    let error = activation_forward(Activation::Tanh, &[0.0f32; 3], &mut [0.0; 2]).unwrap_err();
    assert_eq!(error, Error::Length { op: "activation_forward", what: "y", expected: 3, got: 2 });
    assert_eq!(error.to_string(), "activation_forward: y has 2 elements, expected 3");
    assert!(activation_backward(Activation::Tanh, &[0.0f32; 3], &[0.0; 3], &mut [0.0; 4]).is_err());
    assert!(activation_backward(Activation::Tanh, &[0.0f32; 3], &[0.0; 2], &mut [0.0; 3]).is_err());
}

proptest! {
    /// An element's result does not depend on where it stands.
    #[test]
    fn position_does_not_matter(x in prop::collection::vec(-20.0f32..20.0, 0..70), code in 0..Activation::ALL.len()) {
        let kind = Activation::ALL[code];
        let mut y = vec![0.0; x.len()];
        activation_forward(kind, &x, &mut y).unwrap();
        for (x, y) in x.iter().zip(&y) {
            let mut alone = [0.0f32];
            activation_forward(kind, &[*x], &mut alone).unwrap();
            prop_assert_eq!(alone[0].to_bits(), y.to_bits());
        }
    }
}
