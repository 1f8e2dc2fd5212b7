//! ONNX models of the `onnx` package's own tests, of exporters and built by hand (`scripts/interop_onnx.py goldens`), read and
//! run on both devices, written and read again.

#[path = "common/devices.rs"]
mod devices;
#[path = "onnx_parts/masks.rs"]
mod masks;
#[path = "common/message.rs"]
mod message;
#[path = "onnx_parts/orders.rs"]
mod orders;
#[path = "onnx_parts/round_trip.rs"]
mod round_trip;

use devices::devices;
use ndarray::{ArrayD, IxDyn};
use rnn_interop::onnx::{self, Imported, Options};
use rnn_interop::{Error, Limits};
use rnn_model::Device;
use safetensors::SafeTensors;
use std::collections::BTreeMap;

/// Relative to the largest magnitude of an output, which counts as at least 1. One rounding of f32 is 6e-8; an output is the end
/// of a chain of at most 2 layers of 7 steps, each of some ten roundings beside a sum of at most 20 products.
const TOLERANCE: f64 = 1e-5;

struct Case {
    name: String,
    bind: Vec<String>,
    model: Vec<u8>,
    inputs: BTreeMap<String, ArrayD<f32>>,
    outputs: BTreeMap<String, ArrayD<f32>>,
}

fn cases(family: &str) -> Vec<Case> {
    let path = format!("{}/tests/goldens/onnx_{family}.safetensors", env!("CARGO_MANIFEST_DIR"));
    let bytes = std::fs::read(&path).unwrap_or_else(|e| panic!("{path}: {e}"));
    let (_, metadata) = SafeTensors::read_metadata(&bytes).unwrap();
    let listed: serde_json::Value =
        serde_json::from_str(&metadata.metadata().as_ref().unwrap()["cases"]).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let case = |listed: &serde_json::Value| {
        let name = listed["name"].as_str().unwrap().to_owned();
        let mut case = Case {
            bind: serde_json::from_value(listed["bind"].clone()).unwrap(),
            model: tensors.tensor(&format!("{name}/model")).unwrap().data().to_vec(),
            inputs: BTreeMap::new(),
            outputs: BTreeMap::new(),
            name,
        };
        for (key, view) in tensors.tensors() {
            let Some(rest) = key.strip_prefix(&format!("{}/", case.name)) else { continue };
            let Some((side, name)) = rest.split_once('/') else { continue };
            let values = view.data().as_chunks::<4>().0.iter().map(|&b| f32::from_le_bytes(b)).collect();
            let array = ArrayD::from_shape_vec(IxDyn(view.shape()), values).unwrap();
            let side = if side == "in" { &mut case.inputs } else { &mut case.outputs };
            side.insert(name.to_owned(), array);
        }
        case
    };
    listed.as_array().unwrap().iter().map(case).collect()
}

fn read(case: &Case) -> Imported {
    let options =
        case.bind.iter().fold(Options::new(), |options, name| options.bind(name, case.inputs[name].clone()));
    onnx::read_with(&case.model, &Limits::default(), &options)
        .unwrap_or_else(|e| panic!("{}: {e}", case.name))
}

/// What the model makes of arrays that have the batch first.
fn run(imported: &Imported, inputs: &[ArrayD<f32>], device: &Device) -> Vec<ArrayD<f32>> {
    imported.model.build(device).unwrap().predict_outputs(inputs.to_vec().as_slice()).unwrap()
}

fn apart(what: &str, got: &ArrayD<f32>, want: &ArrayD<f32>) -> Option<String> {
    if got.shape() != want.shape() {
        return Some(format!("{what}: shape {:?}, expected {:?}", got.shape(), want.shape()));
    }
    let largest = want.iter().fold(1.0f64, |m, &w| m.max(f64::from(w).abs()));
    let far = |(g, w): (&f32, &f32)| (f64::from(*g) - f64::from(*w)).abs() / largest;
    let worst = got
        .iter()
        .zip(want)
        .map(far)
        .fold(0.0, |m: f64, d| if d.is_nan() { f64::INFINITY } else { m.max(d) });
    (worst > TOLERANCE).then(|| format!("{what}: off by {worst:.1e}"))
}

