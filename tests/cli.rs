//! The program `tidegate` as a person or a script meets it: results, files, exit codes.
#![cfg(feature = "cli")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

const AIRLINE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/data/airline-passengers.csv");

/// Runs in a folder of its own, on the CPU device.
fn tidegate(folder: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
    command.current_dir(folder).args(args).env("NO_COLOR", "1");
    if !args.contains(&"--device") && args.first() != Some(&"devices") {
        command.args(["--device", "cpu"]);
    }
    command.output().expect("the program starts")
}

fn ok(folder: &Path, args: &[&str]) -> String {
    let output = tidegate(folder, args);
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{args:?}: {:?}\n{out}\n{err}", output.status);
    out.into_owned()
}

fn json(folder: &Path, args: &[&str]) -> Value {
    let text = ok(folder, args);
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{args:?}: {error}\n{text}"))
}

/// The exit code and what was said.
fn fails(folder: &Path, args: &[&str]) -> (i32, String) {
    let output = tidegate(folder, args);
    assert!(
        output.stdout.is_empty(),
        "{args:?}: data of a failure: {}",
        String::from_utf8_lossy(&output.stdout)
    );
    (output.status.code().unwrap_or(-1), String::from_utf8_lossy(&output.stderr).into_owned())
}

fn number(value: &Value, key: &str) -> f64 {
    value[key].as_f64().unwrap_or_else(|| panic!("{key} in {value}"))
}

/// A `.npy` file of f32.
fn npy(path: &Path, shape: &str, values: &[f32]) {
    let header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}\n");
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
    fs::write(path, bytes).unwrap();
}

#[test]
fn the_demo_beats_both_naive_forecasts() {
    let folder = tempfile::tempdir().unwrap();
    for seed in ["0", "1", "2", "3", "4"] {
        let result = json(folder.path(), &["demo", "--json", "--seed", seed, "--out", "out"]);
        let (last, seasonal) = (number(&result, "naive_last_rmse"), number(&result, "naive_seasonal_rmse"));
        assert!((last - 48.0).abs() < 0.1 && (seasonal - 41.9).abs() < 0.1, "{last} {seasonal}");
        // 60 seeds of the same model in PyTorch: 14.4 to 16.3 one month ahead, 28.9 to 36.7 twelve ahead.
        assert!((12.0..18.0).contains(&number(&result, "test_rmse")), "{result}");
        let year = number(&result, "test_rmse_12_months_ahead");
        assert!(year < number(&result, "naive_seasonal_rmse_12_months_ahead"), "{result}");
        assert!(number(&result, "train_rmse") < 15.0, "{result}");
        for key in ["model", "plot", "csv"] {
            assert!(
                folder.path().join(result[key].as_str().unwrap()).metadata().unwrap().len() > 1000,
                "{key}"
            );
        }
    }
    let csv = fs::read_to_string(folder.path().join("out/airline.csv")).unwrap();
    assert_eq!(csv.lines().count(), 1 + 144 + 12);
    assert!(csv.lines().last().unwrap().starts_with("1961-12,future,"));
    assert_eq!(fs::read(folder.path().join("out/airline.png")).unwrap()[..8], *b"\x89PNG\r\n\x1a\n");
}

#[test]
fn one_seed_gives_one_result() {
    let folder = tempfile::tempdir().unwrap();
    for out in ["a", "b"] {
        ok(folder.path(), &["demo", "--quiet", "--seed", "9", "--out", out]);
    }
    let read = |out: &str, file: &str| fs::read(folder.path().join(out).join(file)).unwrap();
    for file in ["airline.safetensors", "airline.csv", "airline.png"] {
        assert_eq!(read("a", file), read("b", file), "{file}");
    }
}

/// 30 epochs, where `more` says nothing else.
fn train(folder: &Path, more: &[&str]) -> Value {
    let mut args = vec!["train", AIRLINE, "--json", "--quiet", "--test", "24", "--layers", "gru:8"];
    if !more.contains(&"--epochs") {
        args.extend(["--epochs", "30"]);
    }
    args.extend(more);
    json(folder, &args)
}

