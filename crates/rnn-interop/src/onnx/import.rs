//! From the bytes of a file to a model: checks, the search for the batch axis, and the walk over the nodes.

use super::builder::Builder;
use super::constants::{self, kind_of};
use super::math::{self, Binary};
use super::node::Node;
use super::proto::{self, Size, data_type};
use super::tensor::Tensor;
use super::value::{BATCH, Group, Kind, Known, Value};
use super::{Imported, Options, Port, dense, recurrent, scan, select, views};
use crate::{Error, Limits, PortableModel, Result};
use prost::Message;
use rnn_model::{Graph, Input, Symbol};
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

pub(super) fn read(bytes: &[u8], limits: &Limits, options: &Options) -> Result<Imported> {
    Limits::at_most("file", "the number of bytes", bytes.len() as u64, limits.file_bytes)?;
    scan::check(bytes, limits)?;
    let model = proto::Model::decode(bytes)
        .map_err(|e| Error::damaged("file", format!("it is no ONNX model: {e}")))?;
    let file = File::open(&model, limits, options)?;
    let mut best: Option<(usize, Error)> = None;
    for guess in file.guesses() {
        match file.attempt(&guess) {
            Ok(imported) => return Ok(imported),
            Err((reached, error)) => {
                if best.as_ref().is_none_or(|(before, _)| reached > *before) {
                    best = Some((reached, error));
                }
            }
        }
    }
    Err(best.map_or_else(|| Error::damaged("graph", "it has no inputs"), |(_, error)| error))
}

/// A graph that has been checked, with its constants.
struct File<'a> {
    graph: &'a proto::Graph,
    opset: i64,
    limits: &'a Limits,
    options: &'a Options,
    constants: HashMap<&'a str, Rc<Tensor>>,
    /// inputs of the model, that is those which are no constants
    inputs: Vec<&'a proto::ValueInfo>,
    /// nodes that the outputs depend on
    needed: Vec<usize>,
    /// uses of each value by these nodes and as an output
    uses: HashMap<&'a str, usize>,
    /// names for the layers of nodes, by the values that the nodes make
    labels: HashMap<&'a str, &'a str>,
}

