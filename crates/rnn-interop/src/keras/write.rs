//! A graph becomes a configuration of Keras 3: a Sequential where it is a chain, else a functional model.

use super::fields::Config;
use super::layers;
use super::objects::{tidy, written};
use super::order::{self, Operation};
use super::parts::{PartKind, Parts, keras_name};
use crate::{Error, Result};
use rnn_model::layer::{ActivationLayer, Layer};
use rnn_model::{Activation, Edge, Graph, GraphInput};
use serde_json::{Map, Value, json};
use std::collections::HashSet;

/// A model in Keras's form.
pub(super) struct Written {
    /// class, configuration
    pub model: Map<String, Value>,
    pub parts: Parts,
}

/// The configuration of a graph.
///
/// # Errors
/// When it has something that Keras has not; the message names the layer.
pub(super) fn graph(graph: &Graph) -> Result<Written> {
    let mut used = HashSet::new();
    let inputs: Vec<String> = graph.inputs().iter().map(|input| keras_name(&input.name, &mut used)).collect();
    let names: Vec<String> = graph.layers().iter().map(|layer| keras_name(&layer.name, &mut used)).collect();
    let mut layers = Vec::with_capacity(names.len());
    for (layer, name) in graph.layers().iter().zip(&names) {
        let place = format!("layer {}", layer.name);
        if let Some(operation) = operation(&layer.layer, name) {
            layers.push((None, operation));
            continue;
        }
        let (class, config) = layers::write(&layer.layer, name, &place)?;
        let mut value = written("keras.layers", &class, Value::Object(config));
        // Dropout of features does not take the option.
        if !layer.trainable && class != "SpatialDropout1D" {
            fix(&mut value);
        }
        layers.push((Some(class), value));
    }
    // Keras has its masks elsewhere where it has other ones; this refuses such models, chains too.
    let order = order::of(graph)?;
    let mut parts = Parts::default();
    let mut top = Vec::new();
    for operation in &order {
        if let Operation::Layer(i) = *operation
            && let Some(class) = &layers[i].0
        {
            let kind = PartKind::Layer { ours: graph.layers()[i].name.clone() };
            top.push(parts.add(class, &names[i], kind));
        }
    }
    let has_operations = layers.iter().any(|(class, _)| class.is_none());
    let layers: Vec<Value> = layers.into_iter().map(|(_, value)| value).collect();
    let model = match is_chain(graph)? && !has_operations {
        true => chain(graph, &inputs, layers, &mut used),
        false => functional(graph, &order, &inputs, &names, layers, &mut used)?,
    };
    let class = model["class_name"].as_str().unwrap_or("Functional").to_owned();
    parts.root = parts.add(&class, "model", PartKind::Model { parts: top });
    Ok(Written { model, parts })
}

/// Keeps everything within a layer from being trained.
fn fix(value: &mut Value) {
    match value {
        Value::Object(map) => {
            let is_layer = map.get("module").is_some_and(|module| module == "keras.layers");
            if let (true, Some(Value::Object(config))) = (is_layer, map.get_mut("config")) {
                config.insert("trainable".to_owned(), json!(false));
            }
            map.values_mut().for_each(fix);
        }
        Value::Array(values) => values.iter_mut().for_each(fix),
        _ => {}
    }
}

/// A layer that is an operation in Keras, and has no weights there nor here.
fn operation(layer: &Layer, name: &str) -> Option<Value> {
    let approximate = || Layer::from(ActivationLayer::new(Activation::GeluTanh));
    let (module, class, mut config) = match layer {
        Layer::Slice(_) => ("numpy", "GetItem", json!({})),
        Layer::Reverse(_) => ("numpy", "Flip", json!({ "axis": 1 })),
        Layer::Divide(_) => ("numpy", "Divide", json!({})),
        Layer::Reciprocal(_) => ("numpy", "Divide", json!({})),
        Layer::GLU(_) => {
            let options = serde_json::to_value(layer).unwrap_or_default();
            ("nn", "Glu", json!({ "axis": options["config"]["axis"] }))
        }
        // Keras's activation of this name is the exact one.
        layer if *layer == approximate() => ("nn", "Gelu", json!({ "approximate": true })),
        _ => return None,
    };
    config["name"] = json!(name);
    let mut operation = written(&format!("keras.src.ops.{module}"), class, config);
    operation["registered_name"] = json!(class);
    Some(operation)
}

/// What `x[index]` has for an index where it is this layer.
fn index(slice: &Value) -> Value {
    let part = |start: &Value, stop: &Value, step: &Value| json!({ "class_name": "__slice__", "config": { "start": start, "stop": stop, "step": step } });
    let option = |key: &str| &slice["config"][key];
    let all = part(&Value::Null, &Value::Null, &Value::Null);
    let mut index = vec![all; option("axis").as_u64().unwrap_or(1) as usize];
    index.push(part(option("start"), option("end"), option("step")));
    Value::Array(index)
}

fn input_layer(input: &GraphInput, name: &str) -> Value {
    let config = json!({
        "batch_shape": batch_shape(input),
        "dtype": "float32",
        "sparse": false,
        "ragged": false,
        "name": name,
    });
    written("keras.layers", "InputLayer", config)
}

fn batch_shape(input: &GraphInput) -> Value {
    let batch = input.input.batch_size();
    std::iter::once(batch).chain(input.input.sample_shape().iter().copied()).map(|n| json!(n)).collect()
}

