//! Nodes, constants and names of a graph that is written.

use super::masks::{Drawn, Mask};
use crate::onnx::proto::{self, attribute, data_type};
use crate::{Error, Result};
use ndarray::ArrayD;
use std::collections::{HashMap, HashSet};

/// A value of the graph that is written.
#[derive(Clone, Debug)]
pub(super) struct Tensor {
    pub name: String,
    /// of one sample
    pub shape: Vec<Option<usize>>,
    pub mask: Mask,
    /// its elements are whole numbers
    pub whole: bool,
}

/// An attribute of a node.
pub(super) enum Attribute<'a> {
    Int(i64),
    Float(f32),
    Text(&'a str),
    Ints(Vec<i64>),
    Floats(Vec<f32>),
    Texts(Vec<String>),
}

/// A state that goes on from run to run: an input of the graph, and the output that is the next run's input.
pub(super) struct KeptState {
    pub input: String,
    pub output: String,
    pub units: usize,
    /// the value that becomes the output
    pub last: String,
}

/// The graph so far.
#[derive(Default)]
pub(super) struct Emit {
    nodes: Vec<proto::Node>,
    constants: Vec<proto::Tensor>,
    names: HashSet<String>,
    /// places of constants, by layer and name
    of_layer: HashMap<String, Vec<usize>>,
    /// sequences with gaps, by the names of their masks
    pub drawn: HashMap<String, Drawn>,
    /// states of stateful layers, which are inputs and outputs of the graph
    pub kept: Vec<KeptState>,
    /// values whose steps are those of others in the opposite order
    turned: HashMap<String, String>,
    layer: String,
    class: String,
}

impl Emit {
    /// The nodes that follow are of this layer.
    pub fn enter(&mut self, layer: &str, class: &str) {
        layer.clone_into(&mut self.layer);
        class.clone_into(&mut self.class);
    }

    /// Keeps a name for an input or output.
    pub fn reserve(&mut self, name: &str) {
        self.names.insert(name.to_owned());
    }

    /// The layer has no form in ONNX.
    pub fn unsupported(&self, problem: impl Into<String>) -> Error {
        Error::unsupported(format!("layer {} ({})", self.layer, self.class), problem)
    }

    fn fresh(&mut self, part: &str) -> String {
        let base = format!("{}/{part}", self.layer);
        let mut name = base.clone();
        let mut number = 1;
        while !self.names.insert(name.clone()) {
            name = format!("{base}_{number}");
            number += 1;
        }
        name
    }

