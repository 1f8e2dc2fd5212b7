//! Slice: a part of an axis.

use super::{OneToOne, SampleShape};
use crate::device::{LayerOp, Op};
use crate::model::lowering::{Lowering, Node, Value};
use crate::{Error, Result};
use ndarray::{ArrayD, ArrayViewD, Axis};
use rnn_shaders::shape::Block;
use serde::{Deserialize, Serialize};

/// A part of one axis of each sample, as Python's `start:end:step` with a step above 0. Step masks end here.
///
/// ```
/// use rnn_model::{Input, layer::Slice};
/// let x = Input::sequence(5, 3).symbol();
/// assert_eq!(x.layer(Slice::new(1, 1, 4))?.shape(), [Some(3), Some(3)]);
/// // the last step, of sequences of any length
/// let x = Input::sequence(None, 3).symbol();
/// assert_eq!(x.layer(Slice::new(1, -1, None))?.shape(), [Some(1), Some(3)]);
/// # Ok::<(), rnn_model::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Slice {
    axis: usize,
    start: i64,
    end: Option<i64>,
    step: usize,
}

impl Slice {
    /// Indices from `start` to before `end`, or to the last for `None`, along `axis`, counted from 1 (0 is the batch).
    /// Numbers below 0 count from the end.
    pub fn new(axis: usize, start: i64, end: impl Into<Option<i64>>) -> Self {
        Slice { axis, start, end: end.into(), step: 1 }
    }

    /// Of these, every `step`-th; 1.
    pub fn step(mut self, step: usize) -> Self {
        self.step = step;
        self
    }

    /// The first index and how many there are, of an axis of `n`.
    fn range(&self, n: usize) -> (usize, usize) {
        let at = |index: i64| match index {
            0.. => usize::try_from(index).map_or(n, |index| index.min(n)),
            _ => n.saturating_sub(usize::try_from(index.unsigned_abs()).unwrap_or(n)),
        };
        let (start, end) = (at(self.start), self.end.map_or(n, at));
        (start, end.saturating_sub(start).div_ceil(self.step.max(1)))
    }

    /// How many indices there are of an axis of unknown size that is at least as long as the slice asks for.
    fn open_len(&self) -> Option<usize> {
        let len = match (self.start, self.end) {
            (0.., Some(end)) if end >= self.start => end - self.start,
            (..0, Some(end)) if end < 0 && end >= self.start => end - self.start,
            (..0, None) => self.start.checked_neg()?,
            _ => return None,
        };
        Some(usize::try_from(len).ok()?.div_ceil(self.step.max(1)))
    }
}

impl OneToOne for Slice {
    fn class(&self) -> &'static str {
        "Slice"
    }

    fn passes_mask(&self) -> bool {
        false
    }

    fn moved(&self, x: &ArrayViewD<'_, f32>) -> Option<ArrayD<f32>> {
        let (start, len) = self.range(*x.shape().get(self.axis)?);
        let places: Vec<usize> = (0..len).map(|i| start + i * self.step).collect();
        Some(x.select(Axis(self.axis), &places))
    }

    fn kernels(&self) -> &'static str {
        "one strided copy"
    }

    fn output_shape(&self, input: &[Option<usize>]) -> Result<SampleShape> {
        if self.step == 0 {
            return Err(Error::invalid("Slice", "step must be at least 1, got 0"));
        }
        let Some(at) = self.axis.checked_sub(1).filter(|&at| at < input.len()) else {
            let problem =
                format!("axis must be from 1 to {}, the axes of the input, got {}", input.len(), self.axis);
            return Err(Error::invalid("Slice", problem));
        };
        let len = input[at].map_or_else(|| self.open_len(), |n| Some(self.range(n).1));
        if len == Some(0) {
            let end = self.end.map_or(String::new(), |end| end.to_string());
            let expected =
                format!("an axis {} with something in {}:{end}:{}", self.axis, self.start, self.step);
            return Err(Error::shape("input of Slice", expected, input));
        }
        let mut output = input.to_vec();
        output[at] = len;
        Ok(output)
    }

    fn lower(&self, l: &mut Lowering<'_>, _: &Node, x: Value) -> Result<Value> {
        let at = self.axis - 1;
        let (n, mut shape) = (x.shape[at], x.shape.clone());
        let (start, len) = self.range(n);
        // On the device the batch stands behind the first of several axes, and before an only one.
        let inner: usize = match (at, shape.len()) {
            (0, 2..) => l.batch() * shape[1..].iter().product::<usize>(),
            _ => shape[at + 1..].iter().product(),
        };
        let (outer, step) = (x.data.len / (n * inner), self.step);
        shape[at] = len;
        let data = l.buffer(outer * len * inner)?;
        let y = l.value(data, shape);
        // From the first element of the part to its last.
        let span = (outer - 1) * n * inner + (len - 1) * step * inner + inner;
        let (whole, part) = ([n * inner, step * inner, 1], [len * inner, inner, 1]);
        let block = move |from, to| Block { shape: [outer, len, inner], from, to, accumulate: false };
        let from = x.data.part(start * inner, span);
        l.emit(LayerOp::CopyBlock { block: block(whole, part), joint: false, x: from, y: data });
        let output = y.clone();
        l.backward(move |l| {
            let Some(dy) = l.gradient(&output) else { return Ok(()) };
            l.propagate(&x, |l, dx| {
                if let Some(dx) = dx {
                    l.emit(Op::Fill { value: 0.0, y: dx });
                    let y = dx.part(start * inner, span);
                    l.emit(LayerOp::CopyBlock { block: block(part, whole), joint: false, x: dy, y });
                }
            })
        });
        Ok(y)
    }
}