impl<'a> File<'a> {
    fn open(model: &'a proto::Model, limits: &'a Limits, options: &'a Options) -> Result<Self> {
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
            labels: HashMap::new(),
        };
        file.find_needed(&makers);
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
                let inputs = self.graph.node[at].input.iter();
                open.extend(inputs.filter(|input| !input.is_empty()).map(String::as_str));
            }
        }
        self.needed = (0..needed.len()).filter(|&at| needed[at]).collect();
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
    fn guesses(&self) -> Vec<Vec<usize>> {
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

    /// Reads the graph with these batch axes. An error comes with how many nodes had been read.
    fn attempt(&self, batch_axes: &[usize]) -> Result<Imported, (usize, Error)> {
        let mut reached = 0;
        self.walk(batch_axes, &mut reached).map_err(|error| (reached, error))
    }

    fn walk(&self, batch_axes: &[usize], reached: &mut usize) -> Result<Imported> {
        let constants = self.constants.values().map(|tensor| tensor.len() as u64).sum();
        let mut b = Builder::new(self.limits, self.declared_batch(batch_axes), constants);
        let mut values: HashMap<&str, Value> = HashMap::new();
        for (&name, tensor) in &self.constants {
            let shape = tensor.dims().iter().map(|&n| super::number::Number::Known(n as i64)).collect();
            values.insert(name, Value::Known(Known { tensor: tensor.clone(), shape }));
        }
        let mut symbols = Vec::new();
        let mut ports = Vec::new();
        let mut named_axes = HashMap::new();
        for (input, &batch) in self.inputs.iter().zip(batch_axes) {
            let (symbol, value) = self.input(&mut b, input, batch, &mut named_axes)?;
            ports.push(Port { name: input.name.clone(), batch_axis: batch, rank: dims_of(input).len() });
            symbols.push(symbol);
            values.insert(&input.name, value);
        }
        for &at in &self.needed {
            let node = &self.graph.node[at];
            let made = self.node(&mut b, node, at, &values)?;
            for (name, value) in node.output.iter().zip(made) {
                if !name.is_empty() {
                    values.insert(name, value);
                }
            }
            *reached += 1;
        }
        let mut outputs = Vec::new();
        let mut output_ports = Vec::new();
        for output in &self.graph.output {
            b.place = format!("output {}", output.name);
            b.name.clone_from(&output.name);
            let value = values.get(output.name.as_str());
            let value = value.ok_or_else(|| b.damaged("no node makes it"))?;
            if matches!(value, Value::Known(_)) {
                return Err(b.unsupported("an output that does not depend on the inputs"));
            }
            let x = b.computed(value)?;
            let batch = x.batch_axis().ok_or_else(|| b.no_batch_axis(&x))?;
            output_ports.push(Port { name: output.name.clone(), batch_axis: batch, rank: x.axes.len() });
            outputs.push(b.canonical(&x)?.symbol);
        }
        *reached += 1;
        self.finish(b, &symbols, &outputs, ports, output_ports)
    }

    fn finish(
        &self,
        mut b: Builder<'_>,
        inputs: &[Symbol],
        outputs: &[Symbol],
        input_ports: Vec<Port>,
        output_ports: Vec<Port>,
    ) -> Result<Imported> {
        let graph = Graph::new(&inputs.iter().collect::<Vec<_>>(), &outputs.iter().collect::<Vec<_>>())?;
        let mut weights = Vec::new();
        for layer in graph.layers() {
            let arrays = b.weights_of(&layer.name);
            for array in &arrays {
                b.limits.finite(&format!("layer {}, a weight", layer.name), array.iter())?;
            }
            weights.extend(arrays);
        }
        let mut notes = std::mem::take(&mut b.notes);
        for (port, what) in
            input_ports.iter().map(|p| (p, "input")).chain(output_ports.iter().map(|p| (p, "output")))
        {
            if port.batch_axis != 0 {
                notes.push(format!(
                    "The {what} {} has the batch as axis {} in ONNX and as its first axis here.",
                    port.name, port.batch_axis
                ));
            }
        }
        if let Some(batch) = b.batch {
            notes.push(format!("The file declares a batch of {batch}; here any size will do."));
        }
        let model = PortableModel { graph, weights, training: None, notes };
        model.check()?;
        Ok(Imported { model, inputs: input_ports, outputs: output_ports })
    }

    /// The batch size that the inputs declare, if they all declare the same.
    fn declared_batch(&self, batch_axes: &[usize]) -> Option<usize> {
        let mut sizes = self.inputs.iter().zip(batch_axes).map(|(input, &axis)| {
            match dims_of(input).get(axis).and_then(|dim| dim.size.as_ref()) {
                Some(Size::Value(n)) => usize::try_from(*n).ok(),
                _ => None,
            }
        });
        let first = sizes.next().flatten()?;
        sizes.all(|size| size == Some(first)).then_some(first)
    }

    /// An input of the model, with the batch as axis `batch`.
    fn input(
        &self,
        b: &mut Builder<'_>,
        input: &'a proto::ValueInfo,
        batch: usize,
        named_axes: &mut HashMap<&'a str, Group>,
    ) -> Result<(Symbol, Value)> {
        let place = format!("input {}", input.name);
        let tensor = input.kind.as_ref().and_then(|kind| kind.tensor.as_ref());
        let tensor = tensor.ok_or_else(|| Error::unsupported(&place, "an input that is no tensor"))?;
        let kind = kind_of(tensor.elem_type).ok_or_else(|| {
            Error::unsupported(&place, format!("elements of type {}", data_type::name(tensor.elem_type)))
        })?;
        if tensor.shape.is_none() {
            let problem = "an input without a declared shape; infer the shapes before saving the model";
            return Err(Error::unsupported(place, problem));
        }
        let dims = dims_of(input);
        Limits::at_most(&place, "the number of axes", dims.len() as u64, self.limits.rank)?;
        if batch >= dims.len() {
            return Err(Error::unsupported(place, format!("{} axes, without one for the batch", dims.len())));
        }
        let (mut axes, mut physical, mut sample) = (Vec::new(), Vec::new(), Vec::new());
        for (axis, dim) in dims.iter().enumerate() {
            if axis == batch {
                axes.push(vec![BATCH]);
                continue;
            }
            let (size, group) = match &dim.size {
                Some(Size::Value(n)) => {
                    let size =
                        usize::try_from(*n).ok().filter(|&n| n > 0 && n as u64 <= self.limits.elements);
                    let size =
                        size.ok_or_else(|| Error::damaged(&place, format!("axis {axis} of size {n}")))?;
                    (Some(size), b.axis(Some(size)))
                }
                Some(Size::Name(name)) if !name.is_empty() => {
                    (None, named_axes.entry(name.as_str()).or_insert_with(|| b.axis(None)).clone())
                }
                _ => (None, b.axis(None)),
            };
            // A name twice in one shape: two axes.
            let group = if physical.contains(&group) && !group.is_empty() { b.axis(size) } else { group };
            axes.push(group.clone());
            physical.push(group);
            sample.push(size);
        }
        if sample.is_empty() {
            sample.push(Some(1));
            physical.push(Group::new());
        }
        let name = input.name.replace("//", "/");
        b.reserve(&name);
        let symbol = Input::shape(sample).name(name).symbol();
        let mut x = b.device(symbol.clone(), physical, axes);
        x.kind = kind;
        if kind == Kind::Int {
            b.mark_whole(&x);
        }
        Ok((symbol, x.into()))
    }

    fn node(
        &self,
        b: &mut Builder<'_>,
        node: &'a proto::Node,
        at: usize,
        values: &HashMap<&'a str, Value>,
    ) -> Result<Vec<Value>> {
        let place = place_of(node, at);
        b.place.clone_from(&place);
        let first = node.output.iter().find(|name| !name.is_empty()).map_or("", String::as_str);
        let label = node.output.iter().find_map(|name| self.labels.get(name.as_str()).copied());
        let own = if node.name.is_empty() { first } else { &node.name };
        label.unwrap_or(own).clone_into(&mut b.name);
        if !is_standard(&node.domain) {
            return Err(b.unsupported("an operator outside the standard ones"));
        }
        let mut inputs = Vec::with_capacity(node.input.len());
        for name in &node.input {
            if name.is_empty() {
                inputs.push(None);
                continue;
            }
            let value = values
                .get(name.as_str())
                .ok_or_else(|| b.damaged(format!("nothing makes its input {name}")))?;
            let mut value = value.clone();
            if let Value::Device(x) = &mut value
                && self.uses.get(name.as_str()).is_some_and(|&uses| uses > 1)
            {
                x.origin = None;
            }
            inputs.push(Some(value));
        }
        let wanted = node.output.iter().map(|name| self.uses.contains_key(name.as_str())).collect();
        let node = Node::new(node, place, self.opset, inputs, wanted)?;
        let made = operator(b, &node)?;
        node.finish()?;
        Ok(made)
    }
}

