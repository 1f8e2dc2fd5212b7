//! A file that has been looked over: its constants, which nodes its outputs need, and where the batch may be.

use super::Options;
use super::constants::kind_of;
use super::number::Number;
use super::proto::{self, Size};
use super::tensor::Tensor;
use super::value::Kind;
use crate::{Error, Limits, Result};
use std::collections::{HashMap, HashSet};
use std::rc::Rc;

/// The newest version of the ONNX operators whose text was looked at.
const NEWEST_OPSET: i64 = 28;

/// Guesses of batch axes that are tried.
const TRIALS: usize = 128;

/// Operators that give their first input's elements, one by one or in another shape: a name for the value behind them
/// does for the layer before them.
const PASSING: [&str; 12] = [
    "Identity",
    "Cast",
    "Squeeze",
    "Unsqueeze",
    "Transpose",
    "Reshape",
    "Flatten",
    "Dropout",
    "Add",
    "Softmax",
    "Sigmoid",
    "Gather",
];

/// A graph that has been checked, with its constants.
pub(super) struct File<'a> {
    pub graph: &'a proto::Graph,
    pub opset: i64,
    pub limits: &'a Limits,
    pub options: &'a Options,
    pub constants: HashMap<&'a str, Rc<Tensor>>,
    /// inputs of the model, that is those which are no constants
    pub inputs: Vec<&'a proto::ValueInfo>,
    /// nodes that the outputs depend on
    pub needed: Vec<usize>,
    /// uses of each value by these nodes and as an output
    pub uses: HashMap<&'a str, usize>,
    /// values that are compared with 0, as masks are made
    pub masking: HashSet<&'a str>,
    /// names for the layers of nodes, by the values that the nodes make
    pub labels: HashMap<&'a str, &'a str>,
}

impl<'a> File<'a> {
    pub fn open(model: &'a proto::Model, limits: &'a Limits, options: &'a Options) -> Result<Self> {
        if let Some(function) = model.functions.first() {
            let place = format!("function {}", function.name);
            return Err(Error::unsupported(
                place,
                "functions of the file's own; export the model with them inlined",
            ));
        }
        let opset = model.opset_import.iter().find(|set| is_standard(&set.domain)).map(|set| set.version);
        let opset =
            opset.ok_or_else(|| Error::damaged("file", "it names no version of the ONNX operators"))?;
        if !(1..=NEWEST_OPSET).contains(&opset) {
            let problem =
                format!("it uses version {opset} of the ONNX operators; this reads 1 to {NEWEST_OPSET}");
            return Err(Error::unsupported("file", problem));
        }
        let Some(graph) = &model.graph else { return Err(Error::damaged("file", "it has no graph")) };
        if !graph.sparse_initializer.is_empty() {
            return Err(Error::unsupported("graph", "sparse initializers"));
        }
        Limits::at_most("graph", "the number of nodes", graph.node.len() as u64, limits.members)?;
        Limits::at_most(
            "graph",
            "the number of initializers",
            graph.initializer.len() as u64,
            limits.tensors,
        )?;
        let constants = constants_of(graph, limits, options)?;
        let inputs: Vec<&proto::ValueInfo> =
            graph.input.iter().filter(|input| !constants.contains_key(input.name.as_str())).collect();
        if inputs.is_empty() {
            return Err(Error::unsupported("graph", "a model without inputs"));
        }
        if graph.output.is_empty() {
            return Err(Error::damaged("graph", "it has no outputs"));
        }
        let makers = makers(graph, &inputs, &constants, limits)?;
        let mut file = File {
            graph,
            opset,
            limits,
            options,
            constants,
            inputs,
            needed: Vec::new(),
            uses: HashMap::new(),
            masking: HashSet::new(),
            labels: HashMap::new(),
        };
        file.find_needed(&makers);
        file.find_masking();
        file.find_labels(&makers);
        Ok(file)
    }

    /// Nodes that the outputs depend on, and how often each value is used by them.
    fn find_needed(&mut self, makers: &HashMap<&'a str, usize>) {
        let mut needed = vec![false; self.graph.node.len()];
        let mut open: Vec<&str> = self.graph.output.iter().map(|output| output.name.as_str()).collect();
        while let Some(name) = open.pop() {
            *self.uses.entry(name).or_default() += 1;
            if let Some(&at) = makers.get(name)
                && !std::mem::replace(&mut needed[at], true)
            {
                open.extend(uses_of(&self.graph.node[at]));
            }
        }
        self.needed = (0..needed.len()).filter(|&at| needed[at]).collect();
    }

