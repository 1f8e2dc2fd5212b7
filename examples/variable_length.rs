//! Series of different length in one batch: padded, masked, classified.
//!
//! Each series is a wave or a saw-tooth of 5 to 40 steps. `PadSequences` brings all to one length, `Masking` tells the layers
//! which steps are padding. The answer for a padded series is that for the series alone, and does not depend on how long
//! the padding is.
#![allow(clippy::print_stdout, reason = "an example shows its result")]

mod common;

use common::{Outcome, check, difference, random};
use tidegate::data::{PadSequences, Side};
use tidegate::layer::{Bidirectional, Dense, Gru, Masking};
use tidegate::ndarray::{Array2, ArrayD, Axis};
use tidegate::{Activation, Adam, Device, FitOptions, Input, Loss, Metric, Sequential};

const LONGEST: usize = 40;
/// Stands where there is no step; no series has it.
const NOTHING: f32 = -10.0;

fn main() -> std::process::ExitCode {
    common::run(example)
}

fn example(device: &Device) -> Outcome {
    let (series, kinds) = series(512, 1);
    let (unseen, truth) = self::series(128, 2);
    let mut model = Sequential::new(Input::sequence(None, 1))
        .layer(Masking::new(NOTHING))
        .layer(Bidirectional::new(Gru::new(16)))
        .layer(Dense::new(1).activation(Activation::Sigmoid))
        .seed(2)
        .build(device)?;
    let loss = Loss::binary_crossentropy();
    model.compile(Adam::new().learning_rate(0.01), loss, &[Metric::BinaryAccuracy])?;
    model.fit(&padded(&series, LONGEST)?, &kinds, FitOptions::new().epochs(15))?;

    let scores = model.evaluate(&padded(&unseen, LONGEST)?, &truth)?;
    let accuracy = scores.get("binary_accuracy").unwrap_or(f64::NAN);
    println!("{:.1} % of 128 unseen series of 5 to {LONGEST} steps are told apart", 100.0 * accuracy);
    let together = model.predict(&padded(&unseen, LONGEST)?)?;
    let further = model.predict(&padded(&unseen, LONGEST + 25)?)?;
    let alone = model.predict(&padded(&unseen[..1], unseen[0].len())?)?;
    let first = together.select(Axis(0), &[0]);
    check("nine of ten are told apart", accuracy > 0.9)?;
    check("more padding changes nothing", difference(&together, &further) < 1e-5)?;
    check("a padded series has the answer of the series alone", difference(&first, &alone) < 1e-5)
}

fn padded(series: &[Vec<f32>], length: usize) -> Outcome<ArrayD<f32>> {
    let pad = PadSequences::new().maxlen(length).padding(Side::Post).value(NOTHING);
    Ok(pad.apply(series)?.insert_axis(Axis(2)).into_dyn())
}

/// Waves (0) and saw-teeth (1) of random length, height, speed and phase, with noise.
fn series(samples: usize, seed: u64) -> (Vec<Vec<f32>>, Array2<f32>) {
    let mut random = random(seed);
    let mut kinds = Array2::zeros((samples, 1));
    let mut all = Vec::new();
    for sample in 0..samples {
        let steps = 5 + (random() * (LONGEST - 4) as f32) as usize;
        let (height, speed, phase) = (0.5 + random(), 0.15 + 0.1 * random(), random());
        let saw = random() < 0.5;
        kinds[[sample, 0]] = if saw { 1.0 } else { 0.0 };
        let value = |t: usize, noise: f32| {
            let turn = phase + speed * t as f32;
            let shape = if saw { 2.0 * turn.fract() - 1.0 } else { (turn * std::f32::consts::TAU).sin() };
            height * shape + 0.05 * (noise - 0.5)
        };
        all.push((0..steps).map(|t| value(t, random())).collect());
    }
    (all, kinds)
}
