//! Keras: `.keras`, `.h5` and `.weights.h5`, read and written without it.
//!
//! Architecture, weights, what the model was compiled with and what its optimizer remembers come in and go out. Weights and
//! gates are laid out here as they are in Keras, so that nothing is turned round on the way; `docs/INTEROP.md` has the tables.
//!
//! ```
//! use rnn_interop::{Limits, PortableModel, keras};
//! use rnn_model::layer::{Dense, Lstm};
//! use rnn_model::{Device, Input, Sequential};
//!
//! let device = Device::cpu();
//! let model = Sequential::new(Input::sequence(5, 3)).layer(Lstm::new(4)).layer(Dense::new(1)).build(&device)?;
//! let file = keras::write_keras(&PortableModel::of(&model)?)?;
//! let again = keras::read_keras(&file, &Limits::default())?.build(&device)?;
//! assert_eq!(model.get_weights()?, again.get_weights()?);
//! # Ok::<(), rnn_interop::Error>(())
//! ```

mod calls;
mod classes;
mod fields;
mod goals;
mod graph;
mod layers;
mod legacy;
mod losses;
mod masking;
mod masks;
mod metrics;
mod names;
mod nested;
mod objects;
mod optimizers;
mod order;
mod parts;
mod slots;
mod version;
mod weights;
mod write;

use crate::archive::{Archive, ArchiveWriter};
use crate::hdf5::{Attribute, File, Writer};
use crate::{Error, Limits, PortableModel, PortableTraining, Result, json};
use fields::{Config, given, object};
use graph::Architecture;
use ndarray::ArrayD;
use parts::Place;
use rnn_model::{Graph, OptimizerState};
use slots::Stored;
use version::Version;

/// The members of a `.keras` file.
const CONFIG: &str = "config.json";
const METADATA: &str = "metadata.json";
const WEIGHTS: &str = "model.weights.h5";

/// The version of Keras whose files are written.
const KERAS: &str = "3.15.1";

/// Reads a `.keras` file.
///
/// # Errors
/// When the file is damaged or hostile, or when it holds something that this engine does not have; the message says which
/// layer and option.
pub fn read_keras(bytes: &[u8], limits: &Limits) -> Result<PortableModel> {
    let mut archive = Archive::open(bytes, limits)?;
    let version = match archive.has(METADATA) {
        true => {
            let metadata = json::parse(METADATA, &archive.read(METADATA)?, limits)?;
            Version::of(metadata.get("keras_version").and_then(|version| version.as_str()))
        }
        false => Version::Three,
    };
    let model = json::parse(CONFIG, &archive.read(CONFIG)?, limits)?;
    let architecture = graph::read(&model, version, limits)?;
    let places = architecture.parts.places(&architecture.graph)?;
    if !archive.has(WEIGHTS) {
        let problem = "there is no model.weights.h5 in it; save the model with Keras's own format of weights";
        return Err(Error::unsupported("file", problem));
    }
    let file = File::open(&archive.read(WEIGHTS)?, limits)?;
    let weights = weights::read(&file, &places, &architecture.graph)?;
    let training = match given(object(&model, "model")?, "compile_config") {
        Some(config) => Some((object(config, "compile_config")?, "optimizer")),
        None => None,
    };
    finish(&file, architecture, weights, &places, training, &Stored::of_3(&file))
}

/// Reads an `.h5` file with a whole model, of Keras 2 or 3.
///
/// # Errors
/// When the file is damaged or hostile, or when it holds something that this engine does not have; the message says which
/// layer and option.
pub fn read_h5(bytes: &[u8], limits: &Limits) -> Result<PortableModel> {
    let file = File::open(bytes, limits)?;
    let config = file.text("", "model_config")?.ok_or_else(|| {
        let problem = "there is no \"model_config\" in it: it holds weights alone, which have to be read into a model made here";
        Error::unsupported("file", problem)
    })?;
    let version = Version::of(file.text("", "keras_version")?.as_deref());
    let model = json::parse("model_config", config.as_bytes(), limits)?;
    let architecture = graph::read(&model, version, limits)?;
    let places = architecture.parts.places(&architecture.graph)?;
    let weights = legacy::read(&file, "model_weights", &architecture.parts, &places, &architecture.graph)?;
    let training = match file.text("", "training_config")? {
        Some(text) => Some(json::parse("training_config", text.as_bytes(), limits)?),
        None => None,
    };
    let training = match &training {
        Some(training) => Some((object(training, "training_config")?, "optimizer_config")),
        None => None,
    };
    let stored = legacy::stored(&file)?;
    finish(&file, architecture, weights, &places, training, &stored)
}

/// The model, with what it was compiled with: `training` has the configuration and the name of the optimizer in it.
fn finish(
    file: &File,
    architecture: Architecture,
    weights: Vec<ArrayD<f32>>,
    places: &[Place],
    training: Option<(&Config, &str)>,
    stored: &Stored,
) -> Result<PortableModel> {
    let Architecture { graph, outputs, mut notes, .. } = architecture;
    let compiled = training.and_then(|(config, key)| Some((config, given(config, key)?)));
    let mut made = None;
    if let Some((config, optimizer)) = compiled {
        let read = |notes: &mut Vec<String>| {
            Ok((optimizers::read(optimizer)?, goals::read(config, &outputs, notes)?))
        };
        match read(&mut notes) {
            Ok((optimizer, goals)) => {
                let state = slots::read(file, stored, &optimizer, places, &graph, &weights)?;
                let state = state.unwrap_or_else(|problem| {
                    notes.push(problem);
                    OptimizerState::default()
                });
                made = Some(PortableTraining { optimizer, goals, state });
            }
            Err(error @ (Error::Unsupported { .. } | Error::Model(_))) => {
                notes.push(format!("the model is not compiled: {error}"));
            }
            Err(error) => return Err(error),
        }
    }
    let model = PortableModel { graph, weights, training: made, notes };
    model.check()?;
    Ok(model)
}

