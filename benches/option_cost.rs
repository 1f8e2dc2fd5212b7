//! What does an option cost? Each case runs in turn with the plain layer, on the CPU and on a GPU adapter, if there is one; the ratio of the
//! medians is shown. No option may leave the fast path: 1.3 is the mark.
//!
//! `cargo bench --bench option_cost`, with `-- cpu`, or with part of an adapter's name, for one device.
#![allow(clippy::print_stdout, reason = "a program for people at a shell")]

use std::time::Instant;
use tidegate::layer::{Gru, Layer, Lstm, Masking, SimpleRnn};
use tidegate::ndarray::{Array3, ArrayD};
use tidegate::{Activation, Adam, Device, Graph, Input, Loss, Model, apply};

const ROUNDS: usize = 15;

/// Batch, time, features, units.
type Size = [usize; 4];

/// A layer behind an input, with what stands between them.
struct Case {
    name: &'static str,
    layer: Layer,
    masked: bool,
    initial_states: usize,
}

fn cases(cell: &str, units: usize) -> Vec<Case> {
    let layer = |recurrent_dropout: f32, relu: bool| -> Layer {
        let kind = if relu { Activation::Relu } else { Activation::Tanh };
        match cell {
            "LSTM" => Lstm::new(units)
                .return_sequences(true)
                .activation(kind)
                .recurrent_dropout(recurrent_dropout)
                .into(),
            "GRU" => Gru::new(units)
                .return_sequences(true)
                .activation(kind)
                .recurrent_dropout(recurrent_dropout)
                .into(),
            _ => SimpleRnn::new(units)
                .return_sequences(true)
                .activation(kind)
                .recurrent_dropout(recurrent_dropout)
                .into(),
        }
    };
    let case = |name, layer| Case { name, layer, masked: false, initial_states: 0 };
    let states = if cell == "LSTM" { 2 } else { 1 };
    let mut cases = vec![
        case("plain", layer(0.0, false)),
        Case { masked: true, ..case("masked", layer(0.0, false)) },
        case("relu", layer(0.0, true)),
        case("recurrent dropout", layer(0.2, false)),
        Case { initial_states: states, ..case("initial states", layer(0.0, false)) },
    ];
    if cell == "LSTM" {
        let more = Lstm::new(units).return_sequences(true).peepholes(true).clip(3.0);
        cases.push(case("peepholes and clip", more.into()));
    }
    cases
}

/// The model, and a batch for it.
fn build(case: &Case, [batch, time, features, units]: Size, device: &Device) -> (Model, Vec<ArrayD<f32>>) {
    let x = Input::sequence(time, features).symbol();
    let starts: Vec<_> = (0..case.initial_states).map(|_| Input::vector(units).symbol()).collect();
    let read = if case.masked { x.layer(Masking::new(0.0)).expect("it fits") } else { x.clone() };
    let mut args = vec![&read];
    args.extend(&starts);
    let y = apply(case.layer.clone(), &args).expect("it fits").swap_remove(0);
    let mut inputs = vec![&x];
    inputs.extend(&starts);
    let mut model = Graph::new(&inputs, &[&y]).expect("a graph").build(device).expect("it builds");
    model.compile(Adam::new(), Loss::MeanSquaredError, &[]).expect("settings that work");
    // Every third row is half as long as the others where there is a mask.
    let number = |b: usize, t: usize, f: usize| match case.masked && b.is_multiple_of(3) && t * 2 >= time {
        true => 0.0,
        false => ((b * 7 + t * 3 + f) as f32 * 0.37).sin() + 0.01,
    };
    let array = Array3::from_shape_fn((batch, time, features), |(b, t, f)| number(b, t, f));
    let mut arrays = vec![array.into_dyn()];
    arrays.extend((0..case.initial_states).map(|_| ArrayD::from_elem(vec![batch, units], 0.1)));
    (model, arrays)
}

/// Milliseconds of one call.
fn call(model: &mut Model, x: &[ArrayD<f32>], y: Option<&Array3<f32>>) -> f64 {
    let start = Instant::now();
    match y {
        Some(y) => drop(model.train_on_batch(x, y).expect("a step")),
        None => drop(model.predict_on_batch(x).expect("outputs")),
    }
    start.elapsed().as_secs_f64() * 1e3
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn run(device: &Device, size: Size) {
    let [batch, time, features, units] = size;
    println!("{}: batch {batch}, {time} steps, {features} features, {units} units", device.name());
    println!(
        "{:10} {:20} {:>12} {:>7} {:>12} {:>7}",
        "cell", "option", "predict ms", "ratio", "train ms", "ratio"
    );
    let y = Array3::<f32>::zeros((batch, time, units));
    for cell in ["LSTM", "GRU", "SimpleRNN"] {
        let mut models: Vec<_> =
            cases(cell, units).into_iter().map(|case| (case.name, build(&case, size, device))).collect();
        let mut times = vec![[Vec::new(), Vec::new()]; models.len()];
        for round in 0..ROUNDS + 2 {
            for ((_, (model, x)), times) in models.iter_mut().zip(&mut times) {
                let both = [call(model, x, None), call(model, x, Some(&y))];
                // The first rounds record and pack.
                if round >= 2 {
                    times.iter_mut().zip(both).for_each(|(times, ms)| times.push(ms));
                }
            }
        }
        let medians: Vec<[f64; 2]> = times.into_iter().map(|both| both.map(median)).collect();
        for ((name, _), at) in models.iter().zip(&medians) {
            let [predict, train] = [0, 1].map(|i| at[i] / medians[0][i]);
            println!("{cell:10} {name:20} {:12.3} {predict:7.2} {:12.3} {train:7.2}", at[0], at[1]);
        }
    }
    println!();
}

fn main() {
    // Cargo itself adds `--bench`.
    let wanted = std::env::args().skip(1).find(|arg| !arg.starts_with("--"));
    match wanted.as_deref() {
        Some("cpu") => run(&Device::cpu(), [32, 50, 32, 128]),
        Some(name) => run(&Device::from_name(name).expect("a device of this name"), [16, 20, 16, 64]),
        None => {
            run(&Device::cpu(), [32, 50, 32, 128]);
            match Device::from_name("gpu") {
                Ok(gpu) => run(&gpu, [16, 20, 16, 64]),
                Err(error) => println!("no GPU: {error}"),
            }
        }
    }
}
