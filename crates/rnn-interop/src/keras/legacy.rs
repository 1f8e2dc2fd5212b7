//! The older `.h5` file: configurations as attributes, weights by layer in the group `model_weights`.

use super::parts::{Parts, Place};
use super::slots::{Stored, Written};
use crate::hdf5::{Attribute, File, Writer};
use crate::{Error, Result};
use ndarray::ArrayD;
use rnn_model::Graph;

/// Reads the weights of a graph, in its order, from the group of this path.
///
/// # Errors
/// When a layer is missing, has another number of weights, or a weight another shape.
pub(super) fn read(
    file: &File,
    group: &str,
    parts: &Parts,
    places: &[Place],
    graph: &Graph,
) -> Result<Vec<ArrayD<f32>>> {
    let at = |name: &str| if group.is_empty() { name.to_owned() } else { format!("{group}/{name}") };
    let names = file.texts(group, "layer_names")?;
    let names =
        names.ok_or_else(|| Error::damaged("weights", "the file has no attribute \"layer_names\""))?;
    let specs = graph.weights()?;
    let mut weights: Vec<Option<ArrayD<f32>>> = vec![None; specs.len()];
    let top = parts.top();
    let mut seen = std::collections::HashSet::new();
    for name in &names {
        let datasets = file.texts(&at(name), "weight_names")?.unwrap_or_default();
        if datasets.is_empty() {
            continue;
        }
        let place = format!("layer {name}");
        let part = top.iter().position(|&part| parts.all[part].name == *name);
        let part = part.ok_or_else(|| {
            Error::damaged(&place, "it has weights in the file, but is no layer of the model")
        })?;
        if !seen.insert(part) {
            return Err(Error::damaged(place, "the file has it twice"));
        }
        // Keras writes those that are trained first.
        let own = places.iter().filter(|place| place.top == part);
        let (trained, fixed): (Vec<&Place>, Vec<&Place>) = own.partition(|place| place.trainable);
        let own = [trained, fixed].concat();
        if own.len() != datasets.len() {
            let problem =
                format!("the architecture has {} weights here, the file {}", own.len(), datasets.len());
            return Err(Error::damaged(place, problem));
        }
        for (weight, dataset) in own.iter().zip(&datasets) {
            let spec = &specs[weight.weight];
            let values = file.read(&format!("{}/{dataset}", at(name)), &spec.shape);
            weights[weight.weight] = Some(values.map_err(|e| super::weights::named(&spec.name, e))?);
        }
    }
    if let Some(missing) = weights.iter().position(Option::is_none) {
        return Err(Error::damaged(format!("weight {}", specs[missing].name), "it is not in the file"));
    }
    Ok(weights.into_iter().flatten().collect())
}

/// Where the optimizer's variables stand.
pub(super) fn stored(file: &File) -> Result<Stored> {
    let group = "optimizer_weights";
    if file.members(group).is_none() {
        return Ok(Stored { paths: Vec::new(), legacy: false });
    }
    let names = file.texts(group, "weight_names")?.unwrap_or_default();
    let last = |name: &String| name.rsplit('/').next().unwrap_or("").trim_end_matches(":0").to_owned();
    let ends =
        ["m", "v", "vhat", "rms", "mg", "momentum", "accumulator", "accum_grad", "accum_var", "linear"];
    let legacy = names.iter().any(|name| last(name) == "iter")
        || names.iter().skip(1).any(|name| ends.contains(&last(name).as_str()));
    // The wrapper of float16 has variables of its own, which have no meaning in float32.
    let own = names.iter().filter(|name| !name.starts_with("loss_scale_optimizer/"));
    let paths = own.map(|name| format!("{group}/{name}")).collect();
    Ok(Stored { paths, legacy })
}

/// Writes weights by layer.
pub(super) fn write(writer: &mut Writer, parts: &Parts, places: &[Place], weights: &[ArrayD<f32>]) {
    let group = "model_weights";
    let names: Vec<String> = parts.top().iter().map(|&part| parts.all[part].name.clone()).collect();
    for (top, name) in names.iter().enumerate() {
        let own = places.iter().filter(|place| place.top == top);
        let (trained, fixed): (Vec<&Place>, Vec<&Place>) = own.partition(|place| place.trainable);
        let mut datasets = Vec::new();
        for place in trained.iter().chain(&fixed) {
            let dataset = place.names.join("/");
            if let Some(values) = weights.get(place.weight) {
                writer.f32(&format!("{group}/{name}/{dataset}"), values);
            }
            datasets.push(dataset);
        }
        let at = format!("{group}/{name}");
        writer.group(&at);
        writer.attribute(&at, "weight_names", Attribute::Texts(datasets));
    }
    writer.attribute(group, "layer_names", Attribute::Texts(names));
    writer.attribute(group, "backend", Attribute::Text("tensorflow".to_owned()));
    writer.attribute(group, "keras_version", Attribute::Text(super::KERAS.to_owned()));
    writer.group(&format!("{group}/top_level_model_weights"));
    writer.attribute(
        &format!("{group}/top_level_model_weights"),
        "weight_names",
        Attribute::Texts(Vec::new()),
    );
}

/// Writes what the optimizer remembers.
pub(super) fn write_optimizer(writer: &mut Writer, kept: &[(String, Written)]) {
    let group = "optimizer_weights";
    let mut names = Vec::new();
    for (i, (name, value)) in kept.iter().enumerate() {
        // Names may be alike, their order counts.
        let name = format!("optimizer/{i}_{name}");
        value.put(writer, &format!("{group}/{name}"));
        names.push(name);
    }
    writer.attribute(group, "weight_names", Attribute::Texts(names));
}
