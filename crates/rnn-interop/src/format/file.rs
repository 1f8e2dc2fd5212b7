//! Files of models in any format.

use super::{Format, contents};
use crate::onnx::{self, Port};
use crate::torch::TorchOptions;
use crate::{Error, Limits, PortableModel, Result, keras, named, torch};
use rnn_model::{Device, Graph, Model};
use std::io::Read;
use std::path::Path;

/// How a file is read.
#[derive(Clone, Debug, Default)]
pub struct ReadOptions {
    /// in place of what the ending says
    pub format: Option<Format>,
    /// what a file may ask for
    pub limits: Limits,
    /// Into which model weights go that come without an architecture. A state dict may do without.
    pub architecture: Option<Graph>,
    /// what a state dict does not say
    pub torch: TorchOptions,
}

/// How a file is written.
#[derive(Clone, Debug, Default)]
pub struct WriteOptions {
    /// in place of what the ending says
    pub format: Option<Format>,
    /// names of a state dict's modules
    pub torch: TorchOptions,
}

/// A model that was read.
#[derive(Clone, Debug)]
pub struct ModelFile {
    /// what the file is
    pub format: Format,
    /// what is in it
    pub model: PortableModel,
    /// Of an ONNX model, whose arrays may have the samples on another axis than the first, how the arrays of its inputs
    /// relate to those here; else empty.
    pub inputs: Vec<Port>,
    /// the same of its outputs
    pub outputs: Vec<Port>,
}

/// Reads a model from a file of any format.
///
/// ```no_run
/// use rnn_interop::{ReadOptions, WriteOptions, read_model, write_model};
/// let file = read_model("from_keras.keras", &ReadOptions::default())?;
/// let model = file.model.build(&rnn_model::Device::best()?)?;
/// # let _ = model;
/// write_model(&file.model, "for_others.onnx", &WriteOptions::default())?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// When the file can not be read, its contents are not what its ending says, it is damaged or too large, has something that
/// this engine does not have, or has weights alone and no architecture is given.
pub fn read_model(path: impl AsRef<Path>, options: &ReadOptions) -> Result<ModelFile> {
    let path = path.as_ref();
    let bytes = read_file(path, &options.limits)?;
    decode(&bytes, Some(path), options).map_err(|error| error.in_file(path))
}

/// As [`read_model`], from memory; `path` is looked at for its ending alone.
///
/// # Errors
/// As [`read_model`].
pub fn decode(bytes: &[u8], path: Option<&Path>, options: &ReadOptions) -> Result<ModelFile> {
    let format = detect(bytes, path, options)?;
    let (limits, graph) = (&options.limits, options.architecture.as_ref());
    if graph.is_some() && !format.is_weights_alone() {
        let problem =
            format!("the file is {format}, which has its own architecture; leave the other one out");
        return Err(Error::unsupported("architecture", problem));
    }
    let (mut inputs, mut outputs) = (Vec::new(), Vec::new());
    let model = match (format, graph) {
        (Format::Onnx, _) => {
            let imported = onnx::read_with(bytes, limits, &onnx::Options::new())?;
            (inputs, outputs) = (imported.inputs, imported.outputs);
            imported.model
        }
        (Format::Tidegate, _) => own(bytes)?,
        (Format::Keras, _) => keras::read_keras(bytes, limits)?,
        (Format::KerasH5, _) => keras::read_h5(bytes, limits)?,
        (Format::KerasWeights, Some(graph)) => {
            let weights = keras::read_weights(bytes, graph, limits)?;
            PortableModel { graph: graph.clone(), weights, training: None, notes: Vec::new() }
        }
        (Format::Torch, Some(graph)) => torch::read_into(bytes, graph, limits, &options.torch)?,
        (Format::Torch, None) => torch::read(bytes, limits, &options.torch)?,
        (Format::Npz, Some(graph)) => named::read_into(bytes, graph, limits)?,
        (Format::Npz | Format::KerasWeights, None) => {
            let problem = format!(
                "the file is {format}: weights without an architecture; name a model that has it (--architecture FILE)"
            );
            return Err(Error::unsupported("architecture", problem));
        }
    };
    Ok(ModelFile { format, model, inputs, outputs })
}

