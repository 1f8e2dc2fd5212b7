//! A model as Keras's weight files see it: layers and models within models, in Keras's order. Reading makes one from a
//! configuration, writing from a graph; where a weight stands follows from it in one way for both.

use super::names::{Numbered, snake_case};
use crate::{Error, Result};
use rnn_model::layer::Layer;
use rnn_model::{Graph, GraphWeight};
use serde_json::Value;
use std::collections::{HashMap, HashSet};

/// One layer or model of Keras's.
#[derive(Clone, Debug)]
pub(super) struct Part {
    /// Keras's class, `Functional` or `Sequential` of a model
    pub class: String,
    /// Keras's name
    pub name: String,
    pub kind: PartKind,
}

#[derive(Clone, Debug)]
pub(super) enum PartKind {
    /// a layer of the graph, by its name there
    Layer { ours: String },
    /// indices of its parts
    Model { parts: Vec<usize> },
    /// a model applied to each step: each of its layers is a `TimeDistributed` here, and none there
    Distributed { model: usize },
}

/// All parts. The model itself is one of them; a part may be in several others.
#[derive(Clone, Debug, Default)]
pub(super) struct Parts {
    pub all: Vec<Part>,
    /// index of the model itself
    pub root: usize,
}

/// Where a weight of the graph stands in Keras's files.
#[derive(Clone, Debug)]
pub(super) struct Place {
    /// index among the graph's weights
    pub weight: usize,
    /// in `.weights.h5`: `layers/lstm/cell/vars/0`
    pub path: String,
    /// the part of the model itself in which it is, as index among them
    pub top: usize,
    /// Keras's names of the layers on the way, of which the last owns it, and of the weight: for legacy files
    pub names: Vec<String>,
    pub trainable: bool,
}

impl Parts {
    /// Adds a part and gives its index.
    pub fn add(&mut self, class: &str, name: &str, kind: PartKind) -> usize {
        self.all.push(Part { class: class.to_owned(), name: name.to_owned(), kind });
        self.all.len() - 1
    }

    /// The parts of the model itself.
    pub fn top(&self) -> &[usize] {
        match self.all.get(self.root).map(|part| &part.kind) {
            Some(PartKind::Model { parts }) => parts,
            _ => &[],
        }
    }

    /// The group of each part of the model itself, and its name.
    pub fn groups(&self) -> Vec<(String, String)> {
        let mut numbered = Numbered::default();
        let part = |&part: &usize| {
            (format!("layers/{}", numbered.next(&self.all[part].class)), self.all[part].name.clone())
        };
        self.top().iter().map(part).collect()
    }

    /// Where all weights stand, in Keras's order of variables. A part that is in several stands where it comes first.
    ///
    /// # Errors
    /// When a layer of the graph is none of the parts, or has other weights than its class.
    pub fn places(&self, graph: &Graph) -> Result<Vec<Place>> {
        let mut weights: HashMap<&str, Vec<(usize, GraphWeight)>> = HashMap::new();
        let layers = graph.layers();
        for (at, weight) in graph.weights()?.into_iter().enumerate() {
            let name = layers.get(weight.layer).map_or("", |layer| layer.name.as_str());
            weights.entry(name).or_default().push((at, weight));
        }
        let mut walk = Walk {
            parts: self,
            layers: layers.iter().map(|l| (l.name.as_str(), (&l.layer, l.trainable))).collect(),
            weights,
            seen: HashSet::new(),
            places: Vec::new(),
        };
        let mut numbered = Numbered::default();
        for (top, &part) in self.top().iter().enumerate() {
            let name = numbered.next(&self.all[part].class);
            walk.part(part, &format!("layers/{name}"), top, &[], false)?;
        }
        let left = walk.weights.values().flatten().next();
        match left {
            Some((_, weight)) => Err(Error::unsupported(
                format!("weight {}", weight.name),
                "no layer of Keras's has it".to_owned(),
            )),
            None => Ok(walk.places),
        }
    }
}

struct Walk<'a> {
    parts: &'a Parts,
    layers: HashMap<&'a str, (&'a Layer, bool)>,
    weights: HashMap<&'a str, Vec<(usize, GraphWeight)>>,
    seen: HashSet<usize>,
    places: Vec<Place>,
}

