//! Arithmetic on values with gradients: what a cell that no kernel fuses is made of.
//!
//! Where the gradient of an operand is the gradient of the result itself (sums, sequences put together), it is handed on
//! in place of being copied: the result's gradient is complete when the operation's backward pass is emitted, and nothing
//! reads it afterwards.

use super::lowering::{Lowering, Value};
use crate::Result;
use crate::device::{IndexSlice, LayerOp, Op, Slice};
use rnn_shaders::shape::Matmul;
use rnn_shaders::vocabulary::{Draw, Noise, Normalization};

/// Columns of a weight matrix and the same columns of its gradient: `rows` rows of `cols` values, `stride` apart.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Block {
    rows: usize,
    cols: usize,
    stride: usize,
    weight: Slice,
    gradient: Option<Slice>,
}

impl Block {
    /// Columns `at..at + cols` of a `[rows, stride]` matrix.
    pub fn columns(
        weight: Slice,
        gradient: Option<Slice>,
        rows: usize,
        stride: usize,
        at: usize,
        cols: usize,
    ) -> Self {
        let part = |s: Slice| s.part(at, (rows - 1) * stride + cols);
        Block { rows, cols, stride, weight: part(weight), gradient: gradient.map(part) }
    }
}

/// A vector of weights, or a part of one, and its gradient.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BiasBlock {
    pub weight: Slice,
    pub gradient: Option<Slice>,
}

