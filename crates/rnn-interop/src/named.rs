//! Weights by their names in an `.npz` file.

use crate::numpy::{self, Arrays};
use crate::{Error, Limits, PortableModel, Result};
use rnn_model::Graph;

/// The bytes of an `.npz` file of the weights, called as in [`Graph::weights`]: `lstm/kernel`.
///
/// # Errors
/// When the weights do not fit the graph.
pub fn write(model: &PortableModel) -> Result<Vec<u8>> {
    model.check()?;
    let names = model.graph.weights()?.into_iter().map(|weight| weight.name);
    numpy::write_npz(&names.zip(model.weights.iter().cloned()).collect::<Arrays>())
}

/// The weights of a graph from an `.npz` file with an array of each weight's name and shape, and no other.
///
/// # Errors
/// When the file is damaged, or an array is missing, left over, of another shape, or not finite.
pub fn read_into(bytes: &[u8], graph: &Graph, limits: &Limits) -> Result<PortableModel> {
    let specs = graph.weights()?;
    // No array needs more than 8 bytes for a value, and a header of at most 64 KiB.
    let values = specs.iter().map(|spec| spec.shape.iter().product::<usize>() as u64);
    let implied = values
        .fold(0u64, |bytes, count| bytes.saturating_add(count.saturating_mul(8)).saturating_add(1 << 16));
    let limits = Limits { inflated_bytes: limits.inflated_bytes.min(implied), ..*limits };
    let mut arrays = numpy::read_npz(bytes, &limits)?;
    let mut weights = Vec::with_capacity(specs.len());
    for spec in &specs {
        let Some(array) = arrays.remove(&spec.name) else {
            let there: Vec<&str> = arrays.keys().map(String::as_str).collect();
            let problem = format!("the file has no array of this name; left are {}", list(&there));
            return Err(Error::damaged(format!("weight {}", spec.name), problem));
        };
        limits.finite(&format!("weight {}", spec.name), &array)?;
        weights.push(array);
    }
    if !arrays.is_empty() {
        let left: Vec<&str> = arrays.keys().map(String::as_str).collect();
        return Err(Error::damaged("npz", format!("the model has no weights called {}", list(&left))));
    }
    let model = PortableModel { graph: graph.clone(), weights, training: None, notes: Vec::new() };
    model.check()?;
    Ok(model)
}

fn list(names: &[&str]) -> String {
    match names {
        [] => "none".to_owned(),
        [first @ .., _] if first.len() >= 8 => format!("{}, ...", names[..8].join(", ")),
        _ => names.join(", "),
    }
}