/// All cases of a family on all devices, and the CPU's again from the file that we write.
fn check(family: &str, expected: usize) {
    let cases = cases(family);
    assert_eq!(cases.len(), expected);
    let mut failures = Vec::new();
    for device in devices() {
        for case in &cases {
            let imported = read(case);
            let inputs: Vec<ArrayD<f32>> =
                imported.inputs.iter().map(|port| port.to_batch_first(&case.inputs[&port.name])).collect();
            let made = run(&imported, &inputs, &device);
            assert_eq!(imported.outputs.len(), case.outputs.len(), "{}", case.name);
            for (port, got) in imported.outputs.iter().zip(&made) {
                let what = format!("{} on {}: {}", case.name, device.name(), port.name);
                failures.extend(apart(&what, &port.from_batch_first(got), &case.outputs[&port.name]));
            }
            if device.name() != Device::cpu().name() {
                continue;
            }
            let written = match onnx::write(&imported.model) {
                Ok(written) => written,
                // What ONNX's recurrent operators have no form for.
                Err(Error::Unsupported { .. }) if case.name.contains("silu") => continue,
                Err(error) => panic!("{}: {error}", case.name),
            };
            let again = onnx::read_with(&written, &Limits::default(), &Options::new())
                .unwrap_or_else(|e| panic!("{} written: {e}", case.name));
            assert!(again.inputs.iter().chain(&again.outputs).all(|port| port.batch_axis == 0));
            for (i, (got, want)) in run(&again, &inputs, &device).iter().zip(&made).enumerate() {
                failures.extend(apart(&format!("{} written: output {i}", case.name), got, want));
            }
        }
    }
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn the_recurrent_node_tests_of_the_onnx_package_pass() {
    check("node_tests", 18);
}

#[test]
fn models_of_exporters_and_by_hand_give_the_numbers_of_onnx_runtime() {
    check("models", 78);
}

/// Every cut of a file is an error, and none a panic.
#[test]
fn files_cut_anywhere_are_refused() {
    let cases = cases("models");
    let case = cases.iter().find(|case| case.name == "last_step").unwrap();
    for len in 0..case.model.len() {
        let cut = onnx::read(&case.model[..len], &Limits::default());
        assert!(cut.is_err(), "the first {len} bytes");
    }
}

#[test]
fn limits_hold() {
    let case = cases("models").swap_remove(0);
    let small = |limits: Limits| onnx::read(&case.model, &limits).unwrap_err();
    for limits in [
        Limits { file_bytes: 10, ..Limits::default() },
        Limits { members: 0, ..Limits::default() },
        Limits { tensors: 1, ..Limits::default() },
        Limits { elements: 10, ..Limits::default() },
        Limits { rank: 1, ..Limits::default() },
        Limits { name_bytes: 0, ..Limits::default() },
    ] {
        let error = small(limits);
        assert!(matches!(error, Error::Limit { .. }), "{limits:?}: {error}");
    }
}

#[test]
fn weights_that_are_inputs_must_be_bound() {
    let case = cases("node_tests").swap_remove(0);
    let error = onnx::read(&case.model, &Limits::default()).unwrap_err().to_string();
    assert!(error.contains("(GRU)") && error.contains("bind()"), "{error}");
    let none =
        onnx::read_with(&case.model, &Limits::default(), &Options::new().bind("Z", ArrayD::zeros(vec![1])));
    assert_eq!(none.unwrap_err().to_string(), "input Z: the model has no such input to bind");
}

/// A file that is read keeps on training here.
#[test]
fn an_imported_model_trains_on() {
    let cases = cases("models");
    let case = cases.iter().find(|case| case.name == "last_step").unwrap();
    let mut model = read(case).model.build(&Device::cpu()).unwrap();
    model
        .compile(rnn_model::Adam::new().learning_rate(0.05), rnn_model::Loss::MeanSquaredError, &[])
        .unwrap();
    let x = &case.inputs["x"];
    let y = ArrayD::from_elem(vec![x.shape()[0], 2], 0.25f32);
    let losses: Vec<f64> = (0..30).map(|_| model.train_on_batch(x, &y).unwrap().loss()).collect();
    assert!(losses[29] < 0.2 * losses[0], "{losses:?}");
}

/// The same file with a name of as many bytes in place of another, wherever it stands.
fn renamed(file: &[u8], from: &str, to: &str) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let mut file = file.to_vec();
    let at: Vec<usize> =
        (0..file.len() - from.len()).filter(|&i| &file[i..i + from.len()] == from.as_bytes()).collect();
    assert!(!at.is_empty(), "{from}");
    at.into_iter().for_each(|at| file[at..at + to.len()].copy_from_slice(to.as_bytes()));
    file
}

/// What is no recurrent layer is refused by the place in the loop's body, and by what it is.
#[test]
fn loops_that_are_no_recurrent_layer_are_refused_by_name() {
    let cases = cases("models");
    let case = cases.iter().find(|case| case.name == "gru_open_tensorflow").unwrap();
    for (from, to, problem) in [
        ("Sigmoid", "Sigmond", "it is no part of a cell that is recognised"),
        ("Less", "Mess", "an operator that is not among those of recurrent models"),
        ("Tanh", "Tank", "it is no part of a cell that is recognised"),
        // 1 - z becomes 1 + z
        ("Sub", "Add", "no LSTM, GRU or SimpleRNN cell"),
        ("Loop", "Scan", "starts from a number that is not known"),
    ] {
        let file = renamed(&case.model, from, to);
        let error = onnx::read(&file, &Limits::default()).unwrap_err().to_string();
        assert!(error.contains(problem) && error.contains("node "), "{from}: {error}");
    }
}
