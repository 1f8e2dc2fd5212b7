//! The order in which Keras has the layers of a functional model. It is not written anywhere: whoever loads a model works it
//! out again from the connections, and addresses weights by it. Layers are sorted by their distance from the outputs, equal
//! ones by when a search from the outputs meets them first. Operations that Keras makes for masks take part.

use crate::{Error, Result};
use rnn_model::layer::Layer;
use rnn_model::{Edge, Graph};
use serde_json::Value;
use std::collections::HashMap;

/// A layer or an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Operation {
    Input(usize),
    Layer(usize),
    /// one that a mask is made with
    Mask(usize),
}

/// A call, as Keras sees it.
struct Node {
    operation: Operation,
    inputs: Vec<usize>,
}

/// The mask of a value: the call that makes it, and what it comes from; two of the same origin are equal.
#[derive(Clone, Copy, Debug)]
struct Mask {
    node: usize,
    origin: usize,
}

/// Inputs and layers in Keras's order.
///
/// # Errors
/// Where Keras has other masks than this engine, so that the model would not be the same.
pub(super) fn of(graph: &Graph) -> Result<Vec<Operation>> {
    let mut calls = Calls { nodes: Vec::new(), masks: 0 };
    let inputs: Vec<usize> =
        (0..graph.inputs().len()).map(|i| calls.node(Operation::Input(i), Vec::new())).collect();
    let mut made: Vec<(usize, Vec<Option<Mask>>)> = Vec::new();
    for call in graph.calls() {
        let layer = &graph.layers()[call.layer];
        let args: Vec<(usize, Option<Mask>)> = call
            .inputs
            .iter()
            .map(|edge| match *edge {
                Edge::Input(i) => (inputs[i], None),
                Edge::Output { call, output } => (made[call].0, made[call].1.get(output).copied().flatten()),
            })
            .collect();
        let place = format!("layer {}", layer.name);
        let result = calls.call(call.layer, &layer.layer, &args, &place)?;
        made.push(result);
    }
    let outputs: Vec<usize> = graph
        .outputs()
        .iter()
        .map(|edge| match *edge {
            Edge::Input(i) => inputs[i],
            Edge::Output { call, .. } => made[call].0,
        })
        .collect();
    let mut order = sorted(&calls.nodes, &outputs);
    // An input that nothing depends on is there all the same.
    let unused: Vec<Operation> =
        (0..inputs.len()).map(Operation::Input).filter(|input| !order.contains(input)).collect();
    order.extend(unused);
    Ok(order)
}

struct Calls {
    nodes: Vec<Node>,
    masks: usize,
}

impl Calls {
    fn node(&mut self, operation: Operation, inputs: Vec<usize>) -> usize {
        self.nodes.push(Node { operation, inputs });
        self.nodes.len() - 1
    }

    /// A call of an operation that a mask is made with.
    fn mask_node(&mut self, inputs: Vec<usize>) -> usize {
        self.masks += 1;
        self.node(Operation::Mask(self.masks), inputs)
    }

    /// A layer's call, and the masks of what it gives.
    fn call(
        &mut self,
        index: usize,
        layer: &Layer,
        args: &[(usize, Option<Mask>)],
        place: &str,
    ) -> Result<(usize, Vec<Option<Mask>>)> {
        let refuse = |problem: &str| Err(Error::unsupported(place, problem));
        let first = args.first().and_then(|arg| arg.1);
        let mut inputs: Vec<usize> = args.iter().map(|arg| arg.0).collect();
        let options = serde_json::to_value(layer).unwrap_or_default();
        let on = |name: &str| {
            let at = ["/config/", "/config/layer/config/"];
            at.iter().find_map(|at| options.pointer(&format!("{at}{name}"))) == Some(&Value::Bool(true))
        };
        let mask = match layer {
            Layer::Masking(_) | Layer::Embedding(_) if first.is_some() => {
                return refuse(
                    "it says which steps are there where another layer has said so already; Keras would forget the first",
                );
            }
            Layer::Masking(_) => {
                let elements = self.mask_node(inputs.clone());
                let node = self.mask_node(vec![elements]);
                Some(Mask { node, origin: node })
            }
            Layer::Embedding(_) if on("mask_zero") => {
                let node = self.mask_node(inputs.clone());
                Some(Mask { node, origin: node })
            }
            Layer::LSTM(_)
            | Layer::GRU(_)
            | Layer::SimpleRNN(_)
            | Layer::RNN(_)
            | Layer::Bidirectional(_) => {
                if let Some(mask) = first {
                    if args.len() > 1 {
                        return refuse(
                            "Keras leaves the mask of a sequence out where initial states are given",
                        );
                    }
                    let both = matches!(layer, Layer::Bidirectional(_));
                    if both && on("return_sequences") && !on("zero_output_for_mask") {
                        return refuse(
                            "Keras gives 0 at masked steps of Bidirectional; set zero_output_for_mask(true)",
                        );
                    }
                    inputs.push(mask.node);
                }
                first.filter(|_| on("return_sequences"))
            }
            Layer::Softmax(_) if first.is_some() => {
                return refuse("Keras's Softmax takes no mask of steps, only one with all axes of its input");
            }
            Layer::TimeDistributed(_) | Layer::GlobalAveragePooling1D(_) => {
                inputs.extend(first.map(|mask| mask.node));
                first.filter(|_| matches!(layer, Layer::TimeDistributed(_)))
            }
            Layer::Reverse(_) if first.is_some() => {
                return refuse("Keras has no layer that turns a mask round");
            }
            Layer::Flatten(_)
            | Layer::Reshape(_)
            | Layer::RepeatVector(_)
            | Layer::Permute(_)
            | Layer::Slice(_)
            | Layer::Dot(_)
            | Layer::Cell(_)
            | Layer::GlobalMaxPooling1D(_) => None,
            Layer::Add(_)
            | Layer::Subtract(_)
            | Layer::Divide(_)
            | Layer::Multiply(_)
            | Layer::Average(_)
            | Layer::Maximum(_)
            | Layer::Minimum(_) => {
                // Where an input has none, neither has the whole.
                let masks: Option<Vec<Mask>> = args.iter().map(|arg| arg.1).collect();
                masks.unwrap_or_default().into_iter().reduce(|all, mask| {
                    let node = self.mask_node(vec![all.node, mask.node]);
                    Mask { node, origin: if all.origin == mask.origin { all.origin } else { node } }
                })
            }
            Layer::Concatenate(_) if args.iter().any(|arg| arg.1.is_some()) => {
                let mut parts = Vec::new();
                for &(x, mask) in args {
                    let part = match mask {
                        None => self.mask_node(vec![x]),
                        Some(mask) => {
                            let wide = self.mask_node(vec![mask.node]);
                            let zeros = self.mask_node(vec![x]);
                            self.mask_node(vec![wide, zeros])
                        }
                    };
                    parts.push(part);
                }
                let joined = self.mask_node(parts);
                let node = self.mask_node(vec![joined]);
                Some(Mask { node, origin: node })
            }
            _ => first,
        };
        let node = self.node(Operation::Layer(index), inputs);
        // Of several outputs only sequences have one.
        let outputs = if matches!(layer, Layer::Bidirectional(_)) { 2 } else { 1 };
        Ok((node, vec![mask; outputs]))
    }
}

