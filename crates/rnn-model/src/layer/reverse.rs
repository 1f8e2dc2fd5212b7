//! Reverse: the steps in the opposite order.

use super::shaping::reverse_time;
use super::{LayerKind, SampleShape, arity};
use crate::model::lowering::{Lowering, Node, Value};
use crate::{Error, Result};
use ndarray::{ArrayD, ArrayViewD, Axis};
use serde::{Deserialize, Serialize};

/// The steps of `[batch, time, ...]`, and their mask, in the opposite order: the outputs of a layer built with
/// `go_backwards(true)` at the steps that they belong to.
///
/// ```
/// use rnn_model::{Device, Input, Sequential, layer::Reverse};
/// let mut model = Sequential::new(Input::sequence(None, 1)).layer(Reverse::new()).build(&Device::cpu())?;
/// let x = ndarray::array![[[1.0f32], [2.0], [3.0]]].into_dyn();
/// assert_eq!(model.predict_on_batch(&x)?, ndarray::array![[[3.0f32], [2.0], [1.0]]].into_dyn());
/// # Ok::<(), rnn_model::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Reverse {}

impl Reverse {
    /// The layer has no options.
    pub fn new() -> Self {
        Reverse {}
    }
}

impl LayerKind for Reverse {
    fn class(&self) -> &'static str {
        "Reverse"
    }

    fn output_shapes(&self, inputs: &[SampleShape]) -> Result<Vec<SampleShape>> {
        match inputs {
            [input] if input.len() > 1 => Ok(vec![input.clone()]),
            [input] => Err(Error::shape("input of Reverse", "[batch, time, ...]", input.as_slice())),
            _ => Err(arity("Reverse", "one input", inputs.len())),
        }
    }

    fn moved(&self, inputs: &[ArrayViewD<'_, f32>]) -> Option<ArrayD<f32>> {
        let mut x = inputs.first()?.to_owned();
        x.invert_axis(Axis(1));
        Some(x)
    }

    fn kernels(&self) -> &'static str {
        "one copy of the values, one of the flags"
    }

    fn lower(&self, l: &mut Lowering<'_>, _: &Node, inputs: &[Value]) -> Result<Vec<Value>> {
        Ok(vec![reverse_time(l, inputs[0].clone())?])
    }
}
