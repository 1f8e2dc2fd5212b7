//! A configuration of Keras's becomes a graph: models within models are run through where they are applied, so that all
//! layers stand in one graph, each once however often it is applied.

mod describe;
mod operations;
mod passed;
mod run;
#[cfg(test)]
mod tests;

use super::calls::{Call, Tensor};
use super::fields::{Config, get_text, object};
use super::masks::{Mask, Masks};
use super::parts::Parts;
use super::version::Version;
use crate::{Error, Limits, Result};
use operations::OneOperation;
use rnn_model::layer::SharedLayer;
use rnn_model::{Graph, Symbol};
use serde_json::Value;
use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::rc::Rc;

/// Layers applied in one model. Models within models multiply their calls, so a small file can ask for many.
const MOST_CALLS: u64 = 10_000;

/// What a configuration says.
#[derive(Debug)]
pub(super) struct Architecture {
    pub graph: Graph,
    pub parts: Parts,
    /// names by which a training configuration may refer to each output
    pub outputs: Vec<Vec<String>>,
    /// what was left out, in sentences
    pub notes: Vec<String>,
}

/// Reads a model: `{"class_name": "Functional", "config": {...}}`.
pub(super) fn read(model: &Value, version: Version, limits: &Limits) -> Result<Architecture> {
    let place = "model";
    let model = object(model, place)?;
    let class = get_text(model, "class_name", place)?;
    let mut reader = Reader {
        version,
        limits,
        parts: Parts::default(),
        shared: HashMap::new(),
        names: HashSet::new(),
        masks: Masks::default(),
        masked: HashMap::new(),
        lengths: HashMap::new(),
        calls: 0,
        made: Vec::new(),
        notes: Vec::new(),
    };
    let scope = Scope { path: "", trainable: true, distributed: false, depth: 0 };
    let model = reader.model(class, model, scope)?;
    reader.parts.root = model.part;
    let inputs = reader.inputs(&model)?;
    let symbols: Vec<Symbol> = inputs.iter().map(|x| x.symbol.clone()).collect();
    let outputs = reader.run(&model, inputs)?;
    if outputs.iter().any(|y| y.lost.is_some()) {
        let note = "Keras counts only some steps of an output in the loss, because of a mask that comes from before layers with \
                    initial states; here all steps count, unless they are given weights";
        reader.notes.push(note.to_owned());
    }
    let symbols: Vec<&Symbol> = symbols.iter().collect();
    let ends: Vec<&Symbol> = outputs.iter().map(|y| &y.symbol).collect();
    let graph = Graph::new(&symbols, &ends)?;
    drop(outputs);
    Ok(Architecture {
        graph,
        parts: std::mem::take(&mut reader.parts),
        outputs: model.output_names(),
        notes: std::mem::take(&mut reader.notes),
    })
}

/// A value on its way through the layers.
#[derive(Clone, Debug)]
pub(super) struct Data {
    pub symbol: Symbol,
    /// tells values apart
    pub id: u64,
    /// that Keras has for it, and this engine too
    pub mask: Option<Mask>,
    /// that Keras has for it, and this engine can not have
    pub lost: Option<Mask>,
}

/// What a call gives.
#[derive(Clone, Debug)]
enum Made {
    Data(Data),
    Mask(Mask),
    /// of an operation of this name, which this engine does not have
    Unknown(String),
}

/// What a layer of a configuration is. The same instance may stand in several models.
enum Instance<'a> {
    Input(&'a Config),
    Layer(OneLayer<'a>),
    Model(OneModel<'a>),
    /// a model applied to each step, as its layers applied to each step
    Distributed {
        model: OneModel<'a>,
        part: usize,
    },
    Operation(OneOperation<'a>),
}

/// A layer; it is made when it is applied first, because options may count axes.
struct OneLayer<'a> {
    part: usize,
    class: &'a str,
    config: &'a Config,
    /// our name, unlike any other
    name: String,
    trainable: bool,
    /// within a `TimeDistributed` of a model
    distributed: bool,
    made: RefCell<Option<(SharedLayer, Option<SharedLayer>)>>,
}

/// A model as a list of calls.
struct OneModel<'a> {
    part: usize,
    entries: Vec<Entry<'a>>,
    /// (entry, call), each behind those that it needs
    order: Vec<(usize, usize)>,
    inputs: Vec<Tensor>,
    outputs: Vec<(Option<String>, Tensor)>,
    places: HashMap<String, usize>,
}

struct Entry<'a> {
    name: String,
    instance: Rc<Instance<'a>>,
    calls: Vec<Call>,
}

impl OneModel<'_> {
    fn output_names(&self) -> Vec<Vec<String>> {
        let names = |(name, tensor): &(Option<String>, Tensor)| {
            name.iter().cloned().chain([tensor.layer.clone()]).collect()
        };
        self.outputs.iter().map(names).collect()
    }
}

/// Where in the model that is read something stands.
#[derive(Clone, Copy)]
struct Scope<'p> {
    /// names of the models around, `inner/`
    path: &'p str,
    trainable: bool,
    /// within a `TimeDistributed`
    distributed: bool,
    depth: u64,
}

struct Reader<'a> {
    version: Version,
    limits: &'a Limits,
    parts: Parts,
    /// layers that the file says are the same object
    /// and whether they are within a `TimeDistributed`
    shared: HashMap<String, (Rc<Instance<'a>>, bool)>,
    names: HashSet<String>,
    masks: Masks,
    /// a value that has the mask, by mask
    masked: HashMap<Mask, Symbol>,
    /// the lengths that a mask says, by mask
    lengths: HashMap<Mask, Symbol>,
    calls: u64,
    /// all symbols in their order, let go from the last to the first: a chain of them is not dropped in a recursion
    made: Vec<Symbol>,
    notes: Vec<String>,
}

impl Drop for Reader<'_> {
    fn drop(&mut self) {
        while self.made.pop().is_some() {}
    }
}

impl Reader<'_> {
    /// A name that no other layer has.
    fn unlike_others(&mut self, name: &str) -> String {
        let name = if name.is_empty() { "layer" } else { name }.replace("//", "/");
        let mut unique = name.clone();
        let mut count = 1;
        while !self.names.insert(unique.clone()) {
            unique = format!("{name}_{count}");
            count += 1;
        }
        unique
    }

    /// A value, which is kept until the end.
    fn data(&mut self, symbol: Symbol, mask: Option<Mask>) -> Result<Data> {
        let axes = symbol.shape().len() as u64 + 1;
        Limits::at_most("model", "the number of a value's axes", axes, self.limits.rank)?;
        for &size in symbol.shape().iter().flatten() {
            Limits::at_most("model", "the size of a value's axis", size as u64, self.limits.elements)?;
        }
        self.made.push(symbol.clone());
        if let Some(mask) = mask {
            self.masked.entry(mask).or_insert_with(|| symbol.clone());
        }
        Ok(Data { symbol, id: self.made.len() as u64, mask, lost: None })
    }
}

fn unknown(tensor: &Tensor) -> Error {
    let Tensor { layer, call, output } = tensor;
    Error::damaged(
        format!("layer {layer}"),
        format!("output {output} of its call {call} is used, but there is none"),
    )
}
