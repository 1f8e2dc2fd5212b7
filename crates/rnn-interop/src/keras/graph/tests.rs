use super::*;
use serde_json::json;

fn layer(class: &str, name: &str, config: Value, from: &[Value]) -> Value {
    let mut config = config;
    config["name"] = json!(name);
    let nodes: Vec<Value> = from.iter().map(|args| json!({ "args": args, "kwargs": {} })).collect();
    json!({ "module": "keras.layers", "class_name": class, "config": config, "name": name, "inbound_nodes": nodes })
}

fn tensor(layer: &str, call: usize) -> Value {
    json!({ "class_name": "__keras_tensor__", "config": { "keras_history": [layer, call, 0] } })
}

fn model(layers: Vec<Value>, output: &str) -> Value {
    let input = json!({ "batch_shape": [null, 5, 3], "name": "x" });
    let input = json!({ "class_name": "InputLayer", "config": input, "name": "x", "inbound_nodes": [] });
    let layers: Vec<Value> = std::iter::once(input).chain(layers).collect();
    let config = json!({ "name": "m", "layers": layers, "input_layers": ["x", 0, 0], "output_layers": [output, 0, 0] });
    json!({ "module": "keras", "class_name": "Functional", "config": config })
}

fn message(model: &Value) -> String {
    read(model, Version::Three, &Limits::default()).unwrap_err().to_string()
}

fn one(class: &str, config: Value) -> Value {
    model(vec![layer(class, "it", config, &[json!([tensor("x", 0)])])], "it")
}

#[test]
fn a_shared_layer_stands_once() {
    let units = json!({ "units": 3, "dtype": "float32" });
    let layers = vec![
        layer("Dense", "shared", units, &[json!([tensor("x", 0)]), json!([tensor("shared", 0)])]),
        layer("LSTM", "last", json!({ "units": 2 }), &[json!([tensor("shared", 1)])]),
    ];
    let read = read(&model(layers, "last"), Version::Three, &Limits::default()).unwrap();
    assert_eq!(read.graph.layer_names(), ["shared", "last"]);
    assert_eq!(read.graph.calls().len(), 3);
    let places = read.parts.places(&read.graph).unwrap();
    let paths: Vec<&str> = places.iter().map(|place| place.path.as_str()).collect();
    assert_eq!(paths[..3], ["layers/dense/vars/0", "layers/dense/vars/1", "layers/lstm/cell/vars/0"]);
}

#[test]
fn what_is_not_here_is_named_with_layer_and_option() {
    for (model, words) in [
        (one("Lambda", json!({})), ["layer it", "Python code"]),
        (one("Conv1D", json!({})), ["layer it", "Conv1D"]),
        (
            one("LSTM", json!({ "units": 2, "dtype": "int8_from_float32" })),
            ["layer it, option dtype", "int8_from_float32"],
        ),
        (one("LSTM", json!({ "units": 2, "projection": 3 })), ["layer it, option projection", "3"]),
        (
            one(
                "LSTM",
                json!({ "units": 2, "kernel_constraint": { "class_name": "NonNeg" }, "kernel_held": 3 }),
            ),
            ["kernel_held", "no such option"],
        ),
        (one("LSTM", json!({ "units": 2, "peepholes": true })), ["layer it, option peepholes", "true"]),
        (one("LSTM", json!({ "units": 2, "time_major": true })), ["option time_major", "false"]),
        (one("LSTM", json!({ "units": u64::MAX })), ["option units", "smaller number"]),
        (one("LSTM", json!({ "units": 1u64 << 40 })), ["option units", "limit"]),
        (one("LSTM", json!({ "units": "many" })), ["layer it", "LSTM"]),
        (one("LSTM", json!({ "units": 0 })), ["layer it", "at least 1"]),
        (one("LayerNormalization", json!({ "axis": 1 })), ["option axis", "last axis"]),
        (
            one("Masking", json!({ "kernel_regularizer": { "class_name": "L2", "config": {} } })),
            ["option kernel_regularizer", "remove"],
        ),
        (
            one("Bidirectional", json!({ "layer": one("Dense", json!({ "units": 1 })) })),
            ["option layer", "Functional"],
        ),
        (
            one("TimeDistributed", json!({ "layer": one("Masking", json!({ "mask_value": 0.0 })) })),
            ["layer it/it", "mask within a TimeDistributed"],
        ),
        (
            one("Dense", json!({ "units": 2, "activation": { "class_name": "__lambda__", "config": {} } })),
            ["activation", "lambda"],
        ),
    ] {
        let message = message(&model);
        assert!(words.iter().all(|word| message.contains(word)), "{message}");
    }
}

#[test]
fn connections_that_can_not_be_are_refused() {
    let dense = |name: &str, from: &str, call: usize| {
        layer("Dense", name, json!({ "units": 3 }), &[json!([tensor(from, call)])])
    };
    for (layers, words) in [
        (vec![dense("a", "b", 0), dense("b", "a", 0)], "circle"),
        (vec![dense("a", "a", 0)], "circle"),
        (vec![dense("a", "nowhere", 0)], "nowhere"),
        (vec![dense("a", "x", 7)], "call 7"),
        (vec![dense("a", "x", 0), dense("a", "x", 0)], "two layers"),
        (vec![layer("Dense", "a", json!({ "units": 3 }), &[json!([])])], "applied to nothing"),
    ] {
        let message = message(&model(layers, "a"));
        assert!(message.contains(words), "{message}");
    }
    let mut by_hand = layer("LSTM", "a", json!({ "units": 2 }), &[json!([tensor("x", 0)])]);
    by_hand["inbound_nodes"][0]["kwargs"] = json!({ "mask": tensor("x", 0) });
    assert!(message(&model(vec![by_hand], "a")).contains("mask"));
}

