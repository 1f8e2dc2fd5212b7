//! Cells of plain operations, one's own among them: against a loop in f64, its finite differences, and themselves on other
//! devices, in chunks and with masks.

mod common;
mod devices;

use common::cell_models::{close, noise, sequence, with_weights};
use common::own_cells::{Everything, Minimal, minimal_by_hand};
use devices::on_each;
use ndarray::{Array, Array2, ArrayD, Axis, concatenate, s};
use rnn_model::cell::Cells;
use rnn_model::layer::{
    Dense, GruCell, Layer, LayerNormGruCell, LayerNormLstmCell, LstmCell, Masking, ProjectedLstmCell, Rnn,
    SimpleRnnCell, Softmax, StackedCells, Zoneout,
};
use rnn_model::{Activation, Adam, Device, FitOptions, Input, LayerState, Loss, Model, Sequential};

/// Every kind of cell that is made of plain operations, as a layer, and how many values its output has.
fn unfused() -> Vec<(&'static str, Rnn)> {
    let stack = StackedCells::new().cell(LstmCell::new(4)).cell(Minimal::new(3)).cell(GruCell::new(5));
    let deep = StackedCells::new().cell(Minimal::new(4)).cell(Minimal::new(3));
    vec![
        ("minimal", Rnn::new(Minimal::new(4))),
        ("everything", Rnn::new(Everything::new(4))),
        ("silu LSTM", Rnn::new(LstmCell::new(4).activation(Activation::Silu))),
        ("softmax GRU", Rnn::new(GruCell::new(4).recurrent_activation(Softmax))),
        ("gelu GRU, reset before", Rnn::new(GruCell::new(4).activation(Activation::Gelu).reset_after(false))),
        ("layer-normalised LSTM", Rnn::new(LayerNormLstmCell::new(4))),
        ("layer-normalised GRU", Rnn::new(LayerNormGruCell::new(4))),
        ("projected LSTM", Rnn::new(ProjectedLstmCell::new(5, 3))),
        ("zoneout LSTM", Rnn::new(Zoneout::new(LstmCell::new(4), [0.3, 0.6]))),
        ("zoneout of a minimal unit", Rnn::new(Zoneout::new(Minimal::new(4), [0.5]))),
        ("a stack", Rnn::new(stack)),
        ("zoneout of a stack", Rnn::new(Zoneout::new(deep, [0.2, 0.4]))),
    ]
}

