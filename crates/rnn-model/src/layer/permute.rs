//! Permute.

use super::{OneToOne, SampleShape};
use crate::device::LayerOp;
use crate::model::lowering::{Lowering, Node, Value};
use crate::{Error, Result};
use rnn_shaders::shape::Block;
use serde::{Deserialize, Serialize};

/// The axes of a sample in another order: `Permute::new([2, 1])` turns `[batch, time, features]` into
/// `[batch, features, time]`. Step masks end here: what was a step is none any more.
///
/// ```
/// use rnn_model::{Input, layer::Permute};
/// assert_eq!(Input::sequence(5, 3).symbol().layer(Permute::new([2, 1]))?.shape(), [Some(3), Some(5)]);
/// # Ok::<(), rnn_model::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Permute {
    dims: Vec<usize>,
}

impl Permute {
    /// Axis `i` of the output is axis `dims[i]` of the input, counted from 1 (0 is the batch).
    pub fn new(dims: impl Into<Vec<usize>>) -> Self {
        Permute { dims: dims.into() }
    }
}

impl OneToOne for Permute {
    fn class(&self) -> &'static str {
        "Permute"
    }

    fn passes_mask(&self) -> bool {
        self.dims == [1, 2]
    }

    fn kernels(&self) -> &'static str {
        "one strided copy"
    }

    fn output_shape(&self, input: &[Option<usize>]) -> Result<SampleShape> {
        let mut sorted = self.dims.clone();
        sorted.sort_unstable();
        if !sorted.into_iter().eq(1..=self.dims.len()) || !(1..=2).contains(&self.dims.len()) {
            let problem = format!("dims must be [1], [1, 2] or [2, 1], got {:?}", self.dims);
            return Err(Error::invalid("Permute", problem));
        }
        if input.len() != self.dims.len() {
            let expected = format!("a sample of {} axes", self.dims.len());
            return Err(Error::shape("input of Permute", expected, input));
        }
        if self.dims == [2, 1] && input[0].is_none() {
            return Err(Error::shape("input of Permute", "a known number of steps", input));
        }
        Ok(self.dims.iter().map(|&d| input[d - 1]).collect())
    }

    fn lower(&self, l: &mut Lowering<'_>, _: &Node, x: Value) -> Result<Value> {
        if self.dims == [2, 1] { swap_time_and_features(l, x) } else { Ok(x) }
    }
}

/// `[time, features]` to `[features, time]`, in the order of the device.
pub(super) fn swap_time_and_features(l: &mut Lowering<'_>, x: Value) -> Result<Value> {
    let (time, features, batch) = (x.shape[0], x.shape[1], l.batch());
    let data = l.buffer(x.data.len)?;
    let y = l.value(data, vec![features, time]);
    let block = Block::permute([time, batch, features], [2, 1, 0]);
    l.emit(LayerOp::CopyBlock { block, joint: false, x: x.data, y: data });
    let output = y.clone();
    l.backward(move |l| {
        let Some(dy) = l.gradient(&output) else { return Ok(()) };
        l.propagate(&x, |l, dx| {
            if let Some(y) = dx {
                let block = Block::permute([features, batch, time], [2, 1, 0]);
                l.emit(LayerOp::CopyBlock { block, joint: false, x: dy, y });
            }
        })
    });
    Ok(y)
}
