//! Values taken apart and put together, with gradients: columns, steps of a sequence.

use super::lowering::{Lowering, Value};
use crate::Result;
use crate::device::{LayerOp, Op, Slice};
use rnn_shaders::shape::Block as Strided;

/// `n` columns from `at` on of a `[rows, cols]` matrix.
fn columns(whole: Slice, rows: usize, cols: usize, at: usize, n: usize) -> Slice {
    whole.part(at, (rows - 1) * cols + n)
}

impl Lowering<'_> {
    /// Columns of `x [rows, sum of sizes]`, `sizes` of them each, as values of their own.
    pub fn split(&mut self, x: &Value, sizes: &[usize]) -> Result<Vec<Value>> {
        let rows = x.data.len / sizes.iter().sum::<usize>();
        let part = |&size: &usize| {
            let mut shape = x.shape.clone();
            *shape.last_mut().expect("a sample has an axis") = size;
            (rows * size, shape)
        };
        let parts: Vec<(usize, Vec<usize>)> = sizes.iter().map(part).collect();
        let apart = self.apart(x, sizes)?;
        Ok(self.views(&apart, &parts))
    }

    /// The columns of `x [rows, sum of sizes]` as one block `[rows, size]` after the other: one copy where they are of one
    /// size.
    pub fn apart(&mut self, x: &Value, sizes: &[usize]) -> Result<Value> {
        let width: usize = sizes.iter().sum();
        let rows = x.data.len / width;
        if rows == 1 || sizes.len() == 1 {
            return Ok(x.clone());
        }
        let data = self.buffer(x.data.len)?;
        let copies = column_copies(rows, width, sizes);
        for &(block, at, to, len) in &copies {
            let from = x.data.part(at, x.data.len - at);
            self.emit(LayerOp::CopyBlock { block, joint: true, x: from, y: data.part(to, len) });
        }
        let y = self.input(data, x.shape.clone(), x.needs_gradient());
        let (x, output) = (x.clone(), y.clone());
        self.backward(move |l| {
            let Some(dy) = l.gradient(&output) else { return Ok(()) };
            l.propagate(&x, |l, dx| {
                let Some(dx) = dx else { return };
                for (copy, at, from, len) in copies {
                    let block = Strided { from: copy.to, to: copy.from, ..copy };
                    let y = dx.part(at, dx.len - at);
                    l.emit(LayerOp::CopyBlock { block, joint: true, x: dy.part(from, len), y });
                }
            })
        });
        Ok(y)
    }

    /// The steps of a sequence `[time, batch, features]`, each `[batch, features]`.
    pub fn unstack(&mut self, x: &Value) -> Vec<Value> {
        let (time, step) = (x.shape[0], x.shape[1..].to_vec());
        self.views(x, &vec![(x.data.len / time, step); time])
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
            steps.iter().enumerate().try_for_each(|(t, step)| l.hand_on(step, dy.part(t * n, n)))
        });
        Ok(y)
    }

    /// A copy of `x`.
    pub fn copy(&mut self, x: &Value) -> Result<Value> {
        let y = self.like(x)?;
        self.emit(Op::Copy { x: x.data, y: y.data });
        let (x, output) = (x.clone(), y.clone());
        self.backward(move |l| match l.gradient(&output) {
            Some(dy) => l.hand_on(&x, dy),
            None => Ok(()),
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
}

/// The copies that put columns `[rows, width]` one block after the other: the copy, where it starts among the columns,
/// where its block starts, and how long that is.
fn column_copies(rows: usize, width: usize, sizes: &[usize]) -> Vec<(Strided, usize, usize, usize)> {
    let size = sizes[0];
    if sizes.iter().all(|&s| s == size) {
        let n = sizes.len();
        return vec![(Strided::permute([rows, n, size], [1, 0, 2]), 0, 0, rows * width)];
    }
    let mut at = 0;
    let copy = |&size: &usize| {
        at += size;
        (Strided::rows(rows, size, width, size), at - size, rows * (at - size), rows * size)
    };
    sizes.iter().map(copy).collect()
}
