//! LayerNormalization.

use super::{Constraint, Held, Initializer, OneToOne, Regularizer, SampleShape, VariableSpec};
use crate::device::{LayerOp, Op};
use crate::model::lowering::{Lowering, Node, Value};
use crate::{Error, Result};
use rnn_shaders::vocabulary::Normalization;
use serde::{Deserialize, Serialize};

/// Each sample, and each step of a sequence, on its own: `(x - mean) / sqrt(variance + epsilon) * gamma + beta` over the last
/// axis (Ba et al. 2016). Weights: gamma and beta `[features]`, as far as they are wanted. Keras's defaults.
///
/// ```
/// use rnn_model::{Device, Input, Sequential, layer::{Gru, LayerNormalization}};
/// let model = Sequential::new(Input::sequence(None, 4))
///     .layer(Gru::new(8).return_sequences(true))
///     .layer(LayerNormalization::new())
///     .build(&Device::cpu())?;
/// # assert_eq!(model.get_weights()?.len(), 5);
/// # Ok::<(), rnn_model::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LayerNormalization {
    epsilon: f32,
    center: bool,
    scale: bool,
    rms_scaling: bool,
    beta_initializer: Initializer,
    gamma_initializer: Initializer,
    #[serde(default, skip_serializing_if = "Held::is_free")]
    beta_held: Held,
    #[serde(default, skip_serializing_if = "Held::is_free")]
    gamma_held: Held,
}

impl Default for LayerNormalization {
    fn default() -> Self {
        LayerNormalization {
            epsilon: 1e-3,
            center: true,
            scale: true,
            rms_scaling: false,
            beta_initializer: Initializer::Zeros,
            gamma_initializer: Initializer::Ones,
            beta_held: Held::default(),
            gamma_held: Held::default(),
        }
    }
}

impl LayerNormalization {
    /// Over the last axis, with gamma and beta.
    pub fn new() -> Self {
        Self::default()
    }

    /// Added to the variance; 0.001.
    pub fn epsilon(mut self, epsilon: f32) -> Self {
        self.epsilon = epsilon;
        self
    }

    /// Add beta; true.
    pub fn center(mut self, on: bool) -> Self {
        self.center = on;
        self
    }

    /// Multiply with gamma; true.
    pub fn scale(mut self, on: bool) -> Self {
        self.scale = on;
        self
    }

    /// `x / sqrt(variance + epsilon) * gamma`: the mean stays, and there is no beta; false.
    pub fn rms_scaling(mut self, on: bool) -> Self {
        self.rms_scaling = on;
        self
    }

    /// Start of beta; zeros.
    pub fn beta_initializer(mut self, initializer: Initializer) -> Self {
        self.beta_initializer = initializer;
        self
    }

    /// Start of gamma; ones.
    pub fn gamma_initializer(mut self, initializer: Initializer) -> Self {
        self.gamma_initializer = initializer;
        self
    }

    /// A penalty on beta; none.
    pub fn beta_regularizer(mut self, regularizer: Regularizer) -> Self {
        self.beta_held.regularizer = Some(regularizer);
        self
    }

    /// A penalty on gamma; none.
    pub fn gamma_regularizer(mut self, regularizer: Regularizer) -> Self {
        self.gamma_held.regularizer = Some(regularizer);
        self
    }

    /// What beta is held to after each update; nothing.
    pub fn beta_constraint(mut self, constraint: Constraint) -> Self {
        self.beta_held.constraint = Some(constraint);
        self
    }

    /// What gamma is held to after each update; nothing.
    pub fn gamma_constraint(mut self, constraint: Constraint) -> Self {
        self.gamma_held.constraint = Some(constraint);
        self
    }

    fn has_gamma(&self) -> bool {
        self.scale || self.rms_scaling
    }

    fn has_beta(&self) -> bool {
        self.center && !self.rms_scaling
    }
}

impl OneToOne for LayerNormalization {
    fn class(&self) -> &'static str {
        "LayerNormalization"
    }

    fn is_stepwise(&self) -> bool {
        true
    }

    fn kernels(&self) -> &'static str {
        "one pass over the rows; backward one more for gamma"
    }

    fn output_shape(&self, input: &[Option<usize>]) -> Result<SampleShape> {
        if !(self.epsilon > 0.0 && self.epsilon.is_finite()) {
            let problem = format!("epsilon must be above 0, got {}", self.epsilon);
            return Err(Error::invalid("LayerNormalization", problem));
        }
        let Some(Some(_)) = input.last() else {
            return Err(Error::shape("input of LayerNormalization", "a known last axis", input));
        };
        Ok(input.to_vec())
    }

    fn variables(&self, input: &[Option<usize>]) -> Vec<VariableSpec> {
        let shape = vec![input.last().copied().flatten().unwrap_or(0)];
        let mut variables = Vec::new();
        if self.has_gamma() {
            let gamma = VariableSpec::new("gamma", shape.clone(), self.gamma_initializer);
            variables.push(gamma.held(self.gamma_held));
        }
        if self.has_beta() {
            variables.push(VariableSpec::new("beta", shape, self.beta_initializer).held(self.beta_held));
        }
        variables
    }

    fn lower(&self, l: &mut Lowering<'_>, node: &Node, x: Value) -> Result<Value> {
        let epsilon = self.epsilon;
        let kind = match self.rms_scaling {
            true => Normalization::Rms { epsilon },
            false => Normalization::Layer { epsilon },
        };
        let of = |slices: &[crate::device::Slice]| {
            let gamma = slices.first().copied().filter(|_| self.has_gamma());
            (gamma, slices.get(usize::from(self.has_gamma())).copied())
        };
        let ((gamma, beta), (dgamma, dbeta)) = (of(&node.weights), of(&node.gradients));
        let cols = *x.shape.last().unwrap_or(&1);
        let rows = x.data.len / cols;
        let (data, stats) = (l.buffer(x.data.len)?, l.buffer(2 * rows)?);
        let y = l.value(data, x.shape.clone());
        l.emit(LayerOp::NormalizeForward { kind, rows, cols, x: x.data, gamma, beta, stats, y: data });
        let output = y.clone();
        l.backward(move |l| {
            let Some(dy) = l.gradient(&output) else { return Ok(()) };
            if let Some(dgamma) = dgamma {
                l.emit(LayerOp::NormalizeGamma { kind, rows, cols, x: x.data, stats, dy, dgamma });
            }
            if let Some(out) = dbeta {
                l.emit(Op::SumRows { rows, cols, x: dy, out, accumulate: true });
            }
            l.propagate(&x, |l, dx| {
                if let Some(dx) = dx {
                    l.emit(LayerOp::NormalizeBackward { kind, rows, cols, x: x.data, gamma, stats, dy, dx });
                }
            })
        });
        Ok(y)
    }
}
