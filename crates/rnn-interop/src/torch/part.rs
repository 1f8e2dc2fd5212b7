//! The parts of a graph that a PyTorch module can hold: one for each layer with weights, one for each cell of a stack.

use super::module::{Kind, Module, Stack};
use crate::Result;
use rnn_model::{Graph, GraphLayer, GraphWeight};
use serde_json::Value as Json;
use std::fmt;
use std::ops::Range;

/// A layer with weights, or one cell of a stack of cells.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    /// index of its layer
    pub layer: usize,
    /// the layer's name
    pub name: String,
    /// places of its weights among [`Graph::weights`]
    pub weights: Range<usize>,
    pub kind: PartKind,
    /// what the layer does and no module of PyTorch does by itself
    pub notes: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum PartKind {
    /// a layer of one direction or both
    Recurrent(Cell),
    Dense {
        inputs: usize,
        units: usize,
        bias: bool,
    },
    Embedding {
        rows: usize,
        cols: usize,
    },
    Norm {
        features: usize,
        bias: bool,
    },
}

/// A recurrent layer as PyTorch counts it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cell {
    pub gates: usize,
    /// of an RNN
    pub relu: bool,
    pub features: usize,
    pub units: usize,
    pub projection: Option<usize>,
    pub bias: bool,
    pub both: bool,
}

/// A layer with weights that no module of PyTorch holds, and why.
pub(crate) struct Misfit {
    pub name: String,
    pub why: String,
}

impl fmt::Display for PartKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PartKind::Recurrent(cell) => write!(f, "{}", Kind::Recurrent(cell.stack(1))),
            PartKind::Dense { inputs, units, bias } => {
                write!(f, "nn.Linear({inputs}, {units}{})", if *bias { "" } else { ", bias=False" })
            }
            PartKind::Embedding { rows, cols } => write!(f, "nn.Embedding({rows}, {cols})"),
            PartKind::Norm { features, bias } => {
                write!(f, "{}", Kind::Norm { features: *features, bias: *bias })
            }
        }
    }
}

impl Cell {
    /// As a module of `layers` such layers.
    pub fn stack(&self, layers: usize) -> Stack {
        let Cell { gates, features, units, projection, bias, both, .. } = *self;
        Stack { gates, features, units, projection, layers, both, bias, cell: false }
    }
}

/// Whether these parts, one after the other, are what the module is.
pub(crate) fn fits(module: &Module<'_>, parts: &[Part]) -> bool {
    match (&module.kind, parts) {
        (Kind::Recurrent(stack), parts) => is_stack(stack, parts),
        (&Kind::Matrix { rows, cols, bias }, [part]) => match part.kind {
            PartKind::Dense { inputs, units, bias: of } => (inputs, units, of) == (cols, rows, bias),
            PartKind::Embedding { rows: r, cols: c } => !bias && (r, c) == (rows, cols),
            _ => false,
        },
        (&Kind::Norm { features, bias }, [part]) => part.kind == PartKind::Norm { features, bias },
        _ => false,
    }
}

/// Whether recurrent parts follow each other as the layers of such a module do.
pub(crate) fn is_stack(stack: &Stack, parts: &[Part]) -> bool {
    parts.len() == stack.layers
        && parts.iter().enumerate().all(|(layer, part)| {
            let features = if layer == 0 { stack.features } else { stack.width() };
            matches!(&part.kind, PartKind::Recurrent(cell)
                if cell.stack(1) == Stack { features, layers: 1, cell: false, ..stack.clone() })
        })
        // nn.RNN has one nonlinearity for all of its layers.
        && parts.windows(2).all(|two| match (&two[0].kind, &two[1].kind) {
            (PartKind::Recurrent(a), PartKind::Recurrent(b)) => a.relu == b.relu,
            _ => false,
        })
}

/// How many parts a module takes.
pub(crate) fn parts_of(module: &Module<'_>) -> usize {
    match &module.kind {
        Kind::Recurrent(stack) => stack.layers,
        _ => 1,
    }
}

