//! Many to one: a sequence in, one answer out.
//!
//! 30 noisy steps of a wave, `[samples, 30, 1]`; is it a slow or a fast one, `[samples, 1]`? `return_sequences(false)`,
//! the default, passes on the last step's output alone. Phase and height are random, so no single step gives the answer.
#![allow(clippy::print_stdout, reason = "an example shows its result")]

mod common;

use common::{Outcome, check, random};
use tidegate::layer::{Dense, Gru};
use tidegate::ndarray::{Array2, Array3};
use tidegate::{Activation, Adam, Device, FitOptions, Input, Loss, Metric, Sequential};

fn main() -> std::process::ExitCode {
    common::run(example)
}

fn example(device: &Device) -> Outcome {
    let (x, y) = waves(600, 1);
    let (unseen_x, unseen_y) = waves(200, 2);

    let mut model = Sequential::new(Input::sequence(30, 1))
        .layer(Gru::new(16))
        .layer(Dense::new(1).activation(Activation::Sigmoid))
        .build(device)?;
    println!("{}", model.summary());
    let loss = Loss::binary_crossentropy();
    model.compile(Adam::new().learning_rate(0.01), loss, &[Metric::Accuracy])?;
    model.fit(&x, &y, FitOptions::new().epochs(20))?;

    let scores = model.evaluate(&unseen_x, &unseen_y)?;
    let accuracy = scores.get("accuracy").unwrap_or(f64::NAN);
    println!("200 unseen waves: loss {:.4}, accuracy {accuracy:.3}", scores.loss());
    check("at least 95 % of unseen waves are told right", accuracy >= 0.95)
}

/// Waves `[samples, 30, 1]` and whether each is a fast one, `[samples, 1]`.
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
