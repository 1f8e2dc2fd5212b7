//! Layers that move values and have no weights: RepeatVector, Flatten, Reshape.

use super::{OneToOne, SampleShape};
use crate::device::{LayerOp, Op};
use crate::model::lowering::{Lowering, Node, Value};
use crate::{Error, Result};
use ndarray::{ArrayD, ArrayViewD};
use serde::{Deserialize, Serialize};

const TRANSPOSE: &str = "a transpose where the steps are more than one, else nothing";

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

impl OneToOne for RepeatVector {
    fn class(&self) -> &'static str {
        "RepeatVector"
    }

    fn kernels(&self) -> &'static str {
        "one copy"
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

impl OneToOne for Flatten {
    fn class(&self) -> &'static str {
        "Flatten"
    }

    fn passes_mask(&self) -> bool {
        false
    }

    fn moved(&self, x: &ArrayViewD<'_, f32>) -> Option<ArrayD<f32>> {
        reshaped(x, &[x.len() / x.shape()[0].max(1)])
    }

    fn kernels(&self) -> &'static str {
        TRANSPOSE
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

/// The values of a sample, in row order, in another shape of any number of axes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reshape {
    target: Vec<i64>,
}

impl Reshape {
    /// `target` is the shape of one sample: `[features]`, `[time, features]` or longer; one axis may be -1 and takes what
    /// is left.
    pub fn new(target: impl Into<Vec<i64>>) -> Self {
        Reshape { target: target.into() }
    }

    /// The shape with -1 replaced, for samples of `size` values.
    fn resolved(&self, size: usize) -> Option<Vec<usize>> {
        let known = self.target.iter().filter(|&&n| n != -1).try_fold(1usize, |product, &n| {
            product.checked_mul(usize::try_from(n).ok().filter(|&n| n > 0)?)
        })?;
        let open = self.target.iter().filter(|&&n| n == -1).count();
        let fits = if open == 0 { known == size } else { open == 1 && size.is_multiple_of(known) };
        let axis = |&n: &i64| if n == -1 { size / known } else { n as usize };
        (fits && !self.target.is_empty()).then(|| self.target.iter().map(axis).collect())
    }
}

impl OneToOne for Reshape {
    fn class(&self) -> &'static str {
        "Reshape"
    }

    fn passes_mask(&self) -> bool {
        false
    }

    fn moved(&self, x: &ArrayViewD<'_, f32>) -> Option<ArrayD<f32>> {
        reshaped(x, &self.resolved(x.len() / x.shape()[0].max(1))?)
    }

    fn kernels(&self) -> &'static str {
        TRANSPOSE
    }

    fn output_shape(&self, input: &[Option<usize>]) -> Result<SampleShape> {
        let given = input.iter().try_fold(1usize, |a, &b| a.checked_mul(b?));
        let target = given.and_then(|size| self.resolved(size));
        let target = target.ok_or_else(|| {
            let expected = format!(
                "a sample of known size that {:?} (axes of 1 or more, at most one -1) divides up",
                self.target
            );
            Error::shape("input of Reshape", expected, input)
        })?;
        Ok(target.into_iter().map(Some).collect())
    }

    fn lower(&self, l: &mut Lowering<'_>, _: &Node, x: Value) -> Result<Value> {
        let size = x.shape.iter().product();
        let target = self.resolved(size).expect("checked with the shapes");
        reshape(l, x, target)
    }
}

/// Samples in another shape, on the host.
fn reshaped(x: &ArrayViewD<'_, f32>, sample: &[usize]) -> Option<ArrayD<f32>> {
    let shape = [&x.shape()[..1], sample].concat();
    Some(x.to_shape(shape).ok()?.into_owned())
}

/// A sequence stands time-major on the device, but a sample's values are in order only batch-major: so by way of that.
fn reshape(l: &mut Lowering<'_>, x: Value, shape: Vec<usize>) -> Result<Value> {
    let flat = batch_major(l, x)?;
    time_major(l, flat, shape)
}

/// A value in the order of the host, a sample's values together.
pub(super) fn batch_major(l: &mut Lowering<'_>, x: Value) -> Result<Value> {
    let (shape, batch) = (vec![x.shape.iter().product()], l.batch());
    match x.shape.clone().as_slice() {
        [time, rest @ ..] if !rest.is_empty() && *time > 1 && batch > 1 => {
            swap_axes(l, x, *time, batch, rest.iter().product(), shape)
        }
        _ => Ok(l.alias(&x, shape)),
    }
}

/// The other way, in the given shape.
pub(super) fn time_major(l: &mut Lowering<'_>, x: Value, shape: Vec<usize>) -> Result<Value> {
    let batch = l.batch();
    match shape.clone().as_slice() {
        [time, rest @ ..] if !rest.is_empty() && *time > 1 && batch > 1 => {
            swap_axes(l, x, batch, *time, rest.iter().product(), shape)
        }
        _ => Ok(l.alias(&x, shape)),
    }
}

/// `[a, b, f]` to `[b, a, f]`, as a value of `shape`.
pub(super) fn swap_axes(
    l: &mut Lowering<'_>,
    x: Value,
    a: usize,
    b: usize,
    f: usize,
    shape: Vec<usize>,
) -> Result<Value> {
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

/// The steps, and their mask, in the opposite order.
pub(super) fn reverse_time(l: &mut Lowering<'_>, x: Value) -> Result<Value> {
    let (time, n) = (x.shape[0], x.data.len / x.shape[0]);
    let data = l.buffer(x.data.len)?;
    let mut y = l.value(data, x.shape.clone());
    if let Some(flags) = x.mask {
        let out = l.index_buffer(flags.len)?;
        l.emit(Op::Layer(LayerOp::ReverseFlags { time, batch: flags.len / time, a: flags, out }));
        y.mask = Some(out);
    }
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
