//! Glu: one half of an axis, gated by the other.

use super::simple::activate;
use super::{Activate, OneToOne, SampleShape, Slice};
use crate::model::lowering::{Lowering, Node, Value};
use crate::{Error, Result};
use rnn_shaders::vocabulary::Activation;
use serde::{Deserialize, Serialize};

/// Gated linear unit (Dauphin et al. 2017): `a * sigmoid(b)` with `a` and `b` the two halves of an axis, the last one unless
/// told otherwise. The output has half as many values along it.
///
/// ```
/// use rnn_model::{Input, layer::{Dense, Glu}};
/// let x = Input::sequence(None, 3).symbol();
/// let y = x.layer(Dense::new(16))?.layer(Glu::new())?;
/// assert_eq!(y.shape(), [None, Some(8)]);
/// # Ok::<(), rnn_model::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Glu {
    axis: i64,
}

impl Default for Glu {
    fn default() -> Self {
        Glu { axis: -1 }
    }
}

impl Glu {
    /// Halves the last axis.
    pub fn new() -> Self {
        Self::default()
    }

    /// The axis, as Keras counts: 0 is the batch, which it can not be, 1 the first of a sample, -1 the last; -1.
    pub fn axis(mut self, axis: i64) -> Self {
        self.axis = axis;
        self
    }

    /// The axis of a sample of `rank` axes.
    fn sample_axis(&self, rank: usize) -> Result<usize> {
        let axis = if self.axis < 0 { self.axis + rank as i64 } else { self.axis - 1 };
        if !(0..rank as i64).contains(&axis) {
            let problem =
                format!("the axis must be from 1 to {rank} or from -{rank} to -1, got {}", self.axis);
            return Err(Error::invalid("GLU", problem));
        }
        Ok(axis as usize)
    }
}

impl OneToOne for Glu {
    fn class(&self) -> &'static str {
        "GLU"
    }

    fn is_stepwise(&self) -> bool {
        // Any other may be that of the steps.
        self.axis == -1 || self.axis > 1
    }

    fn passes_mask(&self) -> bool {
        self.is_stepwise()
    }

    fn kernels(&self) -> &'static str {
        "two strided copies and two element-wise passes"
    }

    fn output_shape(&self, input: &[Option<usize>]) -> Result<SampleShape> {
        let axis = self.sample_axis(input.len())?;
        let mut output = input.to_vec();
        match input[axis] {
            Some(n) if n > 0 && n.is_multiple_of(2) => output[axis] = Some(n / 2),
            _ => {
                let expected = format!("an even number of values along axis {}", self.axis);
                return Err(Error::shape("input of GLU", expected, input));
            }
        }
        Ok(output)
    }

    fn lower(&self, l: &mut Lowering<'_>, node: &Node, x: Value) -> Result<Value> {
        let at = self.sample_axis(x.shape.len())?;
        let half = (x.shape[at] / 2) as i64;
        let value = Slice::new(at + 1, 0, half).lower(l, node, x.clone())?;
        let gate = Slice::new(at + 1, half, None).lower(l, node, x)?;
        let gate = activate(l, Activate::Each(Activation::Sigmoid), gate)?;
        l.mul(&value, &gate)
    }
}
