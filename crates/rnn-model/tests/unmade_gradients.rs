//! Gradients that never stand in memory of their own: those of a recurrent layer's outputs, which a dense layer behind it gives as a
//! product, and those of its inputs, which stand where its outputs were. Beside each model stands the same with a layer that changes
//! nothing before each dense layer, so that the gradient of the outputs is made as a whole.

mod devices;

use devices::on_each;
use ndarray::{Array, ArrayD};
use rnn_model::layer::{
    ActivationLayer, Add, Bidirectional, Dense, Dropout, Gru, Layer, Lstm, Masking, SharedLayer, SimpleRnn,
    packed,
};
use rnn_model::{Activation, Device, Graph, Input, Model, Symbol, apply};

/// More than 2^18 values of states, so that a sequence goes back in parts on every device, and the last in time is shorter.
const BATCH: usize = 32;
const TIME: usize = 301;
const UNITS: usize = 32;
const FEATURES: usize = 3;

/// Joins the layer before a dense layer to it: directly, or with something between.
type Link = fn(&Symbol) -> Symbol;

/// A graph by the way it is joined.
type Joined<'a> = dyn Fn(Link) -> Graph + 'a;

fn direct(x: &Symbol) -> Symbol {
    x.clone()
}

fn with_a_layer_between(x: &Symbol) -> Symbol {
    x.layer(ActivationLayer::new(Activation::Linear)).unwrap()
}

fn dense(x: &Symbol, link: Link, layer: Dense) -> Symbol {
    link(x).layer(layer).unwrap()
}

fn numbers(seed: usize, shape: &[usize]) -> ArrayD<f32> {
    let values = (0..shape.iter().product()).map(|i: usize| ((seed * 31 + i) as f32 * 0.7).sin()).collect();
    Array::from_shape_vec(shape, values).unwrap()
}

/// Inputs of which some steps are masked: the first of some samples, one in seven of the others.
fn gaps() -> ArrayD<f32> {
    let mut x = numbers(1, &[BATCH, TIME, FEATURES]);
    for (b, mut sample) in x.outer_iter_mut().enumerate() {
        for (t, mut step) in sample.outer_iter_mut().enumerate() {
            if (t + b) % 7 == 3 || (b % 4 == 1 && t < 40) {
                step.fill(0.0);
            }
        }
    }
    x
}

/// Numbers of series of 70 to 101 steps, a few steps of none.
fn series() -> ArrayD<f32> {
    let of = |(b, t): (usize, usize)| if t % 90 > 86 { 0.0 } else { (t / (70 + b)) as f32 + 1.0 };
    Array::from_shape_fn((BATCH, TIME), of).into_dyn()
}

fn cells(edit: fn(Layer) -> Layer) -> Vec<Layer> {
    vec![
        edit(SimpleRnn::new(UNITS).return_sequences(true).into()),
        edit(Lstm::new(UNITS).return_sequences(true).into()),
        edit(Gru::new(UNITS).return_sequences(true).into()),
        edit(Gru::new(UNITS).reset_after(false).return_sequences(true).into()),
    ]
}

/// What a model gives and its gradients by all inputs, weights and start states.
fn gradients(model: &mut Model, x: &[ArrayD<f32>]) -> Vec<ArrayD<f32>> {
    let shapes: Vec<_> = model.predict_outputs(x).unwrap().iter().map(|y| y.shape().to_vec()).collect();
    let dy: Vec<_> = shapes.iter().enumerate().map(|(i, shape)| numbers(5 + i, shape)).collect();
    let all = model.gradients(x, dy.as_slice(), None).unwrap();
    let states = all.states.into_iter().flat_map(|layer| layer.states);
    all.outputs.into_iter().chain(all.inputs).chain(all.weights).chain(states).collect()
}

/// That the gradients of a model are those of its twin with something before each dense layer, and the same bits each time.
fn check(device: &Device, what: &str, graph: impl Fn(Link) -> Graph, x: &[ArrayD<f32>]) {
    let mut model = graph(direct).seed(3).build(device).unwrap();
    let mut twin = graph(with_a_layer_between).seed(3).build(device).unwrap();
    twin.set_weights(&model.get_weights().unwrap()).unwrap();
    let (got, want) = (gradients(&mut model, x), gradients(&mut twin, x));
    assert_eq!(got, gradients(&mut model, x), "{what} on {}: another time", device.name());
    assert_eq!(got.len(), want.len());
    for (i, (got, want)) in got.iter().zip(&want).enumerate() {
        let largest = want.iter().fold(1e-3, |largest: f32, x| largest.max(x.abs()));
        let apart = got.iter().zip(want).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        // The same sums of at most five products, made for other numbers of rows: roundings of 6e-8 each, which a chain of gates
        // carries on. NaN fails.
        assert!(
            largest.is_finite() && apart <= 1e-5 * largest && got.iter().all(|x| x.is_finite()),
            "{what} on {}, array {i}: {apart:e} of {largest:e}",
            device.name()
        );
    }
}

