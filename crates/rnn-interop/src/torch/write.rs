//! A graph's weights as a state dict.

use super::convert::{direction_to_torch, plain_to_torch};
use super::module::{Kind, Stack};
use super::options::TorchOptions;
use super::part::{Part, PartKind, is_stack, parts};
use crate::{Error, PortableModel, Result, safetensors};
use ndarray::ArrayD;
use rnn_model::Graph;
use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;

/// A module that a state dict is for, as it is declared in PyTorch.
///
/// ```
/// use rnn_interop::torch::{TorchOptions, modules};
/// use rnn_model::{Graph, Input, layer::{Dense, Lstm}};
/// let x = Input::sequence(None, 3).symbol();
/// let graph = Graph::new(&[&x], &[&x.layer(Lstm::new(8))?.layer(Dense::new(1))?])?;
/// let lines: Vec<String> = modules(&graph, &TorchOptions::default())?.iter().map(|m| m.to_string()).collect();
/// assert_eq!(lines, ["lstm = nn.LSTM(3, 8, batch_first=True)", "dense = nn.Linear(8, 1)"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct TorchModule {
    /// what its tensors' names begin with; empty for a module saved alone
    pub prefix: String,
    /// names of the layers here that it holds
    pub layers: Vec<String>,
    /// what a layer does and the module does not do by itself, in sentences for a person
    pub notes: Vec<String>,
    parts: Range<usize>,
    declaration: String,
}

impl fmt::Display for TorchModule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = if self.prefix.is_empty() { "module" } else { &self.prefix };
        write!(f, "{name} = {}", self.declaration)
    }
}

/// The modules that hold the weights of a graph, in its order.
///
/// A layer becomes a module of its name. Layers called `lstm`, `lstm_l1`, `lstm_l2` become one module of three layers, as
/// those are called that a state dict was read into; [`TorchOptions::map`] says otherwise.
///
/// # Errors
/// When a layer has weights that no module of PyTorch holds, the map names what is not there, or two modules would have one
/// prefix.
pub fn modules(graph: &Graph, options: &TorchOptions) -> Result<Vec<TorchModule>> {
    grouped(&all_parts(graph)?, options)
}

fn all_parts(graph: &Graph) -> Result<Vec<Part>> {
    let (parts, misfits) = parts(graph)?;
    match misfits.first() {
        Some(misfit) => {
            let problem = format!("its weights can not go into a state dict: {}", misfit.why);
            Err(Error::unsupported(format!("layer {}", misfit.name), problem))
        }
        None => Ok(parts),
    }
}

/// The bytes of a `.safetensors` file that `load_state_dict` takes.
///
/// # Errors
/// As [`modules`].
pub fn write(model: &PortableModel, options: &TorchOptions) -> Result<Vec<u8>> {
    model.check()?;
    let parts = all_parts(&model.graph)?;
    let modules = grouped(&parts, options)?;
    let mut tensors: Vec<(String, ArrayD<f32>)> = Vec::new();
    for module in &modules {
        let name = |leaf: &str| {
            if module.prefix.is_empty() { leaf.to_owned() } else { format!("{}.{leaf}", module.prefix) }
        };
        for (depth, part) in parts[module.parts.clone()].iter().enumerate() {
            let weights = &model.weights[part.weights.clone()];
            if let PartKind::Recurrent(cell) = &part.kind {
                let stack = cell.stack(1);
                let each = weights.len() / stack.directions().len();
                for (&reverse, weights) in stack.directions().iter().zip(weights.chunks(each.max(1))) {
                    let leaves = stack.tensors(depth, reverse).into_iter().map(|(leaf, _)| name(&leaf));
                    tensors.extend(leaves.zip(direction_to_torch(cell, weights)?));
                }
            } else {
                let leaves = ["weight", "bias"].map(name);
                tensors.extend(leaves.into_iter().zip(plain_to_torch(&part.kind, weights)));
            }
        }
    }
    let mut seen = BTreeSet::new();
    if let Some((twice, _)) = tensors.iter().find(|(name, _)| !seen.insert(name.as_str())) {
        return Err(Error::unsupported(
            format!("tensor {twice}"),
            "two layers would be saved by this name; give a map",
        ));
    }
    safetensors::write(&tensors, [("format".to_owned(), "pt".to_owned())])
}

