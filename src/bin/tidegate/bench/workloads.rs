//! The workloads of docs/PERFORMANCE.md: their models, inputs and targets.

use ndarray::{Array3, ArrayD, IxDyn};
use rnn_model::layer::{Dense, Gru, Lstm, Softmax};
use rnn_model::{Activation, Device, Input, Loss, Model, Optimizer, Sequential};

use crate::args::Mode;
use crate::failure::Outcome;

/// Kind of the recurrent layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cell {
    Lstm,
    Gru,
}

/// What inference returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// The last output.
    Last,
    /// All outputs.
    Sequence,
    /// The last output, and the state is carried into the next call.
    State,
}

/// One recurrent layer and what follows it, in f32.
#[derive(Clone, Copy, Debug)]
pub struct Workload {
    pub name: &'static str,
    pub cell: Cell,
    pub batch: usize,
    pub time: usize,
    pub inputs: usize,
    pub units: usize,
    pub output: Output,
    /// Units of a Dense layer on top, 0 for none.
    pub dense: usize,
    /// The Dense layer ends in a softmax; training minimises the cross-entropy at each step.
    pub softmax: bool,
}

const fn workload(
    name: &'static str,
    cell: Cell,
    sizes: [usize; 4],
    output: Output,
    dense: usize,
    softmax: bool,
) -> Workload {
    let [batch, time, inputs, units] = sizes;
    Workload { name, cell, batch, time, inputs, units, output, dense, softmax }
}

/// Without a loss of its own (W2, W4, W6, W7) a train step minimises the mean square between output and a target.
pub const ALL: [Workload; 7] = [
    workload("W1", Cell::Lstm, [32, 40, 1, 100], Output::Last, 1, false),
    workload("W2", Cell::Lstm, [400, 1, 8, 64], Output::State, 0, false),
    workload("W3", Cell::Lstm, [32, 64, 128, 256], Output::Sequence, 128, true),
    workload("W4", Cell::Lstm, [64, 50, 512, 512], Output::Sequence, 0, false),
    workload("W5", Cell::Gru, [32, 64, 128, 256], Output::Sequence, 128, true),
    workload("W6", Cell::Lstm, [1, 100, 32, 128], Output::Sequence, 0, false),
    workload("W7", Cell::Lstm, [16, 25, 1024, 1024], Output::Sequence, 0, false),
];

impl Workload {
    /// The same with another number of samples.
    pub fn with_batch(self, batch: usize) -> Workload {
        Workload { batch, ..self }
    }

    /// Multiply-adds of the matrix products, times two; a train step is three forward passes' worth.
    pub fn gflop(&self, mode: Mode) -> f64 {
        let gates = if self.cell == Cell::Lstm { 4 } else { 3 };
        let recurrent = 2 * self.batch * self.time * gates * self.units * (self.inputs + self.units);
        let rows = self.batch * if self.output == Output::Sequence { self.time } else { 1 };
        let forward = (recurrent + 2 * rows * self.units * self.dense) as f64 / 1e9;
        if mode == Mode::Train { 3.0 * forward } else { forward }
    }

    /// The model with initial weights. Training starts from zero states; so does inference, but for W2.
    pub fn build(&self, device: &Device, mode: Mode) -> Outcome<Model> {
        let sequences = self.output == Output::Sequence;
        let stateful = self.output == Output::State && mode == Mode::Infer;
        let model = Sequential::new(Input::sequence(self.time, self.inputs)).seed(7);
        let model = match self.cell {
            Cell::Lstm => model.layer(Lstm::new(self.units).return_sequences(sequences).stateful(stateful)),
            Cell::Gru => model.layer(Gru::new(self.units).return_sequences(sequences).stateful(stateful)),
        };
        let model = match (self.dense, self.softmax) {
            (0, _) => model,
            (units, true) => model.layer(Dense::new(units).activation(Softmax)),
            (units, false) => model.layer(Dense::new(units).activation(Activation::Linear)),
        };
        Ok(model.build(device)?)
    }

    /// Says how a model of this workload is trained.
    pub fn compile(&self, model: &mut Model, optimizer: impl Into<Optimizer>) -> Outcome {
        let loss = match self.softmax {
            true => Loss::SparseCategoricalCrossentropy { from_logits: false },
            false => Loss::MeanSquaredError,
        };
        Ok(model.compile(optimizer, loss, &[])?)
    }

