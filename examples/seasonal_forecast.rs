//! A forecast of a seasonal series by state: the known part adjusts the states, then each output is the next input.
//!
//! The series has two seasons, of 12 and of 31 steps, and some noise: repeating the last 12 steps is not enough. A
//! network learns "the same, one step later" from pieces of 60 steps, then continues the whole series by 48 steps.
#![allow(clippy::print_stdout, reason = "an example shows its result")]

mod common;

use common::{Outcome, check, random};
use tidegate::layer::{Dense, Lstm};
use tidegate::ndarray::{Array2, Axis, Ix3, concatenate, s};
use tidegate::series::{StandardScaler, Windows, rmse, seasonal_continuation};
use tidegate::{Adam, Device, FitOptions, Input, Loss, Sequential};

const AHEAD: usize = 48;

fn main() -> std::process::ExitCode {
    common::run(example)
}

fn example(device: &Device) -> Outcome {
    let mut random = random(5);
    let series = Array2::from_shape_simple_fn((500, 1), || 0.1 * (random() - 0.5))
        + Array2::from_shape_fn((500, 1), |(t, _)| {
            let wave = |period: f32| (std::f32::consts::TAU * t as f32 / period).sin();
            20.0 + wave(12.0) + 0.7 * wave(31.0)
        });
    let (known, future) =
        (series.slice(s![..-(AHEAD as isize), ..]), series.slice(s![-(AHEAD as isize).., ..]));
    let scaler = StandardScaler::fit(&known)?;
    let scaled = scaler.transform(&known)?;

    // Pieces of 60 steps, and the same one step later.
    let (x, next) = Windows::new(60).stride(2).sequences(&scaled)?;
    let y = concatenate(Axis(1), &[x.slice(s![.., 1.., ..]), next.view()])?;
    let mut model = Sequential::new(Input::sequence(None, 1))
        .layer(Lstm::new(32).return_sequences(true))
        .layer(Dense::new(1))
        .build(device)?;
    model.compile(Adam::new().learning_rate(0.01), Loss::MeanSquaredError, &[])?;
    let history = model.fit(&x, &y, FitOptions::new().epochs(60))?;
    println!("loss {:.4} -> {:.4}", history.get("loss")[0], history.get("loss")[59]);

    let forecast = model.forecast(&scaled.view().insert_axis(Axis(0)), AHEAD)?;
    let forecast = scaler.inverse_transform(&forecast.into_dimensionality::<Ix3>()?)?.remove_axis(Axis(0));
    let error = rmse(&future, &forecast)?;
    let seasonal = rmse(&future, &seasonal_continuation(&known, 12, AHEAD)?)?;
    let last = rmse(&future, &seasonal_continuation(&known, 1, AHEAD)?)?;
    println!("RMSE over {AHEAD} steps ahead");
    println!("  the network      {error:.3}");
    println!("  last 12 again    {seasonal:.3}");
    println!("  last value       {last:.3}");
    check("less than half the error of either naive forecast", error < 0.5 * seasonal.min(last))
}
