//! Many to many: an output at every step.
//!
//! What flows into a leaky tank, `[samples, 40, 1]`, gives its level after each step, `[samples, 40, 1]`.
//! `return_sequences(true)` passes every step's output on, and `TimeDistributed(Dense)` treats each step alike. The
//! number of steps is left open (`None`): the network that learnt from 40 steps is then run over 120.
#![allow(clippy::print_stdout, reason = "an example shows its result")]

mod common;

use common::{Outcome, check, random};
use tidegate::layer::{Dense, Lstm, TimeDistributed};
use tidegate::ndarray::{Array3, Ix3};
use tidegate::series::rmse;
use tidegate::{Adam, Device, FitOptions, Input, Loss, Sequential};

fn main() -> std::process::ExitCode {
    common::run(example)
}

fn example(device: &Device) -> Outcome {
    let (flow, level) = tanks(300, 40, 1);

    let mut model = Sequential::new(Input::sequence(None, 1))
        .layer(Lstm::new(16).return_sequences(true))
        .layer(TimeDistributed::new(Dense::new(1)))
        .build(device)?;
    model.compile(Adam::new().learning_rate(0.01), Loss::MeanSquaredError, &[])?;
    model.fit(&flow, &level, FitOptions::new().epochs(40))?;

    let mut errors = Vec::new();
    for steps in [40, 120] {
        let (flow, level) = tanks(50, steps, 2);
        let predicted = model.predict(&flow)?.into_dimensionality::<Ix3>()?;
        let error = rmse(&level, &predicted)?;
        let spread = f64::from(level.std(0.0));
        println!("50 unseen tanks of {steps:3} steps: RMSE {error:.4}, levels spread by {spread:.4}");
        errors.push(error / spread);
    }
    check("levels are known to a tenth of their spread at 40 steps", errors[0] < 0.1)?;
    check("and at three times as many steps", errors[1] < 0.15)
}

/// Flow into each tank and its level: nine tenths of the level stay from step to step.
fn tanks(samples: usize, steps: usize, seed: u64) -> (Array3<f32>, Array3<f32>) {
    let mut random = random(seed);
    let flow = Array3::from_shape_simple_fn((samples, steps, 1), || random() - 0.5);
    let mut level = Array3::zeros(flow.raw_dim());
    for sample in 0..samples {
        let mut now = 0.0;
        for step in 0..steps {
            now = 0.9 * now + flow[[sample, step, 0]];
            level[[sample, step, 0]] = now;
        }
    }
    (flow, level)
}
