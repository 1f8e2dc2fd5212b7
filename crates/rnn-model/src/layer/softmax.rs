//! Softmax as a layer.

use super::permute::swap_last_axes;
use super::shaping::{batch_major, time_major};
use super::simple::activate;
use super::{Activate, OneToOne, SampleShape};
use crate::model::lowering::{Lowering, Node, Value};
use crate::{Error, Result};
use serde::{Deserialize, Serialize};

/// `exp(x) / sum(exp(x))` over an axis, the last one unless told otherwise: over the steps, the weights of an attention.
/// Masked steps get no share and come out as 0, as from Keras's layer with `mask[..., None]`.
///
/// ```
/// use rnn_model::{Input, layer::SoftmaxLayer};
/// let scores = Input::sequence(5, 3).symbol();
/// assert_eq!(scores.layer(SoftmaxLayer::new().axis(1))?.shape(), [Some(5), Some(3)]);
/// # Ok::<(), rnn_model::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SoftmaxLayer {
    axis: i64,
}

/// What a masked value counts as: its exponential is 0 beside any other (Keras's number).
const OUT_OF_REACH: f32 = -1e9;

impl Default for SoftmaxLayer {
    fn default() -> Self {
        SoftmaxLayer { axis: -1 }
    }
}

impl SoftmaxLayer {
    /// Over the last axis.
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
            return Err(Error::invalid("Softmax", problem));
        }
        Ok(axis as usize)
    }
}

impl OneToOne for SoftmaxLayer {
    fn class(&self) -> &'static str {
        "Softmax"
    }

    fn is_stepwise(&self) -> bool {
        // Any other may be that of the steps.
        self.axis == -1 || self.axis > 1
    }

    fn kernels(&self) -> &'static str {
        "one pass over the values, and copies where the axis is not the last"
    }

    fn output_shape(&self, input: &[Option<usize>]) -> Result<SampleShape> {
        let axis = self.sample_axis(input.len())?;
        if axis + 1 < input.len() && input[1..].contains(&None) {
            return Err(Error::shape("input of Softmax", "known sizes of all axes but the steps", input));
        }
        Ok(input.to_vec())
    }

    fn lower(&self, l: &mut Lowering<'_>, _: &Node, x: Value) -> Result<Value> {
        let Some(flags) = x.mask else { return self.over_axis(l, x) };
        let x = l.fill_rows(&x, flags, OUT_OF_REACH)?;
        let shares = self.over_axis(l, x)?;
        // Where nothing on the axis is there, all shares are equal.
        let mut y = l.mask_rows(&shares, flags)?;
        y.logits = shares.logits;
        Ok(y)
    }
}

impl SoftmaxLayer {
    fn over_axis(&self, l: &mut Lowering<'_>, x: Value) -> Result<Value> {
        let axis = self.sample_axis(x.shape.len())?;
        let (shape, n) = (x.shape.clone(), x.shape[axis]);
        let behind: usize = shape[axis + 1..].iter().product();
        if behind == 1 && axis + 1 == shape.len() {
            return activate(l, Activate::Softmax, x);
        }
        let outer = l.batch() * shape[..axis].iter().product::<usize>();
        let x = batch_major(l, x)?;
        let x = swap_last_axes(l, x, [outer, n, behind], vec![behind, n])?;
        let y = activate(l, Activate::Softmax, x)?;
        let y = swap_last_axes(l, y, [outer, behind, n], vec![n * behind])?;
        time_major(l, y, shape)
    }
}
