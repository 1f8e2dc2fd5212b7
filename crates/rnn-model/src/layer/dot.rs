//! Dot.

use super::permute::swap_last_axes;
use super::shaping::{batch_major, time_major};
use super::{LayerKind, SampleShape, arity};
use crate::device::{LayerOp, Op};
use crate::model::lowering::{Lowering, Node, Value};
use crate::model::{Symbol, apply};
use crate::{Error, Result};
use rnn_shaders::shape::Matmul;
use rnn_shaders::vocabulary::Normalization;
use serde::{Deserialize, Serialize};

/// Products of the samples of two inputs, summed over one axis of each: of `[batch, t, f]` and `[batch, s, f]` over the last
/// axes `[batch, t, s]`, the scores of an attention; of two vectors `[batch, f]` their scalar product `[batch, 1]`. Samples may
/// have any number of axes; those that are not summed over stand in the output in their order. Step masks end here.
///
/// ```
/// use rnn_model::{Input, layer::dot};
/// let (query, keys) = (Input::sequence(3, 8).symbol(), Input::sequence(5, 8).symbol());
/// let scores = dot([2, 2], false, [&query, &keys])?;
/// assert_eq!(scores.shape(), [Some(3), Some(5)]);
/// # Ok::<(), rnn_model::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Dot {
    axes: [i64; 2],
    normalize: bool,
}

impl Dot {
    /// Sums over axis `axes[0]` of the first and `axes[1]` of the second input, counted with the batch (axis 0); -1 is the last.
    pub fn new(axes: [i64; 2]) -> Self {
        Dot { axes, normalize: false }
    }

    /// Divide by the norms over these axes first, so that the products are cosines; false.
    pub fn normalize(mut self, on: bool) -> Self {
        self.normalize = on;
        self
    }

    /// The axis of the sample that input `i` is summed over.
    fn axis(&self, i: usize, sample: &[Option<usize>]) -> Result<usize> {
        let rank = sample.len() as i64;
        let axis = if self.axes[i] < 0 { self.axes[i] + rank } else { self.axes[i] - 1 };
        if !(0..rank).contains(&axis) {
            let expected = format!("samples with an axis {}, counted from 1", self.axes[i]);
            return Err(Error::shape("input of Dot", expected, sample));
        }
        Ok(axis as usize)
    }
}

/// [`Dot`] applied.
///
/// # Errors
/// When the shapes do not fit.
pub fn dot(axes: [i64; 2], normalize: bool, inputs: [&Symbol; 2]) -> Result<Symbol> {
    Ok(apply(Dot::new(axes).normalize(normalize), &inputs)?.swap_remove(0))
}

impl LayerKind for Dot {
    fn class(&self) -> &'static str {
        "Dot"
    }

    fn output_shapes(&self, inputs: &[SampleShape]) -> Result<Vec<SampleShape>> {
        let [a, b] = inputs else { return Err(arity("Dot", "two inputs", inputs.len())) };
        let mut shape = Vec::new();
        let mut summed = [None; 2];
        for (i, sample) in [a, b].into_iter().enumerate() {
            let axis = self.axis(i, sample)?;
            summed[i] = sample[axis];
            shape.extend(sample.iter().enumerate().filter(|&(at, _)| at != axis).map(|(_, &n)| n));
        }
        if let [Some(m), Some(n)] = summed
            && m != n
        {
            return Err(Error::invalid("Dot", format!("the axes to sum over have {m} and {n} values")));
        }
        for sample in [a, b].into_iter().filter(|sample| sample.len() > 2) {
            if sample[1..].contains(&None) {
                return Err(Error::shape(
                    "input of Dot",
                    "known sizes of all axes but the steps",
                    sample.as_slice(),
                ));
            }
        }
        if self.normalize && shape.contains(&None) {
            return Err(Error::shape("input of Dot", "known sizes, to normalize", a.as_slice()));
        }
        Ok(vec![if shape.is_empty() { vec![Some(1)] } else { shape }])
    }

    fn kernels(&self) -> &'static str {
        "one batched matmul, in the order of the host"
    }

    fn lower(&self, l: &mut Lowering<'_>, _: &Node, inputs: &[Value]) -> Result<Vec<Value>> {
        let mut sides = Vec::with_capacity(2);
        let mut shape = Vec::new();
        for (i, x) in inputs.iter().enumerate() {
            let sample: SampleShape = x.shape.iter().map(|&n| Some(n)).collect();
            let axis = self.axis(i, &sample)?;
            shape.extend(x.shape.iter().enumerate().filter(|&(at, _)| at != axis).map(|(_, &n)| n));
            sides.push(Side::new(l, x.clone(), axis, self.normalize)?);
        }
        let b = sides.pop().expect("two inputs");
        let a = sides.pop().expect("two inputs");
        product(l, a, b, if shape.is_empty() { vec![1] } else { shape }).map(|y| vec![y])
    }
}

