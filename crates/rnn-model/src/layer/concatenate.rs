//! Concatenate.

use super::broadcast::any_of;
use super::{LayerKind, SampleShape, arity};
use crate::device::{IndexSlice, LayerOp};
use crate::model::lowering::{Lowering, Node, Value};
use crate::model::{Symbol, apply};
use crate::{Error, Result};
use ndarray::{ArrayD, ArrayViewD, Axis};
use rnn_shaders::shape::{Block, Steps};
use serde::{Deserialize, Serialize};

/// Values one after the other along an axis, in which alone they may differ.
///
/// Step masks: along the features a step is there where any input has it (an input without a mask has all), along the time
/// each input brings its own.
///
/// ```
/// use rnn_model::{Input, layer::concatenate};
/// let (a, b) = (Input::sequence(None, 3).symbol(), Input::sequence(None, 5).symbol());
/// assert_eq!(concatenate(-1, &[&a, &b])?.shape(), [None, Some(8)]);
/// # Ok::<(), rnn_model::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Concatenate {
    axis: i64,
}

impl Default for Concatenate {
    fn default() -> Self {
        Concatenate { axis: -1 }
    }
}

impl Concatenate {
    /// Along the last axis.
    pub fn new() -> Self {
        Self::default()
    }

    /// The axis, as Keras counts: 0 is the batch, which can not be concatenated, 1 the first of a sample, -1 the last.
    pub fn axis(mut self, axis: i64) -> Self {
        self.axis = axis;
        self
    }

    /// The axis of a sample of `rank` axes.
    fn sample_axis(&self, rank: usize) -> Option<usize> {
        let rank = rank as i64;
        let axis = if self.axis < 0 { self.axis + rank } else { self.axis - 1 };
        (0..rank).contains(&axis).then_some(axis as usize)
    }
}

/// [`Concatenate`] applied.
///
/// # Errors
/// When the shapes differ in another axis, or there is no such axis.
pub fn concatenate(axis: i64, inputs: &[&Symbol]) -> Result<Symbol> {
    Ok(apply(Concatenate::new().axis(axis), inputs)?.swap_remove(0))
}

impl LayerKind for Concatenate {
    fn class(&self) -> &'static str {
        "Concatenate"
    }

    fn output_shapes(&self, inputs: &[SampleShape]) -> Result<Vec<SampleShape>> {
        let [first, rest @ ..] = inputs else { return Err(arity("Concatenate", "inputs", 0)) };
        let Some(axis) = self.sample_axis(first.len()) else {
            let problem =
                format!("an input of {} axes besides the batch has no axis {}", first.len(), self.axis);
            return Err(Error::invalid("Concatenate", problem));
        };
        let mut shape = first.clone();
        for other in rest {
            let agree = |(at, (a, b)): (usize, (&Option<usize>, &Option<usize>))| {
                at == axis || a.is_none() || b.is_none() || a == b
            };
            if other.len() != shape.len() || !shape.iter().zip(other).enumerate().all(agree) {
                let expected =
                    format!("{} but for axis {}", crate::error::AsShape::text(&first.as_slice()), self.axis);
                return Err(Error::shape("input of Concatenate", expected, other.as_slice()));
            }
            for (at, (a, b)) in shape.iter_mut().zip(other).enumerate() {
                *a = if at == axis { a.zip(*b).map(|(a, b)| a + b) } else { a.or(*b) };
            }
        }
        Ok(vec![shape])
    }

    fn is_stepwise(&self) -> bool {
        self.axis != 1
    }

    fn moved(&self, inputs: &[ArrayViewD<'_, f32>]) -> Option<ArrayD<f32>> {
        let axis = self.sample_axis(inputs.first()?.ndim() - 1)?;
        ndarray::concatenate(Axis(axis + 1), inputs).ok()
    }

    fn kernels(&self) -> &'static str {
        "one copy for each input"
    }

    fn lower(&self, l: &mut Lowering<'_>, _: &Node, inputs: &[Value]) -> Result<Vec<Value>> {
        let mut shape = inputs[0].shape.clone();
        let axis = self.sample_axis(shape.len()).expect("checked with the shapes");
        shape[axis] = inputs.iter().map(|x| x.shape[axis]).sum();
        // On the device the batch stands behind the first of several axes, and before an only one.
        let inner: usize = match (axis, shape.len()) {
            (0, 2..) => l.batch() * shape[1..].iter().product::<usize>(),
            _ => shape[axis + 1..].iter().product(),
        };
        let row = shape[axis] * inner;
        let len = inputs.iter().map(|x| x.data.len).sum();
        let data = l.buffer(len)?;
        let mut y = l.value(data, shape);
        let mut at = 0;
        let mut parts = Vec::with_capacity(inputs.len());
        for x in inputs {
            let cols = x.shape[axis] * inner;
            parts.push((x.clone(), at, cols));
            at += cols;
        }
        let rows = len / row;
        let span = move |cols: usize| (rows - 1) * row + cols;
        for &(ref x, at, cols) in &parts {
            let block = Block::rows(rows, cols, cols, row);
            l.emit(LayerOp::CopyBlock { block, joint: true, x: x.data, y: data.part(at, span(cols)) });
        }
        y.mask = mask(l, inputs, axis)?;
        let output = y.clone();
        l.backward(move |l| {
            let Some(dy) = l.gradient(&output) else { return Ok(()) };
            for (x, at, cols) in parts {
                l.propagate(&x, |l, dx| {
                    if let Some(y) = dx {
                        let block = Block::rows(rows, cols, row, cols);
                        l.emit(LayerOp::CopyBlock { block, joint: false, x: dy.part(at, span(cols)), y });
                    }
                })?;
            }
            Ok(())
        });
        Ok(vec![y])
    }
}

/// The mask of the whole.
fn mask(l: &mut Lowering<'_>, inputs: &[Value], axis: usize) -> Result<Option<IndexSlice>> {
    if inputs.iter().all(|x| x.mask.is_none()) {
        return Ok(None);
    }
    let batch = l.batch();
    if axis == 0 {
        let total: usize = inputs.iter().map(|x| x.shape[0] * batch).sum();
        let out = l.index_buffer(total)?;
        let mut at = 0;
        for x in inputs {
            let part = out.part(at, x.shape[0] * batch);
            at += part.len;
            match x.mask {
                Some(mask) => l.emit(LayerOp::CombineFlags { either: true, a: mask, b: mask, out: part }),
                None => {
                    // Nothing equals NaN: every step is there.
                    let steps = Steps::of_rows(x.shape[0], batch, x.data.len / part.len);
                    l.emit(LayerOp::FlagsFromValues {
                        steps,
                        cols: 1,
                        value: f32::NAN,
                        x: x.data,
                        flags: part,
                    });
                }
            }
        }
        return Ok(Some(out));
    }
    let mut masks: Vec<IndexSlice> = inputs.iter().filter_map(|x| x.mask).collect();
    if masks.len() < inputs.len() {
        // An input that has every step: so has the whole. Where states start anew is kept.
        let first = &inputs[0];
        let flags = l.index_buffer(first.shape[0] * batch)?;
        let steps = Steps::of_rows(first.shape[0], batch, first.data.len / flags.len);
        l.emit(LayerOp::FlagsFromValues { steps, cols: 1, value: f32::NAN, x: first.data, flags });
        masks.push(flags);
    }
    any_of(l, masks).map(Some)
}
