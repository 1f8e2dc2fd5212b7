//! If whose condition is known when the file is read: the graph that it chooses, as if its nodes stood in place of it.
//! PyTorch's exporter writes one around a Squeeze of an axis whose size it does not know itself.

use super::builder::Builder;
use super::file::{captured, is_standard, place_of, uses_of};
use super::node::Node;
use super::operators::operator;
use super::proto;
use super::tensor::Tensor;
use super::value::{Known, Value};
use crate::{Limits, Result};
use std::collections::HashMap;

pub(super) fn choose(b: &mut Builder<'_>, node: &Node<'_>) -> Result<Vec<Value>> {
    let condition = match node.optional(0) {
        Some(Value::Known(known)) => known.uniform(),
        _ => None,
    };
    let (then, otherwise) = (node.graph("then_branch")?, node.graph("else_branch")?);
    let chosen = match condition {
        Some(told) if told != 0.0 => then,
        Some(_) => otherwise,
        None => {
            return Err(b.unsupported(
                "its condition depends on the data; of If those are read whose condition follows from known sizes and \
                 constants. Keras on PyTorch writes such conditions where layers have masks: export from its TensorFlow \
                 backend",
            ));
        }
    };
    let graph = chosen.ok_or_else(|| b.damaged("it lacks the branch that its condition chooses"))?;
    if graph.output.len() != node.wanted.len() || !graph.input.is_empty() {
        return Err(b.damaged(format!(
            "a branch of {} inputs and {} outputs for a node of {} outputs",
            graph.input.len(),
            graph.output.len(),
            node.wanted.len()
        )));
    }
    let outer = (b.place.clone(), b.name.clone());
    let made = Branch::new(b, node, graph).and_then(|branch| branch.walk(b, node.opset));
    (b.place, b.name) = outer;
    made
}

/// The graph that was chosen, with the values that it has so far.
struct Branch<'a> {
    graph: &'a proto::Graph,
    /// uses of each value within it
    uses: HashMap<&'a str, usize>,
    values: HashMap<&'a str, Value>,
}

impl<'a> Branch<'a> {
    fn new(b: &mut Builder<'_>, node: &Node<'a>, graph: &'a proto::Graph) -> Result<Self> {
        if !graph.sparse_initializer.is_empty() {
            return Err(b.unsupported("sparse initializers"));
        }
        let mut uses = HashMap::new();
        let outputs = graph.output.iter().map(|output| output.name.as_str());
        for name in graph.node.iter().flat_map(uses_of).chain(outputs) {
            *uses.entry(name).or_default() += 1;
        }
        let mut values: HashMap<&str, Value> =
            node.captured.iter().map(|(&name, value)| (name, value.clone())).collect();
        for tensor in &graph.initializer {
            let read = Tensor::read(&format!("{}, initializer {}", b.place, tensor.name), tensor, b.limits)?;
            b.count(read.len())?;
            values.insert(&tensor.name, Known::plain(read).into());
        }
        Ok(Branch { graph, uses, values })
    }

    fn named(&self, b: &Builder<'_>, name: &str) -> Result<Value> {
        let value =
            self.values.get(name).ok_or_else(|| b.damaged(format!("nothing in its branch makes {name}")))?;
        let mut value = value.clone();
        if let Value::Device(x) = &mut value
            && self.uses.get(name).is_some_and(|&uses| uses > 1)
        {
            x.origin = None;
        }
        Ok(value)
    }

    fn walk(mut self, b: &mut Builder<'_>, opset: i64) -> Result<Vec<Value>> {
        let outer = b.place.clone();
        for (at, node) in self.graph.node.iter().enumerate() {
            b.place = format!("{outer}, {} of its branch", place_of(node, at));
            let longest = node.input.iter().chain(&node.output).map(String::len).max().unwrap_or(0);
            Limits::at_most(&outer, "the length of a name", longest as u64, b.limits.name_bytes)?;
            if !is_standard(&node.domain) {
                return Err(b.unsupported("an operator outside the standard ones"));
            }
            let inputs = node.input.iter().map(|name| match name.is_empty() {
                true => Ok(None),
                false => self.named(b, name).map(Some),
            });
            let inputs: Vec<Option<Value>> = inputs.collect::<Result<_>>()?;
            let wanted = node.output.iter().map(|name| self.uses.contains_key(name.as_str())).collect();
            let mut read = Node::new(node, b.place.clone(), opset, inputs, wanted)?;
            for name in captured(node) {
                read.captured.insert(name, self.named(b, name)?);
            }
            let made = operator(b, &read)?;
            read.finish()?;
            for (name, value) in node.output.iter().zip(made) {
                if !name.is_empty() && self.values.insert(name, value).is_some() {
                    return Err(b.damaged(format!("its output {name} is made twice")));
                }
            }
        }
        b.place = outer;
        self.graph.output.iter().map(|output| self.named(b, &output.name)).collect()
    }
}