/// Operations by their distance from the outputs.
fn sorted(nodes: &[Node], outputs: &[usize]) -> Vec<Operation> {
    let (finished, first_seen) = search(nodes, outputs);
    let mut depths: HashMap<usize, usize> = HashMap::new();
    let mut of_operation: HashMap<Operation, usize> = HashMap::new();
    for &at in finished.iter().rev() {
        let node = &nodes[at];
        let before = of_operation.get(&node.operation).copied().unwrap_or(0);
        let depth = depths.get(&at).copied().unwrap_or(0).max(before);
        of_operation.insert(node.operation, depth);
        depths.insert(at, depth);
        for &input in &node.inputs {
            let known = depths.entry(input).or_insert(0);
            *known = (*known).max(depth + 1);
        }
    }
    let mut order: Vec<Operation> = of_operation.keys().copied().collect();
    order.sort_by_key(|operation| (std::cmp::Reverse(of_operation[operation]), first_seen[operation]));
    order.retain(|operation| !matches!(operation, Operation::Mask(_)));
    order
}

/// Nodes in the order in which a search into the depth finishes them, and when it meets each operation first.
fn search(nodes: &[Node], outputs: &[usize]) -> (Vec<usize>, HashMap<Operation, usize>) {
    let mut finished = Vec::new();
    let mut done = vec![false; nodes.len()];
    let mut first_seen: HashMap<Operation, usize> = HashMap::new();
    let mut stack: Vec<(usize, usize)> = Vec::new();
    for &output in outputs {
        stack.push((output, 0));
        while let Some((at, next)) = stack.pop() {
            if next == 0 {
                if done[at] {
                    continue;
                }
                let count = first_seen.len();
                first_seen.entry(nodes[at].operation).or_insert(count);
            }
            match nodes[at].inputs.get(next) {
                Some(&input) => {
                    stack.push((at, next + 1));
                    if !done[input] {
                        stack.push((input, 0));
                    }
                }
                None => {
                    done[at] = true;
                    finished.push(at);
                }
            }
        }
    }
    (finished, first_seen)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rnn_model::Input;
    use rnn_model::layer::{Dense, SharedLayer, add};

    /// Names of the layers in Keras's order; those expected are what Keras 3.15 gives for the same model.
    #[test]
    fn layers_of_branches_are_sorted_by_their_distance_from_the_outputs() {
        let dense = |name: &str| SharedLayer::new(Dense::new(2)).name(name);
        let x = Input::vector(2).symbol();
        let a = x.layer(dense("a")).unwrap();
        let b = x.layer(dense("b1")).unwrap().layer(dense("b2")).unwrap();
        let y = add(&[&b, &a]).unwrap().layer(dense("last")).unwrap();
        let graph = Graph::new(&[&x], &[&y]).unwrap();
        let names: Vec<&str> = of(&graph)
            .unwrap()
            .into_iter()
            .filter_map(|operation| match operation {
                Operation::Layer(i) => Some(graph.layers()[i].name.as_str()),
                _ => None,
            })
            .collect();
        assert_eq!(names, ["b1", "b2", "a", "add", "last"]);
    }
}
