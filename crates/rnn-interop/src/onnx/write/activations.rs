//! Activations as ONNX's operators, and as options of its recurrent ones.

use super::emit::{Attribute, Emit};
use crate::Result;
use serde_json::Value as Json;

/// Name and numbers of an activation in a layer's data.
pub(super) fn parts(kind: &Json) -> (&str, Option<&Json>) {
    match kind {
        Json::String(name) => (name, None),
        other => (other["class_name"].as_str().unwrap_or_default(), other.get("config")),
    }
}

fn number(config: Option<&Json>, name: &str, default: f32) -> f32 {
    config.and_then(|config| config[name].as_f64()).map_or(default, |x| x as f32)
}

/// Applies an activation.
pub(super) fn apply(e: &mut Emit, kind: &Json, x: &str) -> Result<String> {
    let (name, config) = parts(kind);
    let get = |name: &str, default: f32| number(config, name, default);
    let one = |e: &mut Emit, op: &str| e.node(op, &[x], &[]);
    let alpha = |e: &mut Emit, op: &str, value: f32| alpha_of(e, op, x, value);
    Ok(match name {
        "linear" => x.to_owned(),
        "tanh" => one(e, "Tanh"),
        "sigmoid" => one(e, "Sigmoid"),
        "softplus" => one(e, "Softplus"),
        "softsign" => one(e, "Softsign"),
        "selu" => one(e, "Selu"),
        "exponential" => one(e, "Exp"),
        "relu" if config.is_none() => one(e, "Relu"),
        "relu" => {
            let max = config.and_then(|config| config["max_value"].as_f64()).map(|max| max as f32);
            relu(e, x, get("negative_slope", 0.0), max, get("threshold", 0.0))
        }
        "hard_sigmoid" => hard_sigmoid(e, x, get("alpha", 1.0 / 6.0), get("beta", 0.5)),
        "sparse_sigmoid" => hard_sigmoid(e, x, 0.5, 0.5),
        "elu" => alpha(e, "Elu", get("alpha", 1.0)),
        "celu" => alpha(e, "Celu", get("alpha", 1.0)),
        "leaky_relu" => alpha(e, "LeakyRelu", get("negative_slope", 0.2)),
        "relu6" => clip(e, x, 0.0, 6.0),
        "hard_tanh" => clip(e, x, -1.0, 1.0),
        "silu" => {
            let gate = one(e, "Sigmoid");
            e.node("Mul", &[x, &gate], &[])
        }
        "hard_silu" => {
            let gate = hard_sigmoid(e, x, 1.0 / 6.0, 0.5);
            e.node("Mul", &[x, &gate], &[])
        }
        "mish" => {
            let soft = one(e, "Softplus");
            let gate = e.node("Tanh", &[&soft], &[]);
            e.node("Mul", &[x, &gate], &[])
        }
        "gelu" => {
            let scaled = e.with_number("Mul", x, std::f32::consts::FRAC_1_SQRT_2);
            let gate = e.node("Erf", &[&scaled], &[]);
            half_gate(e, x, &gate)
        }
        "gelu_tanh" => {
            let square = e.node("Mul", &[x, x], &[]);
            let cubic = e.with_number("Mul", &square, 0.044_715);
            let inner = e.with_number("Add", &cubic, 1.0);
            let inner = e.node("Mul", &[x, &inner], &[]);
            let inner = e.with_number("Mul", &inner, 0.797_884_6);
            let gate = e.node("Tanh", &[&inner], &[]);
            half_gate(e, x, &gate)
        }
        "log_sigmoid" => {
            let negative = one(e, "Neg");
            let soft = e.node("Softplus", &[&negative], &[]);
            e.node("Neg", &[&soft], &[])
        }
        "tanh_shrink" => {
            let tanh = one(e, "Tanh");
            e.node("Sub", &[x, &tanh], &[])
        }
        "hard_shrink" => {
            let threshold = get("threshold", 0.5);
            e.node("Shrink", &[x], &[("lambd", Attribute::Float(threshold)), ("bias", Attribute::Float(0.0))])
        }
        "soft_shrink" => {
            let threshold = get("threshold", 0.5);
            e.node(
                "Shrink",
                &[x],
                &[("lambd", Attribute::Float(threshold)), ("bias", Attribute::Float(threshold))],
            )
        }
        "sparse_plus" => {
            // (clip(x, -1, 1) + 1)^2 / 4 + max(x - 1, 0)
            let inner = clip(e, x, -1.0, 1.0);
            let inner = e.with_number("Add", &inner, 1.0);
            let square = e.node("Mul", &[&inner, &inner], &[]);
            let square = e.with_number("Mul", &square, 0.25);
            let above = e.with_number("Sub", x, 1.0);
            let above = e.node("Relu", &[&above], &[]);
            e.node("Add", &[&square, &above], &[])
        }
        "squareplus" => {
            let square = e.node("Mul", &[x, x], &[]);
            let square = e.with_number("Add", &square, get("b", 4.0));
            let root = e.node("Sqrt", &[&square], &[]);
            let sum = e.node("Add", &[x, &root], &[]);
            e.with_number("Mul", &sum, 0.5)
        }
        "affine" => affine(e, x, get("alpha", 1.0), get("beta", 0.0)),
        "scaled_tanh" => {
            let inner = e.with_number("Mul", x, get("beta", 1.0));
            let tanh = e.node("Tanh", &[&inner], &[]);
            e.with_number("Mul", &tanh, get("alpha", 1.0))
        }
        "threshold" => {
            // What is below the threshold becomes 0, and then the other value: counted from it.
            let (threshold, other) = (get("threshold", 0.0), get("default_value", 0.0));
            let from_other = e.with_number("Sub", x, other);
            let above = alpha_of(e, "ThresholdedRelu", &from_other, threshold - other);
            e.with_number("Add", &above, other)
        }
        "softmax" => e.node("Softmax", &[x], &[("axis", Attribute::Int(-1))]),
        "log_softmax" => e.node("LogSoftmax", &[x], &[("axis", Attribute::Int(-1))]),
        other => return Err(e.unsupported(format!("activation {other} has no form in ONNX"))),
    })
}

