//! Encoder and decoder, with and without `RepeatVector`, on sequences of 40 steps of one feature.
//!
//! - With: the encoder reads all 40 steps into one vector of 32 numbers, `RepeatVector` hands that vector to the decoder
//!   at each of 40 steps, and the decoder writes the sequence again. Everything has to pass through the vector: this is an
//!   autoencoder, and its vector a summary of the sequence.
//! - Without: the encoder passes on its output at every step (`return_sequences`). Nothing has to be remembered to write
//!   the sequence again, so it is much easier, but there is no vector that stands for the whole.
#![allow(clippy::print_stdout, reason = "an example shows its result")]

mod common;

use common::{Outcome, check, random};
use tidegate::layer::{Dense, Lstm, RepeatVector, TimeDistributed};
use tidegate::ndarray::{Array3, Ix3};
use tidegate::series::rmse;
use tidegate::{Adam, Device, FitOptions, Input, Loss, Model, Sequential};

const STEPS: usize = 40;

fn main() -> std::process::ExitCode {
    common::run(example)
}

fn example(device: &Device) -> Outcome {
    let (learn, unseen) = (waves(512, 1), waves(64, 2));

    let mut with = Sequential::new(Input::sequence(STEPS, 1))
        .layer(Lstm::new(32))
        .layer(RepeatVector::new(STEPS))
        .layer(Lstm::new(32).return_sequences(true))
        .layer(TimeDistributed::new(Dense::new(1)))
        .build(device)?;
    let mut without = Sequential::new(Input::sequence(STEPS, 1))
        .layer(Lstm::new(32).return_sequences(true))
        .layer(Lstm::new(32).return_sequences(true))
        .layer(TimeDistributed::new(Dense::new(1)))
        .build(device)?;

    let spread = f64::from(unseen.std(0.0));
    let summarised = rewritten(&mut with, &learn, &unseen, 60)?;
    let step_by_step = rewritten(&mut without, &learn, &unseen, 10)?;
    println!("RMSE of 64 unseen sequences written again (they spread by {spread:.3})");
    println!("  with RepeatVector, through 32 numbers  {summarised:.3}");
    println!("  without, step by step                  {step_by_step:.3}");
    check("32 numbers hold the sequence to a quarter of its spread", summarised < 0.25 * spread)?;
    check("step by step it is written again to a tenth", step_by_step < 0.1 * spread)
}

/// Trains the model to give back its input, and measures how well it does on sequences it has not seen.
fn rewritten(model: &mut Model, learn: &Array3<f32>, unseen: &Array3<f32>, epochs: u64) -> Outcome<f64> {
    model.compile(Adam::new().learning_rate(0.01).global_clipnorm(1.0), Loss::MeanSquaredError, &[])?;
    model.fit(learn, learn, FitOptions::new().epochs(epochs))?;
    Ok(rmse(unseen, &model.predict(unseen)?.into_dimensionality::<Ix3>()?)?)
}

/// Waves of random length, height and phase.
fn waves(samples: usize, seed: u64) -> Array3<f32> {
    let mut random = random(seed);
    let mut waves = Array3::zeros((samples, STEPS, 1));
    for sample in 0..samples {
        let (height, speed, phase) = (0.5 + random(), 0.1 + 0.2 * random(), 6.3 * random());
        for step in 0..STEPS {
            waves[[sample, step, 0]] = height * (phase + speed * step as f32).sin();
        }
    }
    waves
}
