//! The Rust half of `scripts/interop_keras.py`: for each case of a folder it reads the model that Keras saved, predicts,
//! writes it back, trains some steps, and writes it back again. The script compares.
//!
//! `cargo run --release -p rnn-interop --example keras_check -- FOLDER`

use ndarray::ArrayD;
use rnn_interop::{Arrays, Limits, PortableModel, keras, read_npz, write_npz};
use rnn_model::{Device, Model};
use serde_json::{Value, json};
use std::error::Error;
use std::fs;
use std::path::Path;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> Result<()> {
    let folder = std::env::args().nth(1).ok_or("usage: keras_check FOLDER")?;
    let mut cases: Vec<_> = fs::read_dir(folder)?.filter_map(|entry| Some(entry.ok()?.path())).collect();
    cases.sort();
    for case in cases.iter().filter(|case| case.join("case.json").exists()) {
        let report = run(case).unwrap_or_else(|error| json!({ "error": error.to_string() }));
        fs::write(case.join("ours.json"), report.to_string())?;
    }
    Ok(())
}

fn run(case: &Path) -> Result<Value> {
    let settings: Value = serde_json::from_slice(&fs::read(case.join("case.json"))?)?;
    let limits = Limits::default();
    let name = settings["model"].as_str().ok_or("no model")?;
    let bytes = fs::read(case.join(name))?;
    let portable = match name.ends_with(".h5") {
        true => keras::read_h5(&bytes, &limits)?,
        false => keras::read_keras(&bytes, &limits)?,
    };
    let device = Device::cpu();
    let mut model = portable.build(&device)?;
    let numbers = read_npz(&fs::read(case.join("numbers.npz"))?, &limits)?;
    let numbered = |key: &str| -> Vec<ArrayD<f32>> {
        (0..).map_while(|i| numbers.get(&format!("{key}{i}")).cloned()).collect()
    };
    let (x, y) = (numbered("x"), numbered("y"));
    let mut ours = Arrays::new();
    let predict = |model: &mut Model, prefix: &str, ours: &mut Arrays| -> Result<()> {
        let outputs = model.predict_outputs(&x)?;
        ours.extend(outputs.into_iter().enumerate().map(|(i, array)| (format!("{prefix}{i}"), array)));
        Ok(())
    };
    predict(&mut model, "expected", &mut ours)?;
    model.reset_states()?;
    export(case, "ours", &PortableModel::of(&model)?, &settings)?;
    let weights = case.join("weights.weights.h5");
    let mut weights_agree = Value::Null;
    if weights.exists() {
        let read = keras::read_weights(&fs::read(weights)?, &portable.graph, &limits)?;
        weights_agree = json!(read == portable.weights);
    }
    let mut losses = Vec::new();
    for _ in 0..settings["steps"].as_u64().unwrap_or(0) {
        losses.push(model.train_on_batch(&x, &y)?.loss());
    }
    if !losses.is_empty() {
        model.reset_states()?;
        predict(&mut model, "after", &mut ours)?;
        model.reset_states()?;
        export(case, "ours_trained", &PortableModel::of(&model)?, &settings)?;
    }
    fs::write(case.join("ours.npz"), write_npz(&ours)?)?;
    Ok(json!({ "notes": portable.notes, "losses": losses, "weights_agree": weights_agree }))
}

fn export(case: &Path, name: &str, model: &PortableModel, settings: &Value) -> Result<()> {
    if settings["export"] == false {
        return Ok(());
    }
    if let Some(reason) = settings["refused"].as_str() {
        let refused = keras::write_keras(model).is_err_and(|error| error.to_string().contains(reason));
        return if refused { Ok(()) } else { Err(format!("not refused for {reason:?}").into()) };
    }
    fs::write(case.join(format!("{name}.keras")), keras::write_keras(model)?)?;
    fs::write(case.join(format!("{name}.h5")), keras::write_h5(model)?)?;
    fs::write(case.join(format!("{name}.weights.h5")), keras::write_weights(model)?)?;
    Ok(())
}