#[test]
fn train_forecast_predict_inspect() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path();
    let result =
        train(place, &["--look-back", "3", "--plot", "p/plot.png", "--output", "m/model.safetensors"]);
    assert!(number(&result, "test_rmse") < number(&result, "naive_seasonal_rmse"), "{result}");
    assert!(place.join("p/plot.png").exists());

    let model = "m/model.safetensors";
    let csv = ok(place, &["forecast", AIRLINE, "--model", model, "--steps", "3", "--plot", "f.png"]);
    let lines: Vec<&str> = csv.lines().collect();
    assert_eq!(lines[0], "row,passengers");
    assert!(
        lines.len() == 4 && lines[1].starts_with("1961-01,") && lines[3].starts_with("1961-03,"),
        "{csv}"
    );
    let result =
        json(place, &["forecast", AIRLINE, "--model", model, "--steps", "3", "--json", "--output", "f.csv"]);
    assert_eq!(fs::read_to_string(place.join("f.csv")).unwrap(), csv);
    assert_eq!(result["forecast"][2]["row"], "1961-03");

    npy(&place.join("x.npy"), "(2, 3, 1)", &[0.1, 0.2, 0.3, -0.4, 0.5, 0.6]);
    let result =
        json(place, &["predict", "--model", model, "--input", "x.npy", "--output", "y.npy", "--json"]);
    assert_eq!(result["output_shape"], serde_json::json!([2, 1]));
    assert!(fs::read(place.join("y.npy")).unwrap().starts_with(b"\x93NUMPY"));

    let result = json(place, &["inspect", model, "--json"]);
    assert_eq!((&result["epochs"], &result["params"]), (&30.into(), &(3 * 8 + 3 * 64 + 48 + 9).into()));
    let text = ok(place, &["inspect", model, "--plot", "drawn/model.svg"]);
    assert!(text.contains("GRU") && text.contains("log, difference 12, standard"), "{text}");
    let drawing = fs::read_to_string(place.join("drawn/model.svg")).unwrap();
    assert!(drawing.starts_with("<svg") && drawing.contains("gru (GRU)"), "{drawing}");
}

/// State dicts that PyTorch saved.
const TORCH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/crates/rnn-interop/tests/goldens/torch");

/// A folder with `m.safetensors`, a network of PyTorch, `x.npz` and `y.npz` with its input and output of the engine's names, and
/// the same as `x.npy` and `y.npy`.
fn from_torch(name: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path();
    fs::copy(format!("{TORCH}/{name}.safetensors"), place.join("m.safetensors")).unwrap();
    let cases = fs::read(format!("{TORCH}/cases.safetensors")).unwrap();
    let cases = safetensors::SafeTensors::deserialize(&cases).unwrap();
    for (field, array) in [("x", "input"), ("y", "fc")] {
        let view = cases.tensor(&format!("{name}/{field}")).unwrap();
        let values = view.data().as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
        let values = ndarray::ArrayD::from_shape_vec(view.shape(), values).unwrap();
        fs::write(place.join(format!("{field}.npy")), rnn_interop::write_npy(&values)).unwrap();
        let arrays = rnn_interop::Arrays::from([(array.to_owned(), values)]);
        fs::write(place.join(format!("{field}.npz")), rnn_interop::write_npz(&arrays).unwrap()).unwrap();
    }
    folder
}

const LAST: [&str; 2] = ["--torch", "output=last"];