/// Writes a model to a file of any format, whole or not at all, and says which format it is.
///
/// # Errors
/// When the ending stands for no format, the format can not hold the model, or the file can not be written; a file that
/// stood there is left as it was.
pub fn write_model(model: &PortableModel, path: impl AsRef<Path>, options: &WriteOptions) -> Result<Format> {
    let path = path.as_ref();
    let format = match options.format {
        Some(format) => format,
        None => Format::of_path(path).map_err(|error| error.in_file(path))?.ok_or_else(|| {
            let problem =
                "it stands for no format; there are .safetensors, .keras, .h5, .weights.h5, .onnx and .npz";
            Error::unsupported("the file's ending", problem).in_file(path)
        })?,
    };
    let bytes = encode(model, format, options).map_err(|error| error.in_file(path))?;
    rnn_model::write_atomically(path, &bytes).map_err(|error| match error {
        rnn_model::Error::Io { path, source } => Error::Io { path, source },
        other => Error::Model(other),
    })?;
    Ok(format)
}

/// The bytes of a file of this format.
///
/// # Errors
/// When the format can not hold the model; the message names the layer.
pub fn encode(model: &PortableModel, format: Format, options: &WriteOptions) -> Result<Vec<u8>> {
    match format {
        Format::Tidegate => Ok(model.build(&Device::cpu_with_threads(1))?.to_bytes(false)?),
        Format::Keras => keras::write_keras(model),
        Format::KerasH5 => keras::write_h5(model),
        Format::KerasWeights => keras::write_weights(model),
        Format::Torch => torch::write(model, &options.torch),
        Format::Npz => named::write(model),
        Format::Onnx => onnx::write(model),
    }
}

/// The bytes of a file, which must not be larger than the limits allow.
///
/// # Errors
/// When it can not be read, is a folder, or is too large.
pub fn read_file(path: &Path, limits: &Limits) -> Result<Vec<u8>> {
    let io = |source| Error::Io { path: path.display().to_string(), source };
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(io)?;
    if file.metadata().map_err(io)?.is_dir() {
        let problem = "it is a folder, as a SavedModel of TensorFlow is; give a file, and save such a model as .keras first";
        return Err(Error::unsupported("the file", problem).in_file(path));
    }
    let length = file.take(limits.file_bytes.saturating_add(1)).read_to_end(&mut bytes).map_err(io)?;
    Limits::at_most("file", "the number of bytes", length as u64, limits.file_bytes)
        .map_err(|e| e.in_file(path))?;
    Ok(bytes)
}

/// The format that the options, the ending of `path` and the contents agree on.
///
/// # Errors
/// When they do not agree, and for what a person takes for a model by mistake: a pickle, a pointer of git LFS, a web page.
pub fn detect(bytes: &[u8], path: Option<&Path>, options: &ReadOptions) -> Result<Format> {
    // A pickle by another name, and a text that stands for a file, say more than an ending does.
    let found = contents::formats(bytes, &options.limits)?;
    let ending = match (options.format, path) {
        (Some(format), _) => Some(format),
        (None, Some(path)) => Format::of_path(path)?,
        (None, None) => None,
    };
    match (ending, found.as_slice()) {
        (Some(Format::Tidegate), [Format::Torch]) if options.format.is_none() => Ok(Format::Torch),
        (Some(format), found) if found.contains(&format) => Ok(format),
        // Nothing tells protocol buffers apart from noise: the reader will.
        (Some(Format::Onnx), []) => Ok(Format::Onnx),
        (Some(format), []) => {
            let problem = format!(
                "they are not {format}, nor of another format that is known: the file is damaged or something else"
            );
            Err(Error::damaged("the file's contents", problem))
        }
        (Some(format), [found, ..]) => {
            let said = if options.format.is_some() { "asked for is" } else { "its ending stands for" };
            let problem = format!(
                "{said} {format}, but the contents are {found}; rename the file, or name the format (--from {})",
                found.name()
            );
            Err(Error::unsupported("the file's contents", problem))
        }
        (None, [one, ..]) => Ok(*one),
        (None, []) => {
            let problem = "neither its ending nor its contents say what it is; name the format (--from)";
            Err(Error::unsupported("the file's contents", problem))
        }
    }
}

/// A model file of this engine.
fn own(bytes: &[u8]) -> Result<PortableModel> {
    // On one thread: nothing is run.
    let loaded = Model::from_bytes(bytes, &Device::cpu_with_threads(1))?;
    let mut model = PortableModel::of(&loaded)?;
    if loaded.transform().is_some() {
        model.notes.push(
            "the file has a transform of a series, from `tidegate train`; other formats do not: scale the data by yourself"
                .to_owned(),
        );
    }
    Ok(model)
}