impl Lowering<'_> {
    /// `a + b`
    pub fn add(&mut self, a: &Value, b: &Value) -> Result<Value> {
        let y = self.like(a)?;
        self.emit(Op::Add { a: a.data, b: b.data, y: y.data });
        let (a, b, output) = (a.clone(), b.clone(), y.clone());
        self.backward(move |l| {
            let Some(dy) = l.gradient(&output) else { return Ok(()) };
            l.propagate(&b, |l, db| {
                if let Some(y) = db {
                    l.emit(Op::Copy { x: dy, y });
                }
            })?;
            l.hand_on(&a, dy)
        });
        Ok(y)
    }

    /// `a - b`
    pub fn sub(&mut self, a: &Value, b: &Value) -> Result<Value> {
        let y = self.like(a)?;
        self.emit(Op::Sub { a: a.data, b: b.data, y: y.data });
        let (a, b, output) = (a.clone(), b.clone(), y.clone());
        self.backward(move |l| {
            let Some(dy) = l.gradient(&output) else { return Ok(()) };
            l.propagate(&b, |l, db| {
                if let Some(y) = db {
                    l.emit(Op::Scale { factor: -1.0, x: dy, y });
                }
            })?;
            l.hand_on(&a, dy)
        });
        Ok(y)
    }

    /// `a * b`, element by element.
    pub fn mul(&mut self, a: &Value, b: &Value) -> Result<Value> {
        let y = self.like(a)?;
        self.emit(Op::Mul { a: a.data, b: b.data, y: y.data });
        let (a, b, output) = (a.clone(), b.clone(), y.clone());
        self.backward(move |l| {
            let Some(dy) = l.gradient(&output) else { return Ok(()) };
            for (x, other) in [(&a, b.data), (&b, a.data)] {
                l.propagate(x, |l, dx| {
                    if let Some(y) = dx {
                        l.emit(Op::Mul { a: dy, b: other, y });
                    }
                })?;
            }
            Ok(())
        });
        Ok(y)
    }

    /// `a / b`, element by element.
    pub fn div(&mut self, a: &Value, b: &Value) -> Result<Value> {
        let y = self.like(a)?;
        self.emit(LayerOp::Divide { a: a.data, b: b.data, y: y.data });
        let (a, b, output) = (a.clone(), b.clone(), y.clone());
        self.backward(move |l| {
            let Some(dy) = l.gradient(&output) else { return Ok(()) };
            // da = dy / b, db = -y da
            let da = l.scratch(dy.len)?;
            l.emit(LayerOp::Divide { a: dy, b: b.data, y: da });
            if b.needs_gradient() {
                let turned = l.scratch(dy.len)?;
                l.emit(Op::Scale { factor: -1.0, x: output.data, y: turned });
                l.propagate(&b, |l, db| {
                    if let Some(y) = db {
                        l.emit(Op::Mul { a: da, b: turned, y });
                    }
                })?;
            }
            l.hand_on(&a, da)
        });
        Ok(y)
    }

    /// `max(a, b)`, element by element; equals share the gradient.
    pub fn maximum(&mut self, a: &Value, b: &Value) -> Result<Value> {
        self.extreme(a, b, false)
    }

    /// `min(a, b)`, element by element; equals share the gradient.
    pub fn minimum(&mut self, a: &Value, b: &Value) -> Result<Value> {
        self.extreme(a, b, true)
    }

    fn extreme(&mut self, a: &Value, b: &Value, least: bool) -> Result<Value> {
        let y = self.like(a)?;
        let (a, b) = (a.clone(), b.clone());
        let (first, second) = (a.data, b.data);
        self.emit(match least {
            true => LayerOp::Minimum { a: first, b: second, y: y.data },
            false => LayerOp::Maximum { a: first, b: second, y: y.data },
        });
        let output = y.clone();
        self.backward(move |l| {
            let Some(dy) = l.gradient(&output) else { return Ok(()) };
            for (x, other) in [(&a, &b), (&b, &a)] {
                // The gradient goes to the larger one, which of a minimum is the other.
                let (above, below) = if least { (other.data, x.data) } else { (x.data, other.data) };
                l.propagate(x, |l, dx| {
                    if let Some(da) = dx {
                        l.emit(LayerOp::MaximumBackward { a: above, b: below, dy, da });
                    }
                })?;
            }
            Ok(())
        });
        Ok(y)
    }

    /// `factor x`
    pub fn scale(&mut self, x: &Value, factor: f32) -> Result<Value> {
        let forward = move |x, y| Op::Scale { factor, x, y };
        self.pointwise(x, forward, forward)
    }

    /// One operation on `x` whose gradient is one operation on that of the result.
    fn pointwise(
        &mut self,
        x: &Value,
        forward: impl FnOnce(Slice, Slice) -> Op,
        backward: impl FnOnce(Slice, Slice) -> Op + Copy + 'static,
    ) -> Result<Value> {
        let y = self.like(x)?;
        self.emit(forward(x.data, y.data));
        let (x, output) = (x.clone(), y.clone());
        self.backward(move |l| {
            let Some(dy) = l.gradient(&output) else { return Ok(()) };
            l.propagate(&x, |l, dx| {
                if let Some(dx) = dx {
                    l.emit(backward(dy, dx));
                }
            })
        });
        Ok(y)
    }

    /// Noise on `x`: the numbers of `draw` from `first` on, drawn again for the gradient, the same for each of `repeats` parts
    /// of `x`.
    pub fn noise(
        &mut self,
        x: &Value,
        noise: Noise,
        repeats: usize,
        draw: Draw,
        first: usize,
    ) -> Result<Value> {
        let op = move |backward, x, y| LayerOp::Noise { noise, backward, repeats, draw, first, x, y }.into();
        self.pointwise(x, move |x, y| op(false, x, y), move |dy, dx| op(true, dy, dx))
    }

    /// `a` where the number drawn is below `rate`, else `b`; without a draw the mean, `rate a + (1 - rate) b`.
    pub fn blend(&mut self, a: &Value, b: &Value, rate: f32, draw: Option<Draw>) -> Result<Value> {
        let y = self.like(a)?;
        self.emit(LayerOp::Blend { rate, draw, a: a.data, b: b.data, y: y.data });
        let (a, b, output) = (a.clone(), b.clone(), y.clone());
        self.backward(move |l| {
            let Some(dy) = l.gradient(&output) else { return Ok(()) };
            for (x, of_a) in [(&a, true), (&b, false)] {
                l.propagate(x, |l, dx| {
                    if let Some(d) = dx {
                        l.emit(LayerOp::BlendBackward { rate, draw, of_a, dy, d });
                    }
                })?;
            }
            Ok(())
        });
        Ok(y)
    }

    /// Rows of `a` where a flag of `flags [batch]` (or `[time, batch]`) has `bit`, else rows of `b`; zeros for what is
    /// missing. At least one is there.
    pub fn select(
        &mut self,
        flags: IndexSlice,
        bit: u32,
        a: Option<&Value>,
        b: Option<&Value>,
    ) -> Result<Value> {
        let shaped = a.or(b).expect("one of the two is given");
        let y = self.like(shaped)?;
        let (rows, cols) = (flags.len, shaped.data.len / flags.len);
        let op = move |a, b, y| Op::from(LayerOp::SelectRows { rows, cols, bit, flags, a, b, y });
        self.emit(op(a.map(|a| a.data), b.map(|b| b.data), y.data));
        let (a, b, output) = (a.cloned(), b.cloned(), y.clone());
        self.backward(move |l| {
            let Some(dy) = l.gradient(&output) else { return Ok(()) };
            for (x, a, b) in [(&a, Some(dy), None), (&b, None, Some(dy))] {
                if let Some(x) = x {
                    l.propagate(x, |l, dx| {
                        if let Some(dx) = dx {
                            l.emit(op(a, b, dx));
                        }
                    })?;
                }
            }
            Ok(())
        });
        Ok(y)
    }

    /// `x W + b` for `x [m, rows]` and columns of a weight matrix.
    pub fn product(&mut self, x: &Value, block: Block, bias: Option<BiasBlock>) -> Result<Value> {
        let Block { rows, cols, stride, weight, gradient } = block;
        let m = x.data.len / rows;
        let data = self.buffer(m * cols)?;
        let mut shape = x.shape.clone();
        *shape.last_mut().expect("a sample has an axis") = cols;
        let y = self.value(data, shape);
        let forward = Matmul { ldb: stride, ..Matmul::new(m, cols, rows) };
        self.emit(Op::Matmul { shape: forward, a: x.data, b: weight, bias: bias.map(|b| b.weight), c: data });
        let (x, output) = (x.clone(), y.clone());
        self.backward(move |l| {
            let Some(dy) = l.gradient(&output) else { return Ok(()) };
            if let Some(c) = gradient {
                let shape = Matmul { ldc: stride, ..Matmul::new(rows, cols, m).trans_a().accumulate() };
                l.emit(Op::Matmul { shape, a: x.data, b: dy, bias: None, c });
            }
            if let Some(out) = bias.and_then(|b| b.gradient) {
                l.emit(Op::SumRows { rows: m, cols, x: dy, out, accumulate: true });
            }
            l.propagate(&x, |l, dx| {
                if let Some(c) = dx {
                    let shape = Matmul { ldb: stride, ..Matmul::new(m, rows, cols).trans_b() };
                    l.emit(Op::Matmul { shape, a: dy, b: weight, bias: None, c });
                }
            })
        });
        Ok(y)
    }

    /// A vector of weights in every row of a value like `x`, which has rows of this length.
    pub fn broadcast(&mut self, vector: BiasBlock, x: &Value) -> Result<Value> {
        let y = self.like(x)?;
        let cols = vector.weight.len;
        let rows = x.data.len / cols;
        self.emit(Op::RepeatVector { time: rows, n: cols, x: vector.weight, y: y.data });
        let output = y.clone();
        self.backward(move |l| {
            if let (Some(x), Some(out)) = (l.gradient(&output), vector.gradient) {
                l.emit(Op::SumRows { rows, cols, x, out, accumulate: true });
            }
            Ok(())
        });
        Ok(y)
    }

    /// Each row less its mean, over its deviation, times `gamma`, plus `beta`.
    pub fn layer_norm(
        &mut self,
        x: &Value,
        gamma: BiasBlock,
        beta: Option<BiasBlock>,
        epsilon: f32,
    ) -> Result<Value> {
        let kind = Normalization::Layer { epsilon };
        let cols = gamma.weight.len;
        let rows = x.data.len / cols;
        let (y, stats) = (self.like(x)?, self.buffer(2 * rows)?);
        let (weight, shift) = (Some(gamma.weight), beta.map(|b| b.weight));
        self.emit(LayerOp::NormalizeForward {
            kind,
            rows,
            cols,
            x: x.data,
            gamma: weight,
            beta: shift,
            stats,
            y: y.data,
        });
        let (x, output) = (x.clone(), y.clone());
        self.backward(move |l| {
            let Some(dy) = l.gradient(&output) else { return Ok(()) };
            if let Some(dgamma) = gamma.gradient {
                l.emit(LayerOp::NormalizeGamma { kind, rows, cols, x: x.data, stats, dy, dgamma });
            }
            if let Some(out) = beta.and_then(|b| b.gradient) {
                l.emit(Op::SumRows { rows, cols, x: dy, out, accumulate: true });
            }
            l.propagate(&x, |l, dx| {
                if let Some(dx) = dx {
                    let op = LayerOp::NormalizeBackward {
                        kind,
                        rows,
                        cols,
                        x: x.data,
                        gamma: weight,
                        stats,
                        dy,
                        dx,
                    };
                    l.emit(op);
                }
            })
        });
        Ok(y)
    }

    /// Factors of a dropout of `rate`, drawn once a pass: 0, or `1 / (1 - rate)`.
    pub fn dropout_mask(&mut self, rate: f32, len: usize) -> Result<Slice> {
        let (ones, mask) = (self.buffer(len)?, self.buffer(len)?);
        let (seed, stream) = (self.seed(), self.stream());
        self.emit(Op::Fill { value: 1.0, y: ones });
        self.emit(Op::Dropout { rate, seed, stream, first: 0, x: ones, y: mask });
        Ok(mask)
    }

    /// A sequence with a share of `rate` of the features of each sample dropped, the same ones at every step.
    pub fn dropout_along_time(&mut self, x: &Value, rate: f32) -> Result<Value> {
        let draw = Draw { seed: self.seed(), stream: self.stream(), part: 0 };
        let mut y = self.noise(x, Noise::Dropout { rate }, x.shape[0], draw, 0)?;
        y.mask = x.mask;
        Ok(y)
    }

    /// `x` where its row's flag has VALID, else 0.
    pub fn mask_rows(&mut self, x: &Value, flags: IndexSlice) -> Result<Value> {
        self.fill_rows(x, flags, 0.0)
    }

    /// `x` where its row's flag has VALID, else `fill`.
    pub fn fill_rows(&mut self, x: &Value, flags: IndexSlice, fill: f32) -> Result<Value> {
        let (rows, cols) = (flags.len, x.data.len / flags.len);
        let op = move |fill, x, y| Op::Layer(LayerOp::MaskRows { rows, cols, fill, flags, x, y });
        self.pointwise(x, move |x, y| op(fill, x, y), move |dy, dx| op(0.0, dy, dx))
    }

    /// A new value of the shape of `x`.
    pub(super) fn like(&mut self, x: &Value) -> Result<Value> {
        let data = self.buffer(x.data.len)?;
        Ok(self.value(data, x.shape.clone()))
    }
}