#[test]
fn a_model_of_pytorch_is_verified_converted_and_trained() {
    let folder = from_torch("forecaster");
    let place = folder.path();
    let verify = |model: &str, more: &[&str]| {
        let args = ["verify", "--model", model, "--inputs", "x.npz", "--expected", "y.npz", "--json", "-q"];
        json(place, &[&args[..], more].concat())
    };
    let result = verify("m.safetensors", &LAST);
    assert_eq!(result["passed"], true);
    // Both are f32 of numbers of about 1.
    assert!(number(&result["outputs"][0], "max_abs_difference") < 1e-6, "{result}");

    let text = ok(place, &[&["inspect", "m.safetensors"][..], &LAST].concat());
    assert!(text.contains("lstm (LSTM)") && text.contains("Total params: 329"), "{text}");
    let text = ok(place, &["inspect", "m.safetensors"]);
    assert!(text.contains("`lstm` = nn.LSTM(1, 8)") && text.contains("output=last"), "{text}");

    // Through every format that is written, and back.
    ok(place, &[&["convert", "m.safetensors", "own.safetensors"][..], &LAST].concat());
    assert_eq!(verify("own.safetensors", &[])["passed"], true);
    ok(place, &["convert", "own.safetensors", "w.npz"]);
    ok(place, &["convert", "w.npz", "again.safetensors", "--architecture", "own.safetensors"]);
    assert_eq!(verify("again.safetensors", &[])["passed"], true);
    let result = json(place, &["convert", "own.safetensors", "t.safetensors", "--to", "torch", "--json"]);
    assert_eq!((&result["from"], &result["to"]), (&"tidegate".into(), &"torch".into()));
    assert_eq!(verify("t.safetensors", &LAST)["passed"], true);
    // A state dict goes into a model built here without a word, too.
    assert_eq!(verify("t.safetensors", &["--architecture", "own.safetensors"])["passed"], true);

    let args = ["predict", "-m", "own.safetensors", "-i", "x.npz", "-o", "p/out.npz", "-q"];
    ok(place, &args);
    let out =
        rnn_interop::read_npz(&fs::read(place.join("p/out.npz")).unwrap(), &rnn_interop::Limits::default())
            .unwrap();
    assert_eq!(out["fc"].shape(), [3, 1]);

    // Trained on, in a format that comes from elsewhere; the loss falls.
    let args = [
        "train",
        "--model",
        "m.safetensors",
        "--x",
        "x.npy",
        "--y",
        "y.npz",
        "--loss",
        "mse",
        "--optimizer",
        "sgd",
    ];
    let more = [
        "--learning-rate",
        "0.1",
        "--batch-size",
        "2",
        "--epochs",
        "20",
        "--no-shuffle",
        "--history",
        "h/h.json",
    ];
    let result = json(
        place,
        &[&args[..], &more, &LAST, &["--json", "-q", "--metrics", "mae", "--seed", "3"]].concat(),
    );
    let history: Value = serde_json::from_slice(&fs::read(place.join("h/h.json")).unwrap()).unwrap();
    assert_eq!(history["loss"].as_array().unwrap().len(), 20);
    // It starts from what it is to give.
    assert!(history["mae"][0].as_f64().unwrap() < 1e-5, "{history}");
    assert_eq!(result["model"], "m-trained.safetensors");
    // Without a word on how, the training goes on as it was.
    let args =
        ["train", "--model", "m-trained.safetensors", "--x", "x.npy", "--y", "y.npy", "--epochs", "3", "-q"];
    ok(place, &[&args[..], &["--output", "on.safetensors", "--batch-size", "2"]].concat());
    let result = json(place, &["inspect", "on.safetensors", "--json"]);
    assert_eq!(
        (&result["epochs"], &result["iterations"], &result["format"]),
        (&23.into(), &46.into(), &"tidegate".into())
    );
}

#[test]
fn every_format_holds_the_same_model() {
    let folder = from_torch("forecaster");
    let place = folder.path();
    ok(place, &[&["convert", "m.safetensors", "own.safetensors"][..], &LAST].concat());
    for file in ["a.keras", "a.h5", "a.weights.h5", "a.onnx", "a.npz"] {
        ok(place, &["convert", "own.safetensors", file]);
        let weights_alone = file == "a.weights.h5" || file == "a.npz";
        let architecture: &[&str] = if weights_alone { &["--architecture", "own.safetensors"] } else { &[] };
        let verify = ["verify", "-m", file, "--inputs", "x.npy", "--expected", "y.npy", "-q"];
        ok(place, &[&verify[..], architecture].concat());
        let text = ok(place, &[&["inspect", file][..], architecture].concat());
        assert!(text.contains("Total params: 329"), "{file}: {text}");
        // Under another name the contents tell.
        fs::copy(place.join(file), place.join("nameless")).unwrap();
        if !weights_alone {
            ok(place, &["inspect", "nameless"]);
        }
    }
    // What it was compiled with goes along, and the training goes on.
    let args = [
        "train", "--model", "a.keras", "--x", "x.npy", "--y", "y.npy", "-q", "--epochs", "2", "--output",
        "b.keras",
    ];
    ok(place, &[&args[..], &["--loss", "mae", "--optimizer", "rmsprop"]].concat());
    let args = [
        "train", "--model", "b.keras", "--x", "x.npy", "--y", "y.npy", "-q", "--epochs", "1", "--output",
        "c.h5",
    ];
    ok(place, &args);
    let result = json(place, &["inspect", "c.h5", "--json"]);
    assert_eq!(
        (&result["iterations"], &result["training"]["optimizer"]["rule"]["name"]),
        (&3.into(), &"rmsprop".into()),
        "{result}"
    );
}

