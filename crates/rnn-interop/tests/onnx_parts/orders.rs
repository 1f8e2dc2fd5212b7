//! Samples that are sorted and brought back, and graphs that a condition chooses: what is read, and what is refused.

use crate::message::{Part, inner, int, message, raw, text};
use ndarray::arr2;
use rnn_interop::{Limits, onnx};
use rnn_model::Device;

type Field = (u64, Part);

fn node(op: &str, inputs: &[&str], outputs: &[&str], attributes: Vec<Field>) -> Field {
    let mut fields: Vec<Field> = inputs.iter().map(|name| text(1, name)).collect();
    fields.extend(outputs.iter().map(|name| text(2, name)));
    fields.extend([text(3, &format!("the_{op}")), text(4, op)]);
    fields.extend(attributes);
    inner(1, &fields)
}

fn number(name: &str, value: i64) -> Field {
    inner(5, &[text(1, name), int(3, value), int(20, 2)])
}

/// A branch of an If: a graph of these fields.
fn branch(name: &str, fields: &[Field]) -> Field {
    inner(5, &[text(1, name), inner(6, fields), int(20, 5)])
}

fn value(tag: u64, name: &str, more: Option<i64>) -> Field {
    let mut dims = vec![inner(1, &[text(2, "batch")])];
    dims.extend(more.map(|n| inner(1, &[int(1, n)])));
    inner(tag, &[text(1, name), inner(2, &[inner(1, &[int(1, 1), inner(2, &dims)])])])
}

fn constant(name: &str, dims: &[i64], values: &[i64]) -> Field {
    let mut fields: Vec<Field> = dims.iter().map(|&n| int(1, n)).collect();
    let bytes: Vec<u8> = values.iter().flat_map(|n| n.to_le_bytes()).collect();
    fields.extend([int(2, 7), text(8, name), raw(9, &bytes)]);
    inner(5, &fields)
}

/// A model of `x` `[batch, 2]` and `key` `[batch]` that makes `y`, with the size of the batch as `all` and constants.
fn model(nodes: Vec<Field>) -> Vec<u8> {
    let mut graph = vec![node("Shape", &["key"], &["all"], vec![])];
    graph.extend(nodes);
    graph.extend([constant("zero", &[], &[0]), constant("one", &[], &[1]), constant("two", &[1], &[2])]);
    graph.extend([value(11, "x", Some(2)), value(11, "key", None), value(12, "y", Some(2))]);
    message(&[int(1, 8), inner(7, &graph), inner(8, &[text(1, ""), int(2, 17)])])
}

fn refused(nodes: Vec<Field>) -> String {
    onnx::read(&model(nodes), &Limits::default()).map(|_| ()).unwrap_err().to_string()
}

fn sort(taken: &str) -> Field {
    node("TopK", &["key", taken], &["sorted", "order"], vec![])
}

fn squared(from: &str, to: &str) -> Field {
    node("Mul", &[from, from], &[to], vec![])
}

#[test]
fn samples_that_are_brought_back_are_read_in_their_own_order() {
    let file = model(vec![
        sort("all"),
        node("Gather", &["x", "order"], &["moved"], vec![]),
        squared("moved", "squares"),
        node("TopK", &["order", "all"], &["places", "back"], vec![number("largest", 0)]),
        node("Gather", &["squares", "back"], &["y"], vec![]),
    ]);
    let mut read = onnx::read(&file, &Limits::default()).unwrap().build(&Device::cpu()).unwrap();
    let x = arr2(&[[1.0f32, 2.0], [3.0, -4.0], [0.5, 0.0]]).into_dyn();
    let key = arr2(&[[0.5f32], [2.0], [1.0]]).into_dyn();
    let y = read.predict_outputs([x.clone(), key].as_slice()).unwrap();
    assert_eq!(y[0], x.mapv(|v| v * v));
}