#[test]
fn gradients_are_finite_differences() {
    // In f64, results rounded to f32 (6e-8): steps of 0.015 in a formula of fourth order make that some 5e-5 of a difference
    // of sums of 24 values, and what the formula leaves out, 0.015^4 times a fifth derivative, much less.
    const STEP: f32 = 0.015;
    let device = Device::reference();
    for (what, layer) in unfused() {
        let mut model = with_weights(sequence(layer.return_sequences(true), &device), 2);
        let (x, out) = (noise(3, &[2, 3, 3]), model.output_shape()[1].unwrap());
        let dy = noise(4, &[2, 3, out]);
        let initial = model.predict_with_states(&x, None).unwrap().1;
        let initial: Vec<LayerState> = initial
            .into_iter()
            .map(|s| LayerState { states: s.states.iter().map(|a| noise(7, a.shape())).collect(), ..s })
            .collect();
        let found = model.gradients(&x, &dy, Some(&initial)).unwrap();
        // Training mode, in which random numbers are drawn: the same ones each time.
        let value = |model: &mut Model, x: &ArrayD<f32>, initial: &[LayerState]| -> f64 {
            let y = model.gradients(x, &dy, Some(initial)).unwrap().outputs.swap_remove(0);
            y.iter().zip(&dy).map(|(&y, &dy)| f64::from(y) * f64::from(dy)).sum()
        };
        let slope = |mut at: Box<dyn FnMut(f32) -> f64 + '_>| -> f64 {
            let d1 = at(STEP) - at(-STEP);
            let d2 = at(2.0 * STEP) - at(-2.0 * STEP);
            (8.0 * d1 - d2) / (12.0 * f64::from(STEP))
        };
        let check = |place: String, got: f32, want: f64| {
            let off = (f64::from(got) - want).abs();
            assert!(
                off <= 3e-4 * want.abs().max(1.0),
                "{what}: {place} is {got}, the difference says {want}"
            );
        };
        let weights = model.get_weights().unwrap();
        for (w, gradient) in found.weights.iter().enumerate() {
            // Every third value; they are alike.
            for (i, &got) in gradient.iter().enumerate().step_by(3) {
                let want = slope(Box::new(|by| {
                    let mut moved = weights.clone();
                    moved[w].as_slice_mut().unwrap()[i] += by;
                    model.set_weights(&moved).unwrap();
                    value(&mut model, &x, &initial)
                }));
                check(format!("weight {w} {i}"), got, want);
            }
        }
        model.set_weights(&weights).unwrap();
        for (i, &got) in found.inputs[0].iter().enumerate().step_by(2) {
            let want = slope(Box::new(|by| {
                let mut moved = x.clone();
                moved.as_slice_mut().unwrap()[i] += by;
                value(&mut model, &moved, &initial)
            }));
            check(format!("input {i}"), got, want);
        }
        for (p, part) in found.states.iter().enumerate() {
            for (s, gradient) in part.states.iter().enumerate() {
                for (i, &got) in gradient.iter().enumerate() {
                    let want = slope(Box::new(|by| {
                        let mut moved = initial.clone();
                        moved[p].states[s].as_slice_mut().unwrap()[i] += by;
                        value(&mut model, &x, &moved)
                    }));
                    check(format!("state {p} {s} {i}"), got, want);
                }
            }
        }
    }
}

#[test]
fn devices_agree() {
    for (what, layer) in unfused() {
        let layer = layer.return_sequences(true).return_state(true);
        let mut oracle = with_weights(sequence(layer.clone(), &Device::reference()), 2);
        let x = noise(3, &[3, 6, 3]);
        let dy = noise(4, &[3, 6, oracle.output_shape()[1].unwrap()]);
        let want = oracle.gradients(&x, &dy, None).unwrap();
        let (y, last) = oracle.predict_with_states(&x, None).unwrap();
        on_each(|device| {
            let mut model = with_weights(sequence(layer.clone(), device), 2);
            let got = model.gradients(&x, &dy, None).unwrap();
            // Chains of 6 steps of some ten f32 roundings; gradients are products of such.
            close(what, &got.outputs[0], &want.outputs[0], 1e-5);
            for (got, want) in
                got.weights.iter().chain(&got.inputs).zip(want.weights.iter().chain(&want.inputs))
            {
                close(what, got, want, 1e-4);
            }
            let (got, states) = model.predict_with_states(&x, None).unwrap();
            close(what, &got, &y, 1e-5);
            for (got, want) in states.iter().zip(&last) {
                assert_eq!(got.layer, want.layer);
                got.states.iter().zip(&want.states).for_each(|(got, want)| close(what, got, want, 1e-5));
            }
        });
    }
}

#[test]
fn chunks_are_the_whole() {
    on_each(|device| {
        for (what, layer) in unfused() {
            let layer = layer.return_sequences(true);
            let mut whole = with_weights(sequence(layer.clone(), device), 2);
            let mut chunks = with_weights(sequence(layer.stateful(true), device), 2);
            let x = noise(3, &[2, 7, 3]);
            let want = whole.predict(&x).unwrap();
            let parts = [(0, 2), (2, 3), (3, 7)].map(|(from, to)| {
                chunks.predict(&x.slice(s![.., from..to, ..]).to_owned().into_dyn()).unwrap()
            });
            let got = concatenate(Axis(1), &parts.each_ref().map(|p| p.view())).unwrap();
            close(what, &got, &want, 1e-6);
        }
    });
}

