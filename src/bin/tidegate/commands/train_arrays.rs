//! `tidegate train --model`: a model from a file of any format, trained on arrays.

use std::path::{Path, PathBuf};

use rnn_interop::{Format, PortableModel, WriteOptions};
use rnn_model::{History, Model};
use serde_json::{Map, Value, json};

use crate::args::{Global, Train};
use crate::console::{Console, duration};
use crate::failure::{Failure, Outcome};
use crate::learning::{Plan, Resume, Samples, Validation, learn};
use crate::recipe::{self, Rates};
use crate::{devices, files, goals, models, settings};

pub fn run(args: &Train, place: &Path, global: &Global, console: &Console) -> Outcome {
    let (Some(x), Some(y)) = (&args.arrays.x, &args.arrays.y) else {
        return Err(Failure::usage("--model needs --x and --y"));
    };
    let output = output(args, place)?;
    let format = Format::of_path(&output).map_err(|error| Failure::usage(error.in_file(&output)))?;
    let Some(format) = format.filter(|format| !format.is_weights_alone()) else {
        return Err(Failure::usage(format!(
            "{}: a trained model is saved as .safetensors, .keras, .h5 or .onnx (`tidegate convert` makes others of it)",
            output.display()
        )));
    };
    let (epochs, batch_size) = (args.epochs.unwrap_or(100), args.batch_size);
    let validation = args.validation.unwrap_or(0.0);
    if epochs == 0 || batch_size == Some(0) || args.patience == Some(0) {
        return Err(Failure::usage("--epochs, --batch-size and --patience must be at least 1"));
    }
    if !(0.0..1.0).contains(&validation) {
        return Err(Failure::usage(format!("--validation must be at least 0 and below 1, got {validation}")));
    }
    if args.patience.is_some() && validation == 0.0 {
        return Err(Failure::usage(
            "--patience waits for a better validation loss: give --validation 0.1, too",
        ));
    }
    for path in [Some(&output), args.arrays.history.as_ref()].into_iter().flatten() {
        files::check_output(path, &[x, y])?;
    }
    let device = devices::open(global, console)?;
    let mut opened = models::open(place, &args.arrays.reading, &device, global.seed, console)?;
    compile(&mut opened.model, args)?;
    let samples = Samples {
        x: opened.load_inputs(x)?,
        y: opened.load_outputs(y)?,
        validation: if validation > 0.0 { Validation::Part(validation) } else { Validation::None },
    };
    let mut model = opened.model;
    let count = samples.x[0].shape().first().copied().unwrap_or(0);
    if let Some(text) = &args.memory_budget {
        model.set_memory_budget(Some(settings::bytes(text)?));
    }
    console.note(format!("{count} samples, {} weights", model.count_params()));
    let plan = Plan {
        epochs: model.epochs() + epochs,
        batch_size,
        // A stateful model takes them in order by itself.
        shuffle: args.arrays.no_shuffle.then_some(false),
        patience: args.patience,
        checkpoint: files::beside(&output, ".checkpoint.safetensors"),
        resume: Resume::Model,
    };
    let learnt = learn(&mut model, &samples, &plan, console)?;
    if let Some(best) = learnt.best_epoch {
        console.note(format!("kept the weights of epoch {best}, the best on the validation part"));
    }
    save(&model, &output, format)?;
    let history = columns(&learnt.history);
    if let Some(path) = &args.arrays.history {
        let text = serde_json::to_string_pretty(&history).map_err(Failure::other)?;
        files::write(path, format!("{text}\n").as_bytes())?;
        console.note(format!("history: {}", path.display()));
    }
    let last: Map<String, Value> = learnt.history.last().map_or_else(Map::new, |logs| {
        logs.iter().map(|(name, value)| (name.to_owned(), json!(value))).collect()
    });
    console.object(&json!({
        "device": device.name(),
        "samples": count,
        "params": model.count_params(),
        "epochs": learnt.history.epochs.len(),
        "last": last,
        "train_seconds": learnt.seconds,
        "model": output.display().to_string(),
        "history": args.arrays.history.as_ref().map(|path| path.display().to_string()),
    }))?;
    let shown: Vec<String> = learnt.history.last().map_or_else(Vec::new, |logs| {
        logs.iter().map(|(name, value)| format!("{name} {value:.6}")).collect()
    });
    console.text(format!(
        "{}\n{} epochs in {}; model: {}",
        shown.join("  "),
        learnt.history.epochs.len(),
        duration(learnt.seconds),
        output.display()
    ))
}

