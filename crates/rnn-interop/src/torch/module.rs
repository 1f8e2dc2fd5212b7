//! The modules of a state dict: which kind each is, and of which sizes, from the names and shapes of its tensors.

use crate::safetensors::{File, Stored};
use crate::{Error, Limits, Result};
use std::collections::BTreeMap;
use std::fmt;

/// Tensors with one prefix.
pub(crate) struct Module<'a> {
    /// all but the last part of the names, `encoder.lstm`; empty for a module saved alone
    pub prefix: String,
    pub kind: Kind,
    /// by the last part of their names
    pub tensors: BTreeMap<String, Stored<'a>>,
}

/// What kind of module it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `nn.LSTM`, `nn.GRU`, `nn.RNN` and their cells
    Recurrent(Stack),
    /// A matrix, with a bias per row or without: `nn.Linear`, or, without a bias, perhaps `nn.Embedding`.
    Matrix { rows: usize, cols: usize, bias: bool },
    /// `nn.LayerNorm` over the last axis.
    Norm { features: usize, bias: bool },
    /// None of these.
    Other,
}

/// The sizes of a recurrent module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stack {
    /// 4 of an LSTM, 3 of a GRU, 1 of an RNN
    pub gates: usize,
    pub features: usize,
    pub units: usize,
    pub projection: Option<usize>,
    pub layers: usize,
    pub both: bool,
    pub bias: bool,
    /// names without `_l0`: `nn.LSTMCell`
    pub cell: bool,
}

impl Stack {
    /// `LSTM`, `GRU` or `RNN`.
    pub fn class(&self) -> &'static str {
        match self.gates {
            4 => "LSTM",
            3 => "GRU",
            _ => "RNN",
        }
    }

    /// Values of a direction's output.
    pub fn shown(&self) -> usize {
        self.projection.unwrap_or(self.units)
    }

    /// Values of the output of a layer.
    pub fn width(&self) -> usize {
        self.shown().saturating_mul(if self.both { 2 } else { 1 })
    }

    /// Names and shapes of the tensors of a layer's direction: input and recurrent matrix, biases, projection.
    pub fn tensors(&self, layer: usize, reverse: bool) -> Vec<(String, Vec<usize>)> {
        let end = match (self.cell, reverse) {
            (true, _) => String::new(),
            (false, false) => format!("_l{layer}"),
            (false, true) => format!("_l{layer}_reverse"),
        };
        let rows = self.gates.saturating_mul(self.units);
        let features = if layer == 0 { self.features } else { self.width() };
        let mut all = vec![
            (format!("weight_ih{end}"), vec![rows, features]),
            (format!("weight_hh{end}"), vec![rows, self.shown()]),
        ];
        if self.bias {
            all.extend(["ih", "hh"].map(|of| (format!("bias_{of}{end}"), vec![rows])));
        }
        if let Some(projection) = self.projection {
            all.push((format!("weight_hr{end}"), vec![projection, self.units]));
        }
        all
    }

    /// The directions of each layer.
    pub fn directions(&self) -> &'static [bool] {
        if self.both { &[false, true] } else { &[false] }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Kind::Recurrent(stack) => {
                write!(
                    f,
                    "nn.{}{}({}, {}",
                    stack.class(),
                    if stack.cell { "Cell" } else { "" },
                    stack.features,
                    stack.units
                )?;
                if stack.layers > 1 {
                    write!(f, ", num_layers={}", stack.layers)?;
                }
                if stack.both {
                    write!(f, ", bidirectional=True")?;
                }
                if let Some(projection) = stack.projection {
                    write!(f, ", proj_size={projection}")?;
                }
                if !stack.bias {
                    write!(f, ", bias=False")?;
                }
                write!(f, ")")
            }
            Kind::Matrix { rows, cols, bias: true } => write!(f, "nn.Linear({cols}, {rows})"),
            Kind::Matrix { rows, cols, bias: false } => {
                write!(f, "nn.Linear({cols}, {rows}, bias=False) or nn.Embedding({rows}, {cols})")
            }
            Kind::Norm { features, bias } => {
                write!(f, "nn.LayerNorm({features}{})", if *bias { "" } else { ", bias=False" })
            }
            Kind::Other => write!(f, "no module that is read"),
        }
    }
}

