//! The order in which Keras has the layers of a functional model. It is not written anywhere: whoever loads a model works it
//! out again from the connections, and addresses weights by it. Layers are sorted by their distance from the outputs, equal
//! ones by when a search from the outputs meets them first. Operations that make masks take part.

use std::collections::HashMap;

/// What stands in a functional model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Operation {
    Input(usize),
    Layer(usize),
    /// one that is written because of a mask
    Extra(usize),
    /// one that Keras makes a mask with by itself
    Mask(usize),
}

/// A call, as Keras sees it.
#[derive(Debug)]
pub(super) struct Node {
    pub operation: Operation,
    pub inputs: Vec<usize>,
}

/// What is written, in Keras's order: inputs, layers and operations by their distance from the outputs.
pub(super) fn of(nodes: &[Node], outputs: &[usize]) -> Vec<Operation> {
    let mut order = sorted(nodes, outputs);
    // An input that nothing depends on is there all the same.
    let is_input = |operation: &Operation| matches!(operation, Operation::Input(_));
    let inputs: Vec<Operation> = nodes.iter().map(|node| node.operation).filter(is_input).collect();
    let unused: Vec<Operation> = inputs.into_iter().filter(|input| !order.contains(input)).collect();
    order.extend(unused);
    order
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
    use crate::keras::masking::Plan;
    use rnn_model::layer::{Dense, SharedLayer, add};
    use rnn_model::{Graph, Input};

    use super::*;

    /// Names of the layers in Keras's order; those expected are what Keras 3.15 gives for the same model.
    #[test]
    fn layers_of_branches_are_sorted_by_their_distance_from_the_outputs() {
        let dense = |name: &str| SharedLayer::new(Dense::new(2)).name(name);
        let x = Input::vector(2).symbol();
        let a = x.layer(dense("a")).unwrap();
        let b = x.layer(dense("b1")).unwrap().layer(dense("b2")).unwrap();
        let y = add(&[&b, &a]).unwrap().layer(dense("last")).unwrap();
        let graph = Graph::new(&[&x], &[&y]).unwrap();
        let names: Vec<&str> = Plan::of(&graph)
            .unwrap()
            .order()
            .into_iter()
            .filter_map(|operation| match operation {
                Operation::Layer(i) => Some(graph.layers()[i].name.as_str()),
                _ => None,
            })
            .collect();
        assert_eq!(names, ["b1", "b2", "a", "add", "last"]);
    }
}