    /// Values that a node compares with a constant 0.
    fn find_masking(&mut self) {
        let comparisons =
            self.needed.iter().map(|&at| &self.graph.node[at]).filter(|node| node.op_type == "Equal");
        for node in comparisons {
            if let [a, c] = node.input.as_slice() {
                self.masking.extend([a.as_str(), c.as_str()]);
            }
        }
    }

    /// The name of an output is for the layer that makes it.
    fn find_labels(&mut self, makers: &HashMap<&'a str, usize>) {
        for output in &self.graph.output {
            let mut name = output.name.as_str();
            while let Some(&at) = makers.get(name) {
                let node = &self.graph.node[at];
                self.labels.entry(name).or_insert(&output.name);
                if !PASSING.contains(&node.op_type.as_str()) {
                    break;
                }
                let next = node.input.iter().find(|input| makers.contains_key(input.as_str()));
                match next {
                    Some(next) if self.uses.get(next.as_str()) == Some(&1) => name = next,
                    _ => break,
                }
            }
        }
    }

    /// Batch axes of the inputs to be tried, the likeliest first.
    pub fn guesses(&self) -> Vec<Vec<usize>> {
        let candidates: Vec<Vec<usize>> = self.inputs.iter().map(|input| self.candidates(input)).collect();
        let mut guesses: Vec<(usize, Vec<usize>)> = vec![(0, Vec::new())];
        for axes in &candidates {
            let longer = guesses.iter().flat_map(|(cost, guess)| {
                axes.iter().enumerate().map(move |(rank, &axis)| {
                    let mut guess = guess.clone();
                    guess.push(axis);
                    (cost + rank, guess)
                })
            });
            guesses = longer.collect();
            guesses.sort_by_key(|(cost, _)| *cost);
            guesses.truncate(TRIALS);
        }
        guesses.into_iter().map(|(_, guess)| guess).collect()
    }

    fn candidates(&self, input: &proto::ValueInfo) -> Vec<usize> {
        if let Some((_, axis)) = self.options.batch_axes.iter().find(|(name, _)| *name == input.name) {
            return vec![*axis];
        }
        let dims = dims_of(input);
        let used = self.uses.contains_key(input.name.as_str());
        let mut axes: Vec<usize> = (0..dims.len().clamp(1, if used { 3 } else { 1 })).collect();
        let is_batch = |axis: &usize| {
            let name = match dims.get(*axis).and_then(|dim| dim.size.as_ref()) {
                Some(Size::Name(name)) => name.to_ascii_lowercase(),
                _ => return false,
            };
            name.contains("batch") || ["n", "b", "bs"].contains(&name.as_str())
        };
        axes.sort_by_key(|axis| (!is_batch(axis), *axis));
        axes
    }

    /// The batch size that the inputs declare, if they all declare the same.
    pub fn declared_batch(&self, batch_axes: &[usize]) -> Option<usize> {
        let mut sizes = self.inputs.iter().zip(batch_axes).map(|(input, &axis)| {
            match dims_of(input).get(axis).and_then(|dim| dim.size.as_ref()) {
                Some(Size::Value(n)) => usize::try_from(*n).ok(),
                _ => None,
            }
        });
        let first = sizes.next().flatten()?;
        sizes.all(|size| size == Some(first)).then_some(first)
    }
}

/// The values that a node needs: its inputs, and what its graphs take from outside.
pub(super) fn uses_of(node: &proto::Node) -> Vec<&str> {
    let inputs = node.input.iter().filter(|name| !name.is_empty()).map(String::as_str);
    inputs.chain(captured(node)).collect()
}

/// What the graphs of a node take from outside.
pub(super) fn captured(node: &proto::Node) -> Vec<&str> {
    let mut outside = Vec::new();
    for graph in node.attribute.iter().filter_map(|attribute| attribute.g.as_deref()) {
        let mut own: HashSet<&str> = graph.input.iter().map(|input| input.name.as_str()).collect();
        own.extend(graph.initializer.iter().map(|tensor| tensor.name.as_str()));
        for node in &graph.node {
            outside.extend(uses_of(node).into_iter().filter(|name| !own.contains(name)));
            own.extend(node.output.iter().map(String::as_str));
        }
        let outputs = graph.output.iter().map(|output| output.name.as_str());
        outside.extend(outputs.filter(|name| !own.contains(name)));
    }
    outside.sort_unstable();
    outside.dedup();
    outside
}