impl Module<'_> {
    /// The whole name of one of its tensors.
    pub fn full_name(&self, leaf: &str) -> String {
        if self.prefix.is_empty() { leaf.to_owned() } else { format!("{}.{leaf}", self.prefix) }
    }

    /// Name and kind for messages. A module of no known kind is told by its tensors.
    pub fn describe(&self) -> String {
        match &self.kind {
            Kind::Other => {
                let tensor = |(leaf, stored): (&String, &Stored<'_>)| {
                    format!("`{}` {:?}", self.full_name(leaf), stored.shape)
                };
                let shown: Vec<String> = self.tensors.iter().take(4).map(tensor).collect();
                let more = if self.tensors.len() > 4 { ", ..." } else { "" };
                format!("{}{more}", shown.join(", "))
            }
            kind if self.prefix.is_empty() => format!("{kind}"),
            kind => format!("`{}` = {kind}", self.prefix),
        }
    }
}

/// The modules of a file in the natural order of their names (`layer.2` before `layer.10`).
///
/// # Errors
/// When a recurrent module's tensors contradict each other.
pub(crate) fn modules<'a>(file: File<'a>) -> Result<Vec<Module<'a>>> {
    let mut groups: BTreeMap<String, BTreeMap<String, Stored<'a>>> = BTreeMap::new();
    for (name, stored) in file.tensors {
        let (prefix, leaf) = name.rsplit_once('.').unwrap_or(("", &name));
        groups.entry(prefix.to_owned()).or_default().insert(leaf.to_owned(), stored);
    }
    let mut modules = Vec::with_capacity(groups.len());
    for (prefix, tensors) in groups {
        let mut module = Module { prefix, kind: Kind::Other, tensors };
        module.kind = kind(&module)?;
        modules.push(module);
    }
    modules.sort_by_cached_key(|module| natural(&module.prefix));
    Ok(modules)
}

fn kind(module: &Module<'_>) -> Result<Kind> {
    if module.tensors.keys().any(|leaf| leaf == "weight_ih" || leaf.starts_with("weight_ih_l")) {
        return stack(module).map(Kind::Recurrent);
    }
    let shape = |leaf: &str| module.tensors.get(leaf).map(|stored| stored.shape.as_slice());
    let known = 1 + usize::from(shape("bias").is_some());
    Ok(match (shape("weight"), shape("bias")) {
        _ if module.tensors.len() != known => Kind::Other,
        (Some(&[rows, cols]), bias) if bias.is_none_or(|bias| bias == [rows]) => {
            Kind::Matrix { rows, cols, bias: bias.is_some() }
        }
        (Some(&[features]), bias) if bias.is_none_or(|bias| bias == [features]) => {
            Kind::Norm { features, bias: bias.is_some() }
        }
        _ => Kind::Other,
    })
}

