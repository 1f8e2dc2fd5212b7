//! Cells by hand and stacks of cells, against the layers that they are the cells of.

mod common;
mod devices;

use common::cell_models::{close, noise, sequence, with_weights};
use common::own_cells::{Everything, Minimal};
use devices::on_each;
use ndarray::{Array3, ArrayD, Axis};
use rnn_model::layer::{
    Dense, Gru, GruCell, Layer, LayerNormLstmCell, Lstm, LstmCell, Rnn, SharedLayer, SimpleRnn,
    SimpleRnnCell, Softmax, StackedCells, Zoneout, stacked,
};
use rnn_model::{Activation, Device, Graph, Input, LayerState, Sequential, Tensor, apply};

/// Pairs of a layer over a sequence and its cell.
fn pairs() -> Vec<(Layer, Layer)> {
    let lstm = |l: Lstm| Layer::from(l.return_sequences(true).return_state(true));
    let gru = |l: Gru| Layer::from(l.return_sequences(true).return_state(true));
    let rnn = |l: SimpleRnn| Layer::from(l.return_sequences(true).return_state(true));
    vec![
        (lstm(Lstm::new(4)), LstmCell::new(4).into()),
        (
            lstm(Lstm::new(4).activation(Activation::Relu).use_bias(false)),
            LstmCell::new(4).activation(Activation::Relu).use_bias(false).into(),
        ),
        (
            lstm(Lstm::new(4).recurrent_activation(Softmax)),
            LstmCell::new(4).recurrent_activation(Softmax).into(),
        ),
        (gru(Gru::new(4)), GruCell::new(4).into()),
        (gru(Gru::new(4).reset_after(false)), GruCell::new(4).reset_after(false).into()),
        (gru(Gru::new(4).activation(Activation::Silu)), GruCell::new(4).activation(Activation::Silu).into()),
        (rnn(SimpleRnn::new(4)), SimpleRnnCell::new(4).into()),
    ]
}

#[test]
fn a_loop_over_a_cell_on_the_device_is_its_layer() {
    on_each(|device| {
        for (layer, cell) in pairs() {
            let what = format!("{cell:?}");
            let mut whole = with_weights(sequence(layer, device), 1);
            let x = noise(9, &[2, 5, 3]);
            let (want, last) = whole.predict_with_states(&x, None).unwrap();

            let states = last[0].states.len();
            let x_t = Input::vector(3).symbol();
            let before: Vec<_> = (0..states).map(|_| Input::vector(4).symbol()).collect();
            let inputs: Vec<_> = std::iter::once(&x_t).chain(&before).collect();
            let outputs = apply(cell, &inputs).unwrap();
            let outputs: Vec<_> = outputs.iter().collect();
            let mut step = Graph::new(&inputs, &outputs).unwrap().build(device).unwrap();
            step.set_weights(&whole.get_weights().unwrap()).unwrap();

            let mut now: Vec<_> = (0..states).map(|_| Tensor::zeros(device, &[2, 4]).unwrap()).collect();
            let mut shown = Vec::new();
            for t in 0..5 {
                let x_t = Tensor::from_array(device, &x.index_axis(Axis(1), t).to_owned()).unwrap();
                let inputs: Vec<&Tensor> = std::iter::once(&x_t).chain(&now).collect();
                let mut out = step.predict_tensors(&inputs).unwrap();
                now = out.split_off(1);
                shown.push(out.swap_remove(0));
            }
            // The same operations in the same order; on a GPU another schedule adds in another order.
            for (t, y) in shown.iter().enumerate() {
                let want = want.index_axis(Axis(1), t).to_owned();
                close(&format!("{what} step {t}"), &y.to_array().unwrap(), &want, 1e-6);
            }
            for (state, want) in now.iter().zip(&last[0].states) {
                close(&what, &state.to_array().unwrap(), want, 1e-6);
            }
        }
    });
}