    /// A node of one output.
    pub fn node(&mut self, op: &str, inputs: &[&str], attributes: &[(&str, Attribute<'_>)]) -> String {
        self.outputs(op, inputs, attributes, &[true]).swap_remove(0)
    }

    /// A node of one output whose name is given.
    pub fn named(&mut self, op: &str, inputs: &[&str], output: &str) {
        let name = self.fresh(&format!("{op}_node"));
        self.nodes.push(proto::Node {
            input: inputs.iter().map(|&input| input.to_owned()).collect(),
            output: vec![output.to_owned()],
            name,
            op_type: op.to_owned(),
            ..proto::Node::default()
        });
    }

    /// A node of several outputs, of which those that are not wanted have no name.
    pub fn outputs(
        &mut self,
        op: &str,
        inputs: &[&str],
        attributes: &[(&str, Attribute<'_>)],
        wanted: &[bool],
    ) -> Vec<String> {
        let output: Vec<String> =
            wanted.iter().map(|&wanted| if wanted { self.fresh(op) } else { String::new() }).collect();
        let name = self.fresh(&format!("{op}_node"));
        let attribute = attributes.iter().map(|(name, value)| attribute_of(name, value)).collect();
        let input = inputs.iter().map(|&input| input.to_owned()).collect();
        self.nodes.push(proto::Node {
            input,
            output: output.clone(),
            name,
            op_type: op.to_owned(),
            attribute,
            domain: String::new(),
        });
        output
    }

    /// States to start from, of a layer that keeps its states: inputs of the graph, called after the layer.
    ///
    /// # Errors
    /// When the layer has them already, being applied twice.
    pub fn kept_states(&mut self, direction: &str, names: &[&str], units: usize) -> Result<Vec<String>> {
        let mut inputs = Vec::new();
        for name in names {
            let input = format!("{}{direction}_{name}", self.layer);
            let output = format!("{input}_out");
            if !self.names.insert(input.clone()) || !self.names.insert(output.clone()) {
                return Err(self.unsupported(format!(
                    "its states are called {input} and {output} in the file, and something is called so already: a stateful \
                     layer can be applied once, and inputs and outputs need other names"
                )));
            }
            self.kept.push(KeptState { input: input.clone(), output, units, last: String::new() });
            inputs.push(input);
        }
        Ok(inputs)
    }

    /// What these states are at the end.
    pub fn keep(&mut self, inputs: &[String], last: &[String]) {
        for (input, last) in inputs.iter().zip(last) {
            if let Some(state) = self.kept.iter_mut().find(|state| state.input == *input) {
                state.last.clone_from(last);
            }
        }
    }

    /// A constant of floats.
    pub fn weights(&mut self, name: &str, array: &ArrayD<f32>) -> String {
        let raw = array.iter().flat_map(|x| x.to_le_bytes()).collect();
        self.constant(name, array.shape(), data_type::FLOAT, raw)
    }

    /// One float.
    pub fn number(&mut self, value: f32) -> String {
        self.constant("number", &[], data_type::FLOAT, value.to_le_bytes().to_vec())
    }

    /// A list of whole numbers.
    pub fn ints(&mut self, values: &[i64]) -> String {
        let raw = values.iter().flat_map(|x| x.to_le_bytes()).collect();
        self.constant("sizes", &[values.len()], data_type::INT64, raw)
    }

    /// One whole number.
    pub fn int(&mut self, value: i64) -> String {
        self.constant("count", &[], data_type::INT64, value.to_le_bytes().to_vec())
    }

    fn constant(&mut self, name: &str, shape: &[usize], data_type: i32, raw: Vec<u8>) -> String {
        let dims: Vec<i64> = shape.iter().map(|&n| n as i64).collect();
        // A layer that is applied again has its weights once.
        let of_layer = self.of_layer.entry(format!("{}/{name}", self.layer)).or_default();
        let same = |at: &&usize| {
            let tensor = &self.constants[**at];
            tensor.data_type == data_type && tensor.dims == dims && tensor.raw_data.as_ref() == Some(&raw)
        };
        if let Some(&at) = of_layer.iter().find(same) {
            return self.constants[at].name.clone();
        }
        of_layer.push(self.constants.len());
        let name = self.fresh(name);
        self.constants.push(proto::Tensor {
            dims,
            data_type,
            name: name.clone(),
            raw_data: Some(raw),
            ..proto::Tensor::default()
        });
        name
    }

    /// `x` and a number.
    pub fn with_number(&mut self, op: &str, x: &str, value: f32) -> String {
        let number = self.number(value);
        self.node(op, &[x, &number], &[])
    }

    pub fn cast(&mut self, x: &str, to: i32) -> String {
        self.node("Cast", &[x], &[("to", Attribute::Int(i64::from(to)))])
    }

    pub fn unsqueeze(&mut self, x: &str, axis: i64) -> String {
        let axes = self.ints(&[axis]);
        self.node("Unsqueeze", &[x, &axes], &[])
    }

    pub fn squeeze(&mut self, x: &str, axis: i64) -> String {
        let axes = self.ints(&[axis]);
        self.node("Squeeze", &[x, &axes], &[])
    }

    pub fn transpose(&mut self, x: &str, perm: &[i64]) -> String {
        self.node("Transpose", &[x], &[("perm", Attribute::Ints(perm.to_vec()))])
    }

    pub fn reshape(&mut self, x: &str, target: &[i64]) -> String {
        let target = self.ints(target);
        self.node("Reshape", &[x, &target], &[])
    }

    /// Steps `[batch, time, ...]` in the opposite order.
    pub fn turned_round(&mut self, x: &str) -> String {
        if let Some(before) = self.turned.get(x) {
            return before.clone();
        }
        let (start, end, axis, step) =
            (self.ints(&[-1]), self.ints(&[i64::MIN + 1]), self.ints(&[1]), self.ints(&[-1]));
        let y = self.node("Slice", &[x, &start, &end, &axis, &step], &[]);
        self.turned.insert(y.clone(), x.to_owned());
        y
    }

    /// The nodes that these outputs need, and their constants.
    pub fn finish(mut self, outputs: &[String]) -> (Vec<proto::Node>, Vec<proto::Tensor>) {
        let mut needed: HashSet<&str> = outputs.iter().map(String::as_str).collect();
        let mut keep = vec![false; self.nodes.len()];
        for (node, keep) in self.nodes.iter().zip(&mut keep).rev() {
            *keep = node.output.iter().any(|output| needed.contains(output.as_str()));
            if *keep {
                needed.extend(node.input.iter().map(String::as_str).filter(|name| !name.is_empty()));
            }
        }
        let constants =
            self.constants.into_iter().filter(|tensor| needed.contains(tensor.name.as_str())).collect();
        let mut keep = keep.into_iter();
        self.nodes.retain(|_| keep.next().unwrap_or(true));
        (self.nodes, constants)
    }
}

fn attribute_of(name: &str, value: &Attribute<'_>) -> proto::Attribute {
    let empty = proto::Attribute { name: name.to_owned(), ..proto::Attribute::default() };
    match value {
        Attribute::Int(i) => proto::Attribute { i: *i, kind: attribute::INT, ..empty },
        Attribute::Float(f) => proto::Attribute { f: *f, kind: attribute::FLOAT, ..empty },
        Attribute::Text(s) => proto::Attribute { s: s.as_bytes().to_vec(), kind: attribute::STRING, ..empty },
        Attribute::Ints(ints) => proto::Attribute { ints: ints.clone(), kind: attribute::INTS, ..empty },
        Attribute::Floats(floats) => {
            proto::Attribute { floats: floats.clone(), kind: attribute::FLOATS, ..empty }
        }
        Attribute::Texts(texts) => proto::Attribute {
            strings: texts.iter().map(|s| s.as_bytes().to_vec()).collect(),
            kind: attribute::STRINGS,
            ..empty
        },
    }
}
