//! A batch is N tanks side by side; time is cut into as many batches as you like.
//!
//! Each tank is a sequence of 5 steps of 2 features (pressure and temperature). A layer that is not stateful takes all
//! 5 steps in one batch `[N, 5, 2]`. A stateful one may get them in two batches, `[N, 2, 2]` and `[N, 3, 2]`: tank i of
//! the second batch goes on from the state of tank i of the first, so the results are equal. `reset_states` says that new
//! sequences begin.
#![allow(clippy::print_stdout, reason = "an example shows its result")]

mod common;

use common::{Outcome, check, difference};
use tidegate::layer::{Dense, Lstm};
use tidegate::ndarray::{Array3, ArrayD, Axis, concatenate, s};
use tidegate::{Device, Input, Model, Sequential};

const TANKS: usize = 6;

fn main() -> std::process::ExitCode {
    common::run(example)
}

fn example(device: &Device) -> Outcome {
    let tanks = Array3::from_shape_fn((TANKS, 5, 2), |(tank, step, feature)| {
        let (tank, step) = (tank as f32, step as f32);
        if feature == 0 { 1.0 + 0.1 * (tank + step).sin() } else { 0.2 + 0.05 * (2.0 * tank - step).cos() }
    });

    // The same seed gives the same weights.
    let mut whole = network(device, false)?;
    let mut stateful = network(device, true)?;
    let at_once = whole.predict_on_batch(&tanks)?;
    println!("{TANKS} tanks, 5 steps at once: {:?} -> {:?}", tanks.shape(), at_once.shape());

    let parts = in_two_batches(&mut stateful, &tanks)?;
    // Without a reset the next batch is taken as steps 6 and on of the same tanks.
    let went_on = in_two_batches(&mut stateful, &tanks)?;
    stateful.reset_states()?;
    let again = in_two_batches(&mut stateful, &tanks)?;

    println!("largest difference to 5 steps at once");
    println!("  2 steps, then 3          {:e}", difference(&at_once, &parts));
    println!("  once more, no reset      {:e}", difference(&at_once, &went_on));
    println!("  reset_states, once more  {:e}", difference(&at_once, &again));
    // Batches of another length may run on another kernel: a few roundings of values below 1.
    check("in two batches equals at once", difference(&at_once, &parts) < 1e-6)?;
    check("without a reset the states are carried on", difference(&at_once, &went_on) > 1e-3)?;
    check("after reset_states it is the same again", difference(&parts, &again) == 0.0)
}

fn network(device: &Device, stateful: bool) -> Outcome<Model> {
    let layers = Sequential::new(Input::sequence(None, 2))
        .layer(Lstm::new(8).return_sequences(true).stateful(stateful))
        .layer(Dense::new(1));
    Ok(layers.seed(3).build(device)?)
}

fn in_two_batches(model: &mut Model, tanks: &Array3<f32>) -> Outcome<ArrayD<f32>> {
    let first = model.predict_on_batch(&tanks.slice(s![.., ..2, ..]))?;
    let second = model.predict_on_batch(&tanks.slice(s![.., 2.., ..]))?;
    Ok(concatenate(Axis(1), &[first.view(), second.view()])?)
}