/// Rows of `cols` values divided by their norms, or by a small number where that is larger, as Keras's `normalize`.
fn unit_rows(l: &mut Lowering<'_>, x: Value, cols: usize) -> Result<Value> {
    let kind = Normalization::L2 { epsilon: 1e-7 };
    let rows = x.data.len / cols;
    let (data, stats) = (l.buffer(x.data.len)?, l.buffer(2 * rows)?);
    let y = l.value(data, x.shape.clone());
    let (gamma, beta) = (None, None);
    l.emit(LayerOp::NormalizeForward { kind, rows, cols, x: x.data, gamma, beta, stats, y: data });
    let output = y.clone();
    l.backward(move |l| {
        let Some(dy) = l.gradient(&output) else { return Ok(()) };
        l.propagate(&x, |l, dx| {
            if let Some(dx) = dx {
                l.emit(LayerOp::NormalizeBackward { kind, rows, cols, x: x.data, gamma, stats, dy, dx });
            }
        })
    });
    Ok(y)
}

/// One sample of an input as a matrix: `free` rows that stay and `summed` columns, or the other way round where `across`.
struct Side {
    x: Value,
    free: usize,
    summed: usize,
    across: bool,
    /// from one row of the matrix to the next, and from one sample's to the next one's
    row: usize,
    sample: usize,
}

impl Side {
    /// In the order of the host, where a sample's values are together. The axis that is summed over comes last, but for a
    /// first one whose rows need no norm: that is what a product can read as it stands.
    fn new(l: &mut Lowering<'_>, x: Value, axis: usize, normalize: bool) -> Result<Self> {
        let size = |axes: &[usize]| axes.iter().product::<usize>();
        let [before, behind] = [&x.shape[..axis], &x.shape[axis + 1..]].map(size);
        let (summed, free, sample) = (x.shape[axis], before * behind, size(&x.shape));
        let mut x = batch_major(l, x)?;
        if behind > 1 && before == 1 && !normalize {
            return Ok(Side { x, free, summed, across: true, row: free, sample });
        }
        if behind > 1 {
            let (outer, shape) = (l.batch() * before, x.shape.clone());
            x = swap_last_axes(l, x, [outer, summed, behind], shape)?;
        }
        if normalize {
            x = unit_rows(l, x, summed)?;
        }
        Ok(Side { x, free, summed, across: false, row: summed, sample })
    }
}

/// `y[s] = a[s] b[s]^T` for each sample, as a value of `shape`.
fn product(l: &mut Lowering<'_>, a: Side, b: Side, shape: Vec<usize>) -> Result<Value> {
    let (batch, m, n, k) = (l.batch(), a.free, b.free, a.summed);
    let data = l.buffer(batch * m * n)?;
    let y = l.value(data, vec![m * n]);
    let forward = Matmul {
        trans_a: a.across,
        trans_b: !b.across,
        lda: a.row,
        ldb: b.row,
        stride_a: a.sample,
        stride_b: b.sample,
        ..Matmul::new(m, n, k).batch(batch)
    };
    l.emit(Op::Matmul { shape: forward, a: a.x.data, b: b.x.data, bias: None, c: data });
    let output = y.clone();
    l.backward(move |l| {
        let Some(dy) = l.gradient(&output) else { return Ok(()) };
        // Of y = A B^T with A [m, k], B [n, k]: dA = dy B and dB = dy^T A, or these transposed where a side stands across.
        for (side, other, flipped) in [(&a, &b, false), (&b, &a, true)] {
            l.propagate(&side.x, |l, dx| {
                let Some(c) = dx else { return };
                let ((d_row, d_sample), (o_row, o_sample)) = ((n, m * n), (other.row, other.sample));
                let shape = match side.across {
                    // [free, k] = dy (or its transpose) times other [other.free, k]
                    false => Matmul {
                        trans_a: flipped,
                        trans_b: other.across,
                        lda: d_row,
                        ldb: o_row,
                        stride_a: d_sample,
                        stride_b: o_sample,
                        ldc: side.row,
                        stride_c: side.sample,
                        ..Matmul::new(side.free, k, other.free).batch(batch)
                    },
                    // [k, free] = other^T times dy^T (or dy)
                    true => Matmul {
                        trans_a: !other.across,
                        trans_b: !flipped,
                        lda: o_row,
                        ldb: d_row,
                        stride_a: o_sample,
                        stride_b: d_sample,
                        ldc: side.row,
                        stride_c: side.sample,
                        ..Matmul::new(k, side.free, other.free).batch(batch)
                    },
                };
                let (a, b) = if side.across { (other.x.data, dy) } else { (dy, other.x.data) };
                l.emit(Op::Matmul { shape, a, b, bias: None, c });
            })?;
        }
        Ok(())
    });
    time_major(l, y, shape)
}
