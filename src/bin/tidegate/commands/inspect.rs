//! `tidegate inspect`: what is in a model file.

use rnn_model::{Device, Model};
use serde_json::json;

use crate::args::Inspect;
use crate::console::Console;
use crate::failure::{Failure, Outcome};

pub fn run(args: &Inspect, console: &Console) -> Outcome {
    let bytes = std::fs::metadata(&args.model).map_err(|error| Failure::reading(&args.model, error))?.len();
    // On one thread: nothing is run.
    let model = Model::load(&args.model, &Device::cpu_with_threads(1))?;
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
        "architecture": model.architecture(),
        "transform": transform,
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
    lines.push(match model.learning_rate() {
        Some(rate) => {
            format!(
                "trained: {} epochs, {} updates; learning rate {rate}",
                model.epochs(),
                model.iterations()
            )
        }
        None => "trained: no training settings in the file".to_owned(),
    });
    console.text(lines.join("\n"))
}