#[test]
fn orders_that_do_not_end_are_refused() {
    let moved = || node("Gather", &["x", "order"], &["moved"], vec![]);
    let scattered = |numbers: &str| {
        vec![
            node("ConstantOfShape", &["all"], &["zeros"], vec![]),
            node("ScatterElements", &["zeros", "order", numbers], &["back"], vec![]),
            node("Gather", &["moved", "back"], &["y"], vec![]),
        ]
    };
    let with = |first: Vec<Field>, then: Vec<Field>| first.into_iter().chain(then).collect::<Vec<_>>();
    for (nodes, problem) in [
        (vec![sort("all"), moved(), squared("moved", "y")], "another order than those of the inputs"),
        (
            vec![sort("all"), moved(), node("Add", &["moved", "x"], &["y"], vec![])],
            "samples in one order together with samples in another",
        ),
        // Twice the same permutation is not the first order.
        (
            vec![sort("all"), moved(), node("Gather", &["moved", "order"], &["y"], vec![])],
            "axis 0 of a tensor of shape",
        ),
        (vec![sort("two"), moved(), squared("moved", "y")], "the largest values of a tensor"),
        (with(vec![sort("all"), moved()], scattered("order")), "0, 1, ... of the batch"),
        (with(vec![sort("all"), moved()], scattered("zeros")), "0, 1, ... of the batch"),
        // Places are no numbers to count with.
        (vec![sort("all"), node("Add", &["order", "one"], &["y"], vec![])], "an order of samples"),
        // Upwards only says where samples came from.
        (
            vec![
                sort("all"),
                moved(),
                node("TopK", &["order", "all"], &["places", "back"], vec![]),
                node("Gather", &["moved", "back"], &["y"], vec![]),
            ],
            "not sorted upwards",
        ),
    ] {
        let error = refused(nodes);
        assert!(error.contains(problem), "expected {problem:?}: {error}");
    }
    // The numbers of the samples are no numbers to compare with: those of the first is 0.
    let compared = vec![
        node("Squeeze", &["all"], &["batch"], vec![]),
        node("Range", &["zero", "batch", "one"], &["counted"], vec![]),
        node("Greater", &["counted", "zero"], &["positive"], vec![]),
        node("Where", &["positive", "x", "x"], &["y"], vec![]),
    ];
    assert!(refused(compared).contains("Greater"));
}

#[test]
fn a_condition_that_is_known_chooses_its_graph() {
    let output = |name: &str| inner(12, &[text(1, name)]);
    let branches = || {
        vec![
            branch("then_branch", &[node("Neg", &["x"], &["a"], vec![]), output("a")]),
            branch("else_branch", &[squared("x", "b"), output("b")]),
        ]
    };
    let chosen = |then: &str| {
        vec![
            node("Size", &["two"], &["size"], vec![]),
            node("Equal", &["size", then], &["told"], vec![]),
            node("If", &["told"], &["y"], branches()),
        ]
    };
    let x = arr2(&[[1.0f32, 2.0], [3.0, -4.0]]).into_dyn();
    let key = arr2(&[[0.0f32], [0.0]]).into_dyn();
    for (then, want) in [("one", x.mapv(|v| -v)), ("zero", x.mapv(|v| v * v))] {
        let read = onnx::read(&model(chosen(then)), &Limits::default()).unwrap();
        let y =
            read.build(&Device::cpu()).unwrap().predict_outputs([x.clone(), key.clone()].as_slice()).unwrap();
        assert_eq!(y[0], want, "{then}");
    }
    // How many samples there are is not known.
    let open =
        vec![node("Equal", &["all", "one"], &["told"], vec![]), node("If", &["told"], &["y"], branches())];
    assert!(refused(open).contains("the_Equal"));
    let of_data = vec![
        node("Cast", &["key"], &["told"], vec![number("to", 7)]),
        node("If", &["told"], &["y"], branches()),
    ];
    assert!(refused(of_data).contains("its condition depends on the data"));
    let without = vec![
        node("Size", &["two"], &["size"], vec![]),
        node("Equal", &["size", "one"], &["told"], vec![]),
        node("If", &["told"], &["y"], vec![branch("else_branch", &[output("x")])]),
    ];
    assert!(refused(without).contains("it lacks the branch"));
}
