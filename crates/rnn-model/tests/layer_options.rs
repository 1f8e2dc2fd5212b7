//! What Keras has no word for: slices, and what ONNX's cells have beyond Keras's.

mod common;
mod devices;

use common::golden::{Case, family};
use common::{Report, Tolerance, gpu};
use devices::on_each;
use ndarray::{Array, ArrayD, Axis, Slice as Part};
use rnn_model::cell::AnyCell;
use rnn_model::layer::{
    CellLayer, Dense, Gru, GruCell, Layer, Lstm, LstmCell, Reshape, Rnn, SimpleRnn, SimpleRnnCell, Slice,
    Softmax, Zoneout,
};
use rnn_model::{Activation, Adam, Device, Input, LayerState, Loss, Model, Parametric, Sequential};
use rnn_model::{Graph, Symbol, apply};
use std::sync::Mutex;

fn numbers(seed: usize, shape: &[usize]) -> ArrayD<f32> {
    let len: usize = shape.iter().product();
    let values = (0..len).map(|i| ((seed * 31 + i) as f32 * 0.7).sin()).collect();
    Array::from_shape_vec(shape, values).expect("as many values")
}

/// Every axis of samples of one, two and three axes, with starts and ends from both sides, beside ndarray's own slices; and
/// the gradient, which is what came at the places that were taken and 0 elsewhere.
#[test]
fn slices_are_those_of_python() {
    let cases =
        [(0, None, 1), (1, Some(3), 1), (-2, None, 1), (0, Some(-1), 1), (-3, Some(-1), 2), (1, None, 2)];
    on_each(|device| {
        for sample in [vec![5], vec![4, 5], vec![4, 3, 5]] {
            let x = numbers(1, &[&[3], &sample[..]].concat());
            for axis in 1..=sample.len() {
                for (start, end, step) in cases {
                    let layer = Slice::new(axis, start, end.map(|e: i64| e)).step(step);
                    let what = format!("{layer:?} of {sample:?}");
                    let open: Vec<Option<usize>> = sample.iter().map(|&n| Some(n)).collect();
                    let mut model =
                        Sequential::new(Input::shape(open)).layer(layer).build(device).expect(&what);
                    let part = Part::new(start as isize, end.map(|e| e as isize), step as isize);
                    let want = x.slice_axis(Axis(axis), part).to_owned();
                    assert_eq!(model.predict(&x).expect(&what), want, "{what}");
                    let dy = numbers(2, want.shape());
                    let mut dx = ArrayD::zeros(x.raw_dim());
                    dx.slice_axis_mut(Axis(axis), part).assign(&dy);
                    let got = model.gradients(&x, &dy, None).expect(&what);
                    assert_eq!(got.inputs[0], dx, "{what}");
                }
            }
        }
    });
}

#[test]
fn the_last_step_of_sequences_of_any_length_is_the_last_output() {
    let device = Device::cpu();
    let last = |layer: Lstm, slice: bool| -> Model {
        let mut model = Sequential::new(Input::sequence(None, 2)).layer(layer).seed(3);
        if slice {
            model = model.layer(Slice::new(1, -1, None)).layer(Reshape::new([4]));
        }
        model.build(&device).unwrap()
    };
    let mut sliced = last(Lstm::new(4).return_sequences(true), true);
    let mut plain = last(Lstm::new(4), false);
    plain.set_weights(&sliced.get_weights().unwrap()).unwrap();
    for time in [1, 2, 7] {
        let x = numbers(time, &[3, time, 2]);
        assert_eq!(sliced.predict(&x).unwrap(), plain.predict(&x).unwrap());
    }
}

#[test]
fn slices_that_can_not_be_are_refused() {
    let device = Device::cpu();
    let build = |slice: Slice| {
        Sequential::new(Input::sequence(4, 2))
            .layer(slice)
            .build(&device)
            .map(|_| ())
            .unwrap_err()
            .to_string()
    };
    assert!(build(Slice::new(3, 0, None)).contains("axis must be from 1 to 2"));
    assert!(build(Slice::new(0, 0, None)).contains("got 0"));
    assert!(build(Slice::new(1, 2, 2)).contains("something in 2:2:1"));
    assert!(build(Slice::new(1, 9, None)).contains("something in 9::1"));
    assert!(build(Slice::new(1, 0, None).step(0)).contains("step must be at least 1"));
    assert!(build(Slice::new(1, i64::MIN, i64::MIN)).contains("something in"));
}