#[test]
fn rows_of_a_table_are_samples() {
    let folder = from_torch("forecaster");
    let place = folder.path();
    let arrays =
        rnn_interop::read_npy(&fs::read(place.join("x.npy")).unwrap(), &rnn_interop::Limits::default())
            .unwrap();
    let header: Vec<String> = (0..6).map(|step| format!("t{step}")).collect();
    let rows = arrays.outer_iter().map(|row| row.iter().map(f32::to_string).collect::<Vec<_>>().join(","));
    let table = std::iter::once(header.join(",")).chain(rows).collect::<Vec<_>>().join("\n");
    fs::write(place.join("x.csv"), table).unwrap();
    let args = ["verify", "-m", "m.safetensors", "--inputs", "x.csv", "--expected", "y.npy", "-q"];
    ok(place, &[&args[..], &LAST].concat());
}

#[test]
fn what_is_wrong_with_a_model_from_elsewhere_is_said() {
    let folder = from_torch("forecaster");
    let place = folder.path();
    let model = fs::read(place.join("m.safetensors")).unwrap();
    fs::write(place.join("cut.safetensors"), &model[..model.len() - 3]).unwrap();
    fs::write(place.join("m.keras"), &model).unwrap();
    fs::write(place.join("noise.safetensors"), [7; 300]).unwrap();
    fs::write(place.join("empty.h5"), "").unwrap();
    fs::write(place.join("lfs.onnx"), "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")
        .unwrap();
    fs::write(place.join("page.keras"), "\n<!DOCTYPE html><html></html>").unwrap();
    fs::write(place.join("old.pth"), b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.").unwrap();
    // The first member of a file of torch.save.
    let mut pickle = b"PK\x03\x04\x00\x00\x08\x08\x00\x00".to_vec();
    pickle.extend([0; 16]);
    pickle.extend(b"\x10\x00\x00\x00archive/data.pkl\x80\x02}q\x00.");
    fs::write(place.join("m.pt.safetensors"), pickle).unwrap();
    npy(&place.join("wide.npy"), "(1, 4, 2)", &[0.0; 8]);
    npy(&place.join("off.npy"), "(3, 1)", &[9.0; 3]);
    ok(place, &[&["convert", "m.safetensors", "own.safetensors"][..], &LAST].concat());
    let verify = |inputs: &'static str, expected: &'static str| {
        ["verify", "-m", "own.safetensors", "--inputs", inputs, "--expected", expected, "-q"]
    };
    let cases: &[(i32, &str, &[&str])] = &[
        (3, "output=last", &["predict", "-m", "m.safetensors", "-i", "x.npy", "-o", "y.npy"]),
        (3, "cut.safetensors", &["inspect", "cut.safetensors"]),
        (3, "--from torch", &["inspect", "m.keras"]),
        (3, "of another format", &["inspect", "noise.safetensors"]),
        (3, "the file is empty", &["inspect", "empty.h5"]),
        (3, "git lfs pull", &["inspect", "lfs.onnx"]),
        (3, "web page", &["inspect", "page.keras"]),
        (3, "save_file(model.state_dict()", &["inspect", "old.pth"]),
        (3, "save_file(model.state_dict()", &["inspect", "m.pt.safetensors"]),
        (3, "it is a folder", &["inspect", "."]),
        (
            3,
            "no such module",
            &["inspect", "m.safetensors", "--torch", "map=x:fc", "--architecture", "own.safetensors"],
        ),
        (2, "name it m.svg", &["inspect", "own.safetensors", "--plot", "m.png"]),
        (2, "which is read", &["convert", "own.safetensors", "./own.safetensors"]),
        (2, "which is read", &["predict", "-m", "own.safetensors", "-i", "x.npy", "-o", "x.npy"]),
        (2, "torch option", &["convert", "m.safetensors", "a.safetensors", "--torch", "output=first"]),
        (2, "there are tidegate", &["convert", "m.safetensors", "a.safetensors", "--from", "caffe"]),
        (2, "--to torch", &["convert", "own.safetensors", "a.pt"]),
        (2, "stands for no format", &["convert", "own.safetensors", "a.model"]),
        (3, "(--architecture FILE)", &["convert", "x.npz", "a.safetensors"]),
        (
            3,
            "no array of this name",
            &["convert", "x.npz", "a.safetensors", "--architecture", "own.safetensors"],
        ),
        (
            3,
            "its own architecture",
            &["convert", "own.safetensors", "a.npz", "--architecture", "own.safetensors"],
        ),
        (2, ".npy and .npz", &["predict", "-m", "own.safetensors", "-i", "x.npy", "-o", "y.txt"]),
        (2, ".parquet files", &["predict", "-m", "own.safetensors", "-i", "x.json", "-o", "y.npy"]),
        (
            2,
            "batch-size",
            &["predict", "-m", "own.safetensors", "-i", "x.npy", "-o", "z.npy", "--batch-size", "0"],
        ),
        (
            2,
            "tolerance",
            &[
                "verify",
                "-m",
                "own.safetensors",
                "--inputs",
                "x.npz",
                "--expected",
                "y.npz",
                "--tolerance",
                "nan",
            ],
        ),
        (3, "[1, 4, 2]", &verify("wide.npy", "y.npz")),
        (3, "model gives shape [3, 1]", &verify("x.npz", "x.npy")),
        (2, "--y", &["train", "--model", "own.safetensors", "--x", "x.npy"]),
        (
            2,
            "cannot be used with",
            &["train", AIRLINE, "--model", "own.safetensors", "--x", "x.npy", "--y", "y.npy"],
        ),
        (
            2,
            "cannot be used with",
            &["train", "--model", "own.safetensors", "--x", "x.npy", "--y", "y.npy", "--look-back", "3"],
        ),
        (2, "--model", &["train", AIRLINE, "--no-shuffle"]),
        (2, "give --loss", &["train", "--model", "own.safetensors", "--x", "x.npy", "--y", "y.npy"]),
        (
            2,
            "is not known",
            &["train", "--model", "own.safetensors", "--x", "x.npy", "--y", "y.npy", "--loss", "l3"],
        ),
        (
            2,
            "is saved as",
            &["train", "--model", "own.safetensors", "--x", "x.npy", "--y", "y.npy", "--output", "w.npz"],
        ),
    ];
    for (code, words, args) in cases {
        let (got, said) = fails(place, args);
        assert!(got == *code && said.contains(words), "{args:?}: code {got}, expected {code}\n{said}");
        assert!(!said.contains("panicked"), "{args:?}: {said}");
    }
    // What is past the tolerance is shown, too.
    let output = tidegate(place, &verify("x.npz", "off.npy"));
    assert_eq!(output.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&output.stdout).contains("3 of 3"));
    assert!(String::from_utf8_lossy(&output.stderr).contains("output fc: 3 of 3 values are off"));
    for left in ["a.safetensors", "a.npz", "y.txt", "z.npy"] {
        assert!(!place.join(left).exists(), "{left}");
    }
}

