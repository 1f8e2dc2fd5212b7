//! Activation and Dropout.

use super::{Activate, OneToOne, SampleShape};
use crate::device::Op;
use crate::model::lowering::{Lowering, Node, Value};
use crate::{Error, Result};
use serde::{Deserialize, Serialize};

/// An activation as a layer of its own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ActivationLayer {
    activation: Activate,
}

impl ActivationLayer {
    /// Applies `activation`.
    pub fn new(activation: impl Into<Activate>) -> Self {
        ActivationLayer { activation: activation.into() }
    }
}

impl OneToOne for ActivationLayer {
    fn class(&self) -> &'static str {
        "Activation"
    }

    fn is_stepwise(&self) -> bool {
        true
    }

    fn kernels(&self) -> &'static str {
        "one element-wise pass"
    }

    fn output_shape(&self, input: &[Option<usize>]) -> Result<SampleShape> {
        Ok(input.to_vec())
    }

    fn lower(&self, l: &mut Lowering<'_>, _: &Node, x: Value) -> Result<Value> {
        activate(l, self.activation, x)
    }
}

/// `y = activation(x)` into a buffer of its own.
pub(super) fn activate(l: &mut Lowering<'_>, activation: Activate, x: Value) -> Result<Value> {
    let data = l.buffer(x.data.len)?;
    let mut y = l.value(data, x.shape.clone());
    let cols = *x.shape.last().unwrap_or(&1);
    let rows = x.data.len / cols;
    match activation {
        Activate::Each(kind) => {
            l.emit(Op::ActivationForward { kind, x: x.data, y: data });
            let output = y.clone();
            l.backward(move |l| {
                let Some(dy) = l.gradient(&output) else { return Ok(()) };
                let saved = if kind.derivative_from_output() { output.data } else { x.data };
                l.propagate(&x, |l, dx| {
                    if let Some(dx) = dx {
                        l.emit(Op::ActivationBackward { kind, saved, dy, dx });
                    }
                })
            });
        }
        Activate::Softmax => {
            l.emit(Op::SoftmaxForward { rows, cols, x: x.data, y: data });
            y.logits = Some(Box::new(x.clone()));
            let output = y.clone();
            l.backward(move |l| {
                let Some(dy) = l.gradient(&output) else { return Ok(()) };
                l.propagate(&x, |l, dx| {
                    if let Some(dx) = dx {
                        l.emit(Op::SoftmaxBackward { rows, cols, y: output.data, dy, dx });
                    }
                })
            });
        }
    }
    Ok(y)
}

/// While training, sets a share of `rate` of the values to 0 and divides the others by `1 - rate` (Srivastava et al.
/// 2014, inverted form); passes values through otherwise. Drawn anew at each call, from the model's seed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Dropout {
    rate: f32,
}

impl Dropout {
    /// Drops a share of `rate`, at least 0 and below 1.
    pub fn new(rate: f32) -> Self {
        Dropout { rate }
    }
}

impl OneToOne for Dropout {
    fn class(&self) -> &'static str {
        "Dropout"
    }

    fn is_stepwise(&self) -> bool {
        true
    }

    fn kernels(&self) -> &'static str {
        "one element-wise pass while training, nothing otherwise"
    }

    fn output_shape(&self, input: &[Option<usize>]) -> Result<SampleShape> {
        if !(0.0..1.0).contains(&self.rate) {
            return Err(Error::invalid(
                "Dropout",
                format!("the rate must be at least 0 and below 1, got {}", self.rate),
            ));
        }
        Ok(input.to_vec())
    }

    fn lower(&self, l: &mut Lowering<'_>, _: &Node, x: Value) -> Result<Value> {
        if !l.training() || self.rate == 0.0 {
            return Ok(x);
        }
        let (rate, seed, stream) = (self.rate, l.seed(), l.stream());
        let data = l.buffer(x.data.len)?;
        let y = l.value(data, x.shape.clone());
        l.emit(Op::Dropout { rate, seed, stream, x: x.data, y: data });
        let output = y.clone();
        l.backward(move |l| {
            let Some(dy) = l.gradient(&output) else { return Ok(()) };
            l.propagate(&x, |l, dx| {
                if let Some(dx) = dx {
                    l.emit(Op::Dropout { rate, seed, stream, x: dy, y: dx });
                }
            })
        });
        Ok(y)
    }
}
