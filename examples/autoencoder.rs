//! An autoencoder as a graph of two sub-graphs: trained as one model, used as two.
//!
//! The encoder reads a wave of any length into four numbers, the decoder writes a wave of 24 steps from four numbers. After
//! the training of both together, the encoder alone gives the numbers of a wave, and the decoder alone makes waves of numbers
//! that no wave has given, halfway between two others. All three models share one set of weights on the device.
#![allow(clippy::print_stdout, reason = "an example shows its result")]

mod common;

use common::{Outcome, check, difference, random};
use tidegate::layer::{Dense, Lstm, RepeatVector};
use tidegate::ndarray::{Array3, Ix3, s};
use tidegate::series::rmse;
use tidegate::{Adam, Device, FitOptions, Graph, Input, Loss};

const STEPS: usize = 24;
const CODE: usize = 4;

fn main() -> std::process::ExitCode {
    common::run(example)
}

fn example(device: &Device) -> Outcome {
    let wave = Input::sequence(None, 1).name("wave").symbol();
    let code = wave.layer(Lstm::new(32))?.layer(Dense::new(CODE))?;
    let encoder = Graph::new(&[&wave], &[&code])?;

    let numbers = Input::vector(CODE).name("numbers").symbol();
    let written = numbers.layer(RepeatVector::new(STEPS))?.layer(Lstm::new(32).return_sequences(true))?;
    let decoder = Graph::new(&[&numbers], &[&written.layer(Dense::new(1))?])?;

    let input = Input::sequence(STEPS, 1).symbol();
    let output = decoder.apply(&[&encoder.apply(&[&input])?[0]])?;
    let mut autoencoder = Graph::new(&[&input], &[&output[0]])?.seed(3).build(device)?;
    autoencoder.compile(
        Adam::new().learning_rate(0.005).global_clipnorm(1.0),
        Loss::MeanSquaredError,
        &[],
    )?;
    let (learn, unseen) = (waves(512, 1), waves(64, 2));
    autoencoder.fit(&learn, &learn, FitOptions::new().epochs(80))?;

    let mut encoder = encoder.build_sharing(&autoencoder)?;
    let mut decoder = decoder.build_sharing(&autoencoder)?;
    let whole = autoencoder.predict(&unseen)?;
    let codes = encoder.predict(&unseen)?;
    let parts = decoder.predict(&codes)?;
    let error = rmse(&unseen, &whole.clone().into_dimensionality::<Ix3>()?)?;
    let spread = f64::from(unseen.std(0.0));
    println!("unseen waves are written again with an RMSE of {error:.3}; they spread by {spread:.3}");
    println!("codes of two waves: {:.2} and {:.2}", codes.slice(s![0, ..]), codes.slice(s![1, ..]));
    let between = (&codes.slice(s![0..1, ..]) + &codes.slice(s![1..2, ..])) / 2.0;
    let made = decoder.predict(&between)?;
    println!("a wave between them begins {:.2}", made.slice(s![0, ..6, 0]));
    check("encoder and decoder one after the other are the autoencoder", difference(&whole, &parts) < 1e-5)?;
    check("four numbers hold a wave to a third of its spread", error < spread / 3.0)
}

/// Waves of random height, speed and phase.
fn waves(samples: usize, seed: u64) -> Array3<f32> {
    let mut random = random(seed);
    let mut waves = Array3::zeros((samples, STEPS, 1));
    for sample in 0..samples {
        let (height, speed, phase) = (0.5 + random(), 0.15 + 0.25 * random(), 6.3 * random());
        for step in 0..STEPS {
            waves[[sample, step, 0]] = height * (phase + speed * step as f32).sin();
        }
    }
    waves
}
