//! Models from files of any format.

use std::path::Path;

use ndarray::ArrayD;
use rnn_interop::onnx::Port;
use rnn_interop::torch::TorchOptions;
use rnn_interop::{Format, Limits, ModelFile, ReadOptions, decode, detect};
use rnn_model::{Device, Model};

use crate::args::Reading;
use crate::arrays;
use crate::console::Console;
use crate::failure::{Failure, Outcome};

/// A model on a device, and how the arrays of its file relate to those that it takes and gives.
pub struct Opened {
    pub model: Model,
    /// of an ONNX model; else none
    inputs: Vec<Port>,
    outputs: Vec<Port>,
}

impl Opened {
    /// Names that arrays are given by: those of the file.
    pub fn input_names(&self) -> Vec<String> {
        match self.inputs.is_empty() {
            true => self.model.input_names().into_iter().map(str::to_owned).collect(),
            false => self.inputs.iter().map(|port| port.name.clone()).collect(),
        }
    }

    /// Names of the outputs.
    pub fn output_names(&self) -> Vec<String> {
        match self.outputs.is_empty() {
            true => self.model.output_names(),
            false => self.outputs.iter().map(|port| port.name.clone()).collect(),
        }
    }

    /// Inputs from a file of arrays, the samples first.
    pub fn load_inputs(&self, path: &Path) -> Outcome<Vec<ArrayD<f32>>> {
        let names = self.input_names();
        let arrays = arrays::load(path, "input", &names, &self.model.input_shapes())?;
        arrays::same_samples(path, "input", &names, turned(path, arrays, &self.inputs))
    }

    /// Targets, or expected outputs, from a file of arrays, the samples first.
    pub fn load_outputs(&self, path: &Path) -> Outcome<Vec<ArrayD<f32>>> {
        let names = self.output_names();
        let arrays = arrays::load(path, "output", &names, &self.model.output_shapes())?;
        arrays::same_samples(path, "output", &names, turned(path, arrays, &self.outputs))
    }

    /// Outputs as the file has them.
    pub fn as_in_file(&self, outputs: Vec<ArrayD<f32>>) -> Vec<ArrayD<f32>> {
        if self.outputs.is_empty() {
            return outputs;
        }
        outputs.iter().zip(&self.outputs).map(|(array, port)| port.from_batch_first(array)).collect()
    }
}

/// With the samples first, where a file has them elsewhere.
fn turned(path: &Path, arrays: Vec<ArrayD<f32>>, ports: &[Port]) -> Vec<ArrayD<f32>> {
    // A row of a table is a sample whatever the model's file says.
    if ports.is_empty() || arrays::is_table(path) {
        return arrays;
    }
    let turn = |(array, port): (ArrayD<f32>, &Port)| match array.ndim() == port.rank {
        true => port.to_batch_first(&array),
        // Another number of axes is the model's to refuse.
        false => array,
    };
    arrays.into_iter().zip(ports).map(turn).collect()
}

/// The bytes of a file and how they are to be read.
pub struct Source {
    pub bytes: Vec<u8>,
    pub format: Format,
    pub options: ReadOptions,
}

impl Reading {
    /// The options of `--torch`.
    pub fn torch(&self) -> Outcome<TorchOptions> {
        let words = self.torch.iter();
        words
            .clone()
            .try_fold(TorchOptions::default(), |options, word| options.set(word))
            .map_err(Failure::usage)
    }
}

/// Reads a file and finds out what it is.
pub fn source(path: &Path, reading: &Reading) -> Outcome<Source> {
    let architecture = match &reading.architecture {
        Some(path) => {
            // The weights of this one are not wanted.
            let file = portable(path, &Reading::default())?;
            Some(file.model.graph)
        }
        None => None,
    };
    let options = ReadOptions {
        format: reading.from,
        limits: Limits::default(),
        architecture,
        torch: reading.torch()?,
    };
    let bytes = rnn_interop::read_file(path, &options.limits)?;
    let format = detect(&bytes, Some(path), &options).map_err(|error| error.in_file(path))?;
    Ok(Source { bytes, format, options })
}

/// Reads a model as data.
pub fn portable(path: &Path, reading: &Reading) -> Outcome<ModelFile> {
    let source = source(path, reading)?;
    Ok(decode(&source.bytes, Some(path), &source.options).map_err(|error| error.in_file(path))?)
}

/// Reads a model onto a device, and says what of the file it does not have. A file of this program keeps its transform,
/// states and counters.
pub fn open(
    path: &Path,
    reading: &Reading,
    device: &Device,
    seed: Option<u64>,
    console: &Console,
) -> Outcome<Opened> {
    let source = source(path, reading)?;
    if source.format == Format::Tidegate && source.options.architecture.is_none() {
        drop(source);
        let model = Model::load(path, device)?;
        if seed.is_some() {
            console.note(format!(
                "{}: a model file of tidegate has a seed of its own; --seed changes nothing",
                path.display()
            ));
        }
        return Ok(Opened { model, inputs: Vec::new(), outputs: Vec::new() });
    }
    let mut file = decode(&source.bytes, Some(path), &source.options).map_err(|error| error.in_file(path))?;
    drop(source);
    if let Some(seed) = seed {
        file.model.graph = file.model.graph.seed(seed);
    }
    console.note(format!("{}: {}", path.display(), file.format));
    notes(&file, console);
    let model = file.model.build(device).map_err(|error| error.in_file(path))?;
    Ok(Opened { model, inputs: file.inputs, outputs: file.outputs })
}

/// What the file holds and the model does not.
pub fn notes(file: &ModelFile, console: &Console) {
    file.model.notes.iter().for_each(|note| console.note(format!("note: {note}")));
}
