//! Element-wise activations: their names, their numbers, and the few formulas that all of them are written in.

use std::hash::{Hash, Hasher};

/// An element-wise activation with Keras 3's formula and default numbers, or one [with numbers](Parametric) of its own.
/// Softmax and its like, which couple a row, are operations of their own (`layer::Softmax` and `RowActivation` of a model's layers).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Activation {
    /// `x`
    Linear,
    /// `tanh(x)`
    Tanh,
    /// `1 / (1 + exp(-x))`
    Sigmoid,
    /// `max(x, 0)`
    Relu,
    /// `relu6(x + 3) / 6` (Keras 3; Keras 2's is [`Activation::HARD_SIGMOID_OF_KERAS_2`])
    HardSigmoid,
    /// `ln(1 + exp(x))`
    Softplus,
    /// `x / (1 + |x|)`
    Softsign,
    /// `x` for `x > 0`, else `exp(x) - 1`
    Elu,
    /// `1.05070098 * (x for x > 0, else 1.67326324 * (exp(x) - 1))`
    Selu,
    /// `exp(x)`
    Exponential,
    /// `x` for `x > 0`, else `0.2 * x`
    LeakyRelu,
    /// `min(max(x, 0), 6)`
    Relu6,
    /// `x * sigmoid(x)`, also called swish; its derivative needs the input
    Silu,
    /// `0.5 * x * (1 + erf(x / sqrt 2))`; its derivative needs the input
    Gelu,
    /// `0.5 * x * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 x^3)))`, Keras's `gelu(approximate=True)`; its derivative needs
    /// the input
    GeluTanh,
    /// `x` for `x > 0`, else `exp(x) - 1`
    Celu,
    /// `x` for `|x| > 0.5`, else 0
    HardShrink,
    /// `x * relu6(x + 3) / 6`, also called hard swish; its derivative needs the input
    HardSilu,
    /// `min(max(x, -1), 1)`
    HardTanh,
    /// `-ln(1 + exp(-x))`
    LogSigmoid,
    /// `x * tanh(ln(1 + exp(x)))`; its derivative needs the input
    Mish,
    /// `x` moved by 0.5 towards 0, and 0 for `|x| <= 0.5`
    SoftShrink,
    /// 0 for `x <= -1`, `x` for `x >= 1`, else `(x + 1)^2 / 4`
    SparsePlus,
    /// `min(max(0.5 * (x + 1), 0), 1)`
    SparseSigmoid,
    /// `(x + sqrt(x^2 + 4)) / 2`
    Squareplus,
    /// `x - tanh(x)`; its derivative needs the input
    TanhShrink,
    /// with numbers of its own
    With(Parametric),
}

/// An activation with numbers of its own. Two are equal where their numbers have the same bits.
#[derive(Clone, Copy, Debug)]
pub enum Parametric {
    /// `alpha * x + beta` (ONNX)
    Affine {
        /// factor
        alpha: f32,
        /// shift
        beta: f32,
    },
    /// `x` for `x > 0`, else `alpha * (exp(x / alpha) - 1)`; alpha above 0
    Celu {
        /// depth and reach of the lower part
        alpha: f32,
    },
    /// `x` for `x > 0`, else `alpha * (exp(x) - 1)`; alpha at least 0
    Elu {
        /// depth of the lower part
        alpha: f32,
    },
    /// `x` for `|x| > threshold`, else 0; threshold at least 0
    HardShrink {
        /// half width of the gap
        threshold: f32,
    },
    /// `min(max(alpha * x + beta, 0), 1)` (ONNX)
    HardSigmoid {
        /// slope
        alpha: f32,
        /// value at 0
        beta: f32,
    },
    /// `x` for `x > 0`, else `slope * x`; slope at least 0
    LeakyRelu {
        /// below 0
        slope: f32,
    },
    /// `min(x, max)` for `x > threshold`, else `slope * (x - threshold)`: Keras's `relu` with all its options and, with
    /// a threshold alone, ONNX's `ThresholdedRelu`. None of the numbers is below 0; `max` may be infinite.
    Relu {
        /// below the threshold
        slope: f32,
        /// largest value
        max: f32,
        /// where values begin to pass
        threshold: f32,
    },
    /// `alpha * tanh(beta * x)` (ONNX)
    ScaledTanh {
        /// height
        alpha: f32,
        /// steepness
        beta: f32,
    },
    /// `x` moved by `threshold` towards 0, and 0 for `|x| <= threshold`; threshold at least 0
    SoftShrink {
        /// half width of the gap
        threshold: f32,
    },
    /// `(x + sqrt(x^2 + b)) / 2`; b at least 0
    Squareplus {
        /// roundness
        b: f32,
    },
    /// `x` for `x > threshold`, else `value`; its derivative needs the input
    Threshold {
        /// where values begin to pass
        threshold: f32,
        /// in place of the others
        value: f32,
    },
}

