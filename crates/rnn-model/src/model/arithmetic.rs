//! Arithmetic on values with gradients: what a cell that no kernel fuses is made of.

use super::lowering::{Lowering, Value};
use crate::Result;
use crate::device::{Op, Slice};
use rnn_shaders::shape::Matmul;

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

    /// A new value of the shape of `x`.
    fn like(&mut self, x: &Value) -> Result<Value> {
        let data = self.buffer(x.data.len)?;
        Ok(self.value(data, x.shape.clone()))
    }
}