impl Walk<'_> {
    /// The weights of a part. `distributed`: it is applied to each step by a wrapper around its model.
    fn part(
        &mut self,
        index: usize,
        path: &str,
        top: usize,
        above: &[String],
        distributed: bool,
    ) -> Result<()> {
        if !self.seen.insert(index) {
            return Ok(());
        }
        let part = &self.parts.all[index];
        let names = [above, std::slice::from_ref(&part.name)].concat();
        match &part.kind {
            PartKind::Model { parts } => {
                let mut numbered = Numbered::default();
                for &inner in parts {
                    let name = numbered.next(&self.parts.all[inner].class);
                    self.part(inner, &format!("{path}/layers/{name}"), top, &names, distributed)?;
                }
                Ok(())
            }
            PartKind::Distributed { model } => self.part(*model, &format!("{path}/layer"), top, &names, true),
            PartKind::Layer { ours } => {
                let Some(own) = self.weights.remove(ours.as_str()) else { return Ok(()) };
                let Some(&(layer, trainable)) = self.layers.get(ours.as_str()) else { return Ok(()) };
                let mut within = within(layer, own.len())?;
                if distributed {
                    for path in &mut within {
                        *path = path.strip_prefix("layer/").unwrap_or(path).to_owned();
                    }
                }
                if within.len() != own.len() {
                    let problem =
                        format!("a {} has {} weights in Keras, here {}", part.class, within.len(), own.len());
                    return Err(Error::unsupported(format!("layer {}", part.name), problem));
                }
                for ((weight, spec), within) in own.into_iter().zip(within) {
                    let last = spec.name.rsplit('/').next().unwrap_or("weight").to_owned();
                    let steps =
                        within.split('/').filter(|step| *step != "vars" && step.parse::<usize>().is_err());
                    let names = names.iter().cloned().chain(steps.map(str::to_owned)).chain([last]).collect();
                    self.places.push(Place {
                        weight,
                        path: format!("{path}/{within}"),
                        top,
                        names,
                        trainable,
                    });
                }
                Ok(())
            }
        }
    }
}

/// Where each weight of a layer stands below the layer, in the order of the layer's weights.
pub(super) fn within(layer: &Layer, count: usize) -> Result<Vec<String>> {
    let data = serde_json::to_value(layer).map_err(|e| Error::damaged(layer.class(), e.to_string()))?;
    Ok(below(&data, count))
}

fn below(data: &Value, count: usize) -> Vec<String> {
    let class = data.get("class_name").and_then(Value::as_str).unwrap_or("");
    let option = |name: &str| data.pointer(&format!("/config/{name}")).filter(|value| !value.is_null());
    let vars = |count: usize| (0..count).map(|i| format!("vars/{i}")).collect::<Vec<_>>();
    let with = |prefix: &str, paths: Vec<String>| -> Vec<String> {
        paths.into_iter().map(|path| format!("{prefix}/{path}")).collect()
    };
    // Kernel, recurrent kernel, and a bias where there is one.
    let of_cell = |option: &Value| vars(2 + usize::from(*option == Value::Bool(true)));
    match class {
        "LSTM" | "GRU" | "SimpleRNN" => with("cell", of_cell(option("use_bias").unwrap_or(&Value::Null))),
        "LSTMCell" | "GRUCell" | "SimpleRNNCell" => of_cell(option("use_bias").unwrap_or(&Value::Null)),
        "StackedRNNCells" => {
            let mut numbered = Numbered::default();
            let cells = option("cells").and_then(Value::as_array).into_iter().flatten();
            let cell = |cell: &Value| {
                let class = cell.get("class_name").and_then(Value::as_str).unwrap_or("");
                let name = numbered.next(class);
                with(&format!("cells/{name}"), below(cell, 0))
            };
            cells.flat_map(cell).collect()
        }
        "RNN" => with("cell", option("cell").map_or(Vec::new(), |cell| below(cell, 0))),
        "Cell" => option("cell").map_or(Vec::new(), |cell| below(cell, 0)),
        "TimeDistributed" => with("layer", option("layer").map_or(Vec::new(), |layer| below(layer, count))),
        "Bidirectional" => {
            let forward = option("layer").map_or(Vec::new(), |layer| below(layer, 0));
            let backward = option("backward_layer").map_or(forward.clone(), |layer| below(layer, 0));
            [with("forward_layer", forward), with("backward_layer", backward)].concat()
        }
        _ => vars(count),
    }
}

/// A name that Keras takes for a layer, unlike all of `used`.
pub(super) fn keras_name(ours: &str, used: &mut HashSet<String>) -> String {
    let mut base = ours.replace('/', "_");
    if base.is_empty() {
        base = snake_case("Layer");
    }
    let mut name = base.clone();
    let mut count = 1;
    while !used.insert(name.clone()) {
        name = format!("{base}_{count}");
        count += 1;
    }
    name
}