/// The parts of a graph in the order of its weights, and the layers with weights that are none.
pub(crate) fn parts(graph: &Graph) -> Result<(Vec<Part>, Vec<Misfit>)> {
    let weights = graph.weights()?;
    let (mut parts, mut misfits) = (Vec::new(), Vec::new());
    let mut at = 0;
    while at < weights.len() {
        let index = weights[at].layer;
        let end = at + weights[at..].iter().take_while(|weight| weight.layer == index).count();
        let layer = &graph.layers()[index];
        match of_layer(layer, &weights[at..end]) {
            Ok(found) => {
                let mut from = at;
                for (kind, count, notes) in found {
                    parts.push(Part {
                        layer: index,
                        name: layer.name.clone(),
                        weights: from..from + count,
                        kind,
                        notes,
                    });
                    from += count;
                }
            }
            Err(why) => misfits.push(Misfit { name: layer.name.clone(), why }),
        }
        at = end;
    }
    Ok((parts, misfits))
}

type Found = (PartKind, usize, Vec<String>);

/// The parts of a layer with how many weights each has, or why PyTorch has no such module.
fn of_layer(layer: &GraphLayer, weights: &[GraphWeight]) -> Result<Vec<Found>, String> {
    let data = serde_json::to_value(&layer.layer).map_err(|e| e.to_string())?;
    // A layer at every step has the weights of the layer.
    let data = if data["class_name"] == "TimeDistributed" { &data["config"]["layer"] } else { &data };
    let (class, config) = class_and_config(data);
    let mut notes = Vec::new();
    let shape = |at: usize| weights.get(at).map_or(&[][..], |weight| weight.shape.as_slice());
    let on = |option: &str| config[option] == true;
    match class {
        "Dense" => match *shape(0) {
            [inputs, units] => {
                Ok(vec![(PartKind::Dense { inputs, units, bias: on("use_bias") }, weights.len(), notes)])
            }
            _ => Err("its kernel is no matrix".to_owned()),
        },
        "Embedding" => match *shape(0) {
            [rows, cols] => Ok(vec![(PartKind::Embedding { rows, cols }, 1, notes)]),
            _ => Err("its table is no matrix".to_owned()),
        },
        "LayerNormalization" if on("rms_scaling") || !on("scale") => {
            Err("nn.LayerNorm subtracts the mean and has a scale; this layer does not".to_owned())
        }
        "LayerNormalization" => match *shape(0) {
            [features] => {
                let epsilon = config["epsilon"].as_f64().unwrap_or(0.0);
                // 1e-5 as an f32 is told apart from others by far less than this.
                if (epsilon - 1e-5).abs() > 1e-9 {
                    notes.push(format!(
                        "layer {} has epsilon {epsilon}; nn.LayerNorm has 1e-5 unless eps says otherwise",
                        layer.name
                    ));
                }
                Ok(vec![(PartKind::Norm { features, bias: on("center") }, weights.len(), notes)])
            }
            _ => Err("nn.LayerNorm is read and written over the last axis alone".to_owned()),
        },
        "Bidirectional" => {
            let (forward, backward) = (&config["layer"], &config["backward_layer"]);
            let half = weights.len() / 2;
            let mut cells = recurrent(&layer.name, forward, &weights[..half], &mut notes)?;
            if !backward.is_null()
                && recurrent(&layer.name, backward, &weights[half..], &mut Vec::new())? != cells
            {
                return Err("its two directions differ; those of a PyTorch module are alike".to_owned());
            }
            let [(cell, _)] = cells.as_mut_slice() else {
                return Err(
                    "a stack of cells in both directions; make a Bidirectional layer of each".to_owned()
                );
            };
            if config["merge_mode"] != "concat" {
                notes.push(format!(
                    "layer {} merges its directions by {}; PyTorch's modules put them one behind the other",
                    layer.name, config["merge_mode"]
                ));
            }
            cell.both = true;
            Ok(vec![(PartKind::Recurrent(cell.clone()), weights.len(), notes)])
        }
        "LSTM" | "GRU" | "SimpleRNN" | "RNN" | "Cell" => {
            let cells = recurrent(
                &layer.name,
                if class == "Cell" { &config["cell"] } else { data },
                weights,
                &mut notes,
            )?;
            let part = |(cell, count)| (PartKind::Recurrent(cell), count, Vec::new());
            let mut found: Vec<Found> = cells.into_iter().map(part).collect();
            if let Some((_, _, of_first)) = found.first_mut() {
                *of_first = notes;
            }
            Ok(found)
        }
        _ => Err(format!("PyTorch modules that are read and written have no {class}")),
    }
}

