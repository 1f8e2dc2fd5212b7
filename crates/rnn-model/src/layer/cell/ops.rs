//! The operations that a cell's step is written with. Each knows its gradient.

use crate::device::{Op, Slice};
use crate::layer::{Activate, VariableSpec, simple};
use crate::model::arithmetic::{BiasBlock, Block};
use crate::model::lowering::{Lowering, Node, Value};
use crate::{Error, Result};
use rnn_shaders::vocabulary::{Draw, Noise};
use std::collections::HashMap;
use std::ops::Range;

/// A value of a step, `[batch, size]`, or within [`prepare`](super::CellDefinition::prepare) of a whole sequence,
/// `[time, batch, size]`. A handle: there are no numbers yet when a step is described.
#[derive(Clone, Debug)]
pub struct CellValue(pub(super) Value);

impl CellValue {
    /// Values per sample (and step).
    pub fn size(&self) -> usize {
        self.0.shape.last().copied().unwrap_or(0)
    }

    /// Whether both are one value.
    pub(super) fn is(&self, other: &CellValue) -> bool {
        self.0.data == other.0.data
    }
}

/// A weight of a cell on the device: a matrix `[rows, columns]` or a vector `[columns]`, or columns of one.
#[derive(Clone, Copy, Debug)]
pub struct CellWeight {
    weight: Slice,
    gradient: Option<Slice>,
    rows: usize,
    /// from one row to the next
    stride: usize,
    at: usize,
    cols: usize,
}

impl CellWeight {
    /// The weights of a node, of the shapes of `variables`.
    pub(super) fn of_node(node: &Node, variables: &[VariableSpec]) -> Vec<CellWeight> {
        let weight = |(i, v): (usize, &VariableSpec)| {
            let (rows, cols) = match v.shape.as_slice() {
                &[rows, cols] => (rows, cols),
                shape => (1, shape.iter().product()),
            };
            let gradient = node.gradients.get(i).copied();
            CellWeight { weight: node.weights[i], gradient, rows, stride: cols, at: 0, cols }
        };
        variables.iter().enumerate().map(weight).collect()
    }

    /// Rows and columns; a vector has one row.
    pub fn shape(&self) -> [usize; 2] {
        [self.rows, self.cols]
    }

    /// Some of the columns.
    ///
    /// # Errors
    /// When there are not as many.
    pub fn columns(&self, columns: Range<usize>) -> Result<CellWeight> {
        if columns.start >= columns.end || columns.end > self.cols {
            let problem = format!("there are no columns {columns:?} among {}", self.cols);
            return Err(Error::invalid("weight of a cell", problem));
        }
        Ok(CellWeight { at: self.at + columns.start, cols: columns.len(), ..*self })
    }

    /// A row of a matrix as a vector.
    ///
    /// # Errors
    /// When there is no such row.
    pub fn row(&self, row: usize) -> Result<CellWeight> {
        if row >= self.rows {
            let problem = format!("there is no row {row} among {}", self.rows);
            return Err(Error::invalid("weight of a cell", problem));
        }
        Ok(CellWeight { at: self.at + row * self.stride, rows: 1, ..*self })
    }

    fn vector(&self, what: &str, size: usize) -> Result<BiasBlock> {
        if [self.rows, self.cols] != [1, size] {
            return Err(Error::shape(what, format!("[{size}]"), &self.shape()[..]));
        }
        let part = |s: Slice| s.part(self.at, self.cols);
        Ok(BiasBlock { weight: part(self.weight), gradient: self.gradient.map(part) })
    }

    fn matrix(&self, rows: usize) -> Result<Block> {
        if self.rows != rows {
            return Err(Error::shape("matrix of a product", format!("[{rows}, any]"), &self.shape()[..]));
        }
        Ok(Block::columns(self.weight, self.gradient, rows, self.stride, self.at, self.cols))
    }
}

/// Whether a random choice is made anew at every step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Draws {
    /// Once for a sequence, the same at every step: Keras's `dropout` and `recurrent_dropout`.
    OnceASequence,
    /// Anew at every step.
    EveryStep,
}

/// Operations on the values of a cell. All are element by element unless they say otherwise, on values of one size.
///
/// Every method gives a new value and fails when sizes do not fit, or the device lacks memory.
pub struct CellOps<'l, 'a> {
    pub(super) l: &'l mut Lowering<'a>,
    step: u32,
    /// random operations of the preparation, and of it and this step so far
    prepared: usize,
    draws: usize,
    /// a stream of random numbers for each of them
    streams: Vec<u32>,
    constants: HashMap<(usize, u32), Value>,
}

#[allow(clippy::missing_errors_doc, reason = "said once, for all, above")]
impl<'l, 'a> CellOps<'l, 'a> {
    pub(super) fn new(l: &'l mut Lowering<'a>) -> Self {
        CellOps { l, step: 0, prepared: 0, draws: 0, streams: Vec::new(), constants: HashMap::new() }
    }

    /// What comes before belongs to the preparation.
    pub(super) fn prepared(&mut self) {
        self.prepared = self.draws;
    }

