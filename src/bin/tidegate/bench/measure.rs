//! Timing, and the check of what was timed against the reference device (the CPU's plain kernels in `f64`).

use std::time::{Duration, Instant};

use ndarray::{ArrayD, Axis, Slice};
use rnn_model::{Adam, Device, FitOptions, Model, Sgd};
use serde::Serialize;

use super::workloads::{AIRLINE_EPOCHS, Output, Workload, airline, airline_model};
use crate::args::Mode;
use crate::failure::Outcome;

/// One line of the result.
#[derive(Clone, Debug, Serialize)]
pub struct Measured {
    pub workload: &'static str,
    pub mode: &'static str,
    pub median_ms: f64,
    pub min_ms: f64,
    pub max_ms: f64,
    /// `None` where the work is not counted in products.
    pub gflops: Option<f64>,
    /// Largest difference from the reference: of the outputs, or of the weights' gradients.
    pub max_abs_error: f64,
    /// Held on the device while it ran.
    pub device_bytes: u64,
    pub runs: usize,
}

/// Milliseconds of `step`, after a warm-up: as many runs as fit in the time, at least 5 (3 where one takes a second).
fn time(seconds: f64, mut step: impl FnMut() -> Outcome) -> Outcome<Vec<f64>> {
    let limit = Duration::from_secs_f64(seconds);
    let begun = Instant::now();
    let mut warm_ups = 0;
    while warm_ups < 2 || (warm_ups < 20 && begun.elapsed() < limit / 4) {
        step()?;
        warm_ups += 1;
    }
    let begun = Instant::now();
    let mut times = Vec::new();
    loop {
        let enough = if times.iter().sum::<f64>() > 3000.0 { 3 } else { 5 };
        if times.len() >= enough && begun.elapsed() >= limit {
            return Ok(times);
        }
        let one = Instant::now();
        step()?;
        times.push(one.elapsed().as_secs_f64() * 1e3);
    }
}

fn measured(name: &'static str, mode: Mode, mut times: Vec<f64>, gflop: Option<f64>) -> Measured {
    times.sort_by(f64::total_cmp);
    let middle = times.len() / 2;
    let median =
        if times.len() % 2 == 1 { times[middle] } else { f64::midpoint(times[middle - 1], times[middle]) };
    Measured {
        workload: name,
        mode: if mode == Mode::Infer { "infer" } else { "train" },
        median_ms: median,
        min_ms: times[0],
        max_ms: times[times.len() - 1],
        gflops: gflop.map(|gflop| gflop / (median / 1e3)),
        max_abs_error: f64::NAN,
        device_bytes: 0,
        runs: times.len(),
    }
}

/// Times a workload, host to host: inputs are uploaded and results read back in every run.
pub fn run(w: &Workload, mode: Mode, device: &Device, seconds: f64) -> Outcome<Measured> {
    let (x, y) = (w.input(w.batch), w.target(w.batch));
    let mut model = w.build(device, mode)?;
    if mode == Mode::Train {
        w.compile(&mut model, Adam::new())?;
    }
    let times = time(seconds, || {
        match mode {
            Mode::Infer => drop(model.predict_on_batch(&x)?),
            Mode::Train => drop(model.train_on_batch(&x, &y)?),
        }
        Ok(())
    })?;
    let mut result = measured(w.name, mode, times, Some(w.gflop(mode)));
    result.device_bytes = device.memory().live;
    drop(model);
    result.max_abs_error = match mode {
        Mode::Infer => inference_error(w, device)?,
        Mode::Train => training_error(w, device)?,
    };
    Ok(result)
}