/// The operators of ONNX itself.
pub(super) fn is_standard(domain: &str) -> bool {
    domain.is_empty() || domain == "ai.onnx"
}

/// A node for a person: its name, or its number, with operator and domain.
pub(super) fn place_of(node: &proto::Node, at: usize) -> String {
    let name = if node.name.is_empty() { format!("{at}") } else { node.name.clone() };
    match node.domain.as_str() {
        "" => format!("node {name} ({})", node.op_type),
        domain => format!("node {name} ({} of {domain})", node.op_type),
    }
}

pub(super) fn dims_of(input: &proto::ValueInfo) -> &[proto::Dimension] {
    let tensor = input.kind.as_ref().and_then(|kind| kind.tensor.as_ref());
    tensor.and_then(|tensor| tensor.shape.as_ref()).map_or(&[], |shape| &shape.dim)
}

/// Initializers, and inputs that the caller binds to arrays.
fn constants_of<'a>(
    graph: &'a proto::Graph,
    limits: &Limits,
    options: &'a Options,
) -> Result<HashMap<&'a str, Rc<Tensor>>> {
    let mut constants = HashMap::new();
    let mut elements = 0u64;
    for tensor in &graph.initializer {
        let place = format!("initializer {}", tensor.name);
        let read = Tensor::read(&place, tensor, limits)?;
        elements = elements.saturating_add(read.len() as u64);
        Limits::at_most(
            &place,
            "the number of values of constants",
            elements,
            limits.elements.saturating_mul(4),
        )?;
        if constants.insert(tensor.name.as_str(), Rc::new(read)).is_some() {
            return Err(Error::damaged(place, "two initializers have this name"));
        }
    }
    for (name, array) in &options.bound {
        let Some(input) = graph.input.iter().find(|input| input.name == *name) else {
            return Err(Error::unsupported(format!("input {name}"), "the model has no such input to bind"));
        };
        let whole =
            input.kind.as_ref().and_then(|kind| kind.tensor.as_ref()).and_then(|t| kind_of(t.elem_type));
        let tensor = match whole {
            Some(Kind::Int) => Tensor::Int(array.mapv(|x| Number::Known(x as i64))),
            _ => Tensor::Float(array.clone()),
        };
        constants.insert(input.name.as_str(), Rc::new(tensor));
    }
    Ok(constants)
}

/// The node that makes each value. Nodes must stand behind those they need, which leaves no room for a cycle.
fn makers<'a>(
    graph: &'a proto::Graph,
    inputs: &[&'a proto::ValueInfo],
    constants: &HashMap<&'a str, Rc<Tensor>>,
    limits: &Limits,
) -> Result<HashMap<&'a str, usize>> {
    let mut known: HashSet<&str> = constants.keys().copied().collect();
    for input in inputs {
        Limits::at_most("input", "the length of its name", input.name.len() as u64, limits.name_bytes)?;
        if input.name.is_empty() || !known.insert(&input.name) {
            return Err(Error::damaged(format!("input {}", input.name), "a name that is empty or taken"));
        }
    }
    let mut makers = HashMap::new();
    for (at, node) in graph.node.iter().enumerate() {
        let place = || place_of(node, at);
        let longest = node.input.iter().chain(&node.output).chain([&node.name]).map(String::len).max();
        Limits::at_most(&place(), "the length of a name", longest.unwrap_or(0) as u64, limits.name_bytes)?;
        if let Some(missing) = uses_of(node).into_iter().find(|name| !known.contains(name)) {
            let later = graph.node[at..].iter().any(|n| n.output.iter().any(|name| name == missing));
            let problem = match later {
                true => format!(
                    "its input {missing} is made by itself or by a later node; nodes must be sorted, without cycles"
                ),
                false => format!("nothing makes its input {missing}"),
            };
            return Err(Error::damaged(place(), problem));
        }
        for name in node.output.iter().filter(|name| !name.is_empty()) {
            if !known.insert(name) {
                return Err(Error::damaged(place(), format!("its output {name} is made twice")));
            }
            makers.insert(name.as_str(), at);
        }
    }
    Ok(makers)
}