#[test]
fn settings_come_from_a_file_too() {
    let folder = tempfile::tempdir().unwrap();
    let toml = format!(
        "data = {AIRLINE:?}\noutput = 'toml.safetensors'\nepochs = 30\ntest = 24\nlook_back = 3\nlayers = ['gru:8']\n"
    );
    fs::write(folder.path().join("train.toml"), toml).unwrap();
    ok(folder.path(), &["train", "--config", "train.toml", "--quiet"]);
    train(folder.path(), &["--look-back", "3", "--output", "flags.safetensors"]);
    let read = |file: &str| fs::read(folder.path().join(file)).unwrap();
    assert_eq!(read("toml.safetensors"), read("flags.safetensors"));
}

#[test]
fn a_resumed_training_equals_an_uninterrupted_one() {
    let folder = tempfile::tempdir().unwrap();
    train(folder.path(), &["--output", "whole.safetensors"]);
    train(folder.path(), &["--output", "part.safetensors", "--epochs", "11"]);
    train(folder.path(), &["--output", "resumed.safetensors", "--resume", "part.safetensors"]);
    let read = |file: &str| fs::read(folder.path().join(file)).unwrap();
    assert_eq!(read("resumed.safetensors"), read("whole.safetensors"));
}

#[test]
fn several_columns_are_learnt_together() {
    let folder = tempfile::tempdir().unwrap();
    let rows = (0..80).map(|t| {
        let t = f64::from(t);
        format!("{},{:.4},{:.4}\n", 2000 + t as u32, (t * 0.5).sin(), (t * 0.5).cos() * 3.0 + 10.0)
    });
    fs::write(folder.path().join("w.csv"), "year,a,b\n".to_owned() + &rows.collect::<String>()).unwrap();
    let args =
        ["train", "w.csv", "--look-back", "4", "--epochs", "60", "--learning-rate", "0.01", "--json", "-q"];
    let result = json(folder.path(), &args);
    assert_eq!(result["columns"], serde_json::json!(["a", "b"]));
    assert!(number(&result, "test_rmse") < 0.5 * number(&result, "naive_last_rmse"), "{result}");
    let csv = ok(folder.path(), &["forecast", "w.csv", "--model", "model.safetensors", "--steps", "2"]);
    assert!(csv.starts_with("row,a,b\n2080,") && csv.lines().count() == 3, "{csv}");
}