    /// What follows belongs to step `t`.
    pub(super) fn begin_step(&mut self, t: usize) {
        (self.step, self.draws) = ((self.l.first_step() + t) as u32, self.prepared);
    }

    /// Whether the model is being trained: dropout drops.
    pub fn training(&self) -> bool {
        self.l.training()
    }

    /// Samples in the batch.
    pub fn batch(&self) -> usize {
        self.l.batch()
    }

    /// `a + b`
    pub fn add(&mut self, a: &CellValue, b: &CellValue) -> Result<CellValue> {
        same("add", a, b)?;
        self.l.add(&a.0, &b.0).map(CellValue)
    }

    /// `a - b`
    pub fn sub(&mut self, a: &CellValue, b: &CellValue) -> Result<CellValue> {
        same("sub", a, b)?;
        self.l.sub(&a.0, &b.0).map(CellValue)
    }

    /// `a * b`
    pub fn mul(&mut self, a: &CellValue, b: &CellValue) -> Result<CellValue> {
        same("mul", a, b)?;
        self.l.mul(&a.0, &b.0).map(CellValue)
    }

    /// `a / b`
    pub fn div(&mut self, a: &CellValue, b: &CellValue) -> Result<CellValue> {
        same("div", a, b)?;
        self.l.div(&a.0, &b.0).map(CellValue)
    }

    /// `factor * x`
    pub fn scale(&mut self, x: &CellValue, factor: f32) -> Result<CellValue> {
        self.l.scale(&x.0, factor).map(CellValue)
    }

    /// `1 - x`
    pub fn one_minus(&mut self, x: &CellValue) -> Result<CellValue> {
        let ones = self.filled(&x.0, 1.0)?;
        self.l.sub(&ones, &x.0).map(CellValue)
    }

    /// `gate * a + (1 - gate) * b`
    pub fn mix(&mut self, gate: &CellValue, a: &CellValue, b: &CellValue) -> Result<CellValue> {
        same("mix", gate, a)?;
        let difference = self.sub(a, b)?;
        let moved = self.mul(gate, &difference)?;
        self.add(b, &moved)
    }

    /// The same number `[batch, size]` times.
    pub fn constant(&mut self, size: usize, value: f32) -> Result<CellValue> {
        let len = self.l.batch() * size;
        Ok(CellValue(self.constant_of(len, vec![size], value)?))
    }

    /// `x W + b`: the product of the last axis with a matrix `[size of x, n]`, and a vector `[n]`.
    pub fn product(&mut self, x: &CellValue, w: &CellWeight, bias: Option<&CellWeight>) -> Result<CellValue> {
        let block = w.matrix(x.size())?;
        let bias = bias.map(|b| b.vector("bias of a product", w.cols)).transpose()?;
        self.l.product(&x.0, block, bias).map(CellValue)
    }

    /// `x + b` with a vector of weights.
    pub fn bias(&mut self, x: &CellValue, b: &CellWeight) -> Result<CellValue> {
        let b = self.l.broadcast(b.vector("bias", x.size())?, &x.0)?;
        self.l.add(&x.0, &b).map(CellValue)
    }

    /// `x * w` with a vector of weights (a peephole).
    pub fn weigh(&mut self, x: &CellValue, w: &CellWeight) -> Result<CellValue> {
        let w = self.l.broadcast(w.vector("weight", x.size())?, &x.0)?;
        self.l.mul(&x.0, &w).map(CellValue)
    }

    /// An activation; [`Softmax`](crate::layer::Softmax) over the last axis.
    pub fn activation(&mut self, x: &CellValue, by: impl Into<Activate>) -> Result<CellValue> {
        simple::activate(self.l, by.into(), x.0.clone()).map(CellValue)
    }

    /// The columns of `x` as values of the given sizes, which add up to its own.
    pub fn split(&mut self, x: &CellValue, sizes: &[usize]) -> Result<Vec<CellValue>> {
        if sizes.iter().sum::<usize>() != x.size() || sizes.contains(&0) {
            let problem = format!("a value of {} per sample does not fall into {sizes:?}", x.size());
            return Err(Error::invalid("split of a cell", problem));
        }
        Ok(self.l.split(&x.0, sizes)?.into_iter().map(CellValue).collect())
    }

    /// The columns of `x` in as many equal parts as there are activations, each through its own. Neighbours of one
    /// activation are computed in one go.
    pub fn gates(&mut self, x: &CellValue, by: &[Activate]) -> Result<Vec<CellValue>> {
        let n = by.len().max(1);
        if !x.size().is_multiple_of(n) {
            let problem = format!("a value of {} per sample does not fall into {n} gates", x.size());
            return Err(Error::invalid("gates of a cell", problem));
        }
        let size = x.size() / n;
        let apart = self.l.apart(&x.0, &vec![size; n])?;
        let mut shape = x.0.shape.clone();
        *shape.last_mut().expect("a sample has an axis") = size;
        let len = x.0.data.len / n;
        let runs: Vec<&[Activate]> = by.chunk_by(|a, b| a == b).collect();
        let parts: Vec<_> = runs.iter().map(|run| (run.len() * len, shape.clone())).collect();
        let mut gates = Vec::with_capacity(n);
        for (run, z) in runs.into_iter().zip(self.l.views(&apart, &parts)) {
            let shown = simple::activate(self.l, run[0], z)?;
            gates.extend(self.l.views(&shown, &vec![(len, shape.clone()); run.len()]));
        }
        Ok(gates.into_iter().map(CellValue).collect())
    }