fn class_and_config(layer: &Json) -> (&str, &Json) {
    (layer["class_name"].as_str().unwrap_or_default(), &layer["config"])
}

/// The cells of a recurrent layer or of a cell, the first one first, with how many weights each has.
fn recurrent(
    name: &str,
    layer: &Json,
    weights: &[GraphWeight],
    notes: &mut Vec<String>,
) -> Result<Vec<(Cell, usize)>, String> {
    let (class, config) = class_and_config(layer);
    if config["go_backwards"] == true {
        notes.push(format!(
            "layer {name} goes backwards; PyTorch has no such option: turn the time axis of its input round"
        ));
    }
    match class {
        "RNN" => recurrent(name, &config["cell"], weights, notes),
        "StackedRNNCells" => {
            let mut rest = weights;
            let mut all = Vec::new();
            for cell in config["cells"].as_array().into_iter().flatten() {
                let found = recurrent(name, cell, rest, notes)?;
                let count: usize = found.iter().map(|(_, count)| count).sum();
                rest = rest.get(count..).unwrap_or_default();
                all.extend(found);
            }
            Ok(all)
        }
        _ => cell(class, config, weights).map(|found| vec![found]),
    }
}

fn cell(class: &str, config: &Json, weights: &[GraphWeight]) -> Result<(Cell, usize), String> {
    let gates = match class {
        "LSTM" | "LSTMCell" | "ProjectedLSTMCell" => 4,
        "GRU" | "GRUCell" => 3,
        "SimpleRNN" | "SimpleRNNCell" => 1,
        _ => return Err(format!("PyTorch has no {class}")),
    };
    if let Some((option, value)) =
        config.as_object().into_iter().flatten().find(|(option, value)| has_no_counterpart(option, value))
    {
        return Err(format!("it has {option} {value}; PyTorch's module has no such option"));
    }
    let (activation, gate) = (&config["activation"], &config["recurrent_activation"]);
    let relu = gates == 1 && activation == "relu";
    if (activation != "tanh" && !relu) || (gates > 1 && gate != "sigmoid") {
        let of_gates = if gates > 1 { format!(", recurrent_activation {gate}") } else { String::new() };
        let has = if gates > 1 { "tanh and sigmoid" } else { "tanh or relu" };
        return Err(format!("it has activation {activation}{of_gates}; PyTorch's module has {has}"));
    }
    if gates == 3 && config["reset_after"] != true {
        let why = "it applies the reset gate before the product; nn.GRU does after it, as reset_after(true)";
        return Err(why.to_owned());
    }
    let (Some([features, _]), Some(units)) =
        (weights.first().map(|weight| weight.shape.as_slice()), config["units"].as_u64())
    else {
        return Err("its kernel is no matrix".to_owned());
    };
    let bias = config["use_bias"] == true;
    let projection = config["projection"].as_u64().map(|size| size as usize);
    let count = 2 + usize::from(bias) + usize::from(projection.is_some());
    let cell =
        Cell { gates, relu, features: *features, units: units as usize, projection, bias, both: false };
    Ok((cell, count))
}

/// Options that PyTorch's modules have, that are looked at one by one, or that decide no number of a prediction.
const KNOWN: [&str; 22] = [
    "units",
    "projection",
    "activation",
    "recurrent_activation",
    "reset_after",
    "use_bias",
    "unit_forget_bias",
    "kernel_initializer",
    "recurrent_initializer",
    "projection_initializer",
    "bias_initializer",
    "kernel_held",
    "recurrent_held",
    "bias_held",
    "dropout",
    "recurrent_dropout",
    "return_sequences",
    "return_state",
    "go_backwards",
    "stateful",
    "unroll",
    "zero_output_for_mask",
];

/// An option that is on, and that no PyTorch module has.
fn has_no_counterpart(option: &str, value: &Json) -> bool {
    !KNOWN.contains(&option) && !value.is_null() && *value != Json::Bool(false)
}
