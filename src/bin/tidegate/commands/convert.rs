//! `tidegate convert`: a model from one format into another.

use std::path::Path;

use rnn_interop::{Format, WriteOptions, torch};
use serde_json::json;

use crate::args::Convert;
use crate::console::Console;
use crate::failure::{Failure, Outcome};
use crate::{files, models};

pub fn run(args: &Convert, console: &Console) -> Outcome {
    let to = match args.to {
        Some(format) => format,
        None => Format::of_path(&args.output).map_err(|_| not_written(&args.output))?.ok_or_else(|| {
            Failure::usage(format!(
                "{}: its ending stands for no format; name one with --to (tidegate, keras, h5, weights-h5, onnx, torch, npz)",
                args.output.display()
            ))
        })?,
    };
    files::check_output(&args.output, &[&args.input])?;
    let mut file = models::portable(&args.input, &args.reading)?;
    if file.format == Format::Torch && args.reading.architecture.is_none() && to == Format::Torch {
        // Nothing of the inference is in the file that is written.
        file.model.notes.clear();
    }
    models::notes(&file, console);
    let options = WriteOptions { format: Some(to), torch: args.reading.torch()? };
    let mut notes = file.model.notes.clone();
    if to == Format::Torch {
        let modules =
            torch::modules(&file.model.graph, &options.torch).map_err(|error| error.in_file(&args.input))?;
        for module in modules {
            console.note(format!("in PyTorch: {module}"));
            for note in &module.notes {
                console.note(format!("note: {note}"));
                notes.push(note.clone());
            }
        }
    }
    if to.is_weights_alone() {
        console.note("note: the weights alone are written, neither architecture nor training");
    } else if to == Format::Onnx && file.model.training.is_some() {
        console.note("note: ONNX files have no training state");
    }
    rnn_interop::write_model(&file.model, &args.output, &options).map_err(|error| match error {
        rnn_interop::Error::Io { source, .. } => Failure::writing(&args.output, source),
        error => error.into(),
    })?;
    let bytes = std::fs::metadata(&args.output).map_or(0, |metadata| metadata.len());
    let weights: usize = file.model.weights.iter().map(|array| array.len()).sum();
    console.object(&json!({
        "from": file.format.name(),
        "to": to.name(),
        "output": args.output.display().to_string(),
        "output_bytes": bytes,
        "params": weights,
        "notes": notes,
    }))?;
    console.text(format!("{}: {to}, {weights} weights, {bytes} bytes", args.output.display()))
}

/// An ending of a format that is known and not written.
fn not_written(path: &Path) -> Failure {
    Failure::usage(format!(
        "{}: such files are not written. For PyTorch write a .safetensors file with --to torch, and there \
         `model.load_state_dict(safetensors.torch.load_file(\"model.safetensors\"))`; for others .keras, .h5 or .onnx",
        path.display()
    ))
}