/// Reads the weights of a `.weights.h5` file into the order of `graph`, whose layers have to be those of the model that was
/// saved, connected as they were. An `.h5` file in the older layout will do if its layers have the same names.
///
/// Where the model that was saved contains models, their layers are found by the names `model/layer` or `layer`, and else
/// where class and shapes leave no choice.
///
/// # Errors
/// When the file is damaged or hostile, a weight is missing or has another shape, or the file has weights that the graph has
/// no place for; when several layers of models within models fit alike.
pub fn read_weights(bytes: &[u8], graph: &Graph, limits: &Limits) -> Result<Vec<ArrayD<f32>>> {
    let file = File::open(bytes, limits)?;
    if nested::is_nested(&file) {
        return nested::read(&file, graph);
    }
    let parts = write::parts(graph)?;
    let places = parts.places(graph)?;
    // The layout before Keras 3: of whole models in a group, of weights alone at the root. It goes by the names of layers.
    match file.members("model_weights").is_some() {
        true => legacy::read(&file, "model_weights", &parts, &places, graph),
        false if file.attribute("", "layer_names")?.is_some() => {
            legacy::read(&file, "", &parts, &places, graph)
        }
        false => weights::read(&file, &places, graph),
    }
}

/// Writes a `.keras` file that Keras 3 loads.
///
/// # Errors
/// When the model has something that Keras has not; the message says which layer and option.
pub fn write_keras(model: &PortableModel) -> Result<Vec<u8>> {
    model.check()?;
    let mut written = write::graph(&model.graph)?;
    if let Some(training) = &model.training {
        let mut compiled = goals::write(&training.goals)?;
        compiled.insert("optimizer".to_owned(), optimizers::write(&training.optimizer)?);
        compiled.insert("run_eagerly".to_owned(), false.into());
        compiled.insert("steps_per_execution".to_owned(), 1.into());
        compiled.insert("jit_compile".to_owned(), false.into());
        written.model.insert("compile_config".to_owned(), compiled.into());
    }
    let config = text(&written.model)?;
    let metadata = format!("{{\"keras_version\": \"{KERAS}\", \"date_saved\": \"1980-01-01@00:00:00\"}}");
    let mut archive = ArchiveWriter::new();
    archive.add(METADATA, metadata.as_bytes(), false)?;
    archive.add(CONFIG, config.as_bytes(), false)?;
    archive.add(WEIGHTS, &weights_file(model, &written, true)?, false)?;
    archive.finish()
}

/// Writes the weights alone, as a `.weights.h5` file that Keras 3 loads into the same model.
///
/// # Errors
/// As [`write_keras`].
pub fn write_weights(model: &PortableModel) -> Result<Vec<u8>> {
    model.check()?;
    weights_file(model, &write::graph(&model.graph)?, false)
}

fn weights_file(model: &PortableModel, written: &write::Written, with_optimizer: bool) -> Result<Vec<u8>> {
    let places = written.parts.places(&model.graph)?;
    let mut writer = Writer::new();
    weights::write(&mut writer, &places, &model.weights);
    weights::write_names(&mut writer, &written.parts.groups());
    if let Some(training) = model.training.as_ref().filter(|_| with_optimizer) {
        let optimizer = optimizers::scheduled(&training.optimizer)?;
        let rate = optimizers::learning_rate(&optimizer);
        let kept = slots::write(&optimizer, &training.state, rate, &places, &model.graph)?;
        for (i, (_, value)) in kept.iter().enumerate() {
            value.put(&mut writer, &format!("optimizer/vars/{i}"));
        }
    }
    writer.finish()
}

/// Writes an `.h5` file in the layout before `.keras`, which Keras 3 loads too.
///
/// # Errors
/// As [`write_keras`].
pub fn write_h5(model: &PortableModel) -> Result<Vec<u8>> {
    model.check()?;
    let written = write::graph(&model.graph)?;
    let places = written.parts.places(&model.graph)?;
    let mut writer = Writer::new();
    legacy::write(&mut writer, &written.parts, &places, &model.weights);
    let mut put = |name: &str, text: String| writer.attribute("", name, Attribute::Text(text));
    put("backend", "tensorflow".to_owned());
    put("keras_version", KERAS.to_owned());
    put("model_config", text(&written.model)?);
    if let Some(training) = &model.training {
        let mut compiled = goals::write(&training.goals)?;
        let mut optimizer = optimizers::write(&training.optimizer)?;
        if let Some(optimizer) = optimizer.as_object_mut() {
            optimizer.remove("module");
            optimizer.remove("registered_name");
        }
        compiled.insert("optimizer_config".to_owned(), optimizer);
        put("training_config", text(&compiled)?);
        let optimizer = optimizers::scheduled(&training.optimizer)?;
        let rate = optimizers::learning_rate(&optimizer);
        let kept = slots::write(&optimizer, &training.state, rate, &places, &model.graph)?;
        legacy::write_optimizer(&mut writer, &kept);
    }
    writer.finish()
}

fn text(config: &Config) -> Result<String> {
    serde_json::to_string(config).map_err(|e| Error::damaged("config", e.to_string()))
}
