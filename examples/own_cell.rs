//! A cell of one's own: the minimal gated unit (Zhou et al. 2016, arXiv:1603.09420), which has one gate where a GRU has two.
//!
//!     f  = sigmoid(x W_f + h U_f + b_f)
//!     h~ = tanh(x W_h + (f h) U_h + b_h)
//!     h' = (1 - f) h + f h~
//!
//! The step is written with operations that know their gradients; `Rnn` runs it like any built-in cell. It is held against
//! a loop in f64 and against that loop's finite differences, then trained to tell slow waves from fast ones, saved, and
//! read again.
#![allow(clippy::print_stdout, reason = "an example shows its result")]

mod common;

use common::{Outcome, check, difference, random};
use tidegate::cell::{CellDefinition, CellOps, CellStep, CellValue, CellVariable, CellWeight, Cells};
use tidegate::layer::{Dense, Initializer, Rnn};
use tidegate::ndarray::{Array2, Array3, ArrayD};
use tidegate::serde_json::{self, json};
use tidegate::{Activation, Adam, Device, FitOptions, Input, Loss, Metric, Model, Sequential};

/// The cell as data: what a model file holds of it.
#[derive(Clone, Debug)]
struct MinimalGatedUnit {
    units: usize,
}

impl CellDefinition for MinimalGatedUnit {
    fn class(&self) -> &str {
        "MinimalGatedUnit"
    }

    fn config(&self) -> serde_json::Value {
        json!({ "units": self.units })
    }

    fn state_sizes(&self) -> Vec<usize> {
        vec![self.units]
    }

    fn variables(&self, features: usize) -> Vec<CellVariable> {
        let u = self.units;
        vec![
            CellVariable::new("kernel", [features, 2 * u], Initializer::GlorotUniform),
            CellVariable::new("recurrent_kernel", [u, 2 * u], Initializer::Orthogonal),
            CellVariable::new("bias", [2 * u], Initializer::Zeros),
        ]
    }

    // x W + b of both blocks and of all steps: one large product in place of one for each step
    fn prepare(
        &self,
        ops: &mut CellOps<'_, '_>,
        x: CellValue,
        w: &[CellWeight],
    ) -> tidegate::Result<CellValue> {
        ops.product(&x, &w[0], Some(&w[2]))
    }

    fn step(
        &self,
        ops: &mut CellOps<'_, '_>,
        x: &CellValue,
        states: &[CellValue],
        w: &[CellWeight],
    ) -> tidegate::Result<CellStep> {
        let (u, h) = (self.units, &states[0]);
        let x = ops.split(x, &[u, u])?;
        let z = ops.product(h, &w[1].columns(0..u)?, None)?;
        let z = ops.add(&z, &x[0])?;
        let f = ops.activation(&z, Activation::Sigmoid)?;
        let kept = ops.mul(&f, h)?;
        let z = ops.product(&kept, &w[1].columns(u..2 * u)?, None)?;
        let z = ops.add(&z, &x[1])?;
        let candidate = ops.activation(&z, Activation::Tanh)?;
        let h = ops.mix(&f, &candidate, h)?;
        Ok(CellStep::of_state(h, []))
    }
}

impl MinimalGatedUnit {
    /// From what a file holds, which may be anything.
    fn from_config(config: &serde_json::Value) -> tidegate::Result<Self> {
        match config["units"].as_u64() {
            Some(units @ 1..=65_536) => Ok(MinimalGatedUnit { units: units as usize }),
            _ => Err(tidegate::Error::Invalid {
                what: "units".into(),
                problem: format!("can not be {config}"),
            }),
        }
    }
}

fn main() -> std::process::ExitCode {
    common::run(example)
}

fn example(device: &Device) -> Outcome {
    against_a_loop(device)?;
    let (x, y) = waves(600, 1);
    let (unseen_x, unseen_y) = waves(200, 2);
    let mut model = Sequential::new(Input::sequence(30, 1))
        .layer(Rnn::new(MinimalGatedUnit { units: 16 }))
        .layer(Dense::new(1).activation(Activation::Sigmoid))
        .build(device)?;
    println!("{}", model.summary());
    let loss = Loss::binary_crossentropy();
    model.compile(Adam::new().learning_rate(0.01), loss, &[Metric::Accuracy])?;
    model.fit(&x, &y, FitOptions::new().epochs(20))?;
    let scores = model.evaluate(&unseen_x, &unseen_y)?;
    let accuracy = scores.get("accuracy").unwrap_or(f64::NAN);
    println!("200 unseen waves: loss {:.4}, accuracy {accuracy:.3}", scores.loss());
    check("at least 95 % of unseen waves are told right", accuracy >= 0.95)?;

    let file = model.to_bytes(false)?;
    let cells = Cells::new().with("MinimalGatedUnit", MinimalGatedUnit::from_config);
    let mut again = Model::from_bytes_with(&file, device, &cells)?;
    let same = difference(&again.predict(&unseen_x)?, &model.predict(&unseen_x)?);
    check("the model comes back from its file", same == 0.0)?;
    let refused = Model::from_bytes(&file, device).err().map(|e| e.to_string()).unwrap_or_default();
    println!("without the cell: {refused}");
    check("who does not know the cell is told its name", refused.contains("MinimalGatedUnit"))
}

