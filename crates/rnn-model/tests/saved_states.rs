//! States of layers of several parts and of cells of one's own: each has a name, is in the file when asked, and goes on from it.

mod common;
mod devices;

use common::own_cells::Minimal;
use devices::on_each;
use ndarray::{Array3, s};
use rnn_model::cell::Cells;
use rnn_model::layer::{
    Bidirectional, Dense, GruCell, Layer, Lstm, LstmCell, Rnn, SimpleRnnCell, StackedCells, Zoneout,
};
use rnn_model::{Device, Input, Model, Sequential};
use std::collections::HashSet;

fn stack() -> StackedCells {
    StackedCells::new()
        .cell(LstmCell::new(3))
        .cell(Zoneout::new(Minimal::new(4), [0.1]))
        .cell(GruCell::new(2))
}

/// Layers with states, and the names of these.
fn layers() -> Vec<(Layer, Vec<&'static str>)> {
    let both = ["bidirectional/forward", "bidirectional/backward"];
    let stacked = [0, 1, 2].map(|cell| ["rnn/cell_0", "rnn/cell_1", "rnn/cell_2"][cell]);
    vec![
        (Bidirectional::new(Lstm::new(3).stateful(true)).into(), both.to_vec()),
        (Rnn::new(Minimal::new(3)).stateful(true).into(), vec!["rnn"]),
        (Rnn::new(stack()).stateful(true).into(), stacked.to_vec()),
        (Bidirectional::new(Rnn::new(Minimal::new(3)).stateful(true)).into(), both.to_vec()),
        (
            Bidirectional::new(Rnn::new(stack()).stateful(true).return_sequences(true)).into(),
            vec![
                "bidirectional/forward/cell_0",
                "bidirectional/forward/cell_1",
                "bidirectional/forward/cell_2",
                "bidirectional/backward/cell_0",
                "bidirectional/backward/cell_1",
                "bidirectional/backward/cell_2",
            ],
        ),
    ]
}

fn model(layer: Layer, device: &Device) -> Model {
    Sequential::new(Input::sequence(None, 2)).layer(layer).layer(Dense::new(1)).seed(4).build(device).unwrap()
}

fn batch(seed: usize) -> Array3<f32> {
    Array3::from_shape_fn((3, 4, 2), |(i, t, f)| ((seed * 17 + i * 5 + t * 3 + f) as f32 * 0.7).sin())
}

#[test]
fn each_state_has_a_name_of_its_own() {
    for (layer, names) in layers() {
        let mut model = model(layer, &Device::cpu());
        model.predict(&batch(0)).unwrap();
        let got: Vec<String> = model.get_states().unwrap().into_iter().map(|state| state.layer).collect();
        assert_eq!(got, names);
        assert_eq!(got.iter().collect::<HashSet<_>>().len(), got.len());
    }
}

#[test]
fn states_in_a_file_go_on_where_they_were() {
    let known = Cells::new().with("MinimalGatedUnit", Minimal::from_config);
    on_each(|device| {
        for (layer, names) in layers() {
            let mut kept = model(layer, device);
            kept.predict(&batch(0)).unwrap();
            let bytes = kept.to_bytes(true).unwrap();
            let mut loaded = Model::from_bytes_with(&bytes, device, &known).unwrap();
            assert_eq!(loaded.get_states().unwrap(), kept.get_states().unwrap(), "{names:?}");
            let mut fresh = Model::from_bytes_with(&kept.to_bytes(false).unwrap(), device, &known).unwrap();
            let (a, b) = (kept.predict(&batch(1)).unwrap(), loaded.predict(&batch(1)).unwrap());
            assert_eq!(a, b, "{names:?}");
            assert_ne!(fresh.predict(&batch(1)).unwrap(), a, "{names:?}: the states make no difference");
            assert_eq!(loaded.get_states().unwrap(), kept.get_states().unwrap(), "{names:?}");
        }
    });
}

#[test]
fn states_are_set_by_name_and_moved_sample_by_sample() {
    on_each(|device| {
        for (layer, names) in layers() {
            let mut from = model(layer.clone(), device);
            from.predict(&batch(0)).unwrap();
            let states = from.get_states().unwrap();
            let mut to = model(layer, device);
            to.set_weights(&from.get_weights().unwrap()).unwrap();
            to.set_states(&states).unwrap();
            assert_eq!(to.predict(&batch(1)).unwrap(), from.predict(&batch(1)).unwrap(), "{names:?}");
            // Of sample 1 alone, as the first of a batch of one.
            let one = states.iter().map(|state| {
                let rows = state.states.iter().map(|s| s.slice(s![1..2, ..]).to_owned().into_dyn()).collect();
                rnn_model::LayerState { layer: state.layer.clone(), states: rows }
            });
            to.reset_states().unwrap();
            to.set_states(&one.collect::<Vec<_>>()).unwrap();
            from.set_states(&states).unwrap();
            let alone = to.predict(&batch(1).slice(s![1..2, .., ..])).unwrap();
            let beside = from.predict(&batch(1)).unwrap();
            // Other kernels for one row add in another order: some ten roundings (6e-8) of sums of order 1.
            let error = alone.iter().zip(beside.index_axis(ndarray::Axis(0), 1)).map(|(a, b)| (a - b).abs());
            let error = error.fold(0.0, f32::max);
            assert!(error <= 1e-6, "{names:?}: {error:e}");
        }
    });
}

/// A cell that is stateful by itself too: the built-in one of an `Rnn`.
#[test]
fn a_run_that_is_cut_is_the_run() {
    on_each(|device| {
        let layer = || Rnn::new(StackedCells::new().cell(SimpleRnnCell::new(3)).cell(Minimal::new(2)));
        let mut whole = model(layer().into(), device);
        let mut parts = model(layer().stateful(true).into(), device);
        parts.set_weights(&whole.get_weights().unwrap()).unwrap();
        let x = batch(2);
        parts.predict(&x.slice(s![.., ..2, ..])).unwrap();
        let last = parts.predict(&x.slice(s![.., 2.., ..])).unwrap();
        let want = whole.predict(&x).unwrap();
        let error = last.iter().zip(&want).fold(0.0f32, |m, (a, b)| m.max((a - b).abs()));
        // Cut products add in another order: some ten roundings (6e-8) of sums of order 1.
        assert!(error <= 1e-6, "{error:e}");
    });
}
