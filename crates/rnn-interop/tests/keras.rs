//! Models that Keras 3 has saved (`scripts/interop_keras.py --goldens`), read here without it: predictions, ten further training
//! steps, and the way out and in again.

#[path = "common/devices.rs"]
mod devices;
#[path = "keras_parts/masks.rs"]
mod masks;
#[path = "keras_parts/weights.rs"]
mod weights;

use devices::devices;
use ndarray::ArrayD;
use rnn_interop::{Arrays, Error, Limits, PortableModel, ReadOptions, decode, keras, read_npz};
use rnn_model::layer::{Dense, Lstm};
use rnn_model::{Device, Input, Model, Sequential};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// Both compute in f32, in another order: sums of a few dozen products of numbers around 1.
const PREDICTIONS: f32 = 1e-5;
/// Of themselves, after up to ten steps that each carry such differences on.
const LOSSES: f64 = 1e-4;

struct Case {
    name: String,
    settings: Value,
    file: PathBuf,
    bytes: Vec<u8>,
    numbers: Arrays,
}

impl Case {
    fn read(folder: &Path) -> Case {
        let read = |name: &str| {
            std::fs::read(folder.join(name)).unwrap_or_else(|e| panic!("{folder:?}/{name}: {e}"))
        };
        let settings: Value = serde_json::from_slice(&read("case.json")).unwrap();
        let file = PathBuf::from(settings["model"].as_str().unwrap());
        Case {
            name: folder.file_name().unwrap().to_string_lossy().into_owned(),
            bytes: read(file.to_str().unwrap()),
            numbers: read_npz(&read("numbers.npz"), &Limits::default()).unwrap(),
            file,
            settings,
        }
    }

    fn arrays(&self, key: &str) -> Vec<ArrayD<f32>> {
        (0..).map_while(|i| self.numbers.get(&format!("{key}{i}")).cloned()).collect()
    }

    fn model(&self) -> PortableModel {
        let file = decode(&self.bytes, Some(&self.file), &ReadOptions::default());
        file.unwrap_or_else(|e| panic!("{}: {e}", self.name)).model
    }
}

fn cases() -> Vec<Case> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/keras");
    let mut folders: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    folders.sort();
    let cases: Vec<Case> = folders.iter().map(|folder| Case::read(folder)).collect();
    assert!(cases.len() >= 15, "{} goldens", cases.len());
    cases
}

fn assert_close(name: &str, expected: &[ArrayD<f32>], got: &[ArrayD<f32>]) {
    assert_eq!(expected.len(), got.len(), "{name}");
    for (e, g) in expected.iter().zip(got) {
        assert_eq!(e.shape(), g.shape(), "{name}");
        // A difference that is NaN is not below the limit.
        let close = e.iter().zip(g).all(|(e, g)| (e - g).abs() < PREDICTIONS);
        assert!(close, "{name}: expected {e}, got {g}");
    }
}

fn built(model: &PortableModel, name: &str) -> Model {
    model.build(&Device::cpu()).unwrap_or_else(|e| panic!("{name}: {e}"))
}

#[test]
fn models_predict_and_train_on_as_in_keras() {
    for device in devices() {
        for case in cases() {
            predicts_and_trains_on(&case, &device);
        }
    }
}

fn predicts_and_trains_on(case: &Case, device: &Device) {
    let name = &format!("{} on {}", case.name, device.name());
    let mut model = case.model().build(device).unwrap_or_else(|e| panic!("{name}: {e}"));
    let (x, y) = (case.arrays("x"), case.arrays("y"));
    assert_close(name, &case.arrays("expected"), &model.predict_outputs(&x).unwrap());
    let losses: Vec<f64> = serde_json::from_value(case.settings["losses"].clone()).unwrap();
    assert_eq!(losses.len() as u64, case.settings["steps"].as_u64().unwrap());
    for (step, loss) in losses.iter().enumerate() {
        let got = model.train_on_batch(&x, &y).unwrap().loss();
        assert!(
            (got - loss).abs() < LOSSES * loss.abs().max(1e-3),
            "{name}, step {step}: expected {loss}, got {got}"
        );
    }
    // Ten times the limit of the first predictions: each step adds to the difference.
    for (e, g) in case.arrays("after").iter().zip(&model.predict_outputs(&x).unwrap()) {
        assert!(
            e.iter().zip(g).all(|(e, g)| (e - g).abs() < 10.0 * PREDICTIONS),
            "{name}: expected {e}, got {g}"
        );
    }
}

