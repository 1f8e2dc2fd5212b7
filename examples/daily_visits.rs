//! The same user comes back each day with one more step.
//!
//! A service keeps one state per user on the device. Each day some users come with one new value; the model takes just that
//! step for just those users, from the states of yesterday, and forecasts tomorrow's value. In the evening model and states
//! are written into one file, in the morning they are read again: a restart loses nothing. What comes out is what the whole
//! history would have given, without ever reading it again.
#![allow(clippy::print_stdout, reason = "an example shows its result")]

mod common;

use common::{Outcome, check, difference, random};
use tidegate::layer::{Dense, Lstm};
use tidegate::ndarray::{Array2, Array3, ArrayD, Axis, s};
use tidegate::{Adam, Device, FitOptions, Input, LayerState, Loss, Model, Sequential};

const USERS: usize = 20;
const DAYS: usize = 30;

fn main() -> std::process::ExitCode {
    common::run(example)
}

fn example(device: &Device) -> Outcome {
    let history = habits();
    let mut model = trained(device, &history)?;
    let folder = std::env::temp_dir().join(format!("tidegate-daily-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let file = folder.join("users.safetensors");

    let mut random = random(9);
    let mut visits: Vec<Vec<f32>> = vec![Vec::new(); USERS];
    let mut forecasts: Vec<f32> = vec![0.0; USERS];
    for day in 0..DAYS {
        // Not everybody comes every day: only the states of those who do go on.
        let today: Vec<usize> = (0..USERS).filter(|_| random() < 0.6).collect();
        if today.is_empty() {
            continue;
        }
        let values = Array3::from_shape_fn((today.len(), 1, 1), |(i, _, _)| history[[today[i], day]]);
        for (user, value) in today.iter().zip(&values) {
            visits[*user].push(*value);
        }
        let outputs = step(&mut model, &today, &values)?;
        for (user, output) in today.iter().zip(&outputs) {
            forecasts[*user] = *output;
        }
        if day % 7 == 6 {
            // The service restarts.
            model.save_with_states(&file)?;
            model = Model::load(&file, device)?;
        }
    }
    std::fs::remove_dir_all(&folder)?;

    // The same from the whole history of each user at once.
    let mut worst = 0.0f32;
    for (user, values) in visits.iter().enumerate().filter(|(_, values)| !values.is_empty()) {
        let whole = Array3::from_shape_vec((1, values.len(), 1), values.clone())?;
        let (output, _) = model.predict_with_states(&whole, None)?;
        let kept = ArrayD::from_elem(vec![1, 1], forecasts[user]);
        worst = worst.max(difference(&output, &kept));
    }
    println!(
        "{USERS} users over {DAYS} days, four restarts; largest difference to the whole history: {worst:.1e}"
    );
    check("a state carried day by day equals the whole history read again", worst < 1e-4)
}

/// One step of some users: their states go to the front of the batch, the others wait.
fn step(model: &mut Model, users: &[usize], values: &Array3<f32>) -> Outcome<ArrayD<f32>> {
    let mut all: Vec<LayerState> = model.get_states()?;
    let mut present = all.clone();
    present.iter_mut().flat_map(|l| &mut l.states).for_each(|s| *s = s.select(Axis(0), users));
    model.set_states(&present)?;
    let outputs = model.predict_on_batch(values)?;
    for (layer, now) in all.iter_mut().zip(model.get_states()?) {
        for (state, new) in layer.states.iter_mut().zip(&now.states) {
            for (row, &user) in users.iter().enumerate() {
                state.index_axis_mut(Axis(0), user).assign(&new.index_axis(Axis(0), row));
            }
        }
    }
    model.set_states(&all)?;
    Ok(outputs)
}

/// A model that has learned habits, with a zero state for each user.
fn trained(device: &Device, history: &Array2<f32>) -> Outcome<Model> {
    let mut model = Sequential::new(Input::sequence(None, 1))
        .layer(Lstm::new(16).stateful(true))
        .layer(Dense::new(1))
        .seed(4)
        .build(device)?;
    model.compile(Adam::new().learning_rate(0.01), Loss::MeanSquaredError, &[])?;
    let x = history.slice(s![.., ..DAYS]).to_owned().insert_axis(Axis(2));
    let y = history.slice(s![.., DAYS..DAYS + 1]).to_owned();
    model.fit(&x, &y, FitOptions::new().epochs(30).batch_size(USERS).reset_states_after_epoch(true))?;
    Ok(model)
}

/// What each user does each day, `[USERS, DAYS + 1]`: a habit with a weekly rhythm.
fn habits() -> Array2<f32> {
    let mut random = random(8);
    let mut all = Array2::zeros((USERS, DAYS + 1));
    for mut user in all.rows_mut() {
        let (level, swing, phase) = (random(), 0.5 * random(), 7.0 * random());
        user.iter_mut().enumerate().for_each(|(day, x)| {
            *x = level + swing * ((day as f32 + phase) * std::f32::consts::TAU / 7.0).sin();
        });
    }
    all
}
