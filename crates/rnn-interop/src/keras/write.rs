//! A graph becomes a configuration of Keras 3: a Sequential where it is a chain, else a functional model.

use super::fields::Config;
use super::layers;
use super::masking::{Argument, Called, Extra, Plan, Source};
use super::names::snake_case;
use super::objects::{tidy, written};
use super::order::Operation;
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
    let plan = Plan::of(graph)?;
    let names = Names::of(graph, &plan);
    let mut layers = Vec::with_capacity(names.layers.len());
    let (mut classes, mut has_operations) = (Vec::new(), false);
    for (layer, name) in graph.layers().iter().zip(&names.layers) {
        if is_mask(&layer.layer) {
            layers.push(Value::Null);
            classes.push(None);
            continue;
        }
        if let Some(operation) = operation(&layer.layer, name) {
            has_operations = true;
            layers.push(operation);
            classes.push(None);
            continue;
        }
        let (class, config) = layers::write(&layer.layer, name, &format!("layer {}", layer.name))?;
        let mut value = written("keras.layers", &class, Value::Object(config));
        // Dropout of features does not take the option.
        if !layer.trainable && class != "SpatialDropout1D" {
            fix(&mut value);
        }
        layers.push(value);
        classes.push(Some(class));
    }
    // Keras has its masks elsewhere where it has other ones; this refuses what can not be said to it, chains too.
    if let Some(problem) = plan.problem {
        return Err(problem);
    }
    let model = match is_chain(graph)? && !has_operations && plan.extras.is_empty() {
        true => chain(graph, &names, layers),
        false => functional(graph, &plan, &names, layers)?,
    };
    let class = model["class_name"].as_str().unwrap_or("Functional").to_owned();
    let parts = in_order(graph, &plan, &names, &classes, &class);
    Ok(Written { model, parts })
}

/// The layers of a graph as the files of weights see them, also of one that Keras can not have: what it has not are layers
/// without weights, or options that are not in these files.
///
/// # Errors
/// When the layers do not fit together.
pub(super) fn parts(graph: &Graph) -> Result<Parts> {
    let plan = Plan::of(graph)?;
    let names = Names::of(graph, &plan);
    let class = |layer: &Layer, name: &str| {
        (!is_mask(layer) && operation(layer, name).is_none()).then(|| layers::class(layer))
    };
    let classes: Vec<Option<String>> =
        graph.layers().iter().zip(&names.layers).map(|(layer, name)| class(&layer.layer, name)).collect();
    Ok(in_order(graph, &plan, &names, &classes, "Functional"))
}

/// Names that Keras takes.
struct Names {
    inputs: Vec<String>,
    layers: Vec<String>,
    extras: Vec<String>,
    used: HashSet<String>,
}

impl Names {
    fn of(graph: &Graph, plan: &Plan) -> Names {
        let mut used = HashSet::new();
        let inputs = graph.inputs().iter().map(|input| keras_name(&input.name, &mut used)).collect();
        let layers = graph.layers().iter().map(|layer| keras_name(&layer.name, &mut used)).collect();
        let extra = |extra: &Extra| {
            let name = if extra.config.is_some() { snake_case(extra.class) } else { "with_mask".to_owned() };
            keras_name(&name, &mut used)
        };
        let extras = plan.extras.iter().map(extra).collect();
        Names { inputs, layers, extras, used }
    }

    /// One more.
    fn unused(&self, name: &str) -> String {
        keras_name(name, &mut self.used.clone())
    }
}

fn in_order(graph: &Graph, plan: &Plan, names: &Names, classes: &[Option<String>], model: &str) -> Parts {
    let mut parts = Parts::default();
    let mut top = Vec::new();
    for operation in plan.order() {
        match operation {
            Operation::Layer(i) => {
                let Some(class) = &classes[i] else { continue };
                let kind = PartKind::Layer { ours: graph.layers()[i].name.clone() };
                top.push(parts.add(class, &names.layers[i], kind));
            }
            Operation::Extra(i) if plan.extras[i].config.is_none() => {
                let kind = PartKind::Model { parts: Vec::new() };
                top.push(parts.add(plan.extras[i].class, &names.extras[i], kind));
            }
            Operation::Input(_) | Operation::Extra(_) | Operation::Mask(_) => {}
        }
    }
    parts.root = parts.add(model, "model", PartKind::Model { parts: top });
    parts
}

