//! The activations that Keras has as layers of their own: LeakyReLU, ELU, ReLU, and PReLU, whose slope is learned.

use super::simple::activate;
use super::{Activate, Constraint, Held, Initializer, OneToOne, Regularizer, SampleShape, VariableSpec};
use crate::device::{Op, Slice};
use crate::model::lowering::{Lowering, Node, Value};
use crate::{Error, Result};
use rnn_shaders::vocabulary::{Activation, Parametric};
use serde::{Deserialize, Serialize};

/// `x` for `x > 0`, else `negative_slope * x`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LeakyRelu {
    negative_slope: f32,
}

impl LeakyRelu {
    /// With this slope below 0, at least 0. Keras's default is 0.3 (the activation's is 0.2).
    pub fn new(negative_slope: f32) -> Self {
        LeakyRelu { negative_slope }
    }

    fn activation(&self) -> Result<Activate> {
        Ok(Parametric::LeakyRelu { slope: self.negative_slope }.into())
    }
}

/// `x` for `x > 0`, else `alpha * (exp(x) - 1)`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Elu {
    alpha: f32,
}

impl Elu {
    /// With this depth of the lower part, at least 0. Keras's default is 1.
    pub fn new(alpha: f32) -> Self {
        Elu { alpha }
    }

    fn activation(&self) -> Result<Activate> {
        Ok(Parametric::Elu { alpha: self.alpha }.into())
    }
}

/// `min(x, max_value)` for `x > threshold`, else `negative_slope * (x - threshold)`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Relu {
    max_value: Option<f32>,
    negative_slope: f32,
    threshold: f32,
}

impl Relu {
    /// `max(x, 0)`
    pub fn new() -> Self {
        Self::default()
    }

    /// The largest output, at least 0; none.
    pub fn max_value(mut self, value: f32) -> Self {
        self.max_value = Some(value);
        self
    }

    /// Slope below the threshold, at least 0; 0.
    pub fn negative_slope(mut self, slope: f32) -> Self {
        self.negative_slope = slope;
        self
    }

    /// Where values begin to pass, at least 0; 0.
    pub fn threshold(mut self, threshold: f32) -> Self {
        self.threshold = threshold;
        self
    }

    fn activation(&self) -> Result<Activate> {
        Ok(match *self {
            Relu { max_value: None, negative_slope: 0.0, threshold: 0.0 } => Activation::Relu.into(),
            // As Keras has it, whose slope counts at 0 itself then.
            Relu { max_value: None, negative_slope, threshold: 0.0 } => {
                Parametric::LeakyRelu { slope: negative_slope }.into()
            }
            Relu { max_value, negative_slope, threshold } => {
                Parametric::Relu { slope: negative_slope, max: max_value.unwrap_or(f32::INFINITY), threshold }
                    .into()
            }
        })
    }
}

macro_rules! activation_layers {
    ($($layer:ty: $class:literal),*) => {$(
        impl OneToOne for $layer {
            fn class(&self) -> &'static str {
                $class
            }

            fn is_stepwise(&self) -> bool {
                true
            }

            fn kernels(&self) -> &'static str {
                "one pass over the values"
            }

            fn output_shape(&self, input: &[Option<usize>]) -> Result<SampleShape> {
                self.activation()?.check($class)?;
                Ok(input.to_vec())
            }

            fn lower(&self, l: &mut Lowering<'_>, _: &Node, x: Value) -> Result<Value> {
                activate(l, self.activation()?, x)
            }
        }
    )*};
}

activation_layers!(LeakyRelu: "LeakyReLU", Elu: "ELU", Relu: "ReLU");

/// `x` for `x > 0`, else `alpha * x` with a weight `alpha` for every value of a sample (He et al. 2015), or one for all
/// values along some axes. Weights: alpha, of the shape of a sample with 1 for each shared axis.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PRelu {
    alpha_initializer: Initializer,
    #[serde(default, skip_serializing_if = "Held::is_free")]
    alpha_held: Held,
    shared_axes: Option<Vec<usize>>,
}

impl Default for PRelu {
    fn default() -> Self {
        Self::new()
    }
}

impl PRelu {
    /// A slope for every value of a sample, 0 at first.
    pub fn new() -> Self {
        PRelu { alpha_initializer: Initializer::Zeros, alpha_held: Held::default(), shared_axes: None }
    }

    /// Start of alpha; zeros.
    pub fn alpha_initializer(mut self, initializer: Initializer) -> Self {
        self.alpha_initializer = initializer;
        self
    }

    /// A penalty on alpha; none.
    pub fn alpha_regularizer(mut self, regularizer: Regularizer) -> Self {
        self.alpha_held.regularizer = Some(regularizer);
        self
    }

