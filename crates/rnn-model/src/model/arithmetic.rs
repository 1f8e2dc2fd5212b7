//! Arithmetic on values with gradients: what a cell that no kernel fuses is made of.

use super::lowering::{Lowering, Value};
use crate::Result;
use crate::device::{IndexSlice, LayerOp, Op, Slice};
use rnn_shaders::shape::{Block as Strided, Matmul};
use rnn_shaders::vocabulary::{Draw, Noise};

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

/// Part of a bias and of its gradient.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BiasBlock {
    pub weight: Slice,
    pub gradient: Option<Slice>,
}

/// `n` columns from `at` on of a `[rows, cols]` matrix.
fn columns(whole: Slice, rows: usize, cols: usize, at: usize, n: usize) -> Slice {
    whole.part(at, (rows - 1) * cols + n)
}

impl Lowering<'_> {
    /// `a + b`
    pub fn add(&mut self, a: &Value, b: &Value) -> Result<Value> {
        let y = self.like(a)?;
        self.emit(Op::Add { a: a.data, b: b.data, y: y.data });
        let (a, b, output) = (a.clone(), b.clone(), y.clone());
        self.backward(move |l| {
            let Some(dy) = l.gradient(&output) else { return Ok(()) };
            for x in [a, b] {
                l.propagate(&x, |l, dx| {
                    if let Some(y) = dx {
                        l.emit(Op::Copy { x: dy, y });
                    }
                })?;
            }
            Ok(())
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
            l.propagate(&a, |l, dx| {
                if let Some(y) = dx {
                    l.emit(Op::Copy { x: dy, y });
                }
            })?;
            l.propagate(&b, |l, dx| {
                if let Some(y) = dx {
                    l.emit(Op::Scale { factor: -1.0, x: dy, y });
                }
            })
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
        let y = self.like(x)?;
        self.emit(Op::Scale { factor, x: x.data, y: y.data });
        let (x, output) = (x.clone(), y.clone());
        self.backward(move |l| {
            let Some(dy) = l.gradient(&output) else { return Ok(()) };
            l.propagate(&x, |l, dx| {
                if let Some(y) = dx {
                    l.emit(Op::Scale { factor, x: dy, y });
                }
            })
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

    /// Step `t` of a sequence `[time, batch, features]`, as `[batch, features]`.
    pub fn step(&mut self, x: &Value, t: usize) -> Value {
        let n = x.data.len / x.shape[0];
        let y = self.value(x.data.part(t * n, n), vec![x.shape[1]]);
        let (x, output) = (x.clone(), y.clone());
        self.backward(move |l| {
            let Some(dy) = l.gradient(&output) else { return Ok(()) };
            if let Some(dx) = l.gradient_sum(&x)? {
                l.emit(Op::AddAssign { x: dy, y: dx.part(t * n, n) });
            }
            Ok(())
        });
        y
    }

    /// Values `[batch, features]`, one per step, as one sequence.
    pub fn stack(&mut self, steps: &[Value]) -> Result<Value> {
        let n = steps[0].data.len;
        let data = self.buffer(steps.len() * n)?;
        for (t, step) in steps.iter().enumerate() {
            self.emit(Op::Copy { x: step.data, y: data.part(t * n, n) });
        }
        let y = self.value(data, vec![steps.len(), steps[0].shape[0]]);
        let (steps, output) = (steps.to_vec(), y.clone());
        self.backward(move |l| {
            let Some(dy) = l.gradient(&output) else { return Ok(()) };
            for (t, step) in steps.iter().enumerate() {
                l.propagate(step, |l, dx| {
                    if let Some(y) = dx {
                        l.emit(Op::Copy { x: dy.part(t * n, n), y });
                    }
                })?;
            }
            Ok(())
        });
        Ok(y)
    }

    /// A copy of `x`.
    pub fn copy(&mut self, x: &Value) -> Result<Value> {
        let y = self.like(x)?;
        self.emit(Op::Copy { x: x.data, y: y.data });
        let (x, output) = (x.clone(), y.clone());
        self.backward(move |l| {
            let Some(dy) = l.gradient(&output) else { return Ok(()) };
            l.propagate(&x, |l, dx| {
                if let Some(y) = dx {
                    l.emit(Op::Copy { x: dy, y });
                }
            })
        });
        Ok(y)
    }

    /// Values side by side on the last axis.
    pub fn concat(&mut self, parts: &[Value]) -> Result<Value> {
        let width = |x: &Value| *x.shape.last().unwrap_or(&1);
        let rows = parts[0].data.len / width(&parts[0]);
        let cols: usize = parts.iter().map(width).sum();
        let data = self.buffer(rows * cols)?;
        let mut shape = parts[0].shape.clone();
        *shape.last_mut().expect("a sample has an axis") = cols;
        let y = self.value(data, shape);
        let mut at = 0;
        let mut places = Vec::new();
        for x in parts {
            let n = width(x);
            let block = Strided::rows(rows, n, n, cols);
            self.emit(Op::Layer(LayerOp::CopyBlock {
                block,
                joint: true,
                x: x.data,
                y: columns(data, rows, cols, at, n),
            }));
            places.push((x.clone(), at, n));
            at += n;
        }
        let output = y.clone();
        self.backward(move |l| {
            let Some(dy) = l.gradient(&output) else { return Ok(()) };
            for (x, at, n) in places {
                l.propagate(&x, |l, dx| {
                    if let Some(y) = dx {
                        let block = Strided::rows(rows, n, cols, n);
                        let x = columns(dy, rows, cols, at, n);
                        l.emit(Op::Layer(LayerOp::CopyBlock { block, joint: false, x, y }));
                    }
                })?;
            }
            Ok(())
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
        let (noise, repeats) = (Noise::Dropout { rate }, x.shape[0]);
        let y = self.like(x)?;
        let op = move |backward, x, y| Op::Layer(LayerOp::Noise { noise, backward, repeats, draw, x, y });
        self.emit(op(false, x.data, y.data));
        let (x, mut y) = (x.clone(), y);
        y.mask = x.mask;
        let output = y.clone();
        self.backward(move |l| {
            let Some(dy) = l.gradient(&output) else { return Ok(()) };
            l.propagate(&x, |l, dx| {
                if let Some(dx) = dx {
                    l.emit(op(true, dy, dx));
                }
            })
        });
        Ok(y)
    }

    /// `x` where its row's flag has VALID, else 0.
    pub fn mask_rows(&mut self, x: &Value, flags: IndexSlice) -> Result<Value> {
        let (rows, cols) = (flags.len, x.data.len / flags.len);
        let y = self.like(x)?;
        let op = move |x, y| Op::Layer(LayerOp::MaskRows { rows, cols, fill: 0.0, flags, x, y });
        self.emit(op(x.data, y.data));
        let (x, output) = (x.clone(), y.clone());
        self.backward(move |l| {
            let Some(dy) = l.gradient(&output) else { return Ok(()) };
            l.propagate(&x, |l, dx| {
                if let Some(dx) = dx {
                    l.emit(op(dy, dx));
                }
            })
        });
        Ok(y)
    }

    /// A new value of the shape of `x`.
    fn like(&mut self, x: &Value) -> Result<Value> {
        let data = self.buffer(x.data.len)?;
        Ok(self.value(data, x.shape.clone()))
    }
}
