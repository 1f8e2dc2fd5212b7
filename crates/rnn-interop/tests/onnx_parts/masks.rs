//! Masks of any pattern: written as sequences that are drawn together, and read as layers behind a mask again.

use crate::apart;
use crate::devices::devices;
use ndarray::{ArrayD, Axis};
use rnn_interop::{Limits, PortableModel, onnx};
use rnn_model::layer::{
    Add, Bidirectional, Concatenate, Dense, Dot, Embedding, GlobalAveragePooling1D, GlobalMaxPooling1D, Gru,
    Layer, Lengths, Lstm, Masking, MergeMode, Multiply, Packed, SharedLayer, SimpleRnn, SoftmaxLayer,
    with_mask_of,
};
use rnn_model::{Device, Graph, Input, Model, Sequential, Symbol, apply};
use serde_json::{Value as Json, json};

const STEPS: usize = 6;

fn cells() -> [(&'static str, Layer); 3] {
    [("LSTM", Lstm::new(3).into()), ("GRU", Gru::new(3).into()), ("SimpleRNN", SimpleRnn::new(3).into())]
}

fn with(layer: &Layer, options: &Json) -> Layer {
    let mut data = serde_json::to_value(layer).unwrap();
    for (name, value) in options.as_object().unwrap() {
        assert!(data["config"].get(name).is_some(), "{name}");
        data["config"][name] = value.clone();
    }
    serde_json::from_value(data).unwrap()
}

/// Samples without a step, with all, and with gaps in front, within and behind.
fn is_gap(sample: usize, step: usize) -> bool {
    match sample {
        0 => true,
        1 => false,
        sample => (step * 5 + sample * 3) % 7 < 3,
    }
}

fn sequence() -> ArrayD<f32> {
    ArrayD::from_shape_fn(vec![5, STEPS, 3], |at| {
        if is_gap(at[0], at[1]) { 0.0 } else { ((at[0] * 31 + at[1] * 7 + at[2]) as f32).sin() }
    })
}

fn words() -> ArrayD<f32> {
    ArrayD::from_shape_fn(vec![5, STEPS], |at| {
        if is_gap(at[0], at[1]) { 0.0 } else { (1 + (at[0] + at[1]) % 5) as f32 }
    })
}

fn state(seed: usize) -> ArrayD<f32> {
    ArrayD::from_shape_fn(vec![5, 3], |at| ((at[0] * 3 + at[1] + seed) as f32).cos())
}

/// Weights other than those that layers start from.
fn built(graph: &Graph, device: &Device) -> Model {
    let mut model = graph.build(device).unwrap();
    let mut weights = model.get_weights().unwrap();
    for (at, array) in weights.iter_mut().enumerate() {
        array.iter_mut().enumerate().for_each(|(i, v)| *v += 0.3 * ((i * 7 + at * 3) as f32).sin());
    }
    model.set_weights(&weights).unwrap();
    model
}

/// Writes a model, reads the file, and compares what both make of the inputs, on each device.
fn goes_round(name: &str, graph: &Graph, inputs: &[ArrayD<f32>]) {
    let mut failures = Vec::new();
    for device in devices() {
        let mut model = built(graph, &device);
        let want = model.predict_outputs(inputs).unwrap();
        let portable = PortableModel::of(&model).unwrap();
        let bytes = onnx::write(&portable).unwrap_or_else(|e| panic!("{name}: {e}"));
        let read = onnx::read(&bytes, &Limits::default()).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(read.weights.len(), portable.weights.len(), "{name}: as many weights as before");
        let got = read.build(&device).unwrap().predict_outputs(inputs).unwrap();
        assert_eq!(got.len(), want.len(), "{name}");
        for (i, (got, want)) in got.iter().zip(&want).enumerate() {
            failures.extend(apart(&format!("{name} on {}: output {i}", device.name()), got, want));
        }
    }
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn layers_behind_masks_go_round() {
    for (class, cell) in cells() {
        for options in [
            json!({}),
            json!({"return_sequences": true}),
            json!({"return_sequences": true, "zero_output_for_mask": true}),
            json!({"zero_output_for_mask": true}),
            json!({"go_backwards": true}),
            json!({"go_backwards": true, "zero_output_for_mask": true}),
            json!({"go_backwards": true, "return_sequences": true}),
            json!({"go_backwards": true, "return_sequences": true, "zero_output_for_mask": true}),
        ] {
            let layers = Sequential::new(Input::sequence(STEPS, 3)).layer(Masking::new(0.0));
            let graph = layers.layer(with(&cell, &options)).layer(Dense::new(2)).graph().unwrap();
            goes_round(&format!("{class} {options}"), &graph, &[sequence()]);
        }
    }
}

#[test]
fn a_mask_goes_on_through_layers_that_follow_each_other() {
    for (class, cell) in cells() {
        let on = |cell: &Layer| with(cell, &json!({"return_sequences": true}));
        let words_first = Sequential::new(Input::tokens(None)).layer(Embedding::new(6, 3).mask_zero(true));
        let graph = words_first.layer(on(&cell)).layer(Dense::new(3)).layer(on(&cell)).layer(cell.clone());
        goes_round(&format!("{class} stacked"), &graph.graph().unwrap(), &[words()]);
        for mode in [MergeMode::Concat, MergeMode::Sum] {
            let both = Bidirectional::new(on(&cell)).merge_mode(mode);
            let layers = Sequential::new(Input::sequence(STEPS, 3)).layer(Masking::new(0.0));
            goes_round(
                &format!("{class} both"),
                &layers.layer(both).layer(Dense::new(2)).graph().unwrap(),
                &[sequence()],
            );
        }
    }
}

fn masked(x: &Symbol) -> Symbol {
    x.layer(Masking::new(0.0)).unwrap()
}

fn run(layer: Layer, inputs: &[&Symbol]) -> Vec<Symbol> {
    apply(SharedLayer::new(layer), inputs).unwrap()
}

/// States are those to start from where there is no step; outputs are 0 there.
#[test]
fn states_to_start_from_and_last_states_go_round() {
    for (class, cell) in cells() {
        let x = Input::sequence(STEPS, 3).name("x").symbol();
        let firsts = [0, 1].map(|i| Input::vector(3).name(format!("first_{i}")).symbol());
        let given = if class == "LSTM" { 2 } else { 1 };
        let x_masked = masked(&x);
        let inputs: Vec<&Symbol> = std::iter::once(&x_masked).chain(&firsts[..given]).collect();
        let all: Vec<&Symbol> = std::iter::once(&x).chain(&firsts[..given]).collect();
        let arrays: Vec<ArrayD<f32>> = [sequence(), state(0), state(5)].into_iter().take(1 + given).collect();
        for options in [
            json!({}),
            json!({"return_state": true}),
            json!({"return_state": true, "return_sequences": true}),
        ] {
            let outputs = run(with(&cell, &options), &inputs);
            let graph = Graph::new(&all, &outputs.iter().collect::<Vec<_>>()).unwrap();
            goes_round(&format!("{class} from states {options}"), &graph, &arrays);
            let outputs = run(with(&cell, &options), &[&x_masked]);
            let graph = Graph::new(&[&x], &outputs.iter().collect::<Vec<_>>()).unwrap();
            goes_round(&format!("{class} {options}"), &graph, &[sequence()]);
        }
        let lengths = Input::vector(1).name("lens").symbol();
        let short = run(Lengths::new().into(), &[&x, &lengths]).swap_remove(0);
        let inputs: Vec<&Symbol> = std::iter::once(&short).chain(&firsts[..given]).collect();
        let outputs = run(with(&cell, &json!({"return_state": true})), &inputs);
        let all: Vec<&Symbol> = [&x, &lengths].into_iter().chain(&firsts[..given]).collect();
        let graph = Graph::new(&all, &outputs.iter().collect::<Vec<_>>()).unwrap();
        let lengths = ArrayD::from_shape_fn(vec![5, 1], |at| [0.0, 6.0, 3.0, 1.0, 5.0][at[0]]);
        let arrays = [vec![arrays[0].clone(), lengths], arrays[1..].to_vec()].concat();
        goes_round(&format!("{class} of lengths from states"), &graph, &arrays);
    }
}

#[test]
fn the_mask_of_another_value_goes_round() {
    for (class, cell) in cells() {
        let (x, y) =
            (Input::sequence(STEPS, 3).name("x").symbol(), Input::tokens(STEPS).name("words").symbol());
        let other = y.layer(Embedding::new(6, 3).mask_zero(true)).unwrap();
        let behind = with_mask_of(&x, &other).unwrap();
        let outputs = run(with(&cell, &json!({"return_sequences": true})), &[&behind]);
        let graph = Graph::new(&[&x, &y], &[&outputs[0], &other]).unwrap();
        goes_round(&format!("{class} with_mask_of"), &graph, &[state_like_sequence(), words()]);
    }
}

fn state_like_sequence() -> ArrayD<f32> {
    ArrayD::from_shape_fn(vec![5, STEPS, 3], |at| ((at[0] * 13 + at[1] * 5 + at[2]) as f32).sin())
}

fn written(layers: Sequential) -> Vec<u8> {
    let model = built(&layers.graph().unwrap(), &Device::cpu());
    onnx::write(&PortableModel::of(&model).unwrap()).unwrap()
}

/// Each of the numbers that a file draws a sequence together by has to be what it is.
#[test]
fn sequences_that_are_drawn_together_otherwise_are_refused() {
    let backwards = Lstm::new(3).return_sequences(true).go_backwards(true);
    let bytes = written(Sequential::new(Input::sequence(STEPS, 3)).layer(Masking::new(0.0)).layer(backwards));
    assert!(onnx::read(&bytes, &Limits::default()).is_ok());
    // An attribute's name, then its value: field 3, a number.
    for (name, value) in [("largest", 1), ("sorted", 1), ("exclusive", 1), ("batch_dims", 1)] {
        let attribute = [name.as_bytes(), &[0x18, value]].concat();
        let at = bytes.windows(attribute.len()).position(|part| part == attribute);
        let at = at.unwrap_or_else(|| panic!("{name} is in the file"));
        let mut changed = bytes.clone();
        changed[at + name.len() + 1] = 0;
        let error = onnx::read(&changed, &Limits::default()).expect_err(name).to_string();
        let of_masks = ["the steps of a mask may be drawn together", "truth values that are computed"];
        assert!(of_masks.iter().any(|text| error.contains(text)), "{name}: {error}");
    }
}

/// Sequences with gaps, words, and sequences of which the first steps are there, also of any length, behind `layers`.
fn in_all_ways(name: &str, layers: impl Fn(Symbol) -> Symbol) {
    let x = Input::sequence(STEPS, 3).name("x").symbol();
    let graph = Graph::new(&[&x], &[&layers(masked(&x))]).unwrap();
    goes_round(&format!("{name} behind gaps"), &graph, &[sequence()]);
    let tokens = Input::tokens(None).name("words").symbol();
    let y = tokens.layer(Embedding::new(6, 3).mask_zero(true)).unwrap();
    goes_round(&format!("{name} of words"), &Graph::new(&[&tokens], &[&layers(y)]).unwrap(), &[words()]);
    for steps in [Some(STEPS), None] {
        let (x, lengths) =
            (Input::sequence(steps, 3).name("x").symbol(), Input::vector(1).name("lens").symbol());
        let short = run(Lengths::new().into(), &[&x, &lengths]).swap_remove(0);
        let graph = Graph::new(&[&x, &lengths], &[&layers(short)]).unwrap();
        let lengths = ArrayD::from_shape_fn(vec![5, 1], |at| [0.0, 6.0, 3.0, 1.0, 5.0][at[0]]);
        goes_round(&format!("{name} of {steps:?} steps"), &graph, &[state_like_sequence(), lengths]);
    }
}

#[test]
fn poolings_and_softmaxes_that_leave_masked_steps_out_go_round() {
    for keep in [false, true] {
        in_all_ways("mean", |x| x.layer(GlobalAveragePooling1D::new().keepdims(keep)).unwrap());
        in_all_ways("largest", |x| x.layer(GlobalMaxPooling1D::new().masked(true).keepdims(keep)).unwrap());
    }
    for axis in [1, -1] {
        in_all_ways("shares", |x| x.layer(SoftmaxLayer::new().axis(axis)).unwrap());
    }
    let x = Input::sequence(STEPS, 3).name("x").symbol();
    let y = masked(&x).layer(Gru::new(3).return_sequences(true)).unwrap();
    let shares = y.layer(Dense::new(1)).unwrap().layer(SoftmaxLayer::new().axis(1)).unwrap();
    let attended = run(Dot::new([1, 1]).into(), &[&shares, &y]).swap_remove(0);
    goes_round("attention", &Graph::new(&[&x], &[&attended]).unwrap(), &[sequence()]);
}

#[test]
fn outputs_that_repeat_themselves_and_zeros_beside_states_go_round() {
    for (class, cell) in cells() {
        in_all_ways(&format!("{class} twice"), |x| {
            let y = x.layer(with(&cell, &json!({"return_sequences": true}))).unwrap();
            y.layer(with(&cell, &json!({"return_sequences": true}))).unwrap()
        });
        let options = json!({"return_sequences": true, "return_state": true, "zero_output_for_mask": true});
        in_all_ways(&format!("{class} zeros and states"), |x| {
            let outputs = run(with(&cell, &options), &[&x]);
            let last = outputs[1].layer(Dense::new(3)).unwrap();
            let y = outputs[0].layer(GlobalAveragePooling1D::new()).unwrap();
            run(Add::new().into(), &[&y, &last]).swap_remove(0)
        });
    }
}

/// Masks of two values of which either counts.
#[test]
fn merges_of_masked_values_go_round() {
    let x = Input::sequence(STEPS, 3).name("x").symbol();
    let tokens = Input::tokens(STEPS).name("words").symbol();
    let words_masked = tokens.layer(Embedding::new(6, 3).mask_zero(true)).unwrap();
    let merges: [Layer; 3] = [Add::new().into(), Multiply::new().into(), Concatenate::new().into()];
    for merge in merges {
        let class = merge.class();
        let behind = |merged: &Symbol| merged.layer(Gru::new(3).return_sequences(true)).unwrap();
        let y = behind(&run(merge.clone(), &[&masked(&x), &words_masked]).swap_remove(0));
        let graph = Graph::new(&[&x, &tokens], &[&y]).unwrap();
        goes_round(&format!("{class} of two"), &graph, &[sequence(), words()]);
        let y = behind(&run(merge.clone(), &[&x, &words_masked, &masked(&x)]).swap_remove(0));
        let graph = Graph::new(&[&x, &tokens], &[&y]).unwrap();
        goes_round(&format!("{class} of three, one without a mask"), &graph, &[sequence(), words()]);
        let y =
            behind(&run(merge, &[&words_masked, &words_masked.layer(Dense::new(3)).unwrap()]).swap_remove(0));
        goes_round(&format!("{class} of one mask"), &Graph::new(&[&tokens], &[&y]).unwrap(), &[words()]);
    }
}

/// States of a stateful layer are inputs and outputs of the file: fed back, they carry a stream on.
#[test]
fn a_stream_is_carried_on_by_the_states_of_the_file() {
    for (class, cell) in cells() {
        for both in [false, true] {
            let layer = with(&cell, &json!({"return_sequences": true, "stateful": true}));
            let layer: Layer = if both { Bidirectional::new(layer).into() } else { layer };
            let x = Input::sequence(3, 3).name("x").symbol();
            let y = x.layer(SharedLayer::new(layer).name("flow")).unwrap().layer(Dense::new(2)).unwrap();
            let mut model = built(&Graph::new(&[&x], &[&y]).unwrap(), &Device::cpu());
            let file = onnx::write(&PortableModel::of(&model).unwrap()).unwrap();
            let read = onnx::read(&file, &Limits::default()).unwrap_or_else(|e| panic!("{class}: {e}"));
            let names: Vec<String> =
                read.graph.inputs()[1..].iter().map(|input| input.name.clone()).collect();
            let of_cell: &[&str] = if class == "LSTM" { &["h", "c"] } else { &["h"] };
            let directions: &[&str] = if both { &["flow_forward_", "flow_backward_"] } else { &["flow_"] };
            let expected: Vec<String> =
                directions.iter().flat_map(|way| of_cell.iter().map(move |s| format!("{way}{s}"))).collect();
            assert_eq!(names, expected, "{class}");
            let mut again = read.build(&Device::cpu()).unwrap();
            let mut states = vec![ArrayD::zeros(vec![5, 3]); names.len()];
            for part in [0, 3] {
                let whole = state_like_sequence();
                let steps = whole.slice_axis(Axis(1), (part..part + 3).into()).to_owned();
                let want = model.predict_on_batch(&steps).unwrap();
                let mut got = again.predict_outputs(&[vec![steps], states].concat()).unwrap();
                let failures = apart(&format!("{class} from step {part}"), &got.remove(0), &want);
                assert_eq!(failures, None);
                states = got;
            }
        }
    }
}

#[test]
fn masks_that_no_operator_can_be_told_are_refused_by_name() {
    let (x, series) = (Input::sequence(STEPS, 3).symbol(), Input::tokens(STEPS).symbol());
    let rows = apply(Packed::new(), &[&x, &series]).unwrap().swap_remove(0);
    let graph = Graph::new(&[&x, &series], &[&rows.layer(Lstm::new(3)).unwrap()]).unwrap();
    let model = built(&graph, &Device::cpu());
    let error = onnx::write(&PortableModel::of(&model).unwrap()).unwrap_err().to_string();
    assert!(error.contains("Packed"), "{error}");
}
