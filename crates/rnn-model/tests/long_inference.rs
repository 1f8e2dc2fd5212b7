//! Predictions on sequences that are too long to be run at once cut the time axis by themselves.

mod devices;

use devices::on_each;
use ndarray::{Array2, Array3, ArrayD, Axis};
use rnn_model::layer::{
    Bidirectional, Dense, Embedding, Gru, Lstm, Masking, SharedLayer, SimpleRnn, concatenate, packed,
    with_lengths,
};
use rnn_model::{Device, Graph, Input, Model, Sequential, Symbol, apply};

const TIME: usize = 500;

fn waves(samples: usize, time: usize, features: usize) -> ArrayD<f32> {
    let wave = |(i, t, k)| (0.3 * (i + 1) as f32 * t as f32 + k as f32).sin();
    Array3::from_shape_fn((samples, time, features), wave).into_dyn()
}

fn apart(a: &ArrayD<f32>, b: &ArrayD<f32>) -> f32 {
    assert_eq!(a.shape(), b.shape());
    (a - b)
        .iter()
        .fold(0.0, |worst, d| if d.is_nan() || worst.is_nan() { f32::NAN } else { worst.max(d.abs()) })
}

fn graphs() -> Vec<(&'static str, Graph, Vec<ArrayD<f32>>)> {
    let sequence = |features| Input::sequence(None, features).symbol();
    let mut graphs = Vec::new();

    let x = sequence(2);
    let h = x.layer(Masking::new(0.0)).unwrap().layer(Lstm::new(5).return_sequences(true)).unwrap();
    let y = h.layer(Gru::new(4).return_sequences(true)).unwrap();
    let last = h.layer(SimpleRnn::new(3)).unwrap().layer(Dense::new(2)).unwrap();
    let mut gaps = waves(5, TIME, 2);
    for (i, mut row) in gaps.axis_iter_mut(Axis(0)).enumerate() {
        let absent = |t: usize| t < 70 * i || t + 90 * i > TIME || t % 11 == 3;
        let steps = row.axis_iter_mut(Axis(0)).enumerate().filter(|(t, _)| absent(*t));
        steps.for_each(|(_, mut step)| step.fill(0.0));
    }
    graphs.push(("masks, and two outputs", Graph::new(&[&x], &[&y, &last]).unwrap(), vec![gaps]));

    let x = Input::tokens(None).symbol();
    let h = x.layer(Embedding::new(7, 4).mask_zero(true)).unwrap().layer(Lstm::new(5)).unwrap();
    let words =
        Array2::from_shape_fn(
            (5, TIME),
            |(i, t)| if t + 60 * i > TIME { 0.0 } else { ((t * 3 + i) % 6 + 1) as f32 },
        );
    graphs.push(("words", Graph::new(&[&x], &[&h]).unwrap(), vec![words.into_dyn()]));

    let (x, lengths) = (sequence(2), Input::vector(1).symbol());
    let h = with_lengths(&x, &lengths).unwrap().layer(Gru::new(5).return_sequences(true)).unwrap();
    let given = Array2::from_shape_vec((5, 1), vec![500.0, 1.0, 333.0, 64.0, 65.0]).unwrap();
    let inputs = vec![waves(5, TIME, 2), given.into_dyn()];
    graphs.push(("lengths", Graph::new(&[&x, &lengths], &[&h]).unwrap(), inputs));

    let x = sequence(4);
    let shared = SharedLayer::new(Lstm::new(4).return_sequences(true));
    let of = |x: &Symbol| apply(&shared, &[x]).unwrap().swap_remove(0);
    let y = concatenate(-1, &[&of(&of(&x)), &x]).unwrap();
    graphs.push(("shared", Graph::new(&[&x], &[&y]).unwrap(), vec![waves(5, TIME, 4)]));

    let (x, facts) = (sequence(2), Input::vector(3).symbol());
    let read = x.layer(Gru::new(4).stateful(true)).unwrap();
    let y = concatenate(-1, &[&read, &facts.layer(Dense::new(2)).unwrap()]).unwrap();
    let about = Array2::from_shape_fn((5, 3), |(i, k)| (i + k) as f32 * 0.1).into_dyn();
    graphs.push((
        "a vector beside",
        Graph::new(&[&x, &facts], &[&y]).unwrap(),
        vec![waves(5, TIME, 2), about],
    ));
    graphs
}

fn weight_bytes(model: &Model, device: &Device) -> u64 {
    let value = if device.name() == "cpu-f64" { 8 } else { 4 };
    // Each weight starts at a multiple of 64 values.
    model.get_weights().unwrap().iter().map(|w| w.len().next_multiple_of(64) as u64 * value).sum()
}

