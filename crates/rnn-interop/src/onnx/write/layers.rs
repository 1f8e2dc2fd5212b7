//! Layers without a recurrence as ONNX's operators.

use super::activations::{affine, apply, relu};
use super::emit::{Attribute, Emit, Mask, Tensor};
use super::recurrent;
use crate::Result;
use crate::onnx::proto::data_type;
use ndarray::ArrayD;
use rnn_model::layer::Layer;
use serde_json::Value as Json;

type Shape = Vec<Option<usize>>;

/// Emits a layer; gives its outputs.
pub(super) fn layer(
    e: &mut Emit,
    layer: &Layer,
    weights: &[ArrayD<f32>],
    inputs: &[Tensor],
    shapes: &[Shape],
) -> Result<Vec<Tensor>> {
    let data = serde_json::to_value(layer).map_err(|error| e.unsupported(error.to_string()))?;
    let class = data["class_name"].as_str().unwrap_or_default().to_owned();
    emit(e, &class, &data["config"], weights, inputs, shapes)
}

fn emit(
    e: &mut Emit,
    class: &str,
    config: &Json,
    weights: &[ArrayD<f32>],
    inputs: &[Tensor],
    shapes: &[Shape],
) -> Result<Vec<Tensor>> {
    if let Some(outputs) = recurrent::recurrent(e, class, config, weights, inputs, shapes)? {
        return Ok(outputs);
    }
    if class == "Bidirectional" {
        return recurrent::bidirectional(e, config, weights, inputs, shapes);
    }
    if class == "RNN"
        && let Some((class, merged)) = built_in(config)
    {
        return emit(e, class, &merged, weights, inputs, shapes);
    }
    let x = &inputs[0];
    let shape = shapes.first().cloned().unwrap_or_default();
    let mut mask = x.mask.clone();
    let name = match class {
        "Lengths" => {
            if x.mask != Mask::None {
                return Err(e.unsupported("lengths of a sequence that has a mask already"));
            }
            mask = Mask::Lengths(recurrent::lengths(e, &inputs[1]));
            x.name.clone()
        }
        "Embedding" => {
            mask = match config["mask_zero"].as_bool() {
                Some(true) => Mask::Other("mask_zero of an Embedding"),
                _ => Mask::None,
            };
            let table = e.weights("embeddings", &weights[0]);
            let ids = if x.whole { x.name.clone() } else { e.cast(&x.name, data_type::INT64) };
            e.node("Gather", &[&table, &ids], &[("axis", Attribute::Int(0))])
        }
        "TimeDistributed" => return Ok(vec![distributed(e, config, weights, x, &shape)?]),
        "Reverse" => {
            mask = if mask == Mask::None { Mask::None } else { Mask::Other("its masked steps come first") };
            recurrent::turned_round(e, &x.name)
        }
        "Add" | "Subtract" | "Multiply" | "Divide" | "Average" | "Maximum" | "Minimum" => {
            let masks = || inputs.iter().map(|x| &x.mask);
            let by_steps = matches!(class, "Multiply" | "Maximum" | "Minimum");
            if by_steps && masks().any(|mask| *mask != Mask::None) {
                let problem = format!("{class} of masked sequences, which passes over the masked steps");
                return Err(e.unsupported(problem));
            }
            if masks().any(|mask| *mask == Mask::None) {
                mask = Mask::None;
            } else if masks().any(|other| *other != mask) {
                mask = Mask::Other("a sum of sequences with different masks");
            }
            merged(e, class, inputs)
        }
        "Concatenate" => {
            let axis = config["axis"].as_i64().unwrap_or(-1);
            if inputs.iter().any(|other| other.mask != x.mask) || axis == 1 && x.mask != Mask::None {
                mask = Mask::Other("a concatenation of masked sequences");
            }
            let names: Vec<&str> = inputs.iter().map(|x| x.name.as_str()).collect();
            e.node("Concat", &names, &[("axis", Attribute::Int(axis))])
        }
        "Dot" => {
            mask = Mask::None;
            if inputs.iter().any(|x| x.shape.len() > 2) {
                return Err(e.unsupported("a Dot of samples of more than two axes"));
            }
            dot(e, config, inputs)
        }
        "Softmax" if x.mask != Mask::None => {
            return Err(e.unsupported("a Softmax of a masked sequence, which passes over the masked steps"));
        }
        "GLU" => {
            let axis = config["axis"].as_i64().unwrap_or(-1);
            if axis == 1 || axis + shape.len() as i64 == 0 {
                mask = Mask::None;
            }
            halved(e, &x.name, axis)
        }
        "Flatten" => {
            mask = Mask::None;
            e.node("Flatten", &[&x.name], &[("axis", Attribute::Int(1))])
        }
        "Reshape" => {
            mask = Mask::None;
            let target: Vec<i64> = shape.iter().map(|n| n.map_or(-1, |n| n as i64)).collect();
            e.reshape(&x.name, &[&[0], target.as_slice()].concat())
        }
        "Permute" => {
            let dims = config["dims"].as_array().into_iter().flatten().filter_map(Json::as_i64);
            let perm: Vec<i64> = std::iter::once(0).chain(dims).collect();
            if !perm.is_sorted() {
                mask = Mask::None;
            }
            e.transpose(&x.name, &perm)
        }
        "RepeatVector" => {
            let wide = e.unsqueeze(&x.name, 1);
            let repeats = e.ints(&[1, config["n"].as_i64().unwrap_or(1), 1]);
            e.node("Tile", &[&wide, &repeats], &[])
        }
        "Slice" => {
            mask = Mask::None;
            let start = e.ints(&[config["start"].as_i64().unwrap_or(0)]);
            let end = e.ints(&[config["end"].as_i64().unwrap_or(i64::MAX)]);
            let axis = e.ints(&[config["axis"].as_i64().unwrap_or(1)]);
            let step = e.ints(&[config["step"].as_i64().unwrap_or(1)]);
            e.node("Slice", &[&x.name, &start, &end, &axis, &step], &[])
        }
        "GlobalAveragePooling1D" | "GlobalMaxPooling1D" => {
            mask = Mask::None;
            pooled(e, class, config, x)?
        }
        "ActivityRegularization"
        | "Dropout"
        | "GaussianNoise"
        | "GaussianDropout"
        | "AlphaDropout"
        | "SpatialDropout1D" => x.name.clone(),
        _ => {
            let width = x.shape.last().copied().flatten().unwrap_or(1);
            by_row(e, class, config, weights, &x.name, width)?
        }
    };
    Ok(vec![Tensor { name, shape, mask, whole: false }])
}