/// The formulas behind the activations, with up to three numbers `a`, `b`, `c`. The numeric codes are what WGSL sees;
/// `activations.wgsl` and the CPU's twin have the formulas and their derivatives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Formula {
    /// `x`
    Linear = 0,
    /// `tanh(x)`
    Tanh = 1,
    /// `1 / (1 + exp(-x))`
    Sigmoid = 2,
    /// `max(x, 0)`
    Relu = 3,
    /// `min(max(a x + b, c), 1)`
    Clamp = 4,
    /// `ln(1 + exp(x))`
    Softplus = 5,
    /// `x / (1 + |x|)`
    Softsign = 6,
    /// `c * (x for x > 0, else a (exp(b x) - 1))`
    ExpUnit = 7,
    /// `exp(x)`
    Exponential = 8,
    /// `x` for `x > 0`, else `a x`
    Leaky = 9,
    /// `min(x, b)` for `x > c`, else `a (x - c)`
    ClippedRelu = 10,
    /// `x * sigmoid(x)`
    Silu = 11,
    /// `x` times the normal distribution at x
    Gelu = 12,
    /// its approximation by tanh
    GeluTanh = 13,
    /// `x * min(max(x / 6 + 0.5, 0), 1)`
    HardSilu = 14,
    /// `x * tanh(softplus(x))`
    Mish = 15,
    /// `x - tanh(x)`
    TanhShrink = 16,
    /// `x` for `x > a`, else `b`
    Threshold = 17,
    /// `-softplus(-x)`
    LogSigmoid = 18,
    /// `(x + sqrt(x^2 + a)) / 2`
    Squareplus = 19,
    /// 0, `(x + 1)^2 / 4`, `x` below, between and above -1 and 1
    SparsePlus = 20,
    /// `x` for `|x| > a`, else 0
    HardShrink = 21,
    /// `x - min(max(x, -a), a)`
    SoftShrink = 22,
    /// `a x + b`
    Affine = 23,
    /// `a tanh(b x)`; c is `1 / a`, or 0 where a is
    ScaledTanh = 24,
}

/// An activation that couples a row, beside softmax. The numeric codes are what WGSL sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum RowActivation {
    /// `x - ln(sum(exp(x)))`
    LogSoftmax = 0,
    /// The point nearest to x among those with no value below 0 and a sum of 1: `max(x - tau, 0)` (Martins and Astudillo
    /// 2016)
    Sparsemax = 1,
}

impl Formula {
    /// Codes run from 0 to this.
    pub const LAST: Formula = Formula::ScaledTanh;
}

impl Activation {
    /// Every activation by name, then an example of each that has numbers of its own.
    pub const ALL: [Activation; 39] = [
        Activation::Linear,
        Activation::Tanh,
        Activation::Sigmoid,
        Activation::Relu,
        Activation::HardSigmoid,
        Activation::Softplus,
        Activation::Softsign,
        Activation::Elu,
        Activation::Selu,
        Activation::Exponential,
        Activation::LeakyRelu,
        Activation::Relu6,
        Activation::Silu,
        Activation::Gelu,
        Activation::GeluTanh,
        Activation::Celu,
        Activation::HardShrink,
        Activation::HardSilu,
        Activation::HardTanh,
        Activation::LogSigmoid,
        Activation::Mish,
        Activation::SoftShrink,
        Activation::SparsePlus,
        Activation::SparseSigmoid,
        Activation::Squareplus,
        Activation::TanhShrink,
        Activation::HARD_SIGMOID_OF_KERAS_2,
        Activation::With(Parametric::Affine { alpha: -0.75, beta: 0.5 }),
        Activation::With(Parametric::Celu { alpha: 2.0 }),
        Activation::With(Parametric::Elu { alpha: 0.5 }),
        Activation::With(Parametric::HardShrink { threshold: 1.25 }),
        Activation::With(Parametric::LeakyRelu { slope: 0.3 }),
        Activation::With(Parametric::Relu { slope: 0.0, max: f32::INFINITY, threshold: 1.0 }),
        Activation::With(Parametric::Relu { slope: 0.1, max: 4.0, threshold: 0.5 }),
        Activation::With(Parametric::ScaledTanh { alpha: 1.7159, beta: 0.6667 }),
        Activation::With(Parametric::SoftShrink { threshold: 0.25 }),
        Activation::With(Parametric::Squareplus { b: 1.0 }),
        Activation::With(Parametric::Squareplus { b: 0.0 }),
        Activation::With(Parametric::Threshold { threshold: 0.75, value: 2.0 }),
    ];