/// The same operations step for step, in products of another height: a few roundings of sums of some ten terms, which the
/// gates' slopes below 1 do not amplify.
#[test]
fn a_prediction_in_a_small_budget_is_that_of_the_whole() {
    on_each(|device| {
        for (name, graph, x) in graphs() {
            for batch in [5, 2] {
                let mut model = graph.build(device).unwrap();
                let stateful = graph.layers().iter().any(|l| l.name == "gru") && name == "a vector beside";
                if stateful && batch == 2 {
                    continue;
                }
                let run = |model: &mut Model| {
                    let options = rnn_model::PredictOptions::new().batch_size(batch);
                    model.predict_with(&x, options).unwrap()
                };
                let whole = run(&mut model);
                if stateful {
                    model.reset_states().unwrap();
                }
                let budget = weight_bytes(&model, device) + 40_000;
                model.set_memory_budget(Some(budget));
                for (a, b) in run(&mut model).iter().zip(&whole) {
                    assert!(
                        apart(a, b) < 1e-5,
                        "{name}, batches of {batch}, on {}: {}",
                        device.name(),
                        apart(a, b)
                    );
                }
            }
        }
    });
}

/// Bytes that the device holds at most, for a hundred times as many steps.
#[test]
fn the_memory_of_a_prediction_within_a_budget_does_not_grow_with_time() {
    for (time, device) in [(2_000, Device::cpu()), (200_000, Device::cpu())] {
        let layers = Sequential::new(Input::sequence(None, 1)).layer(Lstm::new(8).return_sequences(true));
        let mut model = layers.layer(Dense::new(1)).build(&device).unwrap();
        let budget = weight_bytes(&model, &device) + 100_000;
        model.set_memory_budget(Some(budget));
        model.predict(&waves(1, time, 1)).unwrap();
        // The states of full chunks, and the program of a last, shorter one.
        assert!(device.memory().peak < 2 * budget, "{time} steps: {} bytes", device.memory().peak);
    }
}

/// Without a budget: a million steps take 1.4 GiB at once, and are cut where 512 MiB are reached.
#[test]
fn a_million_steps_are_cut_by_themselves() {
    let device = Device::cpu();
    let time = 1_000_000;
    let build = || {
        let layers = Sequential::new(Input::sequence(None, 1)).seed(2).layer(Lstm::new(64));
        layers.layer(Dense::new(1)).build(&device).unwrap()
    };
    let x = waves(1, time, 1);
    let y = build().predict(&x).unwrap();
    assert!(device.memory().peak < 520 << 20, "{} bytes", device.memory().peak);
    assert!(y.iter().all(|y| y.is_finite()));
    // What came before the last thousand steps is forgotten but for far less than a rounding.
    let tail = x.slice_axis(Axis(1), (time - 1000..).into()).to_owned();
    assert!(apart(&build().predict(&tail).unwrap(), &y) < 1e-4);
}

#[test]
fn sequences_that_can_not_be_cut_are_refused_by_name() {
    let device = Device::cpu();
    let refused = |graph: Graph, x: &[ArrayD<f32>]| {
        let mut model = graph.build(&device).unwrap();
        model.set_memory_budget(Some(weight_bytes(&model, &device) + 5_000));
        model.predict(x).unwrap_err().to_string()
    };
    let x = Input::sequence(None, 2).symbol();
    let y = x.layer(Bidirectional::new(Lstm::new(3))).unwrap();
    let error = refused(Graph::new(&[&x], &[&y]).unwrap(), &[waves(1, TIME, 2)]);
    assert!(error.contains("layer bidirectional: it needs whole sequences"), "{error}");
    assert!(error.contains("shorter sequences or smaller batches"), "{error}");

    let (x, rows) = (Input::sequence(None, 2).symbol(), Input::tokens(None).symbol());
    let y = packed(&x, &rows).unwrap().layer(Gru::new(3)).unwrap();
    let inputs = [waves(1, TIME, 2), Array2::ones((1, TIME)).into_dyn()];
    let error = refused(Graph::new(&[&x, &rows], &[&y]).unwrap(), &inputs);
    assert!(error.contains("layer packed: whether a series goes on"), "{error}");

    let (x, h) = (Input::sequence(None, 2).symbol(), Input::vector(3).symbol());
    let y = apply(Gru::new(3), &[&x, &h]).unwrap().swap_remove(0);
    let inputs = [waves(1, TIME, 2), Array2::ones((1, 3)).into_dyn()];
    let error = refused(Graph::new(&[&x, &h], &[&y]).unwrap(), &inputs);
    assert!(error.contains("layer gru: the states that it is given"), "{error}");

    let x = Input::sequence(None, 2).symbol();
    let h = x.layer(Masking::new(0.0)).unwrap().layer(Gru::new(3).stateful(true)).unwrap();
    let error = refused(Graph::new(&[&x], &[&h]).unwrap(), &[waves(1, TIME, 2)]);
    assert!(error.contains("stateful layer whose steps are masked"), "{error}");
}