fn operation(class: &str, config: Value, args: Value) -> Value {
    let mut operation = layer(class, "it", config, &[args]);
    operation["module"] = json!("keras.src.ops.numpy");
    operation
}

#[test]
fn operations_become_layers() {
    let slice = |start: Value, stop: Value, step: Value| json!({ "class_name": "__slice__", "config": { "start": start, "stop": stop, "step": step } });
    let all = || slice(Value::Null, Value::Null, Value::Null);
    for (operation, shape) in [
        (operation("GetItem", json!({}), json!([tensor("x", 0), [all(), -1]])), vec![Some(3)]),
        (
            operation(
                "GetItem",
                json!({}),
                json!([tensor("x", 0), [all(), slice(json!(1), json!(-1), json!(2)), null]]),
            ),
            vec![Some(2), Some(1), Some(3)],
        ),
        (operation("Add", json!({}), json!([2.0, tensor("x", 0)])), vec![Some(5), Some(3)]),
        (operation("TrueDivide", json!({}), json!([2.0, tensor("x", 0)])), vec![Some(5), Some(3)]),
        (operation("Reciprocal", json!({}), json!([tensor("x", 0)])), vec![Some(5), Some(3)]),
        (
            operation("Mean", json!({ "axis": -1, "keepdims": true }), json!([tensor("x", 0)])),
            vec![Some(5), Some(1)],
        ),
        (
            operation("Transpose", json!({ "axes": [0, 2, 1] }), json!([tensor("x", 0)])),
            vec![Some(3), Some(5)],
        ),
    ] {
        let read = read(&model(vec![operation], "it"), Version::Three, &Limits::default()).unwrap();
        let calls = read.graph.call_shapes().unwrap();
        assert_eq!(calls.last().unwrap()[0], shape);
    }
}

#[test]
fn operations_without_layers_for_them_are_named() {
    let dense = || layer("Dense", "last", json!({ "units": 3 }), &[json!([tensor("it", 0)])]);
    for (operation, words) in [
        (
            operation("Cumsum", json!({ "axis": 1 }), json!([tensor("x", 0)])),
            ["layer last", "operation Cumsum"],
        ),
        (operation("TrueDivide", json!({}), json!([tensor("x", 0), 0])), ["layer it", "divides by zero"]),
        (operation("Add", json!({}), json!([tensor("x", 0), [1, 2, 3]])), ["operation Add", "nor a number"]),
        (operation("GetItem", json!({}), json!([tensor("x", 0), [0]])), ["operation GetItem", "samples"]),
        (operation("GetItem", json!({}), json!([tensor("x", 0), "all"])), ["operation GetItem", "an index"]),
        (operation("Flip", json!({ "axis": 2 }), json!([tensor("x", 0)])), ["operation Flip", "axis 1"]),
        (operation("Mean", json!({ "axis": 9 }), json!([tensor("x", 0)])), ["operation Mean", "axes of 3"]),
        (
            operation("Reshape", json!({ "newshape": [4, 4] }), json!([tensor("x", 0)])),
            ["operation Reshape", "-1"],
        ),
    ] {
        let message = message(&model(vec![operation, dense()], "last"));
        assert!(words.iter().all(|word| message.contains(word)), "{message}");
    }
}

/// Each model applies the one within twice: 2^30 calls from a few kilobytes, of a layer or of nothing.
#[test]
fn models_that_multiply_are_refused() {
    multiplied(layer("Dense", "d", json!({ "units": 3 }), &[json!([tensor("x", 0)])]), "d");
    let mut passing = model(Vec::new(), "x");
    passing["name"] = json!("d");
    passing["config"]["name"] = json!("d");
    passing["inbound_nodes"] = json!([{ "args": [tensor("x", 0)], "kwargs": {} }]);
    multiplied(passing, "d");
}

fn multiplied(mut inner: Value, output: &str) {
    let mut output = output.to_owned();
    let is_model = inner["class_name"] == "Functional";
    for depth in 0..30 {
        let mut whole = model(vec![inner], &output);
        // A model counts its own making as its first call where its output is named.
        if depth > 0 || is_model {
            let call = if depth == 0 { 1 } else { 2 };
            whole["config"]["output_layers"] = json!([output, call, 0]);
        }
        output = format!("m{depth}");
        whole["name"] = json!(output);
        whole["config"]["name"] = json!(output);
        let node = |from: Value| json!({ "args": [from], "kwargs": {} });
        whole["inbound_nodes"] = json!([node(tensor("x", 0)), node(tensor(&output, 0))]);
        inner = whole;
    }
    let mut whole = model(vec![inner], &output);
    whole["config"]["output_layers"] = json!([output, 2, 0]);
    let message = message(&whole);
    assert!(message.contains("limit of 10000"), "{message}");
}