/// The tutorial's training loop: 100 epochs of 92 steps, batch 1, states reset after each epoch.
pub fn run_airline(device: &Device) -> Outcome<Measured> {
    let (x, y) = airline();
    let mut times = Vec::new();
    let mut bytes = 0;
    for _ in 0..3 {
        let mut model = airline_model(device)?;
        model.compile(Adam::new(), rnn_model::Loss::MeanSquaredError, &[])?;
        // The first epoch warms up; it is not of the hundred.
        model.fit(&x, &y, tutorial(1))?;
        let begun = Instant::now();
        model.fit(&x, &y, tutorial(AIRLINE_EPOCHS))?;
        times.push(begun.elapsed().as_secs_f64() * 1e3);
        bytes = device.memory().live;
    }
    let mut result = measured("airline", Mode::Train, times, None);
    result.device_bytes = bytes;
    let after = |device: &Device| -> Outcome<Vec<ArrayD<f32>>> {
        let mut model = airline_model(device)?;
        model.compile(Adam::new(), rnn_model::Loss::MeanSquaredError, &[])?;
        model.fit(&x, &y, tutorial(1))?;
        Ok(model.get_weights()?)
    };
    result.max_abs_error = difference(&after(device)?, &after(&Device::reference())?);
    Ok(result)
}

fn tutorial<'a>(epochs: u64) -> FitOptions<'a> {
    FitOptions::new().epochs(epochs).batch_size(1).shuffle(false).reset_states_after_epoch(true)
}

/// Samples the reference computes: few enough that its plain loops take less than a second. The device still runs the
/// whole batch, made of copies of them, so that what is checked is what was timed.
fn distinct(w: &Workload) -> usize {
    let per_sample = w.with_batch(1).gflop(Mode::Infer);
    ((0.2 / per_sample) as usize).clamp(1, w.batch)
}

fn inference_error(w: &Workload, device: &Device) -> Outcome<f64> {
    let distinct = distinct(w);
    let small = w.with_batch(distinct);
    let (mut model, mut reference) = pair(w, Mode::Infer, device)?;
    // States that are carried have to agree over several calls.
    let calls = if w.output == Output::State { 4 } else { 1 };
    let mut error = 0.0_f64;
    for _ in 0..calls {
        let y = model.predict_on_batch(&w.input(distinct))?;
        let expected = reference.predict_on_batch(&small.input(distinct))?;
        for first in (0..w.batch).step_by(distinct) {
            let rows = distinct.min(w.batch - first);
            let got = y.slice_axis(Axis(0), Slice::from(first..first + rows)).to_owned();
            let want = expected.slice_axis(Axis(0), Slice::from(..rows)).to_owned();
            error = worse(error, difference(&[got], &[want]));
        }
    }
    Ok(error)
}

/// The gradient of every weight, seen as the step that plain gradient descent with rate 1 makes. The mean over a batch of
/// copies is the mean over the distinct samples where these divide the batch.
fn training_error(w: &Workload, device: &Device) -> Outcome<f64> {
    let distinct = (1..=distinct(w)).rev().find(|count| w.batch.is_multiple_of(*count)).unwrap_or(1);
    let small = w.with_batch(distinct);
    let (mut model, mut reference) = pair(w, Mode::Train, device)?;
    for model in [&mut model, &mut reference] {
        w.compile(model, Sgd::new().learning_rate(1.0))?;
    }
    model.train_on_batch(&w.input(distinct), &w.target(distinct))?;
    reference.train_on_batch(&small.input(distinct), &small.target(distinct))?;
    Ok(difference(&model.get_weights()?, &reference.get_weights()?))
}

/// The workload's model on the device and on the reference device, with the same weights.
fn pair(w: &Workload, mode: Mode, device: &Device) -> Outcome<(Model, Model)> {
    let model = w.build(device, mode)?;
    let reference = model.graph().build_with_weights(&Device::reference(), &model.get_weights()?)?;
    Ok((model, reference))
}

/// NaN where either side has one, or shapes differ.
fn difference(got: &[ArrayD<f32>], expected: &[ArrayD<f32>]) -> f64 {
    if got.iter().map(ArrayD::shape).ne(expected.iter().map(ArrayD::shape)) {
        return f64::NAN;
    }
    let pairs = got.iter().zip(expected).flat_map(|(got, expected)| got.iter().zip(expected));
    pairs.fold(0.0, |worst, (got, expected)| worse(worst, (f64::from(*got) - f64::from(*expected)).abs()))
}

/// The greater one, and NaN where there is one (`f64::max` would hide it).
fn worse(a: f64, b: f64) -> f64 {
    if a.is_nan() || b.is_nan() { f64::NAN } else { a.max(b) }
}