#[test]
fn what_is_written_is_read_again_as_it_was() {
    for case in cases() {
        let name = &case.name;
        let mut model = built(&case.model(), name);
        let (x, y) = (case.arrays("x"), case.arrays("y"));
        model.train_on_batch(&x, &y).unwrap();
        let portable = PortableModel::of(&model).unwrap();
        let limits = Limits::default();
        let keras_file = keras::write_keras(&portable).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(keras_file, keras::write_keras(&portable).unwrap(), "{name}: other bytes the second time");
        let h5 = keras::write_h5(&portable).unwrap();
        let weights = keras::write_weights(&portable).unwrap();
        let mut readings = Vec::new();
        readings.push(keras::read_keras(&keras_file, &limits).unwrap_or_else(|e| panic!("{name}: {e}")));
        readings.push(keras::read_h5(&h5, &limits).unwrap_or_else(|e| panic!("{name}: {e}")));
        let next = model.train_on_batch(&x, &y).unwrap().loss();
        for read in readings {
            assert!(read.notes.is_empty(), "{name}: {:?}", read.notes);
            let mut again = built(&read, name);
            // The same numbers, and the optimizer goes on where it was.
            let loss = again.train_on_batch(&x, &y).unwrap().loss();
            assert!((loss - next).abs() <= 1e-6 * next.abs(), "{name}: expected {next}, got {loss}");
        }
        let read =
            keras::read_weights(&weights, &portable.graph, &limits).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(read, portable.weights, "{name}");
        let read =
            keras::read_weights(&h5, &portable.graph, &limits).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(read, portable.weights, "{name}");
    }
}

#[test]
fn weights_of_another_model_are_refused() {
    let device = Device::cpu();
    let small = Sequential::new(Input::sequence(5, 3)).layer(Lstm::new(4)).layer(Dense::new(2));
    let portable = PortableModel::of(&small.build(&device).unwrap()).unwrap();
    let weights = keras::write_weights(&portable).unwrap();
    let limits = Limits::default();
    let message = |model: Sequential| {
        keras::read_weights(&weights, &model.graph().unwrap(), &limits).unwrap_err().to_string()
    };
    let wider = Sequential::new(Input::sequence(5, 3)).layer(Lstm::new(5)).layer(Dense::new(2));
    let text = message(wider);
    assert!(text.contains("lstm/kernel") && text.contains("[3, 20]") && text.contains("[3, 16]"), "{text}");
    let deeper =
        Sequential::new(Input::sequence(5, 3)).layer(Lstm::new(4)).layer(Dense::new(2)).layer(Dense::new(2));
    assert!(message(deeper).contains("layers/dense_1/vars/0"));
    let shorter = Sequential::new(Input::sequence(5, 3)).layer(Lstm::new(4));
    assert!(message(shorter).contains("layers/dense/vars/0"));
}

#[test]
fn every_cut_of_a_small_file_is_refused() {
    for case in
        cases().into_iter().filter(|case| ["lstm_plain", "optimizer_adam"].contains(&case.name.as_str()))
    {
        // Every byte of the ends, and a sample between them.
        let length = case.bytes.len();
        let cuts = (0..length).filter(|at| *at < 64 || *at + 64 > length || at % 97 == 0);
        for at in cuts {
            let cut = &case.bytes[..at];
            let limits = Limits::default();
            let read = match case.file.extension().and_then(|e| e.to_str()) {
                Some("h5") => keras::read_h5(cut, &limits),
                _ => keras::read_keras(cut, &limits),
            };
            assert!(
                matches!(read, Err(Error::Damaged { .. } | Error::Unsupported { .. } | Error::Limit { .. })),
                "{}: {at}",
                case.name
            );
        }
    }
}
