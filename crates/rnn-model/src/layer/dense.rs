//! Dense.

use super::{Activate, Constraint, Held, Initializer, OneToOne, Regularizer, SampleShape, VariableSpec};
use crate::device::{Factors, Op};
use crate::model::lowering::{Lowering, Node, Value};
use crate::{Error, Result};
use rnn_shaders::shape::Matmul;
use rnn_shaders::vocabulary::Activation;
use serde::{Deserialize, Serialize};

/// `y = activation(x W + b)` on the last axis: `[batch, features]` or `[batch, time, features]` to the same with
/// `units` in place of `features`. Weights: kernel `[features, units]`, bias `[units]`. Keras's defaults.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Dense {
    units: usize,
    activation: Activate,
    use_bias: bool,
    kernel_initializer: Initializer,
    bias_initializer: Initializer,
    #[serde(default, skip_serializing_if = "Held::is_free")]
    kernel_held: Held,
    #[serde(default, skip_serializing_if = "Held::is_free")]
    bias_held: Held,
}

impl Dense {
    /// A linear layer of `units`.
    pub fn new(units: usize) -> Self {
        Dense {
            units,
            activation: Activation::Linear.into(),
            use_bias: true,
            kernel_initializer: Initializer::GlorotUniform,
            bias_initializer: Initializer::Zeros,
            kernel_held: Held::default(),
            bias_held: Held::default(),
        }
    }

    /// Of the output; linear. An [`Activation`](crate::Activation), or [`Softmax`](super::Softmax), which is one of a whole row.
    pub fn activation(mut self, activation: impl Into<Activate>) -> Self {
        self.activation = activation.into();
        self
    }

    /// Add a bias; true.
    pub fn use_bias(mut self, on: bool) -> Self {
        self.use_bias = on;
        self
    }

    /// Start of the kernel; Glorot uniform.
    pub fn kernel_initializer(mut self, initializer: Initializer) -> Self {
        self.kernel_initializer = initializer;
        self
    }

    /// Start of the bias; zeros.
    pub fn bias_initializer(mut self, initializer: Initializer) -> Self {
        self.bias_initializer = initializer;
        self
    }

    /// A penalty on the kernel, part of the loss; none.
    pub fn kernel_regularizer(mut self, regularizer: Regularizer) -> Self {
        self.kernel_held.regularizer = Some(regularizer);
        self
    }

    /// A penalty on the bias, part of the loss; none.
    pub fn bias_regularizer(mut self, regularizer: Regularizer) -> Self {
        self.bias_held.regularizer = Some(regularizer);
        self
    }

    /// What the kernel is held to after each update; nothing.
    pub fn kernel_constraint(mut self, constraint: Constraint) -> Self {
        self.kernel_held.constraint = Some(constraint);
        self
    }

    /// What the bias is held to after each update; nothing.
    pub fn bias_constraint(mut self, constraint: Constraint) -> Self {
        self.bias_held.constraint = Some(constraint);
        self
    }
}

impl OneToOne for Dense {
    fn class(&self) -> &'static str {
        "Dense"
    }

    fn is_stepwise(&self) -> bool {
        true
    }

    fn kernels(&self) -> &'static str {
        "one matmul over all steps, bias and activation in it"
    }

    fn output_shape(&self, input: &[Option<usize>]) -> Result<SampleShape> {
        if self.units == 0 {
            return Err(Error::invalid("Dense", "units must be at least 1"));
        }
        self.activation.check("Dense")?;
        let Some(Some(_)) = input.last() else {
            return Err(Error::shape("input of Dense", "a known last axis", input));
        };
        let mut shape = input.to_vec();
        shape[input.len() - 1] = Some(self.units);
        Ok(shape)
    }

    fn variables(&self, input: &[Option<usize>]) -> Vec<VariableSpec> {
        let features = input.last().copied().flatten().unwrap_or(0);
        let mut variables = vec![
            VariableSpec::new("kernel", vec![features, self.units], self.kernel_initializer)
                .held(self.kernel_held),
        ];
        if self.use_bias {
            let bias = VariableSpec::new("bias", vec![self.units], self.bias_initializer);
            variables.push(bias.held(self.bias_held));
        }
        variables
    }

    fn lower(&self, l: &mut Lowering<'_>, node: &Node, x: Value) -> Result<Value> {
        let features = *x.shape.last().unwrap_or(&1);
        let (rows, units) = (x.data.len / features, self.units);
        let (kernel, bias) = (node.weights[0], node.weights.get(1).copied());
        let mut shape = x.shape.clone();
        *shape.last_mut().expect("a sample has an axis") = units;

        // The product writes the output at once where the gradient needs no more than that.
        let fused = match self.activation {
            Activate::Each(kind) if kind.derivative_from_output() => kind,
            _ => Activation::Linear,
        };
        let product = l.buffer(rows * units)?;
        let (m, n, k) = (rows, units, features);
        let forward = Matmul::new(m, n, k).activation(fused);
        l.emit(Op::Matmul { shape: forward, a: x.data, b: kernel, bias, c: product });
        let z = l.value(product, shape);

        let (input, output, grads) = (x, z.clone(), node.gradients.clone());
        l.backward(move |l| {
            let Some(dy) = l.gradient(&output) else { return Ok(()) };
            let dz = match fused {
                Activation::Linear => dy,
                kind => {
                    let dz = l.scratch(rows * units)?;
                    l.emit(Op::ActivationBackward { kind, saved: output.data, dy, dx: dz });
                    dz
                }
            };
            if let Some(&dw) = grads.first() {
                let weights = Matmul::new(k, n, m).trans_a().accumulate();
                l.emit(Op::Matmul { shape: weights, a: input.data, b: dz, bias: None, c: dw });
            }
            if let Some(&db) = grads.get(1) {
                l.emit(Op::SumRows { rows, cols: units, x: dz, out: db, accumulate: true });
            }
            l.arrived_as_product(&input, Factors { left: dz, right: kernel, cols: features })
        });
        match self.activation {
            Activate::Each(kind) if kind == fused => Ok(z),
            other => super::simple::activate(l, other, z),
        }
    }
}