/// What an operator makes.
fn operator(b: &mut Builder<'_>, node: &Node<'_>) -> Result<Vec<Value>> {
    if let Some(op) = Binary::of(node.op) {
        // Of versions before 7.
        if node.opset < 7 {
            node.pass_over("broadcast");
        }
        return math::binary(b, node, op);
    }
    match node.op {
        "LSTM" | "GRU" | "RNN" => recurrent::recurrent(b, node),
        "MatMul" => dense::matmul(b, node),
        "Gemm" => dense::gemm(b, node),
        "LayerNormalization" => dense::layer_normalization(b, node),
        "ReduceMean" | "ReduceMax" | "ReduceSum" | "ReduceProd" => dense::reduce(b, node),
        "Transpose" => views::transpose(b, node),
        "Squeeze" => views::squeeze(b, node),
        "Unsqueeze" => views::unsqueeze(b, node),
        "Reshape" => views::reshape(b, node),
        "Flatten" => views::flatten(b, node),
        "Expand" => views::expand(b, node),
        "Tile" => constants::tile(b, node),
        "Identity" => Ok(vec![node.input(0)?.clone()]),
        "Dropout" => constants::dropout(b, node),
        "Slice" => select::slice(b, node),
        "Gather" => select::gather(b, node),
        "Split" => select::split(b, node),
        "Concat" => select::concat(b, node),
        "Constant" => constants::constant(b, node),
        "ConstantOfShape" => constants::constant_of_shape(b, node),
        "Shape" => constants::shape(b, node),
        "Size" => constants::size(b, node),
        "Range" => constants::range(b, node),
        "Cast" => constants::cast(b, node),
        "Where" => math::choose(b, node),
        "Clip" => math::clip(b, node),
        "Softmax" | "LogSoftmax" => math::softmax(b, node),
        "Neg" | "Abs" | "Sqrt" | "Reciprocal" | "Exp" | "Log" | "Floor" | "Ceil" | "Not" => {
            math::unary(b, node)
        }
        "Sigmoid" | "Tanh" | "Relu" | "Softplus" | "Softsign" | "Mish" | "HardSwish" | "Elu" | "Celu"
        | "LeakyRelu" | "ThresholdedRelu" | "HardSigmoid" | "Selu" | "Gelu" | "Shrink" => {
            math::activate(b, node)
        }
        _ => Err(b.unsupported("an operator that is not among those of recurrent models")),
    }
}

/// The operators of ONNX itself.
fn is_standard(domain: &str) -> bool {
    domain.is_empty() || domain == "ai.onnx"
}

/// A node for a person: its name, or its number, with operator and domain.
fn place_of(node: &proto::Node, at: usize) -> String {
    let name = if node.name.is_empty() { format!("{at}") } else { node.name.clone() };
    match node.domain.as_str() {
        "" => format!("node {name} ({})", node.op_type),
        domain => format!("node {name} ({} of {domain})", node.op_type),
    }
}

fn dims_of(input: &proto::ValueInfo) -> &[proto::Dimension] {
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
            Some(Kind::Int) => Tensor::Int(array.mapv(|x| super::number::Number::Known(x as i64))),
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
        if let Some(missing) =
            node.input.iter().find(|name| !name.is_empty() && !known.contains(name.as_str()))
        {
            let later = graph.node[at..].iter().any(|n| n.output.contains(missing));
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