/// `alpha * x + beta`
pub(super) fn affine(e: &mut Emit, x: &str, alpha: f32, beta: f32) -> String {
    let scaled = e.with_number("Mul", x, alpha);
    e.with_number("Add", &scaled, beta)
}

/// `min(x, max)` for `x > threshold`, else `slope * (x - threshold)`.
pub(super) fn relu(e: &mut Emit, x: &str, slope: f32, max: Option<f32>, threshold: f32) -> String {
    let max = max.filter(|max| max.is_finite());
    let alpha = |value| [("alpha", Attribute::Float(value))];
    match (slope, threshold, max) {
        (0.0, 0.0, Some(max)) => return clip(e, x, 0.0, max),
        (0.0, 0.0, None) => return e.node("Relu", &[x], &[]),
        (0.0, _, None) => return e.node("ThresholdedRelu", &[x], &alpha(threshold)),
        (0.0, _, Some(max)) => {
            let y = e.node("ThresholdedRelu", &[x], &alpha(threshold));
            return e.with_number("Min", &y, max);
        }
        (_, 0.0, None) => return e.node("LeakyRelu", &[x], &alpha(slope)),
        _ => {}
    }
    // What is above the threshold, less what is below: both are 0 elsewhere.
    let mut high = alpha_of(e, "ThresholdedRelu", x, threshold);
    if let Some(max) = max {
        high = e.with_number("Min", &high, max);
    }
    let negative = e.node("Neg", &[x], &[]);
    let below = e.with_number("Add", &negative, threshold);
    let low = e.node("Relu", &[&below], &[]);
    let low = e.with_number("Mul", &low, slope);
    e.node("Sub", &[&high, &low], &[])
}

fn alpha_of(e: &mut Emit, op: &str, x: &str, alpha: f32) -> String {
    e.node(op, &[x], &[("alpha", Attribute::Float(alpha))])
}

fn hard_sigmoid(e: &mut Emit, x: &str, alpha: f32, beta: f32) -> String {
    e.node("HardSigmoid", &[x], &[("alpha", Attribute::Float(alpha)), ("beta", Attribute::Float(beta))])
}

fn clip(e: &mut Emit, x: &str, low: f32, high: f32) -> String {
    let (low, high) = (e.number(low), e.number(high));
    e.node("Clip", &[x, &low, &high], &[])
}

/// `x * (1 + gate) / 2`
fn half_gate(e: &mut Emit, x: &str, gate: &str) -> String {
    let gate = e.with_number("Add", gate, 1.0);
    let y = e.node("Mul", &[x, &gate], &[]);
    e.with_number("Mul", &y, 0.5)
}

/// An activation within a recurrent operator: its name, and its numbers.
pub(super) fn of_cell(e: &Emit, kind: &Json) -> Result<(&'static str, Option<f32>, Option<f32>)> {
    let (name, config) = parts(kind);
    let get = |name: &str, default: f32| Some(number(config, name, default));
    Ok(match name {
        "tanh" => ("Tanh", None, None),
        "sigmoid" => ("Sigmoid", None, None),
        "relu" if config.is_none() => ("Relu", None, None),
        "relu"
            if number(config, "negative_slope", 0.0) == 0.0
                && config.is_none_or(|config| config["max_value"].is_null()) =>
        {
            ("ThresholdedRelu", get("threshold", 0.0), None)
        }
        "softsign" => ("Softsign", None, None),
        "softplus" => ("Softplus", None, None),
        "linear" => ("Affine", Some(1.0), Some(0.0)),
        "affine" => ("Affine", get("alpha", 1.0), get("beta", 0.0)),
        "leaky_relu" => ("LeakyRelu", get("negative_slope", 0.2), None),
        "scaled_tanh" => ("ScaledTanh", get("alpha", 1.0), get("beta", 1.0)),
        "hard_sigmoid" => ("HardSigmoid", get("alpha", 1.0 / 6.0), get("beta", 0.5)),
        "sparse_sigmoid" => ("HardSigmoid", Some(0.5), Some(0.5)),
        "elu" => ("Elu", get("alpha", 1.0), None),
        other => {
            return Err(
                e.unsupported(format!("activation {other} is none of those of ONNX's recurrent operators"))
            );
        }
    })
}