/// Where the model goes: beside the one that it was, unless a person says otherwise.
fn output(args: &Train, place: &Path) -> Outcome<PathBuf> {
    if let Some(output) = &args.output {
        return Ok(output.clone());
    }
    let name = place.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Ok(place.with_file_name(trained_name(&name)))
}

/// `x-trained.safetensors` of `x.keras`, and `x-trained-2.safetensors` of that: never the file that the model came from.
fn trained_name(name: &str) -> String {
    let stem = name.split('.').find(|part| !part.is_empty()).unwrap_or("model");
    let round = |end: &str| match end {
        "" => Some(1),
        numbered => numbered.strip_prefix('-')?.parse::<u32>().ok(),
    };
    let before =
        stem.rsplit_once("-trained").and_then(|(stem, end)| Some((stem, round(end)?.checked_add(1)?)));
    match before {
        Some((stem, round)) => format!("{stem}-trained-{round}.safetensors"),
        None => format!("{stem}-trained.safetensors"),
    }
}

/// As the options say, and where they say nothing, as the file does; what the optimizer kept goes on where it can.
fn compile(model: &mut Model, args: &Train) -> Outcome {
    let known = model.optimizer().cloned();
    let of_file = model.goals().to_vec();
    let outputs = model.output_names().len();
    let metrics = &args.arrays.metrics;
    let goals = match &args.loss {
        Some(words) => goals::goals(words, metrics, outputs)?,
        None if of_file.is_empty() => {
            return Err(Failure::usage(
                "the model file does not say what it is trained for: give --loss, such as --loss mse",
            ));
        }
        None if metrics.is_empty() => of_file.clone(),
        None => goals::with_metrics(&of_file, metrics)?,
    };
    let rates = Rates {
        learning_rate: args.learning_rate,
        decay: args.decay.unwrap_or(0.0),
        clip_norm: args.clip_norm,
    };
    let same = args.optimizer.is_none() && args.decay.is_none() && args.clip_norm.is_none();
    let usage = |error: rnn_model::Error| match error {
        error @ rnn_model::Error::Invalid { .. } => Failure::usage(error),
        error => error.into(),
    };
    match known {
        Some(optimizer) if same => {
            let state = model.optimizer_state()?;
            if goals != of_file {
                model.compile_outputs(optimizer, &goals).map_err(usage)?;
                model.set_optimizer_state(&state)?;
            }
            match args.learning_rate {
                Some(rate) => model.set_learning_rate(rate).map_err(usage),
                None => Ok(()),
            }
        }
        _ => {
            let name = args.optimizer.as_deref().unwrap_or("adam");
            model.compile_outputs(recipe::optimizer(name, rates)?, &goals).map_err(usage)
        }
    }
}

fn save(model: &Model, output: &Path, format: Format) -> Outcome {
    files::make_folder(output)?;
    if format == Format::Tidegate {
        // The model itself: counters and transform are kept.
        return model.save(output).map_err(|error| Failure::writing(output, error));
    }
    let options = WriteOptions { format: Some(format), ..WriteOptions::default() };
    rnn_interop::write_model(&PortableModel::of(model)?, output, &options)?;
    Ok(())
}

/// One list for each name, as Keras's `history.history`.
fn columns(history: &History) -> Map<String, Value> {
    let names = history
        .last()
        .into_iter()
        .flat_map(|logs| logs.iter().map(|(name, _)| name.to_owned()).collect::<Vec<_>>());
    names.map(|name| (name.clone(), json!(history.get(&name)))).collect()
}

#[cfg(test)]
mod tests {
    use super::trained_name;

    #[test]
    fn a_model_that_is_trained_again_is_counted() {
        for (from, to) in [
            ("x.keras", "x-trained.safetensors"),
            ("x.weights.h5", "x-trained.safetensors"),
            ("x-trained.safetensors", "x-trained-2.safetensors"),
            ("x-trained-2.safetensors", "x-trained-3.safetensors"),
            ("x-trained-9.onnx", "x-trained-10.safetensors"),
            ("well-trained-dog.keras", "well-trained-dog-trained.safetensors"),
            ("x-trained-4294967295.keras", "x-trained-4294967295-trained.safetensors"),
            (".keras", "keras-trained.safetensors"),
        ] {
            assert_eq!(trained_name(from), to);
        }
    }
}