/// The options of a layer of its own, for `RNN` of a built-in cell.
fn built_in(config: &Json) -> Option<(&'static str, Json)> {
    let class = match config["cell"]["class_name"].as_str()? {
        "LSTMCell" => "LSTM",
        "GRUCell" => "GRU",
        "SimpleRNNCell" => "SimpleRNN",
        _ => return None,
    };
    let mut merged = config["cell"]["config"].clone();
    let options = merged.as_object_mut()?;
    for (name, value) in config.as_object()?.iter().filter(|(name, _)| *name != "cell") {
        options.insert(name.clone(), value.clone());
    }
    Some((class, merged))
}

/// Layers that treat each row of the last axis, or each element, alone.
fn by_row(
    e: &mut Emit,
    class: &str,
    config: &Json,
    weights: &[ArrayD<f32>],
    x: &str,
    width: usize,
) -> Result<String> {
    let get = |name: &str, default: f32| config[name].as_f64().map_or(default, |x| x as f32);
    Ok(match class {
        "Dense" => {
            let kernel = e.weights("kernel", &weights[0]);
            let mut y = e.node("MatMul", &[x, &kernel], &[]);
            if let Some(bias) = weights.get(1) {
                let bias = e.weights("bias", bias);
                y = e.node("Add", &[&y, &bias], &[]);
            }
            apply(e, &config["activation"], &y)?
        }
        "Activation" => apply(e, &config["activation"], x)?,
        "Softmax" => {
            let axis = config["axis"].as_i64().unwrap_or(-1);
            e.node("Softmax", &[x], &[("axis", Attribute::Int(axis))])
        }
        "LeakyReLU" => e.node("LeakyRelu", &[x], &[("alpha", Attribute::Float(get("negative_slope", 0.3)))]),
        "ELU" => e.node("Elu", &[x], &[("alpha", Attribute::Float(get("alpha", 1.0)))]),
        "ReLU" => {
            let max = config["max_value"].as_f64().map(|max| max as f32);
            relu(e, x, get("negative_slope", 0.0), max, get("threshold", 0.0))
        }
        "PReLU" => {
            let slope = e.weights("alpha", &weights[0]);
            e.node("PRelu", &[x, &slope], &[])
        }
        "Rescaling" => affine(e, x, get("scale", 1.0), get("offset", 0.0)),
        "Reciprocal" => {
            let numerator = e.number(get("numerator", 1.0));
            e.node("Div", &[&numerator, x], &[])
        }
        "LayerNormalization" => normalized(e, config, weights, x, width),
        _ => return Err(e.unsupported("this layer has no form in ONNX")),
    })
}

