//! `tidegate inspect`: what is in a model file of any format.

use rnn_interop::{Format, Limits, decode, torch};
use rnn_model::{Device, Model};
use serde_json::{Value, json};

use crate::args::Inspect;
use crate::console::Console;
use crate::failure::Outcome;
use crate::{files, models};

pub fn run(args: &Inspect, console: &Console) -> Outcome {
    if let Some(path) = &args.plot {
        files::check_picture(path, "svg", &[&args.model])?;
    }
    let source = models::source(&args.model, &args.reading)?;
    // On one thread: nothing is run.
    let device = Device::cpu_with_threads(1);
    let (model, notes) = if source.format == Format::Tidegate {
        (Model::load(&args.model, &device)?, Vec::new())
    } else {
        match decode(&source.bytes, Some(&args.model), &source.options) {
            Ok(file) => {
                let model = file.model.build(&device).map_err(|error| error.in_file(&args.model))?;
                (model, file.model.notes)
            }
            Err(error) if source.options.architecture.is_some() || args.plot.is_some() => {
                return Err(error.in_file(&args.model).into());
            }
            Err(error) => return weights_alone(args, &source, error, console),
        }
    };
    let bytes = source.bytes.len();
    // What the model was compiled with; of other formats than our own by way of it.
    let training = match source.format {
        Format::Tidegate => training(&source.bytes),
        _ => training(&model.to_bytes(false)?),
    };
    let columns = model.transform().map_or_else(Vec::new, |transform| transform.names().to_vec());
    let transform = model.transform().map_or_else(|| "none".to_owned(), |transform| transform.describe());
    let weights = model.get_weights()?;
    let weights: Vec<_> = model
        .weight_names()
        .into_iter()
        .zip(&weights)
        .map(|(name, array)| json!({ "name": name, "shape": array.shape() }))
        .collect();
    if let Some(path) = &args.plot {
        files::write(path, model.graph().to_svg()?.as_bytes())?;
        console.note(format!("plot: {}", path.display()));
    }
    console.object(&json!({
        "file": args.model.display().to_string(),
        "file_bytes": bytes,
        "format": source.format.name(),
        "plot": args.plot.as_ref().map(|path| path.display().to_string()),
        "params": model.count_params(),
        "input_shape": model.input_shape(),
        "output_shape": model.output_shapes()[0],
        "inputs": model.input_names(),
        "outputs": model.output_names(),
        "graph": model.graph(),
        "transform": transform,
        "columns": columns,
        "training": training,
        "epochs": model.epochs(),
        "iterations": model.iterations(),
        "learning_rate": model.learning_rate(),
        "weights": weights,
        "notes": notes,
    }))?;
    let mut lines = vec![
        format!("{} ({bytes} bytes): {}", args.model.display(), source.format),
        String::new(),
        model.summary().trim_end().to_owned(),
        String::new(),
    ];
    if source.format == Format::Tidegate {
        lines.push(format!("transform: {transform}"));
    }
    if !columns.is_empty() {
        lines.push(format!("columns: {}", columns.join(", ")));
    }
    match (source.format, model.optimizer().is_some()) {
        (Format::Tidegate, _) => {
            lines.push(format!("trained: {} epochs, {} updates", model.epochs(), model.iterations()));
        }
        (_, true) => lines.push(format!("trained: {} updates", model.iterations())),
        (_, false) => lines.push("training: the file does not say how".to_owned()),
    }
    if let Some(settings) = training.as_object() {
        lines.extend(settings.iter().map(|(name, value)| format!("{name}: {}", words(value))));
    }
    lines.extend(notes.iter().map(|note| format!("note: {note}")));
    console.text(lines.join("\n"))
}

/// A file of weights from which no architecture follows: what is in it, and what is missing.
fn weights_alone(
    args: &Inspect,
    source: &models::Source,
    error: rnn_interop::Error,
    console: &Console,
) -> Outcome {
    let listed: Vec<String> = match source.format {
        Format::Torch => {
            torch::describe(&source.bytes, &Limits::default()).map_err(|error| error.in_file(&args.model))?
        }
        Format::Npz => {
            let arrays = rnn_interop::read_npz(&source.bytes, &Limits::default())
                .map_err(|error| error.in_file(&args.model))?;
            arrays.iter().map(|(name, array)| format!("{name} {:?}", array.shape())).collect()
        }
        _ => return Err(error.in_file(&args.model).into()),
    };
    let bytes = source.bytes.len();
    console.object(&json!({
        "file": args.model.display().to_string(),
        "file_bytes": bytes,
        "format": source.format.name(),
        "contents": listed,
        "notes": [error.to_string()],
    }))?;
    let mut lines =
        vec![format!("{} ({bytes} bytes): {}", args.model.display(), source.format), String::new()];
    lines.extend(listed);
    lines.extend([String::new(), format!("note: {error}")]);
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