#[test]
fn devices_are_listed() {
    let folder = tempfile::tempdir().unwrap();
    let list = json(folder.path(), &["devices", "--json"]);
    let first = &list.as_array().unwrap()[0];
    for key in ["name", "backend", "type", "driver", "supported"] {
        assert!(!first[key].is_null(), "{key}: {first}");
    }
    assert_eq!(first["name"], "cpu");
}

#[test]
fn the_bench_times_and_checks() {
    let folder = tempfile::tempdir().unwrap();
    let args = ["bench", "--workload", "W6,w2", "--seconds", "0.05", "--threads", "1", "--json", "--quiet"];
    let report = json(folder.path(), &args);
    assert_eq!(report["device"], "cpu");
    let results = report["results"].as_array().unwrap();
    assert_eq!(results.len(), 4);
    for result in results {
        let (least, median, most) =
            (number(result, "min_ms"), number(result, "median_ms"), number(result, "max_ms"));
        assert!(0.0 < least && least <= median && median <= most, "{result}");
        // f32 against f64: a hundred steps of sums of 160 products of size 1 round to about 1e-6.
        assert!(number(result, "gflops") > 0.0 && number(result, "max_abs_error") < 1e-4, "{result}");
    }
}

#[test]
fn every_failure_has_its_code_and_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path();
    train(place, &["--look-back", "3", "--output", "m.safetensors"]);
    let model = fs::read(place.join("m.safetensors")).unwrap();
    fs::write(place.join("cut.safetensors"), &model[..model.len() - 7]).unwrap();
    fs::write(place.join("text.safetensors"), "no model").unwrap();
    fs::write(place.join("short.csv"), "x\n1\n2\n").unwrap();
    fs::write(place.join("zero.csv"), "month,x\n2020-01,1\n2020-02,0\n2020-03,2\n2020-04,3\n").unwrap();
    fs::write(place.join("gap.csv"), "month,x\n2020-01,1\n2020-02,\n").unwrap();
    fs::write(place.join("two.csv"), "x,y\n1,2\n2,3\n").unwrap();
    npy(&place.join("wrong.npy"), "(1, 4, 1)", &[0.0; 4]);
    npy(&place.join("nan.npy"), "(1, 3, 1)", &[0.0, f32::NAN, 0.0]);
    npy(&place.join("cut.npy"), "(9, 3, 1)", &[0.0; 3]);
    let cases: &[(i32, &str, &[&str])] = &[
        (2, "Usage", &[]),
        (2, "unrecognized", &["trian"]),
        (2, "no series", &["train"]),
        (2, "conv:3", &["train", AIRLINE, "--layers", "conv:3"]),
        (2, "at least 0", &["train", AIRLINE, "--learning-rate", "-1"]),
        (2, "look-back", &["train", AIRLINE, "--look-back", "0"]),
        (2, "passenger", &["train", AIRLINE, "--columns", "passenger"]),
        (2, "steps", &["forecast", AIRLINE, "--model", "m.safetensors", "--steps", "0"]),
        (2, "W9", &["bench", "--workload", "W9"]),
        (2, "--threads", &["bench", "--threads", "0"]),
        (2, "already seen", &["train", AIRLINE, "--resume", "m.safetensors", "--epochs", "30"]),
        (3, "none.csv", &["train", "none.csv"]),
        (3, "at least", &["train", "short.csv"]),
        (3, "2020-02", &["train", "zero.csv", "--transform", "log", "--look-back", "1"]),
        (3, "line 3, column x", &["train", "gap.csv"]),
        (3, "trained on 1 column", &["forecast", "two.csv", "--model", "m.safetensors"]),
        (3, "needs 15", &["forecast", "short.csv", "--model", "m.safetensors"]),
        (3, "none.safetensors", &["forecast", AIRLINE, "--model", "none.safetensors"]),
        (3, "cut.safetensors", &["inspect", "cut.safetensors"]),
        (3, "text.safetensors", &["inspect", "text.safetensors"]),
        (
            3,
            "[1, 4, 1]",
            &["predict", "--model", "m.safetensors", "--input", "wrong.npy", "--output", "y.npy"],
        ),
        (3, "NaN", &["predict", "--model", "m.safetensors", "--input", "nan.npy", "--output", "y.npy"]),
        (3, "cut off", &["predict", "--model", "m.safetensors", "--input", "cut.npy", "--output", "y.npy"]),
        (4, "no such device", &["demo", "--device", "no such device"]),
        (7, "learning rate", &["train", AIRLINE, "--learning-rate", "1e30", "--epochs", "5"]),
    ];
    for (code, words, args) in cases {
        let (got, said) = if args.is_empty() {
            let output = Command::new(env!("CARGO_BIN_EXE_tidegate")).output().unwrap();
            (output.status.code().unwrap_or(-1), String::from_utf8_lossy(&output.stderr).into_owned())
        } else {
            fails(place, args)
        };
        assert!(got == *code && said.contains(words), "{args:?}: code {got}, expected {code}\n{said}");
        assert!(!said.contains("panicked"), "{args:?}: {said}");
    }
    assert!(!place.join("y.npy").exists(), "a failure leaves no file");
}

