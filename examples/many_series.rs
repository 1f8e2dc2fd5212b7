//! 400 series that share a network, one step at a time.
//!
//! A batch is one step of all 400 series, `[400, 1, 1]`; batch t + 1 goes on where batch t ended, because the layer is
//! stateful, and sample i is series i in each. The data set lists the steps in order: 400 samples of step 0, 400 of step
//! 1, and so on, not shuffled, states reset after each epoch. Later the series arrive live: one call per step, states
//! carried on the device, one read-back of 400 forecasts.
//!
//! Each series is a wave of its own speed, height and phase. One value says little about the next one, so what the network
//! knows it must have kept: the same network that forgets after each step shows the difference.
#![allow(clippy::print_stdout, reason = "an example shows its result")]

mod common;

use common::{Outcome, check, random};
use std::time::Instant;
use tidegate::layer::{Dense, Lstm};
use tidegate::ndarray::{Array2, Array3, Axis, Ix2, s};
use tidegate::series::rmse;
use tidegate::{Adam, Device, FitOptions, Input, Loss, Model, Sequential};

const SERIES: usize = 400;
const LEARN: usize = 150;
const LIVE: usize = 100;

fn main() -> std::process::ExitCode {
    common::run(example)
}

fn example(device: &Device) -> Outcome {
    let series = waves();
    let mut remembers = network(device, &series, true)?;
    let mut forgets = network(device, &series, false)?;

    let (error, seconds) = live(&mut remembers, &series)?;
    let (memoryless, _) = live(&mut forgets, &series)?;
    let (truth, before) = (series.slice(s![.., LEARN + 1..]), series.slice(s![.., LEARN..LEARN + LIVE]));
    let last = rmse(&truth, &before)?;
    println!("{SERIES} series, {LIVE} live steps, {:.0} us per step of all", seconds / LIVE as f64 * 1e6);
    println!("RMSE of the next value");
    println!("  states carried    {error:.4}");
    println!("  states forgotten  {memoryless:.4}");
    println!("  last value        {last:.4}");
    check("the carried states halve the error at least", error < 0.5 * memoryless.min(last))
}

/// A network trained on the first steps of all series, one step at a time.
fn network(device: &Device, series: &Array2<f32>, stateful: bool) -> Outcome<Model> {
    let mut model = Sequential::new(Input::sequence(None, 1).batch(SERIES))
        .layer(Lstm::new(24).stateful(stateful))
        .layer(Dense::new(1))
        .build(device)?;
    model.compile(Adam::new().learning_rate(0.01), Loss::MeanSquaredError, &[])?;
    // Step by step, all series of a step together.
    let steps = |from, to| {
        Array3::from_shape_fn(((to - from) * SERIES, 1, 1), |(i, _, _)| {
            series[[i % SERIES, from + i / SERIES]]
        })
    };
    let (x, y) = (steps(0, LEARN), steps(1, LEARN + 1).remove_axis(Axis(1)));
    model.fit(&x, &y, FitOptions::new().epochs(20).shuffle(false).reset_states_after_epoch(true))?;
    Ok(model)
}

/// RMSE of the forecasts of the live steps, and the seconds they took.
fn live(model: &mut Model, series: &Array2<f32>) -> Outcome<(f64, f64)> {
    // The steps known so far bring the states up to date; here all in one call, as the number of steps may change.
    model.reset_states()?;
    model.predict_on_batch(&series.slice(s![.., ..LEARN]).insert_axis(Axis(2)))?;
    let mut forecasts = Array2::zeros((SERIES, LIVE));
    let begun = Instant::now();
    for step in 0..LIVE {
        let now = series.slice(s![.., LEARN + step]).insert_axis(Axis(1)).insert_axis(Axis(2)).to_owned();
        let next = model.predict_on_batch(&now)?.into_dimensionality::<Ix2>()?;
        forecasts.column_mut(step).assign(&next.column(0));
    }
    let seconds = begun.elapsed().as_secs_f64();
    Ok((rmse(&series.slice(s![.., LEARN + 1..]), &forecasts)?, seconds))
}

/// `[400, 251]`
fn waves() -> Array2<f32> {
    let mut random = random(3);
    let mut series = Array2::zeros((SERIES, LEARN + LIVE + 1));
    for mut one in series.rows_mut() {
        let (height, speed, phase) = (0.5 + 0.5 * random(), 0.3 + 0.5 * random(), 6.3 * random());
        one.iter_mut().enumerate().for_each(|(t, x)| *x = height * (phase + speed * t as f32).sin());
    }
    series
}
