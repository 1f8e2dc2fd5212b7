//! One to many: a single value in, a sequence out; by two ways.
//!
//! How many fish there are (1: as many as the lake can feed) decides how the shoal grows over the next 20 seasons (logistic growth).
//! - By `RepeatVector`: the value, `[samples, 1]`, is given to the recurrent layer at each of 20 steps.
//! - By feeding back: a network learns one season, `[samples, 20, 1]` to the same one step later; `forecast` then gives
//!   it the first value and each output as the next input, on the device, with one read-back at the end.
#![allow(clippy::print_stdout, reason = "an example shows its result")]

mod common;

use common::{Outcome, check};
use tidegate::layer::{Dense, Gru, Lstm, RepeatVector, TimeDistributed};
use tidegate::ndarray::{Array3, ArrayD, Ix3, s};
use tidegate::series::rmse;
use tidegate::{Adam, Device, FitOptions, Input, Loss, Sequential};

const STEPS: usize = 20;

fn main() -> std::process::ExitCode {
    common::run(example)
}

fn example(device: &Device) -> Outcome {
    let learn = shoals(200, 0.1, 0.0);
    // Starts between those that were learnt from.
    let unseen = shoals(50, 0.1, 0.5);
    let truth = unseen.slice(s![.., 1.., ..]);

    for (way, grown) in [
        ("RepeatVector", by_repeat_vector(device, &learn, &unseen)?),
        ("feeding back", by_feeding_back(device, &learn, &unseen)?),
    ] {
        let error = rmse(&truth, &grown.into_dimensionality::<Ix3>()?)?;
        println!("{way}: RMSE over {STEPS} seasons {error:.4} (shoals between 0 and 1)");
        check("the growth is known to 3 %", error < 0.03)?;
    }
    Ok(())
}

fn by_repeat_vector(device: &Device, learn: &Array3<f32>, unseen: &Array3<f32>) -> Outcome<ArrayD<f32>> {
    let mut model = Sequential::new(Input::vector(1))
        .layer(RepeatVector::new(STEPS))
        .layer(Lstm::new(24).return_sequences(true))
        .layer(TimeDistributed::new(Dense::new(1)))
        .build(device)?;
    model.compile(Adam::new().learning_rate(0.01), Loss::MeanSquaredError, &[])?;
    model.fit(&learn.slice(s![.., 0, ..]), &learn.slice(s![.., 1.., ..]), FitOptions::new().epochs(80))?;
    Ok(model.predict(&unseen.slice(s![.., 0, ..]))?)
}

fn by_feeding_back(device: &Device, learn: &Array3<f32>, unseen: &Array3<f32>) -> Outcome<ArrayD<f32>> {
    let mut model = Sequential::new(Input::sequence(None, 1))
        .layer(Gru::new(8).return_sequences(true))
        .layer(TimeDistributed::new(Dense::new(1)))
        .build(device)?;
    model.compile(Adam::new().learning_rate(0.01), Loss::MeanSquaredError, &[])?;
    // An error grows as it is fed back, so the last epochs go slower and closer.
    let (x, y) = (learn.slice(s![.., ..-1, ..]), learn.slice(s![.., 1.., ..]));
    model.fit(&x, &y, FitOptions::new().batch_size(10).epochs(100))?;
    model.set_learning_rate(0.001)?;
    model.fit(&x, &y, FitOptions::new().batch_size(10).epochs(50))?;
    Ok(model.forecast(&unseen.slice(s![.., ..1, ..]), STEPS)?)
}

/// Shoals `[samples, 1 + STEPS, 1]` of logistic growth, `n' = n + n (1 - n) / 4`, from starts spread from `lowest` to 1.
fn shoals(samples: usize, lowest: f32, shift: f32) -> Array3<f32> {
    let mut shoals = Array3::zeros((samples, 1 + STEPS, 1));
    for sample in 0..samples {
        let mut now = lowest + (1.0 - lowest) * (sample as f32 + shift) / samples as f32;
        for step in 0..=STEPS {
            shoals[[sample, step, 0]] = now;
            now += 0.25 * now * (1.0 - now);
        }
    }
    shoals
}