/// Masked steps are as if they were not there: outputs repeat (or are 0), states and gradients are those of the other steps
/// alone.
#[test]
fn masked_steps_are_not_there() {
    let there = [true, false, true, true, false, false, true, false];
    let shown: Vec<usize> = there
        .iter()
        .scan(0, |n, &t| {
            *n += usize::from(t);
            Some(*n)
        })
        .collect();
    on_each(|device| {
        for (what, layer) in unfused() {
            if what.contains("zoneout") || what == "everything" {
                continue; // another step draws other numbers
            }
            for zero in [false, true] {
                let layer =
                    layer.clone().return_sequences(true).return_state(true).zero_output_for_mask(zero);
                let mut masked = Sequential::new(Input::sequence(None, 3))
                    .layer(Masking::new(0.0))
                    .layer(Layer::from(layer.clone()))
                    .build(device)
                    .unwrap();
                masked = with_weights(masked, 2);
                let mut alone = with_weights(sequence(layer, device), 2);
                let x = noise(3, &[2, 4, 3]);
                let mut padded = ArrayD::zeros(vec![2, 8, 3]);
                for (t, &n) in shown.iter().enumerate().filter(|(t, _)| there[*t]) {
                    padded.index_axis_mut(Axis(1), t).assign(&x.index_axis(Axis(1), n - 1));
                }
                let (got, states) = masked.predict_with_states(&padded, None).unwrap();
                let (want, last) = alone.predict_with_states(&x, None).unwrap();
                for (t, &n) in shown.iter().enumerate() {
                    let got = got.index_axis(Axis(1), t).to_owned();
                    let want = match there[t] || !zero {
                        true => want.index_axis(Axis(1), n - 1).to_owned(),
                        false => ArrayD::zeros(got.shape()),
                    };
                    // Products of another number of rows may add in another order.
                    close(&format!("{what} step {t}"), &got, &want, 1e-6);
                }
                for (got, want) in
                    states.iter().flat_map(|s| &s.states).zip(last.iter().flat_map(|s| &s.states))
                {
                    close(what, got, want, 1e-6);
                }
                // The gradient of a step counts once for each time that its output is shown.
                let dy = noise(4, got.shape());
                let mut sums = ArrayD::<f32>::zeros(want.shape());
                for (t, &n) in shown.iter().enumerate().filter(|(t, _)| there[*t] || !zero) {
                    let mut sum = sums.index_axis_mut(Axis(1), n - 1);
                    sum += &dy.index_axis(Axis(1), t);
                }
                let got = masked.gradients(&padded, &dy, None).unwrap();
                let want = alone.gradients(&x, &sums, None).unwrap();
                for (got, want) in got.weights.iter().zip(&want.weights) {
                    close(what, got, want, 2e-5);
                }
                for (t, &n) in shown.iter().enumerate() {
                    let got = got.inputs[0].index_axis(Axis(1), t).to_owned();
                    let want = match there[t] {
                        true => want.inputs[0].index_axis(Axis(1), n - 1).to_owned(),
                        false => ArrayD::zeros(got.shape()),
                    };
                    close(what, &got, &want, 2e-5);
                }
            }
        }
    });
}

#[test]
fn a_minimal_gated_unit_is_the_loop_by_hand() {
    let x = noise(3, &[2, 6, 3]);
    let h0 = noise(8, &[2, 4]);
    on_each(|device| {
        let mut model = with_weights(sequence(Rnn::new(Minimal::new(4)).return_sequences(true), device), 2);
        let weights = model.get_weights().unwrap();
        let start = [LayerState { layer: "rnn".into(), states: vec![h0.clone()] }];
        let (got, last) = model.predict_with_states(&x, Some(&start)).unwrap();
        let (want, h) = minimal_by_hand(&weights, &x, &h0);
        // Some 60 roundings of f32
        close("outputs", &got, &want, 5e-6);
        close("state", &last[0].states[0], &h, 5e-6);
    });
}

