//! Layers that move values and have no weights: RepeatVector, Flatten, Reshape.

use super::{LayerKind, SampleShape};
use crate::device::Op;
use crate::model::lowering::{Lowering, Node, Value};
use crate::{Error, Result};
use serde::{Deserialize, Serialize};

/// `[batch, features]` to `[batch, n, features]`: the same vector at each of `n` steps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RepeatVector {
    n: usize,
}

impl RepeatVector {
    /// Repeats `n` times.
    pub fn new(n: usize) -> Self {
        RepeatVector { n }
    }
}

impl LayerKind for RepeatVector {
    fn class(&self) -> &'static str {
        "RepeatVector"
    }

    fn output_shape(&self, input: &[Option<usize>]) -> Result<SampleShape> {
        match input {
            [Some(features)] if self.n > 0 => Ok(vec![Some(self.n), Some(*features)]),
            [Some(_)] => Err(Error::invalid("RepeatVector", "n must be at least 1")),
            _ => Err(Error::shape(
                "input of RepeatVector",
                "[batch, features] (a recurrent layer before it needs return_sequences(false))",
                input,
            )),
        }
    }

    fn lower(&self, l: &mut Lowering<'_>, _: &Node, x: Value) -> Result<Value> {
        let (time, n) = (self.n, x.data.len);
        let data = l.buffer(time * n)?;
        let y = l.value(data, vec![time, x.shape[0]]);
        l.emit(Op::RepeatVector { time, n, x: x.data, y: data });
        let output = y.clone();
        l.backward(move |l| {
            let Some(dy) = l.gradient(&output) else { return Ok(()) };
            l.propagate(&x, |l, dx| {
                if let Some(dx) = dx {
                    l.emit(Op::SumRows { rows: time, cols: n, x: dy, out: dx, accumulate: false });
                }
            })
        });
        Ok(y)
    }
}

/// `[batch, time, features]` to `[batch, time * features]`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Flatten {}

impl Flatten {
    /// The layer has no options.
    pub fn new() -> Self {
        Flatten {}
    }
}

impl LayerKind for Flatten {
    fn class(&self) -> &'static str {
        "Flatten"
    }

    fn output_shape(&self, input: &[Option<usize>]) -> Result<SampleShape> {
        let sizes: Option<Vec<usize>> = input.iter().copied().collect();
        let size = |sizes: Vec<usize>| sizes.into_iter().try_fold(1usize, usize::checked_mul);
        match sizes.and_then(size) {
            Some(size) => Ok(vec![Some(size)]),
            None => Err(Error::shape("input of Flatten", "a known number of steps", input)),
        }
    }

    fn lower(&self, l: &mut Lowering<'_>, _: &Node, x: Value) -> Result<Value> {
        let size = x.shape.iter().product();
        reshape(l, x, vec![size])
    }
}

/// The values of a sample, in row order, in another shape of one or two axes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reshape {
    target: Vec<usize>,
}

impl Reshape {
    /// `target` is the shape of one sample: `[features]` or `[time, features]`.
    pub fn new(target: impl Into<Vec<usize>>) -> Self {
        Reshape { target: target.into() }
    }
}

impl LayerKind for Reshape {
    fn class(&self) -> &'static str {
        "Reshape"
    }

    fn output_shape(&self, input: &[Option<usize>]) -> Result<SampleShape> {
        if !matches!(self.target.len(), 1 | 2) || self.target.contains(&0) {
            return Err(Error::invalid(
                "Reshape",
                format!("the target must be [features] or [time, features] with no 0, got {:?}", self.target),
            ));
        }
        let size = self.target.iter().try_fold(1usize, |a, &b| a.checked_mul(b));
        let given = input.iter().try_fold(1usize, |a, &b| a.checked_mul(b?));
        if given.is_none() || given != size {
            let expected = format!("a sample of as many values as {:?}", self.target);
            return Err(Error::shape("input of Reshape", expected, input));
        }
        Ok(self.target.iter().map(|&n| Some(n)).collect())
    }

    fn lower(&self, l: &mut Lowering<'_>, _: &Node, x: Value) -> Result<Value> {
        reshape(l, x, self.target.clone())
    }
}

/// A sequence stands time-major on the device, but a sample's values are in order only batch-major: so by way of that.
fn reshape(l: &mut Lowering<'_>, x: Value, shape: Vec<usize>) -> Result<Value> {
    let flat_shape = vec![x.shape.iter().product()];
    let flat = match *x.shape.as_slice() {
        [time, features] if time > 1 => swap_axes(l, x, time, false, features, flat_shape)?,
        _ => l.alias(&x, flat_shape),
    };
    match *shape.as_slice() {
        [time, features] if time > 1 => swap_axes(l, flat, time, true, features, shape),
        _ => Ok(l.alias(&flat, shape)),
    }
}

/// `[time, batch, f]` to `[batch, time, f]`, or back when `to_time_major`.
fn swap_axes(
    l: &mut Lowering<'_>,
    x: Value,
    time: usize,
    to_time_major: bool,
    f: usize,
    shape: Vec<usize>,
) -> Result<Value> {
    let batch = l.batch();
    let (a, b) = if to_time_major { (batch, time) } else { (time, batch) };
    let data = l.buffer(x.data.len)?;
    let y = l.value(data, shape);
    l.emit(Op::Transpose01 { a, b, f, x: x.data, y: data });
    let output = y.clone();
    l.backward(move |l| {
        let Some(dy) = l.gradient(&output) else { return Ok(()) };
        l.propagate(&x, |l, dx| {
            if let Some(dx) = dx {
                l.emit(Op::Transpose01 { a: b, b: a, f, x: dy, y: dx });
            }
        })
    });
    Ok(y)
}

/// The steps in the opposite order.
pub(super) fn reverse_time(l: &mut Lowering<'_>, x: Value) -> Result<Value> {
    let (time, n) = (x.shape[0], x.data.len / x.shape[0]);
    let data = l.buffer(x.data.len)?;
    let y = l.value(data, x.shape.clone());
    l.emit(Op::ReverseTime { time, n, x: x.data, y: data });
    let output = y.clone();
    l.backward(move |l| {
        let Some(dy) = l.gradient(&output) else { return Ok(()) };
        l.propagate(&x, |l, dx| {
            if let Some(dx) = dx {
                l.emit(Op::ReverseTime { time, n, x: dy, y: dx });
            }
        })
    });
    Ok(y)
}
