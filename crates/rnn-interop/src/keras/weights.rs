//! Weights in the files of Keras 3 (`model.weights.h5` within `.keras`, and `.weights.h5` alone), read and written by path.

use super::parts::Place;
use crate::hdf5::{Attribute, File, Writer};
use crate::{Error, Result};
use ndarray::ArrayD;
use rnn_model::Graph;

/// Under which the layers stand: Keras 2.12 and 2.13 had a name of their own.
const ROOTS: [&str; 2] = ["layers", "_layer_checkpoint_dependencies"];

/// Reads the weights of a graph, in its order.
///
/// # Errors
/// When one is missing, has another shape, or when the file has weights that the graph has no place for.
pub(super) fn read(file: &File, places: &[Place], graph: &Graph) -> Result<Vec<ArrayD<f32>>> {
    let root = ROOTS.into_iter().find(|root| file.members(root).is_some());
    let Some(root) = root else {
        return Err(Error::damaged(
            "weights file",
            "it has no group \"layers\": no weights of Keras's are in it",
        ));
    };
    let specs = graph.weights()?;
    let path = |place: &Place| match root {
        "layers" => place.path.clone(),
        other => place.path.replacen("layers", other, 1).replace("/layers/", &format!("/{other}/")),
    };
    let mut weights: Vec<Option<ArrayD<f32>>> = vec![None; specs.len()];
    let mut known = std::collections::HashSet::new();
    for place in places {
        let path = path(place);
        let spec = &specs[place.weight];
        if file.shape(&path).is_none() {
            let problem = format!("there is no {path} in the file, where Keras has it for this architecture");
            return Err(Error::damaged(format!("weight {}", spec.name), problem));
        }
        let values = file.read(&path, &spec.shape);
        weights[place.weight] = Some(values.map_err(|e| named(&spec.name, e))?);
        known.insert(path);
    }
    let of_layers = |path: &&str| path.split('/').next() == Some(root);
    let odd = file.datasets().filter(of_layers).find(|path| !known.contains(*path) && !is_random(path));
    if let Some(odd) = odd {
        let problem = "the architecture has no place for this weight: the file is of another model";
        return Err(Error::damaged(odd, problem));
    }
    Ok(weights.into_iter().flatten().collect())
}

/// How far a layer's random numbers have come: this engine counts its own.
pub(super) fn is_random(path: &str) -> bool {
    path.split('/').any(|name| name.contains("seed_generator") || name.contains("random_generator"))
}

/// The error of a data set, with the name of the weight.
pub(super) fn named(name: &str, error: Error) -> Error {
    match error {
        Error::Damaged { place, problem } => Error::damaged(format!("weight {name} ({place})"), problem),
        other => other,
    }
}

/// Writes weights where Keras looks for them.
pub(super) fn write(writer: &mut Writer, places: &[Place], weights: &[ArrayD<f32>]) {
    writer.group("vars");
    for place in places {
        if let Some(values) = weights.get(place.weight) {
            writer.f32(&place.path, values);
        }
    }
}

/// An empty group for each layer that has no weights of its own: Keras looks for one.
pub(super) fn write_names(writer: &mut Writer, groups: &[(String, String)]) {
    for (path, name) in groups {
        let path = format!("{path}/vars");
        writer.group(&path);
        writer.attribute(&path, "name", Attribute::Text(name.clone()));
    }
}
