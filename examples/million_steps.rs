//! A sequence of a million steps through an LSTM in the memory of a few thousand: `predict` cuts the time axis into chunks by
//! itself and hands the states from one to the next. The program shows how much memory that takes, and that the result is that
//! of chunks handed over one by one.
//!
//! cargo run --release --example million_steps -- --device cpu

#![allow(clippy::print_stdout, reason = "an example shows its result")]

mod common;

use common::{Outcome, check, difference, run};
use std::process::ExitCode;
use std::time::Instant;
use tidegate::layer::{Dense, Lstm};
use tidegate::ndarray::{Array3, Axis, s};
use tidegate::{Arrays, Device, Input, Sequential};

const STEPS: usize = 1_000_000;

/// Device memory for the weights and a prediction.
const BUDGET: u64 = 16 << 20;

fn main() -> ExitCode {
    run(million_steps)
}

fn million_steps(device: &Device) -> Outcome {
    let layers = Sequential::new(Input::sequence(None, 1)).layer(Lstm::new(32).return_sequences(true));
    let mut model = layers.layer(Dense::new(1)).seed(1).build(device)?;
    // Two waves, one with a period of thousands of steps.
    let x = Array3::from_shape_fn((1, STEPS, 1), |(_, t, _)| {
        let t = t as f32;
        (0.37 * (t % 6283.0)).sin() + (0.001 * (t % 62_831.0)).cos()
    });

    model.set_memory_budget(Some(BUDGET));
    let begun = Instant::now();
    let y = model.predict(&x)?;
    let seconds = begun.elapsed().as_secs_f64();
    let peak = device.memory().peak;
    let mib = |bytes: u64| bytes as f64 / (1 << 20) as f64;
    println!(
        "{STEPS} steps in {seconds:.2} s, {:.2} us each; at most {:.1} MiB on the device, where all steps at once would take {:.0}",
        1e6 * seconds / STEPS as f64,
        mib(peak),
        mib(STEPS as u64 * (6 * 32 + 2) * 4)
    );
    // A program for full chunks and one for the last, shorter one.
    check("memory stays below twice the budget", peak < 2 * BUDGET)?;

    // By hand, as a stream would come in: the first 20,000 steps in chunks of 1,000.
    let chunk = |n: usize| x.slice(s![.., 1000 * n..1000 * (n + 1), ..]).to_owned();
    let chunks: Vec<Array3<f32>> = (0..20).map(chunk).collect();
    let mut worst = 0.0f32;
    let mut at = 0;
    model.predict_chunks(chunks.iter().map(|chunk| Ok(Arrays::from(chunk))), |outputs| {
        let whole = y.slice_axis(Axis(1), (at..at + 1000).into()).to_owned();
        worst = worst.max(difference(&outputs[0], &whole));
        at += 1000;
        Ok(())
    })?;
    println!("largest difference to chunks handed over one by one: {worst:e}");
    check("both ways give the same outputs", worst < 1e-5)
}