#[test]
fn what_can_not_be_written_is_said_before_training() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("file"), "").unwrap();
    let output: PathBuf = folder.path().join("file/model.safetensors");
    let args = ["train", AIRLINE, "--epochs", "1000000", "--output", output.to_str().unwrap()];
    let (code, said) = fails(folder.path(), &args);
    assert!(code == 1 && said.contains("can not be written"), "{code}: {said}");
}

#[test]
fn shells_get_completions() {
    let folder = tempfile::tempdir().unwrap();
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        assert!(ok(folder.path(), &["completions", shell]).contains("forecast"), "{shell}");
    }
}

/// Ctrl-C during training: code 130, a checkpoint, and a command that goes on from it.
#[cfg(unix)]
#[test]
fn an_interrupted_training_can_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_tidegate"))
        .current_dir(folder.path())
        .args(["train", AIRLINE, "--epochs", "100000000", "--device", "cpu", "--output", "i.safetensors"])
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    // The line about the windows comes just before training begins.
    let mut said = String::new();
    let mut stderr = std::io::BufReader::new(child.stderr.take().unwrap());
    while !said.contains("transform") {
        assert!(std::io::BufRead::read_line(&mut stderr, &mut said).unwrap() > 0, "{said}");
    }
    std::thread::sleep(std::time::Duration::from_millis(300));
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(130));
    std::io::Read::read_to_string(&mut stderr, &mut said).unwrap();
    assert!(said.contains("--resume i.checkpoint.safetensors"), "{said}");
    let result = json(folder.path(), &["inspect", "i.checkpoint.safetensors", "--json"]);
    assert!(result["epochs"].as_u64().unwrap() > 0, "{result}");
}