#[test]
fn of_every_cell() {
    on_each(|device| {
        for cell in cells(|cell| cell) {
            let graph = |link: Link| {
                let x = Input::sequence(None, FEATURES).symbol();
                let h = x.layer(cell.clone()).unwrap().layer(cell.clone()).unwrap();
                Graph::new(&[&x], &[&dense(&h, link, Dense::new(1))]).unwrap()
            };
            // A whole sequence, one that is a part of its own, and one step.
            for time in [TIME, 20, 1] {
                let what = format!("{} over {time} steps", cell.class());
                check(device, &what, graph, &[numbers(1, &[BATCH, time, FEATURES])]);
            }
        }
    });
}

#[test]
fn with_masks_and_backward_in_time() {
    on_each(|device| {
        for cell in cells(|cell| match cell {
            Layer::SimpleRNN(layer) => layer.go_backwards(true).zero_output_for_mask(true).into(),
            Layer::LSTM(layer) => layer.go_backwards(true).recurrent_dropout(0.3).into(),
            other => other,
        }) {
            let graph = |link: Link| {
                let x = Input::sequence(None, FEATURES).symbol();
                let h = x.layer(Masking::new(0.0)).unwrap();
                let h = h.layer(cell.clone()).unwrap().layer(cell.clone()).unwrap();
                let top = Dense::new(5).activation(Activation::Tanh).use_bias(false);
                Graph::new(&[&x], &[&dense(&h, link, top)]).unwrap()
            };
            check(device, cell.class(), graph, &[gaps()]);
        }
    });
}

#[test]
fn with_resets() {
    on_each(|device| {
        for cell in cells(|cell| cell) {
            let graph = |link: Link| {
                let (x, rows) = (Input::sequence(None, FEATURES).symbol(), Input::tokens(None).symbol());
                let h = packed(&x, &rows).unwrap().layer(cell.clone()).unwrap();
                let h = h.layer(cell.clone()).unwrap();
                Graph::new(&[&x, &rows], &[&dense(&h, link, Dense::new(2))]).unwrap()
            };
            check(device, cell.class(), graph, &[numbers(1, &[BATCH, TIME, FEATURES]), series()]);
        }
    });
}

/// Outputs that more than one layer reads, states that are handed on, a layer that is used twice, one that is narrower than what it
/// reads, layers that read both directions.
#[test]
fn where_more_than_one_layer_reads_it() {
    let x = || Input::sequence(None, FEATURES).symbol();
    let rnn = || SimpleRnn::new(UNITS).return_sequences(true);
    let two_dense_layers = |link: Link| {
        let x = x();
        let h = x.layer(rnn()).unwrap();
        let outputs = [dense(&h, link, Dense::new(2)), dense(&h, link, Dense::new(4))];
        Graph::new(&[&x], &[&outputs[0], &outputs[1]]).unwrap()
    };
    let residual = |link: Link| {
        let x = x();
        let first = x.layer(rnn()).unwrap();
        let second = first.layer(rnn()).unwrap();
        let sum = apply(Add::new(), &[&first, &second]).unwrap().swap_remove(0);
        Graph::new(&[&x], &[&dense(&sum, link, Dense::new(3)), &dense(&first, link, Dense::new(1))]).unwrap()
    };
    let outputs_and_states = |link: Link| {
        let x = x();
        let first = apply(rnn().return_state(true), &[&x]).unwrap();
        let second = apply(rnn().return_state(true), &[&first[0], &first[1]]).unwrap();
        let of_state = second[1].layer(Dense::new(2)).unwrap();
        Graph::new(&[&x], &[&dense(&second[0], link, Dense::new(2)), &of_state, &second[0]]).unwrap()
    };
    let used_twice = |link: Link| {
        let x = Input::sequence(None, UNITS).symbol();
        let shared = SharedLayer::new(rnn());
        let mut h = x.clone();
        for _ in 0..2 {
            h = apply(&shared, &[&h]).unwrap().swap_remove(0);
        }
        Graph::new(&[&x], &[&dense(&h, link, Dense::new(1))]).unwrap()
    };
    let widths = |link: Link| {
        let x = x();
        let h = x.layer(SimpleRnn::new(24).return_sequences(true)).unwrap().layer(rnn()).unwrap();
        let h = h.layer(SimpleRnn::new(48).return_sequences(true)).unwrap();
        Graph::new(&[&x], &[&dense(&h, link, Dense::new(7))]).unwrap()
    };
    let both_directions = |link: Link| {
        let x = x();
        let h = x.layer(Bidirectional::new(rnn())).unwrap().layer(Dropout::new(0.2)).unwrap();
        let h = h.layer(Bidirectional::new(Gru::new(UNITS).return_sequences(true))).unwrap();
        Graph::new(&[&x], &[&dense(&h, link, Dense::new(1))]).unwrap()
    };
    let graphs: [(&str, &Joined<'_>, usize); 6] = [
        ("two dense layers", &two_dense_layers, FEATURES),
        ("residual", &residual, FEATURES),
        ("outputs and states", &outputs_and_states, FEATURES),
        ("used twice", &used_twice, UNITS),
        ("widths", &widths, FEATURES),
        ("both directions", &both_directions, FEATURES),
    ];
    on_each(|device| {
        for (what, graph, features) in graphs {
            check(device, what, graph, &[numbers(1, &[BATCH, TIME, features])]);
        }
    });
}
