//! Models from files of any format.

use std::path::Path;

use rnn_interop::torch::TorchOptions;
use rnn_interop::{Format, Limits, ModelFile, ReadOptions, decode, detect};
use rnn_model::{Device, Model};

use crate::args::Reading;
use crate::console::Console;
use crate::failure::{Failure, Outcome};

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
) -> Outcome<Model> {
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
        return Ok(model);
    }
    let mut file = decode(&source.bytes, Some(path), &source.options).map_err(|error| error.in_file(path))?;
    drop(source);
    if let Some(seed) = seed {
        file.model.graph = file.model.graph.seed(seed);
    }
    console.note(format!("{}: {}", path.display(), file.format));
    notes(&file, console);
    Ok(file.model.build(device).map_err(|error| error.in_file(path))?)
}

/// What the file holds and the model does not.
pub fn notes(file: &ModelFile, console: &Console) {
    file.model.notes.iter().for_each(|note| console.note(format!("note: {note}")));
}
