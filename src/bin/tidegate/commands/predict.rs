//! `tidegate predict`: a model on arrays.

use std::path::Path;

use ndarray::ArrayD;
use rnn_model::PredictOptions;
use serde_json::{Map, json};

use crate::args::{Global, Predict};
use crate::console::Console;
use crate::failure::{Failure, Outcome};
use crate::models::Opened;
use crate::{arrays, devices, files, models};

pub fn run(args: &Predict, global: &Global, console: &Console) -> Outcome {
    files::check_output(&args.output, &[&args.model, &args.input])?;
    let device = devices::open(global, console)?;
    let mut model = models::open(&args.model, &args.reading, &device, global.seed, console)?;
    let names = model.output_names();
    arrays::check_output(&args.output, &names)?;
    let Ran { x, y } = outputs(&mut model, &args.input, args.batch_size)?;
    let y = model.as_in_file(y);
    arrays::save(&args.output, &names, &y)?;
    let shapes =
        |arrays: &[ArrayD<f32>]| arrays.iter().map(|array| array.shape().to_vec()).collect::<Vec<_>>();
    let shown: Vec<String> = shapes(&y).iter().map(|shape| format!("{shape:?}")).collect();
    console.note(format!(
        "{} -> {}",
        shapes(&x).iter().map(|shape| format!("{shape:?}")).collect::<Vec<_>>().join(", "),
        shown.join(", ")
    ));
    let by_name: Map<String, serde_json::Value> =
        names.iter().zip(shapes(&y)).map(|(name, shape)| (name.clone(), json!(shape))).collect();
    console.object(&json!({
        "device": device.name(),
        "input_shape": shapes(&x)[0],
        "output_shape": shapes(&y)[0],
        "outputs": by_name,
        "output": args.output.display().to_string(),
    }))?;
    console.text(args.output.display().to_string())
}

/// Arrays of the inputs and of the outputs, in the model's order, the samples first.
pub struct Ran {
    pub x: Vec<ArrayD<f32>>,
    pub y: Vec<ArrayD<f32>>,
}

/// Inputs from a file, and what the model makes of them.
pub fn outputs(opened: &mut Opened, input: &Path, batch_size: Option<usize>) -> Outcome<Ran> {
    if batch_size == Some(0) {
        return Err(Failure::usage("--batch-size must be at least 1"));
    }
    let x = opened.load_inputs(input)?;
    let options = batch_size.into_iter().fold(PredictOptions::new(), PredictOptions::batch_size);
    let y = opened
        .model
        .predict_with(&x, options)
        .map_err(|error| Failure::from(error).within(input.display()))?;
    Ok(Ran { x, y })
}