/// Whether each layer is applied once, to what the one before it gives.
fn is_chain(graph: &Graph) -> Result<bool> {
    let shapes = graph.call_shapes()?;
    let calls = graph.calls();
    let follows = |(at, call): (usize, &rnn_model::Call)| {
        let before = if at == 0 { Edge::Input(0) } else { Edge::Output { call: at - 1, output: 0 } };
        call.inputs == [before] && call.layer == at
    };
    let last = Edge::Output { call: calls.len().saturating_sub(1), output: 0 };
    Ok(graph.inputs().len() == 1
        && graph.outputs() == [last]
        && shapes.iter().all(|outputs| outputs.len() == 1)
        && calls.len() == graph.layers().len()
        && calls.iter().enumerate().all(follows))
}

fn chain(
    graph: &Graph,
    inputs: &[String],
    layers: Vec<Value>,
    used: &mut HashSet<String>,
) -> Map<String, Value> {
    let input = &graph.inputs()[0];
    let all: Vec<Value> = std::iter::once(input_layer(input, &inputs[0])).chain(layers).collect();
    let config = json!({
        "name": keras_name("sequential", used),
        "trainable": true,
        "layers": all,
        "build_input_shape": batch_shape(input),
    });
    model("keras", "Sequential", config, Value::Null)
}

fn functional(
    graph: &Graph,
    order: &[Operation],
    inputs: &[String],
    names: &[String],
    layers: Vec<Value>,
    used: &mut HashSet<String>,
) -> Result<Map<String, Value>> {
    let shapes = graph.call_shapes()?;
    // Calls of a layer are counted by themselves.
    let mut counts = vec![0; layers.len()];
    let mut number = Vec::with_capacity(graph.calls().len());
    let mut nodes: Vec<Vec<Value>> = vec![Vec::new(); layers.len()];
    for call in graph.calls() {
        number.push(counts[call.layer]);
        counts[call.layer] += 1;
    }
    let history = |edge: &Edge| match *edge {
        Edge::Input(i) => json!([inputs[i], 0, 0]),
        Edge::Output { call, output } => json!([names[graph.calls()[call].layer], number[call], output]),
    };
    let tensor = |edge: &Edge| {
        let shape: Value = match *edge {
            Edge::Input(i) => batch_shape(&graph.inputs()[i]),
            Edge::Output { call, output } => {
                let sample =
                    shapes.get(call).and_then(|outputs| outputs.get(output)).cloned().unwrap_or_default();
                let batch = graph.inputs().iter().find_map(|input| input.input.batch_size());
                std::iter::once(batch).chain(sample).map(|n| json!(n)).collect()
            }
        };
        let config = json!({ "shape": shape, "dtype": "float32", "keras_history": history(edge) });
        json!({ "class_name": "__keras_tensor__", "config": config })
    };
    for call in graph.calls() {
        let tensors: Vec<Value> = call.inputs.iter().map(tensor).collect();
        let node = match graph.layers()[call.layer].layer {
            Layer::Add(_)
            | Layer::Subtract(_)
            | Layer::Multiply(_)
            | Layer::Average(_)
            | Layer::Maximum(_)
            | Layer::Minimum(_)
            | Layer::Concatenate(_)
            | Layer::Dot(_) => json!({ "args": [tensors], "kwargs": {} }),
            Layer::Reciprocal(ref layer) => {
                let numerator = tidy(json!(layer))["numerator"].clone();
                json!({ "args": [numerator, tensors[0]], "kwargs": {} })
            }
            Layer::Divide(_) => json!({ "args": tensors, "kwargs": {} }),
            Layer::Slice(ref slice) => {
                let slice = serde_json::to_value(Layer::Slice(slice.clone())).unwrap_or_default();
                json!({ "args": [tensors[0], index(&slice)], "kwargs": {} })
            }
            Layer::Cell(_) => json!({ "args": [tensors[0], tensors[1..]], "kwargs": {} }),
            _ if tensors.len() > 1 => {
                json!({ "args": [tensors[0]], "kwargs": { "initial_state": tensors[1..] } })
            }
            _ => json!({ "args": tensors, "kwargs": {} }),
        };
        nodes[call.layer].push(node);
    }
    let mut layers: Vec<Option<Value>> = layers.into_iter().map(Some).collect();
    let mut all = Vec::with_capacity(order.len());
    for operation in order {
        let (mut value, name, nodes) = match *operation {
            Operation::Input(i) => (input_layer(&graph.inputs()[i], &inputs[i]), &inputs[i], Vec::new()),
            Operation::Layer(i) => {
                let value = layers[i].take();
                let value =
                    value.ok_or_else(|| Error::damaged(format!("layer {}", names[i]), "it stands twice"))?;
                (value, &names[i], std::mem::take(&mut nodes[i]))
            }
            Operation::Mask(_) => continue,
        };
        value["name"] = json!(name);
        value["inbound_nodes"] = Value::Array(nodes);
        all.push(value);
    }
    let ends = |all: Vec<Value>| if all.len() == 1 { all[0].clone() } else { Value::Array(all) };
    let config = json!({
        "name": keras_name("functional", used),
        "trainable": true,
        "layers": all,
        "input_layers": ends(inputs.iter().map(|name| json!([name, 0, 0])).collect()),
        "output_layers": ends(graph.outputs().iter().map(history).collect()),
    });
    Ok(model("keras.src.models.functional", "Functional", config, json!("Functional")))
}

fn model(module: &str, class: &str, config: Value, registered: Value) -> Map<String, Value> {
    let mut model = Config::new();
    model.insert("module".to_owned(), json!(module));
    model.insert("class_name".to_owned(), json!(class));
    model.insert("config".to_owned(), config);
    model.insert("registered_name".to_owned(), registered);
    model
}