    /// What alpha is held to after each update; nothing.
    pub fn alpha_constraint(mut self, constraint: Constraint) -> Self {
        self.alpha_held.constraint = Some(constraint);
        self
    }

    /// Axes of the input, the batch being axis 0, along which one alpha serves all values: `[1]` for all steps of a
    /// sequence. None.
    pub fn shared_axes(mut self, axes: impl Into<Vec<usize>>) -> Self {
        self.shared_axes = Some(axes.into());
        self
    }

    fn shares(&self, axis: usize) -> bool {
        self.shared_axes.as_ref().is_some_and(|axes| axes.contains(&axis))
    }

    /// The shape of alpha for these samples; an axis that is not shared must be known.
    fn alpha_shape(&self, input: &[Option<usize>]) -> Option<Vec<usize>> {
        input.iter().enumerate().map(|(i, n)| if self.shares(i + 1) { Some(1) } else { *n }).collect()
    }
}

impl OneToOne for PRelu {
    fn class(&self) -> &'static str {
        "PReLU"
    }

    fn is_stepwise(&self) -> bool {
        self.shares(1)
    }

    fn kernels(&self) -> &'static str {
        "element-wise passes"
    }

    fn output_shape(&self, input: &[Option<usize>]) -> Result<SampleShape> {
        if let Some(axis) = self.shared_axes.iter().flatten().find(|axis| !(1..=input.len()).contains(axis)) {
            let problem = format!("shared_axes must lie in 1 to {}, got {axis}", input.len());
            return Err(Error::invalid("PReLU", problem));
        }
        if self.alpha_shape(input).is_none() {
            let expected =
                "known sizes of all axes that are not shared (shared_axes([1]) is one alpha for all steps)";
            return Err(Error::shape("input of PReLU", expected, input));
        }
        Ok(input.to_vec())
    }

    fn variables(&self, input: &[Option<usize>]) -> Vec<VariableSpec> {
        let shape = self.alpha_shape(input).unwrap_or_default();
        vec![VariableSpec::new("alpha", shape, self.alpha_initializer).held(self.alpha_held)]
    }

    fn lower(&self, l: &mut Lowering<'_>, node: &Node, x: Value) -> Result<Value> {
        let len = x.data.len;
        // Values lie as [time, batch, features]: a block of rows for each step that has alphas of its own.
        let steps = if x.shape.len() == 2 && !self.shares(1) { x.shape[0] } else { 1 };
        let cols = if self.shares(x.shape.len()) { 1 } else { *x.shape.last().unwrap_or(&1) };
        let rows = len / steps / cols;
        let block = move |s: Slice, t: usize| s.part(t * rows * cols, rows * cols);
        let alpha = node.weights[0];

        let (spread, positive, negative) = (l.buffer(len)?, l.buffer(len)?, l.buffer(len)?);
        let (turned, product, data) = (l.scratch(len)?, l.scratch(len)?, l.buffer(len)?);
        for t in 0..steps {
            l.emit(Op::RepeatVector {
                time: rows,
                n: cols,
                x: alpha.part(t * cols, cols),
                y: block(spread, t),
            });
        }
        let kind = Activation::Relu;
        l.emit(Op::ActivationForward { kind, x: x.data, y: positive });
        l.emit(Op::Scale { factor: -1.0, x: x.data, y: turned });
        l.emit(Op::ActivationForward { kind, x: turned, y: negative });
        l.emit(Op::Mul { a: spread, b: negative, y: product });
        l.emit(Op::Sub { a: positive, b: product, y: data });
        let y = l.value(data, x.shape.clone());

        let (output, gradient) = (y.clone(), node.gradients.first().copied());
        l.backward(move |l| {
            let Some(dy) = l.gradient(&output) else { return Ok(()) };
            if let Some(gradient) = gradient {
                let (product, turned) = (l.scratch(len)?, l.scratch(len)?);
                l.emit(Op::Mul { a: dy, b: negative, y: product });
                l.emit(Op::Scale { factor: -1.0, x: product, y: turned });
                for t in 0..steps {
                    let out = gradient.part(t * cols, cols);
                    l.emit(Op::SumRows { rows, cols, x: block(turned, t), out, accumulate: true });
                }
            }
            let (above, below, slope) = (l.scratch(len)?, l.scratch(len)?, l.scratch(len)?);
            l.propagate(&x, |l, dx| {
                let Some(dx) = dx else { return };
                l.emit(Op::ActivationBackward { kind, saved: positive, dy, dx: above });
                l.emit(Op::Mul { a: dy, b: spread, y: slope });
                l.emit(Op::ActivationBackward { kind, saved: negative, dy: slope, dx: below });
                l.emit(Op::Add { a: above, b: below, y: dx });
            })
        });
        Ok(y)
    }
}