fn normalized(e: &mut Emit, config: &Json, weights: &[ArrayD<f32>], x: &str, width: usize) -> String {
    let epsilon = config["epsilon"].as_f64().map_or(1e-3, |x| x as f32);
    let is = |name: &str| config[name].as_bool().unwrap_or(false);
    let mut rest = weights.iter();
    if is("rms_scaling") {
        let square = e.node("Mul", &[x, x], &[]);
        let mean = e.node("ReduceMean", &[&square], &[("axes", Attribute::Ints(vec![-1]))]);
        let mean = e.with_number("Add", &mean, epsilon);
        let root = e.node("Sqrt", &[&mean], &[]);
        let y = e.node("Div", &[x, &root], &[]);
        return match rest.next() {
            Some(gamma) => {
                let gamma = e.weights("gamma", gamma);
                e.node("Mul", &[&y, &gamma], &[])
            }
            None => y,
        };
    }
    let gamma = is("scale").then(|| rest.next()).flatten().cloned();
    let beta = is("center").then(|| rest.next()).flatten().cloned();
    let attributes = [("axis", Attribute::Int(-1)), ("epsilon", Attribute::Float(epsilon))];
    match (gamma, beta) {
        (Some(gamma), Some(beta)) => {
            let (gamma, beta) = (e.weights("gamma", &gamma), e.weights("beta", &beta));
            e.node("LayerNormalization", &[x, &gamma, &beta], &attributes)
        }
        (Some(gamma), None) => {
            let gamma = e.weights("gamma", &gamma);
            e.node("LayerNormalization", &[x, &gamma], &attributes)
        }
        // A scale is no option there: one of 1.
        (None, beta) => {
            let one = e.weights("ones", &ArrayD::ones(vec![width]));
            match beta {
                Some(beta) => {
                    let beta = e.weights("beta", &beta);
                    e.node("LayerNormalization", &[x, &one, &beta], &attributes)
                }
                None => e.node("LayerNormalization", &[x, &one], &attributes),
            }
        }
    }
}

/// One half of an axis times the sigmoid of the other.
fn halved(e: &mut Emit, x: &str, axis: i64) -> String {
    let parts = e.outputs("Split", &[x], &[("axis", Attribute::Int(axis))], &[true, true]);
    let gate = e.node("Sigmoid", &[&parts[1]], &[]);
    e.node("Mul", &[&parts[0], &gate], &[])
}

fn merged(e: &mut Emit, class: &str, inputs: &[Tensor]) -> String {
    let op = match class {
        "Subtract" => "Sub",
        "Multiply" => "Mul",
        "Divide" => "Div",
        "Maximum" => "Max",
        "Minimum" => "Min",
        _ => "Add",
    };
    // Axes that are missing stand behind the batch.
    let rank = inputs.iter().map(|x| x.shape.len()).max().unwrap_or(0);
    let names: Vec<String> = inputs
        .iter()
        .map(|x| (x.shape.len()..rank).fold(x.name.clone(), |name, _| e.unsqueeze(&name, 1)))
        .collect();
    let mut y = names[0].clone();
    for other in &names[1..] {
        y = e.node(op, &[&y, other], &[]);
    }
    if class == "Average" { e.with_number("Mul", &y, 1.0 / inputs.len() as f32) } else { y }
}

/// Products summed over an axis of each of two inputs.
fn dot(e: &mut Emit, config: &Json, inputs: &[Tensor]) -> String {
    let normalize = config["normalize"].as_bool().unwrap_or(false);
    let mut sides = Vec::new();
    for (i, x) in inputs.iter().enumerate().take(2) {
        let rank = x.shape.len() as i64;
        let axis = config["axes"][i].as_i64().unwrap_or(-1);
        let axis = if axis < 0 { axis + rank + 1 } else { axis };
        let mut name = x.name.clone();
        if normalize {
            let attributes = [("axes", Attribute::Ints(vec![axis])), ("keepdims", Attribute::Int(1))];
            let norm = e.node("ReduceL2", &[&name], &attributes);
            let norm = e.with_number("Max", &norm, 1e-7);
            name = e.node("Div", &[&name, &norm], &[]);
        }
        // The first as [batch, rows, summed], the second as [batch, summed, columns].
        let summed_last = i == 0;
        sides.push(if rank == 1 {
            e.unsqueeze(&name, if summed_last { 1 } else { 2 })
        } else if (axis == 2) == summed_last {
            name
        } else {
            e.transpose(&name, &[0, 2, 1])
        });
    }
    let y = e.node("MatMul", &[&sides[0], &sides[1]], &[]);
    match (inputs[0].shape.len(), inputs[1].shape.len()) {
        (1, _) => e.squeeze(&y, 1),
        (_, 1) => e.squeeze(&y, 2),
        _ => y,
    }
}