/// Of an LSTM's gates, candidate and output, by ONNX's names.
fn activations(case: &Case) -> [Activation; 3] {
    let Some(names) = case.settings["activations"].as_array() else {
        return [Activation::Sigmoid, Activation::Tanh, Activation::Tanh];
    };
    [0, 1, 2].map(|at| match names[at].as_str().expect("a name") {
        "Sigmoid" => Activation::Sigmoid,
        // ONNX's slope is 0.2, Keras's 1 / 6.
        "HardSigmoid" => Parametric::HardSigmoid { alpha: 0.2, beta: 0.5 }.into(),
        "Tanh" => Activation::Tanh,
        "Softsign" => Activation::Softsign,
        "Relu" => Activation::Relu,
        other => panic!("no activation {other}"),
    })
}

/// The layer of a case of `cells`, and its weights.
fn onnx_cell(case: &Case) -> (Layer, Vec<ArrayD<f32>>) {
    let units = case.settings["shape"]["units"].as_u64().expect("units") as usize;
    let clip = case.settings["clip"].as_f64().map(|clip| clip as f32);
    let peepholes = case.find("peepholes");
    let activations = activations(case);
    let layer: Layer = match case.settings["op"].as_str().expect("op") {
        "LSTM" => Lstm::new(units)
            .clip(clip)
            .activation(activations[1])
            .recurrent_activation(activations[0])
            .output_activation(activations[2])
            .peepholes(peepholes.is_some())
            .input_forget(case.flag("coupled"))
            .return_sequences(true)
            .return_state(true)
            .into(),
        "GRU" => Gru::new(units)
            .clip(clip)
            .reset_after(case.flag("reset_after"))
            .return_sequences(true)
            .return_state(true)
            .into(),
        _ => SimpleRnn::new(units).clip(clip).return_sequences(true).return_state(true).into(),
    };
    let mut weights: Vec<ArrayD<f32>> =
        ["kernel", "recurrent", "bias"].iter().map(|field| case.tensor(field).clone()).collect();
    weights.extend(peepholes.map(|p| p.to_shape((3, units)).expect("three vectors").into_owned().into_dyn()));
    (layer, weights)
}

/// ONNX Runtime's answers, through the layers' options.
fn onnx_cells(device: &Device, tolerance: Tolerance) {
    let mut report = Report::new();
    for case in family("cells") {
        if case.find("h_mask").is_some() {
            continue;
        }
        // Time-major as it stands.
        let x = case.tensor("x").clone().permuted_axes(vec![1, 0, 2]).as_standard_layout().into_owned();
        let (layer, weights) = onnx_cell(&case);
        let model = Sequential::new(Input::sequence(None, x.shape()[2])).layer(layer).build(device);
        let mut model = model.expect("a model of one layer");
        let shapes: Vec<Vec<usize>> =
            model.get_weights().unwrap().iter().map(|w| w.shape().to_vec()).collect();
        let weights: Vec<ArrayD<f32>> = weights
            .iter()
            .zip(&shapes)
            .map(|(w, shape)| w.to_shape(shape.as_slice()).expect("as many values").into_owned())
            .collect();
        model.set_weights(&weights).expect("weights that fit");
        let states: Vec<ArrayD<f32>> =
            ["h0", "c0"].iter().filter_map(|field| case.find(field)).cloned().collect();
        let layer = model.graph().layer_names()[0].to_owned();
        let (y, last) =
            model.predict_with_states(&x, Some(&[LayerState { layer, states }])).expect("outputs");
        let y = y.permuted_axes(vec![1, 0, 2]).as_standard_layout().into_owned();
        report.close(&format!("{} y", case.name), &y, case.tensor("y"), tolerance.forward, 1.0);
        if let Some(c) = case.find("c_last") {
            report.close(&format!("{} c", case.name), &last[0].states[1], c, tolerance.forward, 1.0);
        }
    }
    report.finish(12);
}

#[test]
fn onnx_cells_on_the_cpu() {
    onnx_cells(&Device::cpu(), Tolerance::F32);
}

#[test]
fn onnx_cells_on_the_gpu() {
    if let Some(device) = gpu() {
        onnx_cells(&device, Tolerance::F32);
    }
}

