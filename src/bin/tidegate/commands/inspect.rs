//! `tidegate inspect`: what is in a model file.

use rnn_model::{Device, Model};
use serde_json::{Value, json};

use crate::args::Inspect;
use crate::console::Console;
use crate::failure::{Failure, Outcome};

pub fn run(args: &Inspect, console: &Console) -> Outcome {
    let file = std::fs::read(&args.model).map_err(|error| Failure::reading(&args.model, error))?;
    let bytes = file.len();
    // On one thread: nothing is run.
    let model = Model::load(&args.model, &Device::cpu_with_threads(1))?;
    let training = training(&file);
    let columns = model.transform().map_or_else(Vec::new, |transform| transform.names().to_vec());
    let transform = model.transform().map_or_else(|| "none".to_owned(), |transform| transform.describe());
    let weights = model.get_weights()?;
    let weights: Vec<_> = model
        .weight_names()
        .into_iter()
        .zip(&weights)
        .map(|(name, array)| json!({ "name": name, "shape": array.shape() }))
        .collect();
    console.object(&json!({
        "file": args.model.display().to_string(),
        "file_bytes": bytes,
        "params": model.count_params(),
        "input_shape": model.input_shape(),
        "output_shape": model.output_shape(),
        "graph": model.graph(),
        "transform": transform,
        "columns": columns,
        "training": training,
        "epochs": model.epochs(),
        "iterations": model.iterations(),
        "learning_rate": model.learning_rate(),
        "weights": weights,
    }))?;
    let mut lines = vec![
        format!("{} ({bytes} bytes)", args.model.display()),
        String::new(),
        model.summary().trim_end().to_owned(),
        String::new(),
        format!("transform: {transform}"),
    ];
    if !columns.is_empty() {
        lines.push(format!("columns: {}", columns.join(", ")));
    }
    lines.push(format!("trained: {} epochs, {} updates", model.epochs(), model.iterations()));
    if let Some(settings) = training.as_object() {
        lines.extend(settings.iter().map(|(name, value)| format!("{name}: {}", words(value))));
    }
    console.text(lines.join("\n"))
}

/// Optimizer, loss and metrics as the file has them; null where it has none. The file has been loaded: its header can be
/// read.
fn training(file: &[u8]) -> Value {
    let length = file.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes) as usize);
    let header = file.get(8..).and_then(|rest| rest.get(..length)).unwrap_or_default();
    let header: Value = serde_json::from_slice(header).unwrap_or_default();
    let model = header["__metadata__"]["tidegate"].as_str().unwrap_or_default();
    let mut model: Value = serde_json::from_str(model).unwrap_or_default();
    model["training"].take()
}

/// JSON without its punctuation: `name adam, beta_1 0.9`.
fn words(value: &Value) -> String {
    let list = |parts: Vec<String>| if parts.is_empty() { "none".to_owned() } else { parts.join(", ") };
    match value {
        Value::String(text) => text.clone(),
        Value::Object(fields) => list(
            fields
                .iter()
                .map(
                    |(name, value)| {
                        if value.is_object() { words(value) } else { format!("{name} {}", words(value)) }
                    },
                )
                .collect(),
        ),
        Value::Array(values) => list(values.iter().map(words).collect()),
        other => other.to_string(),
    }
}