/// The steps as one.
fn pooled(e: &mut Emit, class: &str, config: &Json, x: &Tensor) -> Result<String> {
    let keep = i64::from(config["keepdims"].as_bool().unwrap_or(false));
    let attributes = || [("axes", Attribute::Ints(vec![1])), ("keepdims", Attribute::Int(keep))];
    if class == "GlobalMaxPooling1D" {
        if x.mask != Mask::None && config["masked"].as_bool() == Some(true) {
            return Err(e.unsupported("the maximum over the steps of a mask"));
        }
        return Ok(e.node("ReduceMax", &[&x.name], &attributes()));
    }
    let lengths = match &x.mask {
        Mask::None => return Ok(e.node("ReduceMean", &[&x.name], &attributes())),
        Mask::Lengths(lengths) => lengths.clone(),
        Mask::Other(why) => {
            return Err(e.unsupported(format!("a mask that has no form in ONNX: {why}")));
        }
    };
    let valid = e.valid(&x.name, &lengths);
    let zero = e.number(0.0);
    let kept = e.node("Where", &[&valid, &x.name, &zero], &[]);
    let axes = e.ints(&[1]);
    let sum = e.node("ReduceSum", &[&kept, &axes], &[("keepdims", Attribute::Int(keep))]);
    let count = e.cast(&lengths, data_type::FLOAT);
    let count = e.with_number("Max", &count, 1.0);
    let mut count = e.unsqueeze(&count, 1);
    if keep == 1 {
        count = e.unsqueeze(&count, 2);
    }
    Ok(e.node("Div", &[&sum, &count], &[]))
}

/// A layer on every step: steps and samples in one axis, where the layer does not treat each row alone anyway.
fn distributed(
    e: &mut Emit,
    config: &Json,
    weights: &[ArrayD<f32>],
    x: &Tensor,
    shape: &Shape,
) -> Result<Tensor> {
    let inner = &config["layer"];
    let class = inner["class_name"].as_str().unwrap_or_default();
    let (time, step) = x.shape.split_first().ok_or_else(|| e.unsupported("a sample without steps"))?;
    let known =
        |sizes: &[Option<usize>]| -> Option<Vec<i64>> { sizes.iter().map(|n| n.map(|n| n as i64)).collect() };
    let by_row = [
        "Dense",
        "Activation",
        "Softmax",
        "LeakyReLU",
        "ELU",
        "ReLU",
        "Rescaling",
        "Reciprocal",
        "LayerNormalization",
        "Dropout",
        "Embedding",
    ];
    let mask = x.mask.clone();
    let last = |axis: &Json| matches!(axis.as_i64(), None | Some(-1));
    if by_row.contains(&class) && last(&inner["config"]["axis"]) {
        let mut made =
            emit(e, class, &inner["config"], weights, std::slice::from_ref(x), std::slice::from_ref(shape))?;
        return Ok(Tensor { mask, ..made.swap_remove(0) });
    }
    let (Some(inside), Some(outside)) = (known(step), known(&shape[1..])) else {
        return Err(e.unsupported("steps of unknown size"));
    };
    let flat = e.reshape(&x.name, &[&[-1], inside.as_slice()].concat());
    let flat = Tensor { name: flat, shape: step.to_vec(), mask: Mask::None, whole: x.whole };
    let made = emit(e, class, &inner["config"], weights, &[flat], &[shape[1..].to_vec()])?.swap_remove(0);
    let name = match time {
        Some(time) => e.reshape(&made.name, &[&[-1, *time as i64], outside.as_slice()].concat()),
        None => {
            let sizes = e.node("Shape", &[&x.name], &[("end", Attribute::Int(2))]);
            let outside = e.ints(&outside);
            let target = e.node("Concat", &[&sizes, &outside], &[("axis", Attribute::Int(0))]);
            e.node("Reshape", &[&made.name, &target], &[])
        }
    };
    Ok(Tensor { name, shape: shape.clone(), mask, whole: false })
}
