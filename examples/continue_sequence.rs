//! A known sequence, continued by hand: a stateful model reads what is known, then each prediction is handed in as the next
//! step in a loop of the user's own.
//!
//! `Model::forecast` does the same in one call on the device; the loop is for when something must happen between the steps:
//! here every forecast is held within what is possible.
#![allow(clippy::print_stdout, reason = "an example shows its result")]

mod common;

use common::{Outcome, check};
use tidegate::layer::{Dense, Gru};
use tidegate::ndarray::{Array1, Array3, ArrayView1, Axis, s};
use tidegate::series::rmse;
use tidegate::{Adam, Device, FitOptions, Input, Loss, Sequential};

const KNOWN: usize = 200;
const AHEAD: usize = 40;

fn main() -> std::process::ExitCode {
    common::run(example)
}

fn example(device: &Device) -> Outcome {
    let series = tides(KNOWN + AHEAD);
    let known = series.slice(s![..KNOWN]);
    let mut model = Sequential::new(Input::sequence(None, 1))
        .layer(Gru::new(24).stateful(true).return_sequences(true))
        .layer(Dense::new(1))
        .seed(5)
        .build(device)?;
    model.compile(Adam::new().learning_rate(0.01), Loss::MeanSquaredError, &[])?;
    let sequence = |part: ArrayView1<'_, f32>| -> Array3<f32> {
        part.to_owned().insert_axis(Axis(0)).insert_axis(Axis(2))
    };
    let (x, y) = (sequence(known.slice(s![..KNOWN - 1])), sequence(known.slice(s![1..])));
    model.fit(&x, &y, FitOptions::new().epochs(300).batch_size(1).reset_states_after_epoch(true))?;

    // The known part brings the state up to date; its last output is the first forecast.
    model.reset_states()?;
    let outputs = model.predict_on_batch(&sequence(known))?;
    let mut next = outputs[[0, KNOWN - 1, 0]];
    let (low, high) = series.iter().fold((f32::MAX, f32::MIN), |(low, high), &x| (low.min(x), high.max(x)));
    let mut forecast = Array1::zeros(AHEAD);
    for step in &mut forecast {
        *step = next.clamp(low, high);
        let output = model.predict_on_batch(&Array3::from_elem((1, 1, 1), *step))?;
        next = output[[0, 0, 0]];
    }
    let truth = series.slice(s![KNOWN..]);
    let error = rmse(&truth, &forecast)?;
    let flat = rmse(&truth, &Array1::from_elem(AHEAD, known[KNOWN - 1]))?;
    println!("RMSE over {AHEAD} steps ahead: {error:.3}; of the last value held: {flat:.3}");
    check("the continuation is better than holding the last value", error < 0.5 * flat)
}

/// A tide of the moon and the sun: two waves of nearly the same length.
fn tides(steps: usize) -> Array1<f32> {
    Array1::from_shape_fn(steps, |t| (t as f32 * 0.506).sin() * 0.7 + (t as f32 * 0.53).sin() * 0.3)
}
