//! `.onnx`.

use super::message::{Part, inner, int, message, raw, text};
use super::{Case, case};
use rnn_interop::{Limits, Result, onnx};

type Good = (&'static str, &'static [u8], fn(&[u8]) -> Result<()>);

pub const GOOD: &[Good] = &[("onnx", include_bytes!("../files/tiny.onnx"), read)];

pub fn read(bytes: &[u8]) -> Result<()> {
    onnx::read(bytes, &Limits::default()).map(drop)
}

type Field = (u64, Part);

/// A graph of `x` `[batch, 2]` through these nodes to `y`, with the weight `w` and more of its own fields.
fn graph(nodes: Vec<Field>, weight: Field, more: Vec<Field>) -> Vec<u8> {
    model(graph_fields(nodes, weight, more), 17)
}

fn graph_fields(nodes: Vec<Field>, weight: Field, more: Vec<Field>) -> Vec<Field> {
    let of = |tag, name, dims: &[Field]| {
        let dims: Vec<Field> = dims
            .iter()
            .map(|(tag, part)| match part {
                Part::Int(n) => inner(1, &[int(*tag, *n)]),
                Part::Bytes(name) => inner(1, &[raw(*tag, name)]),
            })
            .collect();
        inner(tag, &[text(1, name), inner(2, &[inner(1, &[int(1, 1), inner(2, &dims)])])])
    };
    let mut fields = nodes;
    fields.push(text(2, "graph"));
    fields.push(weight);
    fields.push(of(11, "x", &[text(2, "batch"), int(1, 2)]));
    fields.push(of(12, "y", &[text(2, "batch"), int(1, 1)]));
    fields.extend(more);
    fields
}

fn model(graph: Vec<Field>, opset: i64) -> Vec<u8> {
    message(&[int(1, 8), inner(7, &graph), inner(8, &[text(1, ""), int(2, opset)])])
}

/// A node of `inputs` and `outputs`, with attributes.
fn node(op: &str, inputs: &[&str], outputs: &[&str], attributes: Vec<Field>) -> Field {
    let mut fields: Vec<Field> = inputs.iter().map(|name| text(1, name)).collect();
    fields.extend(outputs.iter().map(|name| text(2, name)));
    fields.push(text(3, &format!("the_{op}")));
    fields.push(text(4, op));
    fields.extend(attributes);
    inner(1, &fields)
}

fn tensor(tag: u64, name: &str, dims: &[i64], data_type: i64, data: &[u8]) -> Field {
    let mut fields: Vec<Field> = dims.iter().map(|&n| int(1, n)).collect();
    fields.extend([int(2, data_type), text(8, name), raw(9, data)]);
    inner(tag, &fields)
}

fn floats(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|x| x.to_le_bytes()).collect()
}

fn weight() -> Field {
    tensor(5, "w", &[2, 1], 1, &floats(&[1.0, 2.0]))
}

fn multiply() -> Vec<Field> {
    vec![node("MatMul", &["x", "w"], &["y"], vec![])]
}

pub fn good() -> Vec<u8> {
    graph(multiply(), weight(), vec![])
}

