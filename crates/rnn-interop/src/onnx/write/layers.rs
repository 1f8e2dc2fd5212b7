//! Layers without a recurrence as ONNX's operators.

use super::activations::{affine, apply, relu};
use super::emit::{Attribute, Emit, Tensor};
use super::masks::Mask;
use super::merges::{concatenated, dot, merged};
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
            let lengths = Mask::Lengths(recurrent::lengths(e, &inputs[1]));
            mask = mask.and(e, &x.name, lengths);
            x.name.clone()
        }
        "Masking" => {
            let (y, there) = masking(e, config, &x.name);
            mask = mask.and(e, &x.name, there);
            y
        }
        "WithMask" => {
            mask = inputs[1].mask.clone();
            x.name.clone()
        }
        "Embedding" => {
            let table = e.weights("embeddings", &weights[0]);
            let ids = if x.whole { x.name.clone() } else { e.cast(&x.name, data_type::INT64) };
            mask = match config["mask_zero"].as_bool() {
                Some(true) => {
                    let zero = e.int(0);
                    let padding = e.node("Equal", &[&ids, &zero], &[]);
                    Mask::Steps(e.node("Not", &[&padding], &[]))
                }
                _ => Mask::None,
            };
            e.node("Gather", &[&table, &ids], &[("axis", Attribute::Int(0))])
        }
        "TimeDistributed" => return Ok(vec![distributed(e, config, weights, x, &shape)?]),
        "Reverse" => {
            mask = mask.turned_round(e, &x.name);
            e.turned_round(&x.name)
        }
        "Add" | "Subtract" | "Multiply" | "Divide" | "Average" | "Maximum" | "Minimum" => {
            let (y, of_any) = merged(e, class, inputs);
            mask = of_any;
            y
        }
        "Concatenate" => {
            let (y, of_any) = concatenated(e, config, inputs);
            mask = of_any;
            y
        }
        "Dot" => {
            mask = Mask::None;
            if inputs.iter().any(|x| x.shape.len() > 2) {
                return Err(e.unsupported("a Dot of samples of more than two axes"));
            }
            dot(e, config, inputs)
        }
        "Softmax" if x.mask != Mask::None => masked_softmax(e, config, x),
        "GLU" => {
            let axis = config["axis"].as_i64().unwrap_or(-1);
            // As the layer has it: of axes counted from behind only the last one is known not to be that of the steps.
            if axis != -1 && axis <= 1 {
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
            pooled(e, class, config, x)
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

/// Masked values have no share, and come out as 0. Where none is there all shares are equal before that.
fn masked_softmax(e: &mut Emit, config: &Json, x: &Tensor) -> String {
    let axis = config["axis"].as_i64().unwrap_or(-1);
    let Some(there) = x.mask.steps(e, &x.name) else { return x.name.clone() };
    let there = e.spread(&there, x.shape.len());
    // The number that such a value counts as here and in Keras: its exponential is 0 beside any other.
    let out_of_reach = e.number(-1e9);
    let kept = e.node("Where", &[&there, &x.name, &out_of_reach], &[]);
    let shares = e.node("Softmax", &[&kept], &[("axis", Attribute::Int(axis))]);
    e.or_zero(&there, &shares)
}

/// Steps of which every feature is the masked value become 0, and which steps are others.
fn masking(e: &mut Emit, config: &Json, x: &str) -> (String, Mask) {
    let value = config["mask_value"].as_f64().unwrap_or(0.0) as f32;
    let same = e.with_number("Equal", x, value);
    let others = e.node("Not", &[&same], &[]);
    let others = e.cast(&others, data_type::FLOAT);
    let axis = e.ints(&[-1]);
    let count = e.node("ReduceSum", &[&others, &axis], &[("keepdims", Attribute::Int(1))]);
    let there = e.with_number("Greater", &count, 0.0);
    (e.or_zero(&there, x), Mask::Steps(e.squeeze(&there, 2)))
}

/// The steps as one.
fn pooled(e: &mut Emit, class: &str, config: &Json, x: &Tensor) -> String {
    let keep = i64::from(config["keepdims"].as_bool().unwrap_or(false));
    let attributes = || [("axes", Attribute::Ints(vec![1])), ("keepdims", Attribute::Int(keep))];
    let largest = class == "GlobalMaxPooling1D";
    let counts = !largest || config["masked"].as_bool() == Some(true);
    let there = if counts { x.mask.steps(e, &x.name) } else { None };
    let Some(there) = there else {
        return e.node(if largest { "ReduceMax" } else { "ReduceMean" }, &[&x.name], &attributes());
    };
    let ones = e.cast(&there, data_type::FLOAT);
    let axes = e.ints(&[1]);
    let count = e.node("ReduceSum", &[&ones, &axes], &[("keepdims", Attribute::Int(0))]);
    let there = e.unsqueeze(&there, 2);
    let beside = |e: &mut Emit, x: &str| {
        let x = e.unsqueeze(x, 1);
        if keep == 1 { e.unsqueeze(&x, 1) } else { x }
    };
    if largest {
        let least = e.number(f32::MIN);
        let kept = e.node("Where", &[&there, &x.name, &least], &[]);
        let most = e.node("ReduceMax", &[&kept], &attributes());
        let any = e.with_number("Greater", &count, 0.0);
        let any = beside(e, &any);
        return e.or_zero(&any, &most);
    }
    let kept = e.or_zero(&there, &x.name);
    let sum = e.node("ReduceSum", &[&kept, &axes], &[("keepdims", Attribute::Int(keep))]);
    // A sample without a step has the mean 0.
    let count = e.with_number("Max", &count, 1.0);
    let count = beside(e, &count);
    e.node("Div", &[&sum, &count], &[])
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
