//! Masks as the operations of Keras that compute them, and values that are given one.

use super::super::order::Operation;
use super::{Argument, Extra, How, Plan, Source, Theirs, Value};
use rnn_model::Edge;
use serde_json::{Value as Json, json};

impl Plan {
    /// The value with the mask in Keras that it has here.
    pub(super) fn settled(&mut self, x: Value) -> Value {
        if !x.differs() {
            return x;
        }
        let Some(mask) = x.ours else {
            self.refuse("it has no mask here, but one in Keras, which takes a mask from no layer; put a Reshape before it");
            return x;
        };
        let Some((by, by_node)) = self.computed(mask) else { return x };
        let args = vec![Argument::Value(x.source)];
        self.extras.push(Extra { class: "TimeDistributed", config: None, args, mask: Some(by) });
        let (extra, node) = self.extra(vec![x.node, by_node]);
        Value { source: Source::Extra(extra), node, theirs: Some(Theirs { mask, node: by_node }), ..x }
    }

    /// The operation that computes a mask: the extra, and its call. None where Keras can not.
    pub(super) fn computed(&mut self, mask: usize) -> Option<(usize, usize)> {
        if let Some(written) = self.written[mask] {
            return Some(written);
        }
        let of = |source| Argument::Value(source);
        let number = |value: Json| Argument::Constant(value);
        let written = match self.masks[mask].clone() {
            How::Differs(x, value) => {
                let elements = self.operation("NotEqual", json!({}), vec![of(x), number(json!(value))]);
                let options = json!({ "axis": [-1], "keepdims": false });
                self.operation("Any", options, vec![of(Source::Extra(elements.0))])
            }
            How::Rows(ids) => self.operation("NotEqual", json!({}), vec![of(ids), number(json!(0))]),
            How::Lengths(x, lengths) => self.within(x, lengths),
            How::Either(a, b) => {
                let (a, b) = (self.computed(a)?, self.computed(b)?);
                let args = [a, b].map(|part| of(Source::Extra(part.0)));
                self.operation("LogicalOr", json!({}), args.to_vec())
            }
            How::Reversed(mask) => {
                let mask = self.computed(mask)?;
                self.operation("Flip", json!({ "axis": 1 }), vec![of(Source::Extra(mask.0))])
            }
            How::Wide(mask) => {
                let mask = self.computed(mask)?;
                self.operation("ExpandDims", json!({ "axis": -1 }), vec![of(Source::Extra(mask.0))])
            }
            How::Segments(_) | How::Both(..) => return None,
            How::Joined(_) => {
                self.refuse(
                    "the mask of a Concatenate before, which only goes on from layer to layer in Keras; put the values \
                     together behind it",
                );
                return None;
            }
        };
        self.written[mask] = Some(written);
        Some(written)
    }

    /// `t < length` of each step t, for any number of steps: ones are summed up along them.
    fn within(&mut self, x: Source, lengths: Source) -> (usize, usize) {
        let of = |part: (usize, usize)| Argument::Value(Source::Extra(part.0));
        let rank = self.shapes.get(&x).map_or(1, Vec::len);
        // Whatever the values are, there is one of each step.
        let each = if rank > 1 {
            let zero = Argument::Constant(json!(0));
            let elements = self.operation("NotEqual", json!({}), vec![Argument::Value(x), zero]);
            let axes: Vec<usize> = (2..=rank).collect();
            of(self.operation("Any", json!({ "axis": axes, "keepdims": false }), vec![of(elements)]))
        } else {
            Argument::Value(x)
        };
        let ones = self.operation("OnesLike", json!({ "dtype": "float32" }), vec![each]);
        let numbers = self.operation("Cumsum", json!({ "axis": 1, "dtype": null }), vec![of(ones)]);
        let steps = self.operation("Subtract", json!({}), vec![of(numbers), of(ones)]);
        self.operation("Less", json!({}), vec![of(steps), Argument::Value(lengths)])
    }

    /// The call of the last extra.
    fn extra(&mut self, inputs: Vec<usize>) -> (usize, usize) {
        let extra = self.extras.len() - 1;
        let node = self.node(Operation::Extra(extra), inputs);
        self.of.insert(Source::Extra(extra), node);
        (extra, node)
    }

    fn operation(&mut self, class: &'static str, config: Json, args: Vec<Argument>) -> (usize, usize) {
        let node_of = |arg: &Argument| match arg {
            Argument::Value(Source::Edge(Edge::Output { call, .. })) => {
                self.of.get(&Source::Edge(Edge::Output { call: *call, output: 0 })).copied()
            }
            Argument::Value(source) => self.of.get(source).copied(),
            Argument::Constant(_) => None,
        };
        let inputs = args.iter().filter_map(node_of).collect();
        self.extras.push(Extra { class, config: Some(config), args, mask: None });
        self.extra(inputs)
    }
}