    /// `[batch, time, inputs]`, values like a scaled series'; row `i` is row `i % distinct`.
    pub fn input(&self, distinct: usize) -> Array3<f32> {
        let per_row = self.time * self.inputs;
        Array3::from_shape_fn((self.batch, self.time, self.inputs), |(row, step, feature)| {
            normal(1, (row % distinct) * per_row + step * self.inputs + feature)
        })
    }

    /// Class indices for a softmax, else values of the output's shape; row `i` is row `i % distinct`.
    pub fn target(&self, distinct: usize) -> ArrayD<f32> {
        let width = if self.dense > 0 { self.dense } else { self.units };
        let mut shape = vec![self.batch];
        if self.output == Output::Sequence {
            shape.push(self.time);
        }
        if !self.softmax {
            shape.push(width);
        }
        let per_row: usize = shape[1..].iter().product();
        let mut index = 0;
        ArrayD::from_shape_simple_fn(IxDyn(&shape), || {
            let (row, place) = (index / per_row, index % per_row);
            index += 1;
            let index = (row % distinct) * per_row + place;
            if self.softmax {
                (uniform(2, index) * self.dense as f64).floor() as f32
            } else {
                normal(2, index)
            }
        })
    }
}

/// Windows `[92, 3, 1]` and next values `[92, 1]` of a series with trend and season: the tutorial's sizes.
pub fn airline() -> (Array3<f32>, ndarray::Array2<f32>) {
    let value = |month: usize| {
        let month = month as f32;
        0.1 + month / 120.0 + 0.1 * (month * std::f32::consts::PI / 6.0).sin()
    };
    let x = Array3::from_shape_fn((AIRLINE_SAMPLES, 3, 1), |(row, step, _)| value(row + step));
    let y = ndarray::Array2::from_shape_fn((AIRLINE_SAMPLES, 1), |(row, _)| value(row + 3));
    (x, y)
}

pub const AIRLINE_SAMPLES: usize = 92;
pub const AIRLINE_EPOCHS: u64 = 100;

/// The tutorial's model: LSTM(4, stateful), Dense(1), batch 1.
pub fn airline_model(device: &Device) -> Outcome<Model> {
    let model = Sequential::new(Input::sequence(3, 1).batch(1))
        .layer(Lstm::new(4).stateful(true))
        .layer(Dense::new(1));
    Ok(model.seed(7).build(device)?)
}

/// In [0, 1), by SplitMix64 of the stream and the place, so that any part of an array can be made alone.
fn uniform(stream: u64, index: usize) -> f64 {
    let mut z = (stream << 40).wrapping_add(index as u64).wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
}

/// About standard normal: twelve uniforms less six.
fn normal(stream: u64, index: usize) -> f32 {
    ((0..12).map(|part| uniform(stream * 16 + part, index)).sum::<f64>() - 6.0) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_those_of_the_table() {
        let expected = [0.103, 0.0148, 1.745, 13.42, 1.208 + 0.134, 0.016, 6.711];
        for (workload, expected) in ALL.iter().zip(expected) {
            let gflop = workload.gflop(Mode::Infer);
            assert!((gflop / expected - 1.0).abs() < 0.12, "{}: {gflop}", workload.name);
        }
    }

    #[test]
    fn rows_repeat_and_values_are_normal() {
        let w = ALL[0].with_batch(6);
        let x = w.input(2);
        assert_eq!(x.index_axis(ndarray::Axis(0), 5), x.index_axis(ndarray::Axis(0), 1));
        assert_ne!(x.index_axis(ndarray::Axis(0), 0), x.index_axis(ndarray::Axis(0), 1));
        assert_eq!(
            x.index_axis(ndarray::Axis(0), 1),
            w.with_batch(2).input(2).index_axis(ndarray::Axis(0), 1)
        );
        let x = ALL[2].input(32);
        let mean = x.mean().unwrap();
        let variance = x.mapv(|v| (v - mean).powi(2)).mean().unwrap();
        // 262,144 values: the standard error of the mean is 0.002, of the variance about 0.003.
        assert!(mean.abs() < 0.01 && (variance - 1.0).abs() < 0.02, "{mean} {variance}");
        assert!(ALL[2].target(4).iter().all(|class| (0.0..128.0).contains(class) && class.fract() == 0.0));
    }
}