/// The sizes of a recurrent module: gates from the ratio of rows to columns of the recurrent matrix. Every tensor that they
/// imply must be there, and no other.
fn stack(module: &Module<'_>) -> Result<Stack> {
    let has = |leaf: &str| module.tensors.contains_key(leaf);
    let cell = has("weight_ih");
    let end = if cell { "" } else { "_l0" };
    let matrix = |leaf: String| match module.tensors.get(&leaf).map(|stored| stored.shape.as_slice()) {
        Some(&[rows, cols]) => Ok((rows, cols)),
        Some(shape) => {
            let problem = format!("expected a matrix, got shape {shape:?}");
            Err(Error::damaged(format!("tensor {}", module.full_name(&leaf)), problem))
        }
        None => {
            let problem = "it is missing; every recurrent module has one";
            Err(Error::damaged(format!("tensor {}", module.full_name(&leaf)), problem))
        }
    };
    let (_, features) = matrix(format!("weight_ih{end}"))?;
    let (rows, shown) = matrix(format!("weight_hh{end}"))?;
    let projection = has(&format!("weight_hr{end}")).then_some(shown);
    let units = if projection.is_some() { matrix(format!("weight_hr{end}"))?.1 } else { shown };
    let gates = [1, 3, 4].into_iter().find(|gates| units > 0 && units.checked_mul(*gates) == Some(rows));
    let Some(gates) = gates else {
        let problem = format!(
            "{rows} rows for {units} units: an LSTM has 4 rows for each, a GRU 3, an RNN 1; this is none of them"
        );
        return Err(Error::damaged(
            format!("tensor {}", module.full_name(&format!("weight_hh{end}"))),
            problem,
        ));
    };
    let layer_of =
        |leaf: &String| leaf.strip_prefix("weight_ih_l")?.trim_end_matches("_reverse").parse::<usize>().ok();
    let layers = module.tensors.keys().filter_map(layer_of).max().unwrap_or(0).saturating_add(1);
    let place = || {
        if module.prefix.is_empty() { "state dict".to_owned() } else { format!("module {}", module.prefix) }
    };
    Limits::at_most(&place(), "the number of layers", layers as u64, module.tensors.len() as u64)?;
    let stack = Stack {
        gates,
        features,
        units,
        projection,
        layers,
        both: has("weight_ih_l0_reverse"),
        bias: has(&format!("bias_ih{end}")),
        cell,
    };
    let mut expected = 0;
    for layer in 0..layers {
        for (leaf, shape) in stack.directions().iter().flat_map(|&reverse| stack.tensors(layer, reverse)) {
            expected += 1;
            let name = || format!("tensor {}", module.full_name(&leaf));
            match module.tensors.get(&leaf) {
                None => {
                    return Err(Error::damaged(
                        name(),
                        format!("it is missing; {} implies it", Kind::Recurrent(stack)),
                    ));
                }
                Some(stored) if stored.shape != shape => {
                    let problem = format!("expected shape {shape:?}, got {:?}", stored.shape);
                    return Err(Error::damaged(name(), problem));
                }
                Some(_) => {}
            }
        }
    }
    if expected != module.tensors.len() {
        let implied: Vec<String> = (0..layers)
            .flat_map(|layer| stack.directions().iter().flat_map(move |&reverse| [(layer, reverse)]))
            .flat_map(|(layer, reverse)| stack.tensors(layer, reverse))
            .map(|(leaf, _)| leaf)
            .collect();
        let extra = module.tensors.keys().find(|leaf| !implied.contains(leaf)).map_or("", String::as_str);
        let problem = format!("it is no part of {}", Kind::Recurrent(stack));
        return Err(Error::unsupported(format!("tensor {}", module.full_name(extra)), problem));
    }
    Ok(stack)
}

/// A name cut into texts and numbers, which are compared as numbers.
pub(crate) fn natural(name: &str) -> Vec<(String, u64)> {
    let mut parts: Vec<(String, u64)> = Vec::new();
    let mut rest = name;
    while !rest.is_empty() {
        let text = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let (before, behind) = rest.split_at(text);
        let digits = behind.find(|c: char| !c.is_ascii_digit()).unwrap_or(behind.len());
        let (number, behind) = behind.split_at(digits);
        let number = if number.is_empty() { 0 } else { number.parse().unwrap_or(u64::MAX) };
        parts.push((before.to_owned(), number));
        rest = behind;
    }
    parts
}

/// The name without its numbers: equal for `fc1` and `fc2`, `layers.0.norm` and `layers.1.norm`.
pub(crate) fn stem(name: &str) -> String {
    name.chars().filter(|c| !c.is_ascii_digit()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_names_are_compared_as_numbers() {
        let mut names = ["fc10", "fc2", "fc", "a.10.b", "a.2.b"];
        names.sort_by_key(|name| natural(name));
        assert_eq!(names, ["a.2.b", "a.10.b", "fc", "fc2", "fc10"]);
        assert_eq!(stem("layers.0.norm"), stem("layers.17.norm"));
        assert_ne!(stem("fc1"), stem("head1"));
    }
}