/// Whether a layer is nothing but a mask for its input, which Keras is told where it counts.
fn is_mask(layer: &Layer) -> bool {
    matches!(layer, Layer::WithMask(_) | Layer::Lengths(_) | Layer::Packed(_))
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
pub(super) fn operation(layer: &Layer, name: &str) -> Option<Value> {
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
    Some(of_ops(module, class, config))
}

fn of_ops(module: &str, class: &str, config: Value) -> Value {
    let mut operation = written(&format!("keras.src.ops.{module}"), class, config);
    operation["registered_name"] = json!(class);
    operation
}

/// What Keras is told of a mask: an operation, or a layer that passes values on with a mask.
fn extra(extra: &Extra, name: &str) -> Value {
    match &extra.config {
        Some(config) => {
            let mut config = config.clone();
            config["name"] = json!(name);
            of_ops("numpy", extra.class, config)
        }
        None => {
            let linear = json!({ "name": format!("{name}_layer"), "activation": "linear" });
            let linear = written("keras.layers", "Activation", linear);
            written("keras.layers", extra.class, json!({ "name": name, "layer": linear }))
        }
    }
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

fn chain(graph: &Graph, names: &Names, layers: Vec<Value>) -> Map<String, Value> {
    let input = &graph.inputs()[0];
    let all: Vec<Value> = std::iter::once(input_layer(input, &names.inputs[0])).chain(layers).collect();
    let config = json!({
        "name": names.unused("sequential"),
        "trainable": true,
        "layers": all,
        "build_input_shape": batch_shape(input),
    });
    model("keras", "Sequential", config, Value::Null)
}

/// Values of a functional model, as its calls refer to them.
struct Tensors<'a> {
    graph: &'a Graph,
    names: &'a Names,
    shapes: Vec<Vec<Vec<Option<usize>>>>,
    /// of each call, how many of the same layer are before it
    number: Vec<usize>,
}

impl<'a> Tensors<'a> {
    fn of(graph: &'a Graph, names: &'a Names) -> Result<Tensors<'a>> {
        let mut counts = vec![0; graph.layers().len()];
        let mut number = Vec::with_capacity(graph.calls().len());
        for call in graph.calls() {
            number.push(counts[call.layer]);
            counts[call.layer] += 1;
        }
        Ok(Tensors { graph, names, shapes: graph.call_shapes()?, number })
    }

    fn history(&self, source: Source) -> Value {
        match source {
            Source::Edge(Edge::Input(i)) => json!([self.names.inputs[i], 0, 0]),
            Source::Edge(Edge::Output { call, output }) => {
                json!([self.names.layers[self.graph.calls()[call].layer], self.number[call], output])
            }
            Source::Extra(i) => json!([self.names.extras[i], 0, 0]),
        }
    }

    fn tensor(&self, source: Source) -> Value {
        let shape = match source {
            Source::Edge(Edge::Input(i)) => batch_shape(&self.graph.inputs()[i]),
            Source::Edge(Edge::Output { call, output }) => {
                let sample = self.shapes.get(call).and_then(|outputs| outputs.get(output)).cloned();
                let batch = self.graph.inputs().iter().find_map(|input| input.input.batch_size());
                std::iter::once(batch).chain(sample.unwrap_or_default()).map(|n| json!(n)).collect()
            }
            // Keras works it out.
            Source::Extra(_) => json!([null, null]),
        };
        let config = json!({ "shape": shape, "dtype": "float32", "keras_history": self.history(source) });
        json!({ "class_name": "__keras_tensor__", "config": config })
    }

    /// A call of a layer, or of an operation in its place.
    fn call(&self, layer: &Layer, called: &Called) -> Value {
        let tensors: Vec<Value> = called.inputs.iter().map(|&source| self.tensor(source)).collect();
        let mut node = match layer {
            Layer::Add(_)
            | Layer::Subtract(_)
            | Layer::Multiply(_)
            | Layer::Average(_)
            | Layer::Maximum(_)
            | Layer::Minimum(_)
            | Layer::Concatenate(_)
            | Layer::Dot(_) => json!({ "args": [tensors], "kwargs": {} }),
            Layer::Reciprocal(layer) => {
                let numerator = tidy(json!(layer))["numerator"].clone();
                json!({ "args": [numerator, tensors[0]], "kwargs": {} })
            }
            Layer::Divide(_) => json!({ "args": tensors, "kwargs": {} }),
            Layer::Slice(slice) => {
                let slice = serde_json::to_value(Layer::Slice(slice.clone())).unwrap_or_default();
                json!({ "args": [tensors[0], index(&slice)], "kwargs": {} })
            }
            Layer::Cell(_) => json!({ "args": [tensors[0], tensors[1..]], "kwargs": {} }),
            _ if tensors.len() > 1 => {
                json!({ "args": [tensors[0]], "kwargs": { "initial_state": tensors[1..] } })
            }
            _ => json!({ "args": tensors, "kwargs": {} }),
        };
        if let Some(mask) = called.mask {
            node["kwargs"]["mask"] = self.tensor(Source::Extra(mask));
        }
        node
    }

    fn call_of_extra(&self, extra: &Extra) -> Value {
        let argument = |argument: &Argument| match argument {
            Argument::Value(source) => self.tensor(*source),
            Argument::Constant(value) => value.clone(),
        };
        let args: Vec<Value> = extra.args.iter().map(argument).collect();
        match extra.mask {
            Some(mask) => json!({ "args": args, "kwargs": { "mask": self.tensor(Source::Extra(mask)) } }),
            None => json!({ "args": args, "kwargs": {} }),
        }
    }
}