    /// `min(max(0.2 x + 0.5, 0), 1)`: `hard_sigmoid` as Keras before version 3 has it.
    pub const HARD_SIGMOID_OF_KERAS_2: Activation =
        Activation::With(Parametric::HardSigmoid { alpha: 0.2, beta: 0.5 });

    /// The formula and its numbers `[a, b, c]`; those that it does not have are 0.
    pub fn formula(self) -> (Formula, [f64; 3]) {
        const SELU_SCALE: f64 = 1.050_700_987_355_480_5;
        const SELU_ALPHA: f64 = 1.673_263_242_354_377_2;
        const NONE: [f64; 3] = [0.0; 3];
        match self {
            Activation::Linear => (Formula::Linear, NONE),
            Activation::Tanh => (Formula::Tanh, NONE),
            Activation::Sigmoid => (Formula::Sigmoid, NONE),
            Activation::Relu => (Formula::Relu, NONE),
            Activation::HardSigmoid => (Formula::Clamp, [1.0 / 6.0, 0.5, 0.0]),
            Activation::Softplus => (Formula::Softplus, NONE),
            Activation::Softsign => (Formula::Softsign, NONE),
            Activation::Elu | Activation::Celu => (Formula::ExpUnit, [1.0; 3]),
            Activation::Selu => (Formula::ExpUnit, [SELU_ALPHA, 1.0, SELU_SCALE]),
            Activation::Exponential => (Formula::Exponential, NONE),
            Activation::LeakyRelu => (Formula::Leaky, [0.2, 0.0, 0.0]),
            Activation::Relu6 => (Formula::ClippedRelu, [0.0, 6.0, 0.0]),
            Activation::Silu => (Formula::Silu, NONE),
            Activation::Gelu => (Formula::Gelu, NONE),
            Activation::GeluTanh => (Formula::GeluTanh, NONE),
            Activation::HardShrink => (Formula::HardShrink, [0.5, 0.0, 0.0]),
            Activation::HardSilu => (Formula::HardSilu, NONE),
            Activation::HardTanh => (Formula::Clamp, [1.0, 0.0, -1.0]),
            Activation::LogSigmoid => (Formula::LogSigmoid, NONE),
            Activation::Mish => (Formula::Mish, NONE),
            Activation::SoftShrink => (Formula::SoftShrink, [0.5, 0.0, 0.0]),
            Activation::SparsePlus => (Formula::SparsePlus, NONE),
            Activation::SparseSigmoid => (Formula::Clamp, [0.5, 0.5, 0.0]),
            Activation::Squareplus => (Formula::Squareplus, [4.0, 0.0, 0.0]),
            Activation::TanhShrink => (Formula::TanhShrink, NONE),
            Activation::With(kind) => kind.formula(),
        }
    }

    /// Whether the derivative can be written in terms of the output, so that a gate needs to save only that.
    pub fn derivative_from_output(self) -> bool {
        !matches!(
            self.formula().0,
            Formula::Silu
                | Formula::Gelu
                | Formula::GeluTanh
                | Formula::HardSilu
                | Formula::Mish
                | Formula::TanhShrink
                | Formula::Threshold
        )
    }

    /// Refuses numbers that the formula has no meaning for.
    ///
    /// # Errors
    /// With the number and what it may be.
    pub fn check(self) -> Result<(), String> {
        match self {
            Activation::With(kind) => kind.check(),
            _ => Ok(()),
        }
    }
}

