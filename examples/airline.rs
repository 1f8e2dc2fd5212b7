//! The airline tutorial as it stands: 144 months of passengers, windows of 3 months, a stateful LSTM of 4 units.
//!
//! Settings, quirks included, are those of the well-known Keras tutorial: the scaler sees the whole series, two thirds
//! train, windows stop one sample early, batches of one sample `[samples, time steps = 3, features = 1]`, 100 epochs in
//! order with `reset_states` after each. Keras gets a train RMSE of about 24 and a test RMSE of 54 to 70 from it; where it
//! ends depends on the start, and one start in eight ends above 80 (48 starts of the same network in PyTorch: train 21 to
//! 30, test 46 to 197). "The same as last month" is better than most: this network is a lesson in states, not a
//! forecaster. `tidegate demo` trains one that beats the naive forecasts on the same series.
#![allow(clippy::print_stdout, reason = "an example shows its result")]

mod common;

use common::{Outcome, check};
use std::time::Instant;
use tidegate::layer::{Dense, Lstm};
use tidegate::ndarray::{Array2, Array3, Ix2, s};
use tidegate::series::{MinMaxScaler, create_dataset, naive_last, rmse};
use tidegate::{Adam, Device, FitOptions, Input, Loss, Sequential};

const LOOK_BACK: usize = 3;

fn main() -> std::process::ExitCode {
    common::run(example)
}

fn example(device: &Device) -> Outcome {
    let series = passengers()?;
    let scaler = MinMaxScaler::fit(&series)?;
    let scaled = scaler.transform(&series)?;
    let train_rows = (series.nrows() as f64 * 0.67) as usize;
    let (train_x, train_y) = windows(&scaled.slice(s![..train_rows, ..]).to_owned())?;
    let (test_x, test_y) = windows(&scaled.slice(s![train_rows.., ..]).to_owned())?;

    let mut model = Sequential::new(Input::sequence(LOOK_BACK, 1).batch(1))
        .layer(Lstm::new(4).stateful(true))
        .layer(Dense::new(1))
        .seed(7)
        .build(device)?;
    model.compile(Adam::new(), Loss::MeanSquaredError, &[])?;
    let begun = Instant::now();
    let options = FitOptions::new().epochs(100).batch_size(1).shuffle(false).reset_states_after_epoch(true);
    model.fit(&train_x, &train_y, options)?;
    let seconds = begun.elapsed().as_secs_f64();

    // As in the tutorial: the states run through the training part, then start again at zero for the test part.
    let mut score = |x: &Array3<f32>, y: &Array2<f32>| -> Outcome<f64> {
        model.reset_states()?;
        let predicted = model.predict_with_batch_size(x, 1)?.into_dimensionality::<Ix2>()?;
        Ok(rmse(&scaler.inverse_transform(y)?, &scaler.inverse_transform(&predicted)?)?)
    };
    let (train, test) = (score(&train_x, &train_y)?, score(&test_x, &test_y)?);
    let first = train_rows + LOOK_BACK;
    let months = first..first + test_y.nrows();
    let naive = naive_last(&series, first, 1)?;
    let naive = rmse(&series.slice(s![months.clone(), ..]), &naive.slice(s![..months.len(), ..]))?;

    println!("{} training samples of {LOOK_BACK} steps, 100 epochs in {seconds:.3} s", train_x.dim().0);
    println!("RMSE in thousands of passengers");
    println!("  train                    {train:6.2}   Keras: about 24");
    println!("  test                     {test:6.2}   Keras: 54 to 70");
    println!("  test, as last month      {naive:6.2}");
    check("the train error is near Keras's", (18.0..30.0).contains(&train))?;
    check("the test error is no worse than Keras's", test < 72.0)
}

/// The series, `[144, 1]`.
fn passengers() -> Outcome<Array2<f32>> {
    let lines = include_str!("../data/airline-passengers.csv").lines().skip(1);
    let values: Result<Vec<f32>, _> =
        lines.map(|line| line.rsplit(',').next().unwrap_or(line).trim().parse()).collect();
    let values = values?;
    Ok(Array2::from_shape_vec((values.len(), 1), values)?)
}

/// The tutorial's `create_dataset`, which leaves out the last window.
fn windows(series: &Array2<f32>) -> Outcome<(Array3<f32>, Array2<f32>)> {
    let (x, y) = create_dataset(series, LOOK_BACK)?;
    Ok((x.slice(s![..-1, .., ..]).to_owned(), y.slice(s![..-1, ..]).to_owned()))
}