fn grouped(parts: &[Part], options: &TorchOptions) -> Result<Vec<TorchModule>> {
    let mut modules: Vec<TorchModule> = Vec::new();
    let mut at = 0;
    while at < parts.len() {
        let given = options.map.iter().find(|(_, layers)| layers.first() == Some(&parts[at].name));
        let (prefix, end) = match given {
            Some((prefix, layers)) => {
                let follows = |end: usize| end < parts.len() && layers.contains(&parts[end].name);
                let end = (at + 1..).find(|&end| !follows(end)).unwrap_or(at + 1);
                let found: BTreeSet<&str> = parts[at..end].iter().map(|part| part.name.as_str()).collect();
                if found.len() != layers.len() {
                    let problem = format!("the layers {} do not follow each other", layers.join(", "));
                    return Err(Error::unsupported(format!("map of {prefix:?}"), problem));
                }
                (prefix.clone(), end)
            }
            None => (parts[at].name.clone(), by_names(parts, at)),
        };
        modules.push(module(prefix, parts, at..end)?);
        at = end;
    }
    let known = |name: &String| modules.iter().any(|module| module.layers.first() == Some(name));
    if let Some((prefix, layers)) = options.map.iter().find(|(_, layers)| !layers.first().is_some_and(known))
    {
        let problem =
            format!("the model has no layer {:?} with weights", layers.first().map_or("", String::as_str));
        return Err(Error::unsupported(format!("map of {prefix:?}"), problem));
    }
    let mut seen = BTreeSet::new();
    match modules.iter().find(|module| !seen.insert(&module.prefix)) {
        Some(twice) => {
            Err(Error::unsupported(format!("map of {:?}", twice.prefix), "two modules have this prefix"))
        }
        None => Ok(modules),
    }
}

/// The end of the parts from `at` on that are one module: the cells of one layer, and layers called `name_l1`, `name_l2`.
fn by_names(parts: &[Part], at: usize) -> usize {
    let PartKind::Recurrent(cell) = &parts[at].kind else { return at + 1 };
    let follows = |end: usize| {
        let Some(part) = parts.get(end) else { return false };
        let same = part.layer == parts[at].layer || part.name == format!("{}_l{}", parts[at].name, end - at);
        same && is_stack(&cell.stack(end - at + 1), &parts[at..=end])
    };
    (at + 1..).find(|&end| !follows(end)).unwrap_or(at + 1)
}

fn module(prefix: String, parts: &[Part], range: Range<usize>) -> Result<TorchModule> {
    let own = &parts[range.clone()];
    let declaration = match &own[0].kind {
        PartKind::Recurrent(cell) => {
            let stack: Stack = cell.stack(own.len());
            if !is_stack(&stack, own) {
                let problem = "these layers are not those of one PyTorch module: all must have the same kind, units and options, and each the \
                               outputs of the one before it as its input";
                return Err(Error::unsupported(format!("module {prefix:?}"), problem));
            }
            let text = Kind::Recurrent(stack).to_string();
            let relu = if cell.relu { ", nonlinearity=\"relu\"" } else { "" };
            format!("{}{relu}, batch_first=True)", text.trim_end_matches(')'))
        }
        kind if own.len() == 1 => kind.to_string(),
        _ => {
            let problem = "only recurrent layers go into one module together";
            return Err(Error::unsupported(format!("module {prefix:?}"), problem));
        }
    };
    let mut layers: Vec<String> = own.iter().map(|part| part.name.clone()).collect();
    layers.dedup();
    let notes = own.iter().flat_map(|part| part.notes.iter().cloned()).collect();
    Ok(TorchModule { prefix, layers, notes, parts: range, declaration })
}