/// Layers with what ONNX's cells have more, in masks' and Bidirectional's company too.
fn extended() -> Vec<Layer> {
    vec![
        Lstm::new(3).peepholes(true).return_sequences(true).into(),
        Lstm::new(3).peepholes(true).use_bias(false).into(),
        Lstm::new(3).input_forget(true).clip(0.4).into(),
        Lstm::new(3).peepholes(true).input_forget(true).clip(0.3).return_sequences(true).into(),
        Gru::new(3).clip(0.3).into(),
        Gru::new(3).reset_after(false).clip(0.4).return_sequences(true).into(),
        SimpleRnn::new(3).clip(0.2).into(),
        Lstm::new(3).output_activation(Activation::Softsign).return_sequences(true).into(),
        Lstm::new(3)
            .recurrent_activation(Activation::Tanh)
            .output_activation(Activation::Sigmoid)
            .clip(0.5)
            .into(),
        // From here on no kernel fuses the cell.
        Lstm::new(3).output_activation(Activation::Silu).into(),
        Lstm::new(3).activation(Activation::Silu).peepholes(true).clip(0.4).return_sequences(true).into(),
        Lstm::new(3).activation(Softmax).peepholes(true).input_forget(true).use_bias(false).into(),
        Lstm::new(3).recurrent_activation(Activation::Gelu).input_forget(true).clip(0.6).into(),
        Gru::new(3).activation(Activation::Silu).clip(0.3).into(),
        Gru::new(3).activation(Activation::Mish).reset_after(false).clip(0.4).into(),
        SimpleRnn::new(3).activation(Softmax).clip(0.2).use_bias(false).into(),
    ]
}

/// Cells with what ONNX's have more, and their layers.
fn extended_cells() -> Vec<(AnyCell, Layer)> {
    let softsign = Activation::Softsign;
    vec![
        (LstmCell::new(3).peepholes(true).clip(0.4).into(), Lstm::new(3).peepholes(true).clip(0.4).into()),
        (
            LstmCell::new(3).peepholes(true).input_forget(true).use_bias(false).into(),
            Lstm::new(3).peepholes(true).input_forget(true).use_bias(false).into(),
        ),
        (
            LstmCell::new(3).input_forget(true).output_activation(softsign).clip(0.3).into(),
            Lstm::new(3).input_forget(true).output_activation(softsign).clip(0.3).into(),
        ),
        (GruCell::new(3).clip(0.2).into(), Gru::new(3).clip(0.2).into()),
        (
            GruCell::new(3).reset_after(false).clip(0.3).into(),
            Gru::new(3).reset_after(false).clip(0.3).into(),
        ),
        (SimpleRnnCell::new(3).clip(0.2).into(), SimpleRnn::new(3).clip(0.2).into()),
    ]
}

/// By hand, from states that are not zero; over a sequence; and in plain operations, which zoneout that keeps nothing asks for.
#[test]
fn extended_cells_by_hand_and_in_plain_operations_are_their_layers() {
    // Sums of five terms of size 1, each rounded (6e-8), through two activations, and four steps of that.
    let near = |what: &str, got: &ArrayD<f32>, want: &ArrayD<f32>| {
        let error = got.iter().zip(want).fold(0.0f32, |m, (a, b)| m.max((a - b).abs()));
        assert!(got.shape() == want.shape() && error <= 2e-6, "{what}: {error:e}");
    };
    on_each(|device| {
        for (cell, layer) in extended_cells() {
            let what = format!("{layer:?}");
            let states = cell.definition().state_sizes().len();
            let sequence =
                |layer: Layer| Sequential::new(Input::sequence(None, 2)).layer(layer).build(device).unwrap();
            let mut whole = sequence(layer);
            let weights: Vec<ArrayD<f32>> =
                whole.get_weights().unwrap().iter().enumerate().map(|(i, w)| numbers(i, w.shape())).collect();
            whole.set_weights(&weights).unwrap();
            let x = numbers(3, &[4, 5, 2]);
            let want = whole.predict(&x).unwrap();
            let plain = Zoneout::new(cell.clone(), vec![0.0; states]);
            for layer in [Rnn::new(cell.clone()), Rnn::new(plain)] {
                let mut over = sequence(layer.into());
                over.set_weights(&weights).unwrap();
                near(&what, &over.predict(&x).unwrap(), &want);
            }
            let inputs: Vec<Symbol> =
                (0..=states).map(|i| Input::vector(if i == 0 { 2 } else { 3 }).symbol()).collect();
            let inputs: Vec<&Symbol> = inputs.iter().collect();
            let outputs = apply(CellLayer::new(cell), &inputs).unwrap();
            let mut by_hand = Graph::new(&inputs, &[&outputs[0]]).unwrap().build(device).unwrap();
            by_hand.set_weights(&weights).unwrap();
            let starts: Vec<ArrayD<f32>> = (0..states).map(|i| numbers(20 + i, &[4, 3])).collect();
            let name = whole.graph().layer_names()[0].to_owned();
            let kept = LayerState { layer: name, states: starts.clone() };
            let first = x.slice_axis(Axis(1), Part::from(..1)).to_owned();
            let (want, _) = whole.predict_with_states(&first, Some(&[kept])).unwrap();
            let first = first.into_shape_with_order(vec![4, 2]).unwrap();
            let given: Vec<ArrayD<f32>> = std::iter::once(first).chain(starts).collect();
            near(&what, &by_hand.predict_outputs(given.as_slice()).unwrap()[0], &want);
        }
    });
}