#[test]
fn training_through_a_loop_over_a_cell_is_training_its_layer() {
    let device = Device::reference();
    for (layer, cell) in pairs() {
        let what = format!("{cell:?}");
        let mut whole = with_weights(sequence(layer, &device), 1);
        let states = whole.predict_with_states(&noise(0, &[1, 1, 3]), None).unwrap().1[0].states.len();
        let cell = SharedLayer::new(cell).name("cell");
        let steps: Vec<_> = (0..3).map(|_| Input::vector(3).symbol()).collect();
        let start: Vec<_> = (0..states).map(|_| Input::vector(4).symbol()).collect();
        let mut now: Vec<_> = start.clone();
        let mut shown = Vec::new();
        for x in &steps {
            let inputs: Vec<_> = std::iter::once(x).chain(&now).collect();
            let mut out = apply(&cell, &inputs).unwrap();
            now = out.split_off(1);
            shown.push(out.swap_remove(0));
        }
        let inputs: Vec<_> = steps.iter().chain(&start).collect();
        let outputs: Vec<_> = shown.iter().collect();
        let mut unrolled = Graph::new(&inputs, &outputs).unwrap().build(&device).unwrap();
        unrolled.set_weights(&whole.get_weights().unwrap()).unwrap();

        let (x, dy) = (noise(3, &[2, 3, 3]), noise(4, &[2, 3, 4]));
        let start: Vec<_> = (0..states).map(|i| noise(20 + i, &[2, 4])).collect();
        let at = |a: &ArrayD<f32>, t| a.index_axis(Axis(1), t).to_owned();
        let arrays: Vec<_> = (0..3).map(|t| at(&x, t)).chain(start.clone()).collect();
        let upstream: Vec<_> = (0..3).map(|t| at(&dy, t)).collect();
        let got = unrolled.gradients(arrays.as_slice(), upstream.as_slice(), None).unwrap();
        let initial = [LayerState { layer: String::new(), states: start }];
        let want = whole.gradients(&x, &dy, Some(&initial)).unwrap();
        // Both in f64 and rounded to f32 at the end.
        for (got, want) in got.weights.iter().zip(&want.weights) {
            close(&what, got, want, 1e-6);
        }
        for t in 0..3 {
            close(&what, &got.inputs[t], &at(&want.inputs[0], t), 1e-6);
        }
        for (i, want) in want.states[0].states.iter().enumerate() {
            close(&what, &got.inputs[3 + i], want, 1e-6);
        }
    }
}

#[test]
fn a_cell_over_a_sequence_is_its_layer_bit_for_bit() {
    on_each(|device| {
        let x = noise(3, &[3, 6, 3]);
        let cells: [(Rnn, Layer); 3] = [
            (Rnn::new(LstmCell::new(6)), Lstm::new(6).into()),
            (Rnn::new(GruCell::new(6)).go_backwards(true), Gru::new(6).go_backwards(true).into()),
            (Rnn::new(SimpleRnnCell::new(6)), SimpleRnn::new(6).into()),
        ];
        for (cell, layer) in cells {
            let (mut cell, mut layer) = (sequence(cell, device), sequence(layer, device));
            assert_eq!(cell.get_weights().unwrap(), layer.get_weights().unwrap(), "initial weights");
            assert_eq!(cell.predict(&x).unwrap(), layer.predict(&x).unwrap());
            assert_eq!(cell.strategies(3, 6, true)[0].strategy, layer.strategies(3, 6, true)[0].strategy);
        }
    });
}

#[test]
fn stacked_cells_are_layers_on_top_of_each_other() {
    let x = noise(3, &[2, 5, 3]);
    on_each(|device| {
        let cells = StackedCells::new()
            .cell(LstmCell::new(4))
            .cell(StackedCells::new().cell(Minimal::new(5)).cell(GruCell::new(2)));
        let rnn = Rnn::new(cells).return_sequences(true).go_backwards(true).return_state(true);
        let mut stack = with_weights(sequence(rnn, device), 2);
        let mut layers = Sequential::new(Input::sequence(None, 3))
            .layer(Lstm::new(4).return_sequences(true).go_backwards(true))
            .layer(Rnn::new(Minimal::new(5)).return_sequences(true))
            .layer(Gru::new(2).return_sequences(true))
            .build(device)
            .unwrap();
        layers.set_weights(&stack.get_weights().unwrap()).unwrap();
        let names = [
            "rnn/cell_0/kernel",
            "rnn/cell_0/recurrent_kernel",
            "rnn/cell_0/bias",
            "rnn/cell_1/cell_0/kernel",
        ];
        assert_eq!(stack.weight_names()[..4], names);
        let (got, states) = stack.predict_with_states(&x, None).unwrap();
        assert_eq!(got, layers.predict(&x).unwrap());
        let names: Vec<&str> = states.iter().map(|s| s.layer.as_str()).collect();
        assert_eq!(names, ["rnn/cell_0", "rnn/cell_1", "rnn/cell_2"]);
        assert_eq!(states.iter().map(|s| s.states.len()).collect::<Vec<_>>(), [2, 1, 1]);
    });
}