#[test]
fn zoneout_keeps_values_in_training_and_expects_them_otherwise() {
    on_each(|device| {
        let layer = |rate: f32| Rnn::new(Zoneout::new(SimpleRnnCell::new(64), [rate])).return_sequences(true);
        let x = noise(3, &[8, 20, 3]);
        let dy = ArrayD::zeros(vec![8, 20, 64]);
        let mut model = sequence(layer(0.25), device);
        let y = model.gradients(&x, &dy, None).unwrap().outputs.swap_remove(0);
        let mut kept = 0;
        for t in 1..20 {
            let (before, now) = (y.index_axis(Axis(1), t - 1), y.index_axis(Axis(1), t));
            kept += before.iter().zip(&now).filter(|(a, b)| a == b).count();
        }
        // 9728 draws of probability 0.25: a standard deviation of 43
        assert!((kept as f64 - 2432.0).abs() < 5.0 * 43.0, "{kept}");
        // at inference h' = 0.25 h + 0.75 tanh(x W + h U)
        let weights = model.get_weights().unwrap();
        let (w, u) = (as_matrix(&weights[0]), as_matrix(&weights[1]));
        let got = model.predict(&x).unwrap();
        let mut h = Array2::<f32>::zeros((8, 64));
        for t in 0..20 {
            let x_t: Array2<f32> = x.index_axis(Axis(1), t).to_owned().into_dimensionality().unwrap();
            let new = (x_t.dot(&w) + h.dot(&u)).mapv(f32::tanh);
            h = h * 0.25 + new * 0.75;
            close("inference", &got.index_axis(Axis(1), t).to_owned(), &h.clone().into_dyn(), 1e-5);
        }
        // The whole state is kept, and no gradient comes to the weights.
        let mut still = sequence(layer(1.0), device);
        let found = still.gradients(&x, &noise(4, &[8, 20, 64]), None).unwrap();
        assert!(found.outputs[0].iter().chain(found.weights.iter().flatten()).all(|&v| v == 0.0));
    });
}

fn as_matrix(a: &ArrayD<f32>) -> Array2<f32> {
    a.clone().into_dimensionality().unwrap()
}

#[test]
fn a_model_with_own_cells_trains_and_comes_back_from_its_file() {
    on_each(|device| {
        let cells = StackedCells::new().cell(Zoneout::new(Minimal::new(6), [0.1])).cell(LstmCell::new(4));
        let mut model = Sequential::new(Input::sequence(None, 1))
            .layer(Rnn::new(cells).return_sequences(true))
            .layer(Rnn::new(LayerNormGruCell::new(4)))
            .layer(Dense::new(1))
            .seed(3)
            .build(device)
            .unwrap();
        model.compile(Adam::new().learning_rate(0.02), Loss::MeanSquaredError, &[]).unwrap();
        let x = Array::from_shape_fn((64, 8, 1), |(i, t, _)| ((i + t) as f32 * 0.3).sin());
        let y = Array::from_shape_fn((64, 1), |(i, _)| ((i + 8) as f32 * 0.3).sin());
        let history = model.fit(&x, &y, FitOptions::new().epochs(12).batch_size(16)).unwrap();
        let loss = history.get("loss");
        assert!(loss[11] < 0.5 * loss[0], "{loss:?}");

        let bytes = model.to_bytes(false).unwrap();
        let known = Cells::new().with("MinimalGatedUnit", Minimal::from_config);
        let mut again = Model::from_bytes_with(&bytes, device, &known).unwrap();
        assert_eq!(again.predict(&x).unwrap(), model.predict(&x).unwrap());
        assert_eq!(again.graph(), model.graph());
        // Training goes on as if it had never been written.
        for model in [&mut model, &mut again] {
            model.fit(&x, &y, FitOptions::new().epochs(2).batch_size(16)).unwrap();
        }
        assert_eq!(again.get_weights().unwrap(), model.get_weights().unwrap());

        let error = Model::from_bytes(&bytes, device).unwrap_err().to_string();
        assert!(error.contains("MinimalGatedUnit") && error.contains("load_with"), "{error}");
        let refusing = Cells::new()
            .with::<Minimal>("MinimalGatedUnit", |_| Minimal::from_config(&serde_json::Value::Null));
        let error = Model::from_bytes_with(&bytes, device, &refusing).unwrap_err().to_string();
        assert!(error.contains("units"), "{error}");
    });
}