impl Parametric {
    fn formula(self) -> (Formula, [f64; 3]) {
        let of = |formula, numbers: [f32; 3]| (formula, numbers.map(f64::from));
        match self {
            Parametric::Affine { alpha, beta } => of(Formula::Affine, [alpha, beta, 0.0]),
            Parametric::Celu { alpha } => (Formula::ExpUnit, [f64::from(alpha), 1.0 / f64::from(alpha), 1.0]),
            Parametric::Elu { alpha } => of(Formula::ExpUnit, [alpha, 1.0, 1.0]),
            Parametric::HardShrink { threshold } => of(Formula::HardShrink, [threshold, 0.0, 0.0]),
            Parametric::HardSigmoid { alpha, beta } => of(Formula::Clamp, [alpha, beta, 0.0]),
            Parametric::LeakyRelu { slope } => of(Formula::Leaky, [slope, 0.0, 0.0]),
            // A largest value that no f32 passes, where there is none: a kernel's constants are finite.
            Parametric::Relu { slope, max, threshold } => {
                of(Formula::ClippedRelu, [slope, max.min(f32::MAX), threshold])
            }
            Parametric::ScaledTanh { alpha, beta } => {
                let inverse = if alpha == 0.0 { 0.0 } else { 1.0 / f64::from(alpha) };
                (Formula::ScaledTanh, [f64::from(alpha), f64::from(beta), inverse])
            }
            Parametric::SoftShrink { threshold } => of(Formula::SoftShrink, [threshold, 0.0, 0.0]),
            Parametric::Squareplus { b } => of(Formula::Squareplus, [b, 0.0, 0.0]),
            Parametric::Threshold { threshold, value } => of(Formula::Threshold, [threshold, value, 0.0]),
        }
    }

    fn check(self) -> Result<(), String> {
        let finite = |name: &str, x: f32| {
            if x.is_finite() { Ok(()) } else { Err(format!("{name} must be finite, got {x}")) }
        };
        let from_zero = |name: &str, x: f32| {
            finite(name, x)?;
            if x >= 0.0 { Ok(()) } else { Err(format!("{name} must be at least 0, got {x}")) }
        };
        match self {
            Parametric::Affine { alpha, beta }
            | Parametric::HardSigmoid { alpha, beta }
            | Parametric::ScaledTanh { alpha, beta } => finite("alpha", alpha).and(finite("beta", beta)),
            // Below it 1 / alpha is past what a kernel's constant can be.
            Parametric::Celu { alpha } if alpha.is_finite() && alpha >= 1e-30 => Ok(()),
            Parametric::Celu { alpha } => Err(format!("alpha must be above 0, got {alpha}")),
            Parametric::Elu { alpha } => from_zero("alpha", alpha),
            Parametric::HardShrink { threshold } | Parametric::SoftShrink { threshold } => {
                from_zero("threshold", threshold)
            }
            Parametric::LeakyRelu { slope } => from_zero("negative_slope", slope),
            Parametric::Relu { slope, max, threshold } => {
                let max = if max == f32::INFINITY { 0.0 } else { max };
                from_zero("negative_slope", slope)
                    .and(from_zero("max_value", max))
                    .and(from_zero("threshold", threshold))
            }
            Parametric::Squareplus { b } => from_zero("b", b),
            Parametric::Threshold { threshold, value } => {
                finite("threshold", threshold).and(finite("default_value", value))
            }
        }
    }

    /// The numbers' bits.
    fn bits(self) -> [u32; 3] {
        let numbers = match self {
            Parametric::Affine { alpha, beta }
            | Parametric::HardSigmoid { alpha, beta }
            | Parametric::ScaledTanh { alpha, beta } => [alpha, beta, 0.0],
            Parametric::Celu { alpha } | Parametric::Elu { alpha } => [alpha, 0.0, 0.0],
            Parametric::HardShrink { threshold } | Parametric::SoftShrink { threshold } => {
                [threshold, 0.0, 0.0]
            }
            Parametric::LeakyRelu { slope } => [slope, 0.0, 0.0],
            Parametric::Relu { slope, max, threshold } => [slope, max, threshold],
            Parametric::Squareplus { b } => [b, 0.0, 0.0],
            Parametric::Threshold { threshold, value } => [threshold, value, 0.0],
        };
        numbers.map(f32::to_bits)
    }
}

impl PartialEq for Parametric {
    fn eq(&self, other: &Self) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other) && self.bits() == other.bits()
    }
}

impl Eq for Parametric {}

impl Hash for Parametric {
    fn hash<H: Hasher>(&self, state: &mut H) {
        std::mem::discriminant(self).hash(state);
        self.bits().hash(state);
    }
}

impl From<Parametric> for Activation {
    fn from(kind: Parametric) -> Self {
        Activation::With(kind)
    }
}