#[test]
fn a_stack_by_hand_is_a_stack_over_a_sequence() {
    on_each(|device| {
        let cells = StackedCells::new().cell(LstmCell::new(4)).cell(Minimal::new(5));
        let mut whole = with_weights(sequence(Rnn::new(cells.clone()), device), 2);
        let x = Input::vector(3).symbol();
        let states = [4, 4, 5].map(|n| Input::vector(n).symbol());
        let inputs = [&x, &states[0], &states[1], &states[2]];
        let out = apply(cells, &inputs).unwrap();
        let outputs: Vec<_> = out.iter().collect();
        let mut step = Graph::new(&inputs, &outputs).unwrap().build(device).unwrap();
        step.set_weights(&whole.get_weights().unwrap()).unwrap();
        let x = noise(3, &[2, 4, 3]);
        let mut now: Vec<ArrayD<f32>> = vec![noise(0, &[2, 3]) * 0.0];
        now.extend([4, 4, 5].map(|n| ArrayD::zeros(vec![2, n])));
        let mut y = ArrayD::zeros(vec![2, 5]);
        for t in 0..4 {
            now[0] = x.index_axis(Axis(1), t).to_owned();
            let mut out = step.predict_outputs(now.as_slice()).unwrap();
            y = out.remove(0);
            now.splice(1.., out);
        }
        close("last output", &y, &whole.predict(&x).unwrap(), 1e-6);
    });
}

#[test]
fn what_can_not_work_is_refused_in_words() {
    let device = Device::cpu();
    let build = |layer: Layer| {
        Sequential::new(Input::sequence(None, 3))
            .layer(layer)
            .build(&device)
            .map(|_| ())
            .unwrap_err()
            .to_string()
    };
    let cases = [
        (build(Rnn::new(LstmCell::new(0)).into()), "units"),
        (build(Rnn::new(StackedCells::new()).into()), "no cells"),
        (build(Rnn::new(Zoneout::new(LstmCell::new(2), [0.5])).into()), "each of 2 states"),
        (build(Rnn::new(Zoneout::new(GruCell::new(2), [1.5])).into()), "[0, 1]"),
        (build(Rnn::new(LayerNormLstmCell::new(2).epsilon(0.0)).into()), "epsilon"),
        (build(LstmCell::new(2).into()), "Rnn runs a cell over a sequence"),
        (stacked(Dense::new(2), 2, 0.0).unwrap_err().to_string(), "recurrent"),
        (stacked(Lstm::new(2), 0, 0.0).unwrap_err().to_string(), "at least one"),
    ];
    for (error, expected) in cases {
        assert!(error.contains(expected), "{error:?} should tell of {expected:?}");
    }
    let (x, h) = (Input::vector(3).symbol(), Input::vector(5).symbol());
    let error = apply(GruCell::new(4), &[&x, &h]).unwrap_err().to_string();
    assert!(error.contains("[4]"), "{error}");
    let error = apply(LstmCell::new(4), &[&x, &h]).unwrap_err().to_string();
    assert!(error.contains("2 states"), "{error}");
    // A cell whose step is wrong says so when a program is recorded.
    let mut model = sequence(Rnn::new(Everything::broken(4)), &device);
    let error = model.predict(&Array3::<f32>::zeros((1, 2, 3))).unwrap_err().to_string();
    assert!(error.contains("concat") || error.contains("add"), "{error}");
}