pub fn cases() -> Vec<Case> {
    let with_weight = |weight| graph(multiply(), weight, vec![]);
    let with_nodes = |nodes| graph(nodes, weight(), vec![]);
    let bytes = floats(&[1.0, 2.0]);
    let external = inner(
        5,
        &[
            int(1, 2),
            int(1, 1),
            int(2, 1),
            text(8, "w"),
            inner(13, &[text(1, "location"), text(2, "/etc/passwd")]),
            int(14, 1),
        ],
    );
    let range = |limit: i64| {
        let number = |name, n: i64| tensor(5, name, &[], 7, &n.to_le_bytes());
        graph(
            vec![
                node("Range", &["zero", "limit", "one"], &["many"], vec![]),
                node("Cast", &["many"], &["floats"], vec![inner(5, &[text(1, "to"), int(3, 1), int(20, 2)])]),
                node("Add", &["x", "floats"], &["y"], vec![]),
            ],
            number("limit", limit),
            vec![number("zero", 0), number("one", 1)],
        )
    };
    let nested = (0..5000).fold(message(&[]), |graph, _| {
        let attribute = message(&[text(1, "body"), raw(6, &graph), int(20, 5)]);
        message(&[inner(1, &[text(4, "Loop"), raw(5, &attribute)])])
    });
    let expand = |shape: &[i64]| {
        let numbers: Vec<u8> = shape.iter().flat_map(|n| n.to_le_bytes()).collect();
        graph(
            vec![
                node("Expand", &["w", "shape"], &["large"], vec![]),
                node("MatMul", &["x", "large"], &["y"], vec![]),
            ],
            weight(),
            vec![tensor(5, "shape", &[shape.len() as i64], 7, &numbers)],
        )
    };
    vec![
        case(
            "onnx: a product that overflows",
            read,
            with_weight(tensor(5, "w", &[1 << 40, 1 << 40], 1, &bytes)),
            "w",
        ),
        case(
            "onnx: operators of a version that there is not",
            read,
            model(graph_fields(multiply(), weight(), vec![]), 1 << 40),
            "it uses version 1099511627776 of the ONNX operators",
        ),
        case("onnx: a negative size", read, with_weight(tensor(5, "w", &[-2, -1], 1, &bytes)), "w"),
        case("onnx: less than it claims", read, with_weight(tensor(5, "w", &[2000, 1000], 1, &bytes)), "w"),
        case("onnx: more than it claims", read, with_weight(tensor(5, "w", &[1, 1], 1, &bytes)), "w"),
        case(
            "onnx: too many axes",
            read,
            with_weight(tensor(5, "w", &[1; 9], 1, &bytes[..4])),
            "the number of axes is 9",
        ),
        case(
            "onnx: NaN",
            read,
            with_weight(tensor(5, "w", &[2, 1], 1, &floats(&[1.0, f32::NAN]))),
            "a weight: value 1 is NaN",
        ),
        case("onnx: a tensor of texts", read, with_weight(tensor(5, "w", &[2, 1], 8, &bytes)), "string"),
        case("onnx: an unknown type", read, with_weight(tensor(5, "w", &[2, 1], 99, &bytes)), "type 99"),
        case(
            "onnx: data in another file",
            read,
            with_weight(external),
            "in another file, which is not opened",
        ),
        case("onnx: a weight twice", read, graph(multiply(), weight(), vec![weight()]), "w"),
        case(
            "onnx: a cycle",
            read,
            with_nodes(vec![node("Add", &["x", "y"], &["z"], vec![]), node("Relu", &["z"], &["y"], vec![])]),
            "node the_Add (Add): its input y is made by itself or by a later node",
        ),
        case(
            "onnx: a node of itself",
            read,
            with_nodes(vec![node("Relu", &["y"], &["y"], vec![])]),
            "node the_Relu (Relu): its input y is made by itself",
        ),
        case(
            "onnx: a value made twice",
            read,
            with_nodes([multiply(), multiply()].into_iter().flatten().collect()),
            "y",
        ),
        case(
            "onnx: a value that is not there",
            read,
            with_nodes(vec![node("Relu", &["nothing"], &["y"], vec![])]),
            "nothing",
        ),
        case(
            "onnx: an unknown operator",
            read,
            with_nodes(vec![node("SystemCall", &["x"], &["y"], vec![])]),
            "SystemCall",
        ),
        case(
            "onnx: an operator of another domain",
            read,
            with_nodes(vec![node("Relu", &["x"], &["y"], vec![text(7, "evil")])]),
            "evil",
        ),
        case("onnx: a loop", read, with_nodes(vec![node("Loop", &["x"], &["y"], vec![])]), "Loop"),
        case(
            "onnx: graphs within graphs",
            read,
            message(&[int(1, 8), raw(7, &nested)]),
            "the depth of messages is 33, more than the limit of 32",
        ),
        case("onnx: a range of 2^62", read, range(1 << 62), "Range"),
        case("onnx: a range of 2^29", read, range(1 << 29), "Range"),
        case(
            "onnx: a constant expanded",
            read,
            expand(&[1 << 20, 2, 1 << 9]),
            "the number of values of constants",
        ),
        case("onnx: no graph", read, message(&[int(1, 8), inner(8, &[int(2, 17)])]), "it has no graph"),
        case(
            "onnx: no version",
            read,
            message(&[int(1, 8), inner(7, &graph_fields(multiply(), weight(), vec![]))]),
            "version",
        ),
        case("onnx: no output", read, model(vec![weight()], 17), "a model without inputs"),
        case(
            "onnx: a pointer of git LFS",
            read,
            b"version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 1\n".to_vec(),
            "it is no ONNX model",
        ),
        case("onnx: a pickle", read, include_bytes!("../hostile/pickle.pt").to_vec(), "it is no ONNX model"),
        case("onnx: nothing", read, Vec::new(), "it names no version of the ONNX operators"),
    ]
}
