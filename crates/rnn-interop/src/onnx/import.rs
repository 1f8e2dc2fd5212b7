//! From the bytes of a file to a model: the search for the batch axis, and the walk over the nodes.

use super::builder::Builder;
use super::constants::kind_of;
use super::file::{File, captured, dims_of, is_standard, place_of};
use super::node::Node;
use super::number::Number;
use super::operators::operator;
use super::proto::{self, Size, data_type};
use super::value::{BATCH, Group, Kind, Known, Value};
use super::{Imported, Options, Port, scan};
use crate::{Error, Limits, PortableModel, Result};
use prost::Message;
use rnn_model::{Graph, Input, Symbol};
use std::collections::HashMap;

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

impl<'a> File<'a> {
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
            let shape = tensor.dims().iter().map(|&n| Number::Known(n as i64)).collect();
            values.insert(name, Value::Known(Known { tensor: tensor.clone(), shape }));
        }
        let mut symbols = Vec::new();
        let mut ports = Vec::new();
        let mut named_axes = HashMap::new();
        for (input, &batch) in self.inputs.iter().zip(batch_axes) {
            let (symbol, value) = self.input(&mut b, input, batch, &mut named_axes)?;
            ports.push(Port { name: input.name.clone(), batch_axis: batch, rank: dims_of(input).len() });
            symbols.push(symbol);
            self.mark(&mut b, &input.name, &value);
            values.insert(&input.name, value);
        }
        for &at in &self.needed {
            let node = &self.graph.node[at];
            let made = self.node(&mut b, node, at, &values)?;
            for (name, value) in node.output.iter().zip(made) {
                if !name.is_empty() {
                    self.mark(&mut b, name, &value);
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
            if x.order.is_some() {
                return Err(
                    b.unsupported("an output whose samples are in another order than those of the inputs")
                );
            }
            if x.drawn.is_some() {
                return Err(b.unsupported("an output whose steps stand together without the gaps of a mask"));
            }
            let batch = x.batch_axis().ok_or_else(|| b.no_batch_axis(&x))?;
            output_ports.push(Port { name: output.name.clone(), batch_axis: batch, rank: x.axes.len() });
            outputs.push(b.canonical(&x)?.symbol);
        }
        *reached += 1;
        self.finish(b, &symbols, &outputs, ports, output_ports)
    }

    /// A value that several nodes use is no part of one of them.
    fn without_origin(&self, name: &str, value: &mut Value) {
        if let Value::Device(x) = value
            && self.uses.get(name).is_some_and(|&uses| uses > 1)
        {
            x.origin = None;
        }
    }

    /// Remembers row numbers that masks are made of.
    fn mark(&self, b: &mut Builder<'_>, name: &str, value: &Value) {
        if let Value::Device(x) = value
            && self.masking.contains(name)
        {
            b.mark_masking(x);
        }
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
        b.check_alternatives(graph.layers())?;
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
            self.without_origin(name, &mut value);
            inputs.push(Some(value));
        }
        let wanted = node.output.iter().map(|name| self.uses.contains_key(name.as_str())).collect();
        let captured = captured(node);
        let mut node = Node::new(node, place, self.opset, inputs, wanted)?;
        for name in captured {
            let value = values.get(name).ok_or_else(|| b.damaged(format!("nothing makes {name}")))?;
            let mut value = value.clone();
            self.without_origin(name, &mut value);
            node.captured.insert(name, value);
        }
        let made = operator(b, &node)?;
        node.finish()?;
        Ok(made)
    }
}