/// Outputs and gradients of a small model against a loop in f64 and its finite differences.
fn against_a_loop(device: &Device) -> Outcome {
    let (batch, time, features, units) = (3, 7, 2, 4);
    let mut draw = random(7);
    let mut numbers = |shape: Vec<usize>| {
        let len = shape.iter().product();
        ArrayD::from_shape_vec(shape, (0..len).map(|_| 2.0 * draw() - 1.0).collect())
    };
    let rnn = Rnn::new(MinimalGatedUnit { units }).return_sequences(true);
    let mut model = Sequential::new(Input::sequence(None, features)).layer(rnn).build(device)?;
    let shapes: Vec<Vec<usize>> = model.get_weights()?.iter().map(|w| w.shape().to_vec()).collect();
    let weights = shapes.into_iter().map(&mut numbers).collect::<Result<Vec<_>, _>>()?;
    model.set_weights(&weights)?;
    let (x, dy) = (numbers(vec![batch, time, features])?, numbers(vec![batch, time, units])?);

    let exact: Vec<Vec<f64>> = weights.iter().map(|w| w.iter().map(|&v| f64::from(v)).collect()).collect();
    let by_hand = run_by_hand(&exact, &x, units);
    let found = model.gradients(&x, &dy, None)?;
    let off = found.outputs[0].iter().zip(&by_hand).map(|(&a, &b)| (f64::from(a) - b).abs());
    let off = off.fold(0.0, f64::max);
    println!("outputs: {off:.1e} from the loop by hand");
    // some 60 roundings of f32 along 7 steps
    check("the cell is the loop by hand", off < 5e-6)?;

    let value = |weights: &[Vec<f64>]| -> f64 {
        run_by_hand(weights, &x, units).iter().zip(&dy).map(|(y, &dy)| y * f64::from(dy)).sum()
    };
    let mut worst = 0.0f64;
    for (which, gradient) in found.weights.iter().enumerate() {
        for (i, &got) in gradient.iter().enumerate() {
            let moved = |by: f64| {
                let mut weights = exact.clone();
                weights[which][i] += by;
                value(&weights)
            };
            let want = (moved(1e-5) - moved(-1e-5)) / 2e-5;
            worst = worst.max((f64::from(got) - want).abs() / want.abs().max(1.0));
        }
    }
    println!("gradients: {worst:.1e} from finite differences");
    // products of such chains; the differences themselves are good to 1e-9
    check("its gradients are finite differences", worst < 5e-5)
}

/// The equations, one number after the other: outputs `[batch, time, units]`.
fn run_by_hand(weights: &[Vec<f64>], x: &ArrayD<f32>, units: usize) -> Vec<f64> {
    let (batch, time, features) = (x.shape()[0], x.shape()[1], x.shape()[2]);
    let mut outputs = Vec::with_capacity(batch * time * units);
    for b in 0..batch {
        let mut h = vec![0.0; units];
        for t in 0..time {
            let sum = |h: &[f64], col: usize| {
                let from_x = (0..features).map(|i| f64::from(x[[b, t, i]]) * weights[0][i * 2 * units + col]);
                let from_h = h.iter().enumerate().map(|(i, h)| h * weights[1][i * 2 * units + col]);
                from_x.sum::<f64>() + from_h.sum::<f64>() + weights[2][col]
            };
            let f: Vec<f64> = (0..units).map(|j| 1.0 / (1.0 + (-sum(&h, j)).exp())).collect();
            let kept: Vec<f64> = f.iter().zip(&h).map(|(f, h)| f * h).collect();
            let new: Vec<f64> = (0..units).map(|j| sum(&kept, units + j).tanh()).collect();
            h = (0..units).map(|j| (1.0 - f[j]) * h[j] + f[j] * new[j]).collect();
            outputs.extend(&h);
        }
    }
    outputs
}

/// Waves `[samples, 30, 1]` of random phase and height, and whether each is a fast one, `[samples, 1]`.
fn waves(samples: usize, seed: u64) -> (Array3<f32>, Array2<f32>) {
    let mut random = random(seed);
    let mut x = Array3::zeros((samples, 30, 1));
    let mut y = Array2::zeros((samples, 1));
    for sample in 0..samples {
        let fast = sample % 2 == 1;
        let (height, phase) = (0.5 + random(), 6.3 * random());
        let speed = if fast { 0.65 } else { 0.35 };
        for step in 0..30 {
            x[[sample, step, 0]] = height * (phase + speed * step as f32).sin() + 0.2 * (random() - 0.5);
        }
        y[[sample, 0]] = f32::from(fast);
    }
    (x, y)
}