fn functional(graph: &Graph, plan: &Plan, names: &Names, layers: Vec<Value>) -> Result<Map<String, Value>> {
    let tensors = Tensors::of(graph, names)?;
    let mut nodes: Vec<Vec<Value>> = vec![Vec::new(); layers.len()];
    for (call, called) in graph.calls().iter().zip(&plan.calls) {
        if let Some(called) = called {
            nodes[call.layer].push(tensors.call(&graph.layers()[call.layer].layer, called));
        }
    }
    let mut layers: Vec<Option<Value>> = layers.into_iter().map(Some).collect();
    let mut all = Vec::new();
    for operation in plan.order() {
        let (mut value, name, nodes) = match operation {
            Operation::Input(i) => {
                (input_layer(&graph.inputs()[i], &names.inputs[i]), &names.inputs[i], Vec::new())
            }
            Operation::Layer(i) => {
                let name = &names.layers[i];
                let value = layers[i].take();
                let value =
                    value.ok_or_else(|| Error::damaged(format!("layer {name}"), "it stands twice"))?;
                (value, name, std::mem::take(&mut nodes[i]))
            }
            Operation::Extra(i) => {
                let (planned, name) = (&plan.extras[i], &names.extras[i]);
                (extra(planned, name), name, vec![tensors.call_of_extra(planned)])
            }
            Operation::Mask(_) => continue,
        };
        value["name"] = json!(name);
        value["inbound_nodes"] = Value::Array(nodes);
        all.push(value);
    }
    let ends = |all: Vec<Value>| if all.len() == 1 { all[0].clone() } else { Value::Array(all) };
    let config = json!({
        "name": names.unused("functional"),
        "trainable": true,
        "layers": all,
        "input_layers": ends(names.inputs.iter().map(|name| json!([name, 0, 0])).collect()),
        "output_layers": ends(plan.outputs.iter().map(|&source| tensors.history(source)).collect()),
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
