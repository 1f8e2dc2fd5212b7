//! A state dict into a graph.

use super::convert::{direction_to_keras, plain_to_keras};
use super::matching::pair;
use super::module::{Kind, Module};
use super::part::{Part, PartKind, parts};
use crate::{Error, Limits, PortableModel, Result};
use ndarray::ArrayD;
use rnn_model::Graph;

/// The graph with the weights of the modules.
pub(super) fn load(
    modules: &[Module<'_>],
    graph: &Graph,
    map: &[(String, Vec<String>)],
    limits: &Limits,
) -> Result<PortableModel> {
    let (parts, misfits) = parts(graph)?;
    let pairs = pair(modules, &parts, &misfits, map)?;
    let mut weights: Vec<Option<ArrayD<f32>>> = vec![None; graph.weights()?.len()];
    let mut notes = Vec::new();
    for (module, range) in pairs {
        for (layer, part) in parts[range].iter().enumerate() {
            for (place, array) in part.weights.clone().zip(of_part(&modules[module], layer, part)?) {
                if !limits.not_finite && array.iter().any(|value| !value.is_finite()) {
                    let problem = "the sum of its two biases is too large for a 32-bit number";
                    return Err(Error::damaged(format!("module {}", modules[module].prefix), problem));
                }
                weights[place] = Some(array);
            }
            notes.extend(part.notes.iter().cloned());
        }
    }
    let missing = || Error::damaged("state dict", "a weight of the model is not in it");
    let weights = weights.into_iter().map(|weight| weight.ok_or_else(missing)).collect::<Result<_>>()?;
    let model = PortableModel { graph: graph.clone(), weights, training: None, notes };
    model.check()?;
    Ok(model)
}

/// The weights of a part in Keras's order, from layer `layer` of its module.
fn of_part(module: &Module<'_>, layer: usize, part: &Part) -> Result<Vec<ArrayD<f32>>> {
    let values = |leaf: &str| match module.tensors.get(leaf) {
        Some(stored) => stored.values(&module.full_name(leaf)),
        None => Err(Error::damaged(format!("tensor {}", module.full_name(leaf)), "it is missing")),
    };
    match (&module.kind, &part.kind) {
        (Kind::Recurrent(stack), PartKind::Recurrent(cell)) => {
            let mut weights = Vec::new();
            for &reverse in stack.directions() {
                let tensors = stack
                    .tensors(layer, reverse)
                    .iter()
                    .map(|(leaf, _)| values(leaf))
                    .collect::<Result<_>>()?;
                weights.extend(direction_to_keras(cell, tensors)?);
            }
            Ok(weights)
        }
        _ => {
            let bias = module.tensors.contains_key("bias").then(|| values("bias")).transpose()?;
            Ok(plain_to_keras(&part.kind, values("weight")?, bias))
        }
    }
}