    /// Several values side by side: `[batch, sum of the sizes]`.
    pub fn concat(&mut self, values: &[&CellValue]) -> Result<CellValue> {
        let rows = |v: &CellValue| v.0.data.len / v.size().max(1);
        let Some(first) = values.first() else {
            return Err(Error::invalid("concat of a cell", "there is nothing to put together"));
        };
        if values.iter().any(|v| rows(v) != rows(first)) {
            return Err(Error::invalid("concat of a cell", "a step and a sequence can not be put together"));
        }
        let values: Vec<Value> = values.iter().map(|v| v.0.clone()).collect();
        self.l.concat(&values).map(CellValue)
    }

    /// Layer normalisation (Ba et al. 2016) over the last axis: `(x - mean) / sqrt(variance + epsilon) * gamma + beta`.
    pub fn layer_norm(
        &mut self,
        x: &CellValue,
        gamma: &CellWeight,
        beta: Option<&CellWeight>,
        epsilon: f32,
    ) -> Result<CellValue> {
        let gamma = gamma.vector("gamma", x.size())?;
        let beta = beta.map(|b| b.vector("beta", x.size())).transpose()?;
        self.l.layer_norm(&x.0, gamma, beta, epsilon).map(CellValue)
    }

    /// Dropout while training, `x` otherwise: a share of `rate` of the values becomes 0, the others are divided by
    /// `1 - rate`. Drawn from the model's seed.
    pub fn dropout(&mut self, x: &CellValue, rate: f32, draws: Draws) -> Result<CellValue> {
        if !(0.0..1.0).contains(&rate) {
            return Err(Error::invalid(
                "dropout of a cell",
                format!("the rate must be in [0, 1), got {rate}"),
            ));
        }
        if !self.training() || rate == 0.0 {
            return Ok(x.clone());
        }
        let draw = self.draw(draws);
        // Of a sequence, one array of numbers for all of its steps.
        let (repeats, first) = match x.0.shape.as_slice() {
            &[time, _] if draws == Draws::OnceASequence => (time, 0),
            _ => (1, self.l.first_value(&x.0)?),
        };
        self.l.noise(&x.0, Noise::Dropout { rate }, repeats, draw, first).map(CellValue)
    }

    /// Zoneout (Krueger et al. 2017): while training a value of `new` is that of `old` with probability `rate`, drawn at
    /// each step; otherwise what is to be expected, `rate * old + (1 - rate) * new`.
    pub fn zoneout(&mut self, new: &CellValue, old: &CellValue, rate: f32) -> Result<CellValue> {
        same("zoneout", new, old)?;
        if !(0.0..=1.0).contains(&rate) {
            return Err(Error::invalid("zoneout", format!("the rate must be in [0, 1], got {rate}")));
        }
        if rate == 0.0 {
            return Ok(new.clone());
        }
        let draw = if self.training() { Some(self.draw(Draws::EveryStep)) } else { None };
        if draw.is_some() && new.0.shape.len() > 1 && self.l.goes_on() {
            let problem =
                "of a whole sequence it can not be drawn on parts of the time axis; use it within a step";
            return Err(Error::invalid("zoneout", problem));
        }
        self.l.blend(&old.0, &new.0, rate, draw).map(CellValue)
    }

    /// The random numbers of the next random operation of this step.
    fn draw(&mut self, draws: Draws) -> Draw {
        if self.draws == self.streams.len() {
            let stream = self.l.stream();
            self.streams.push(stream);
        }
        let stream = self.streams[self.draws];
        self.draws += 1;
        let part = if draws == Draws::EveryStep { self.step } else { 0 };
        Draw { seed: self.l.seed(), stream, part }
    }

    /// A constant like `x`.
    fn filled(&mut self, x: &Value, value: f32) -> Result<Value> {
        self.constant_of(x.data.len, x.shape.clone(), value)
    }

    fn constant_of(&mut self, len: usize, shape: Vec<usize>, value: f32) -> Result<Value> {
        let key = (len, value.to_bits());
        if let Some(constant) = self.constants.get(&key) {
            return Ok(self.l.alias(constant, shape));
        }
        let data = self.l.buffer(len)?;
        self.l.emit(Op::Fill { value, y: data });
        let constant = self.l.input(data, shape, false);
        self.constants.insert(key, constant.clone());
        Ok(constant)
    }
}

/// Refuses values of different sizes.
fn same(operation: &str, a: &CellValue, b: &CellValue) -> Result<()> {
    if a.0.shape == b.0.shape && a.0.data.len == b.0.data.len {
        return Ok(());
    }
    let expected = format!("{:?} as the first value", a.0.shape);
    Err(Error::shape(format!("{operation} of a cell"), expected, b.0.shape.as_slice()))
}
