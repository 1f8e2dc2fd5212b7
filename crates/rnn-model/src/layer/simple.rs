//! Activation, Rescaling, Dropout and ActivityRegularization.

use super::{Activate, OneToOne, Regularizer, SampleShape};
use crate::device::{LayerOp, Op};
use crate::model::lowering::{Lowering, Node, Value};
use crate::{Error, Result};
use rnn_shaders::vocabulary::{Noise, Parametric};
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
        self.activation.check("Activation")?;
        Ok(input.to_vec())
    }

    fn lower(&self, l: &mut Lowering<'_>, _: &Node, x: Value) -> Result<Value> {
        activate(l, self.activation, x)
    }
}

/// `scale x + offset`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rescaling {
    scale: f32,
    offset: f32,
}

impl Rescaling {
    /// With these numbers.
    pub fn new(scale: f32, offset: f32) -> Self {
        Rescaling { scale, offset }
    }

    fn activate(&self) -> Activate {
        Parametric::Affine { alpha: self.scale, beta: self.offset }.into()
    }
}

impl OneToOne for Rescaling {
    fn class(&self) -> &'static str {
        "Rescaling"
    }

    fn is_stepwise(&self) -> bool {
        true
    }

    fn kernels(&self) -> &'static str {
        "one element-wise pass"
    }

    fn output_shape(&self, input: &[Option<usize>]) -> Result<SampleShape> {
        self.activate().check("Rescaling")?;
        Ok(input.to_vec())
    }

    fn lower(&self, l: &mut Lowering<'_>, _: &Node, x: Value) -> Result<Value> {
        activate(l, self.activate(), x)
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
        Activate::Row(kind) => {
            l.emit(Op::RowActivationForward { kind, rows, cols, x: x.data, y: data });
            let output = y.clone();
            l.backward(move |l| {
                let Some(dy) = l.gradient(&output) else { return Ok(()) };
                l.propagate(&x, |l, dx| {
                    if let Some(dx) = dx {
                        l.emit(Op::RowActivationBackward { kind, rows, cols, y: output.data, dy, dx });
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
///
/// ```
/// use rnn_model::{Input, layer::Dropout};
/// // the same values of a sample are dropped at every step
/// let once = Dropout::new(0.2).noise_shape([None, Some(1), None]);
/// assert!(Input::sequence(None, 4).symbol().layer(once).is_ok());
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Dropout {
    rate: f32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    noise_shape: Option<Vec<Option<usize>>>,
}

impl Dropout {
    /// Drops a share of `rate`, at least 0 and below 1.
    pub fn new(rate: f32) -> Self {
        Dropout { rate, noise_shape: None }
    }

    /// The shape that is drawn, batch first, `None` for an axis as it is: `[None, Some(1), None]` draws once for all steps of
    /// a sequence. Other axes can not be of size 1.
    pub fn noise_shape(mut self, shape: impl Into<Vec<Option<usize>>>) -> Self {
        self.noise_shape = Some(shape.into());
        self
    }

    /// Whether every step sees the same draws.
    fn once(&self) -> bool {
        self.noise_shape.as_ref().is_some_and(|shape| shape[1] == Some(1))
    }

    /// Whether samples of this shape can be disturbed as asked.
    fn fits(&self, sample: &[Option<usize>]) -> bool {
        let Some(shape) = &self.noise_shape else { return true };
        shape.len() == sample.len() + 1
            && shape[0].is_none()
            && shape[1..].iter().zip(sample).enumerate().all(|(axis, (&drawn, &size))| {
                drawn.is_none() || drawn == size || (axis == 0 && drawn == Some(1) && sample.len() > 1)
            })
    }
}

impl OneToOne for Dropout {
    fn class(&self) -> &'static str {
        "Dropout"
    }

    fn is_stepwise(&self) -> bool {
        !self.once()
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
        if !self.fits(input) {
            let problem =
                format!("a noise_shape of {:?} does not fit: only the steps can be 1", self.noise_shape);
            return Err(Error::invalid("Dropout", problem));
        }
        Ok(input.to_vec())
    }

    fn lower(&self, l: &mut Lowering<'_>, _: &Node, x: Value) -> Result<Value> {
        if !l.training() || self.rate == 0.0 {
            return Ok(x);
        }
        if self.once() {
            return super::noise::disturb(l, Noise::Dropout { rate: self.rate }, true, x);
        }
        let (rate, seed, stream, first) = (self.rate, l.seed(), l.stream(), l.first_value(&x)?);
        let data = l.buffer(x.data.len)?;
        let y = l.value(data, x.shape.clone());
        l.emit(Op::Dropout { rate, seed, stream, first, x: x.data, y: data });
        let output = y.clone();
        l.backward(move |l| {
            let Some(dy) = l.gradient(&output) else { return Ok(()) };
            l.propagate(&x, |l, dx| {
                if let Some(dx) = dx {
                    l.emit(Op::Dropout { rate, seed, stream, first, x: dy, y: dx });
                }
            })
        });
        Ok(y)
    }
}

/// Hands its input on, and adds a penalty on it to the loss: `l1 sum |x| + l2 sum x^2` over the batch, divided by the number
/// of samples. Behind a layer it is that layer's activity regularizer in Keras.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ActivityRegularization {
    l1: f32,
    l2: f32,
}

impl ActivityRegularization {
    /// With this penalty.
    pub fn new(regularizer: Regularizer) -> Self {
        ActivityRegularization { l1: regularizer.l1, l2: regularizer.l2 }
    }
}

impl OneToOne for ActivityRegularization {
    fn class(&self) -> &'static str {
        "ActivityRegularization"
    }

    fn output_shape(&self, input: &[Option<usize>]) -> Result<SampleShape> {
        match (Regularizer { l1: self.l1, l2: self.l2 }).problem() {
            Some(problem) => Err(Error::invalid("ActivityRegularization", problem)),
            None => Ok(input.to_vec()),
        }
    }

    fn is_stepwise(&self) -> bool {
        true
    }

    fn kernels(&self) -> &'static str {
        "one pass for the penalty, one for its gradient while training; nothing in predictions"
    }

    fn lower(&self, l: &mut Lowering<'_>, _: &Node, x: Value) -> Result<Value> {
        // Only where a loss is made of the outputs.
        let Some(out) = l.penalties() else { return Ok(x) };
        let ActivityRegularization { l1, l2 } = *self;
        if l.counts() {
            l.emit(LayerOp::Penalty { l1, l2, x: x.data, out });
        }
        let (input, scale) = (x.clone(), 1.0 / l.batch() as f32);
        l.backward(move |l| {
            l.propagate(&input, |l, dx| {
                if let Some(dx) = dx {
                    l.emit(Op::Fill { value: 0.0, y: dx });
                    l.emit(LayerOp::PenaltyBackward { l1, l2, scale, x: input.data, dx });
                }
            })
        });
        Ok(x)
    }
}