/// In f64 a one-sided difference with a step of 1e-3 is off by half the second derivative (of order 1) times the step;
/// outputs and gradients come out as f32, whose rounding (6e-8 of sums of order 1) divided by the step is 6e-5.
#[test]
fn gradients_of_extended_cells_are_finite_differences() {
    let device = Device::reference();
    for (at, layer) in extended().into_iter().enumerate() {
        let what = format!("{layer:?}");
        let mut model = Sequential::new(Input::sequence(4, 2)).layer(layer).build(&device).expect(&what);
        let weights: Vec<ArrayD<f32>> = model
            .get_weights()
            .unwrap()
            .iter()
            .enumerate()
            .map(|(i, w)| numbers(10 * at + i, w.shape()) * 0.6)
            .collect();
        let x = numbers(at, &[2, 4, 2]);
        model.set_weights(&weights).unwrap();
        let dy = numbers(7, model.predict(&x).unwrap().shape());
        let got = model.gradients(&x, &dy, None).expect(&what);
        let mut value = |weights: &[ArrayD<f32>]| -> f64 {
            model.set_weights(weights).unwrap();
            let y = model.predict(&x).unwrap();
            y.iter().zip(&dy).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum()
        };
        for (i, gradient) in got.weights.iter().enumerate() {
            for place in 0..weights[i].len() {
                let mut at = |step: f32| {
                    let mut moved = weights.clone();
                    let entry = moved[i].iter_mut().nth(place).unwrap();
                    *entry += step;
                    (f64::from(*entry), value(&moved))
                };
                let ((a, low), (b, middle), (c, high)) = (at(-1e-3), at(0.0), at(1e-3));
                let (left, right) = ((middle - low) / (b - a), (high - middle) / (c - b));
                let got = f64::from(*gradient.iter().nth(place).unwrap());
                // Between both sides, which differ by a step of second derivative, or at a limit that comes to hold.
                let (least, most) = (left.min(right) - 1e-3, left.max(right) + 1e-3);
                assert!(
                    (least..=most).contains(&got),
                    "{what} weight {i}[{place}]: {got} not in {least}..{most}"
                );
            }
        }
    }
}

#[test]
fn extended_cells_train_on_each_device_alike_and_come_back_from_a_file() {
    let x = numbers(1, &[6, 5, 2]);
    let y = numbers(2, &[6, 1]);
    for layer in extended() {
        let losses: Mutex<Vec<f64>> = Mutex::default();
        on_each(|device| {
            let flat = rnn_model::layer::Flatten::new();
            let model =
                Sequential::new(Input::sequence(5, 2)).layer(layer.clone()).layer(flat).layer(Dense::new(1));
            let mut model = model.seed(5).build(device).unwrap();
            model.compile(Adam::new().learning_rate(0.02), Loss::MeanSquaredError, &[]).unwrap();
            let mut loss = 0.0;
            for _ in 0..10 {
                loss = model.train_on_batch(&x, &y).unwrap().loss();
            }
            let mut back = Model::from_bytes(&model.to_bytes(false).unwrap(), device).unwrap();
            assert_eq!(back.graph(), model.graph());
            assert_eq!(back.predict(&x).unwrap(), model.predict(&x).unwrap());
            losses.lock().unwrap().push(loss);
        });
        let losses = losses.into_inner().unwrap();
        // Ten steps of Adam carry a difference of f32 sums (1e-6) on, each by a small factor.
        for pair in losses.windows(2) {
            assert!((pair[0] - pair[1]).abs() <= 1e-4 * pair[0].abs().max(0.1), "{layer:?}: {losses:?}");
        }
    }
}

#[test]
fn limits_that_are_none_are_refused() {
    let device = Device::cpu();
    let build = |layer: Layer| {
        let model = Sequential::new(Input::sequence(4, 2)).layer(layer).build(&device);
        model.map(|_| ()).unwrap_err().to_string()
    };
    for clip in [-1.0, 0.0, f32::NAN, f32::INFINITY, f32::MAX] {
        for layer in [Layer::from(Lstm::new(2).clip(clip)), Gru::new(2).clip(clip).activation(Softmax).into()]
        {
            let message = build(layer);
            assert!(message.contains("clip must be from 1e-30 to 1e30"), "{message}");
        }
    }
}
