//! `tidegate predict`: a model on an array.

use rnn_model::Model;
use serde_json::json;

use crate::args::{Global, Predict};
use crate::console::Console;
use crate::failure::{Failure, Outcome};
use crate::{devices, files};

pub fn run(args: &Predict, global: &Global, console: &Console) -> Outcome {
    if args.batch_size == 0 {
        return Err(Failure::usage("--batch-size must be at least 1"));
    }
    let input = files::read_npy(&args.input)?;
    if let Some(position) = input.iter().position(|value| !value.is_finite()) {
        let problem = format!(
            "value number {position} is {}; a model needs finite numbers",
            input.iter().nth(position).copied().unwrap_or(f64::NAN)
        );
        return Err(Failure::reading(&args.input, problem));
    }
    let device = devices::open(global, console)?;
    let mut model = Model::load(&args.model, &device)?;
    let x = input.mapv(|value| value as f32);
    let y = model
        .predict_with_batch_size(&x, args.batch_size)
        .map_err(|error| Failure::from(error).within(args.input.display()))?;
    files::write_npy(&args.output, &y)?;
    console.note(format!("{:?} -> {:?}", x.shape(), y.shape()));
    console.object(&json!({
        "device": device.name(),
        "input_shape": x.shape(),
        "output_shape": y.shape(),
        "output": args.output.display().to_string(),
    }))?;
    console.text(args.output.display().to_string())
}
