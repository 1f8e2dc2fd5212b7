//! Operators of one input: activations, their bounds, and what constants are folded with.

use super::arithmetic::Binary;
use super::builder::Builder;
use super::constants::floats;
use super::dense;
use super::elementwise::with_number;
use super::node::Node;
use super::number::Number;
use super::tensor::Tensor;
use super::value::{Device, Kind, Known, Origin, Value};
use crate::Result;
use rnn_model::layer::{ActivationLayer, PRelu};
use serde_json::{Value as Json, json};
use std::rc::Rc;

/// Activations as operators of their own.
pub(super) fn activate(b: &mut Builder<'_>, node: &Node<'_>) -> Result<Vec<Value>> {
    let x = node.input(0)?;
    if let Value::Known(known) = x {
        return unary_known(b, node.op, known).map(|y| vec![y.into()]);
    }
    let Some(kind) = function(b, node)? else { return Err(b.unsupported(format!("activation {}", node.op))) };
    let x = b.computed(x)?;
    activation(b, &x, kind).map(|y| vec![y.into()])
}

/// The activation that an operator of one input is, as layers name it.
pub(super) fn function(b: &Builder<'_>, node: &Node<'_>) -> Result<Option<Json>> {
    let with = |class: &str, config: Json| json!({ "class_name": class, "config": config });
    Ok(Some(match node.op {
        "Sigmoid" => "sigmoid".into(),
        "Tanh" => "tanh".into(),
        "Relu" => "relu".into(),
        "Softplus" => "softplus".into(),
        "Softsign" => "softsign".into(),
        "Mish" => "mish".into(),
        "HardSwish" => "hard_silu".into(),
        "Elu" => with("elu", json!({ "alpha": node.float("alpha", 1.0)? })),
        "Celu" => with("celu", json!({ "alpha": node.float("alpha", 1.0)? })),
        "LeakyRelu" => with("leaky_relu", json!({ "negative_slope": node.float("alpha", 0.01)? })),
        "ThresholdedRelu" => {
            let threshold = node.float("alpha", 1.0)?;
            with("relu", json!({ "negative_slope": 0.0, "max_value": null, "threshold": threshold }))
        }
        "HardSigmoid" => {
            let (alpha, beta) = (node.float("alpha", 0.2)?, node.float("beta", 0.5)?);
            with("hard_sigmoid", json!({ "alpha": alpha, "beta": beta }))
        }
        "Selu" => {
            // The numbers of the paper, which are the defaults.
            let (alpha, gamma) = (node.float("alpha", 1.673_263_2)?, node.float("gamma", 1.050_701)?);
            if (alpha - 1.673_263_2).abs() > 1e-5 || (gamma - 1.050_701).abs() > 1e-5 {
                return Err(b.unsupported(format!("alpha {alpha} and gamma {gamma}")));
            }
            "selu".into()
        }
        "Gelu" => match node.string("approximate", "none")? {
            "none" => "gelu".into(),
            "tanh" => "gelu_tanh".into(),
            other => return Err(b.damaged(format!("approximate {other:?}"))),
        },
        "Shrink" => {
            let (bias, lambd) = (node.float("bias", 0.0)?, node.float("lambd", 0.5)?);
            match bias {
                0.0 => with("hard_shrink", json!({ "threshold": lambd })),
                bias if bias == lambd => with("soft_shrink", json!({ "threshold": lambd })),
                _ => return Err(b.unsupported(format!("bias {bias} with lambd {lambd}"))),
            }
        }
        "Exp" => "exponential".into(),
        _ => return Ok(None),
    }))
}

/// An activation on each element, in the layer before where it can be.
pub(super) fn activation(b: &mut Builder<'_>, x: &Device, kind: Json) -> Result<Device> {
    if x.kind != Kind::Float {
        return Err(b.unsupported("an activation of whole numbers"));
    }
    if let Some(origin) = &x.origin
        && let Origin::Dense { x: input, kernel, kernel_key, bias } = origin.as_ref()
    {
        let symbol = dense::dense(b, input, kernel, *kernel_key, bias.clone(), kind)?;
        return Ok(b.like(x, symbol));
    }
    let layer = b.configured(ActivationLayer::new(rnn_model::Activation::Linear), &[("activation", kind)])?;
    let symbol = b.layer(layer, Vec::new(), &x.symbol)?;
    Ok(b.like(x, symbol))
}

/// Softmax and LogSoftmax.
pub(super) fn softmax(b: &mut Builder<'_>, node: &Node<'_>) -> Result<Vec<Value>> {
    let x = b.computed(node.input(0)?)?;
    let rank = x.axes.len();
    let default = if node.opset < 13 { 1 } else { -1 };
    let axis = node.axis(node.int("axis", default)?, rank)?;
    if axis + 1 != rank || x.axes[axis].is_empty() || x.batch_axis() == Some(axis) {
        return Err(b.unsupported(format!("axis {axis} of {rank}; it must be the last one")));
    }
    let kind = if node.op == "Softmax" { "softmax" } else { "log_softmax" };
    let x = b.last_axis(&x)?;
    activation(b, &x, kind.into()).map(|y| vec![y.into()])
}

/// Clip.
pub(super) fn clip(b: &mut Builder<'_>, node: &Node<'_>) -> Result<Vec<Value>> {
    let [low, high] = bounds(node)?;
    let x = b.computed(node.input(0)?)?;
    clipped(b, &x, low, high).map(|y| vec![y.into()])
}

/// The bounds of a Clip: attributes before version 11.
fn bounds(node: &Node<'_>) -> Result<[Option<f32>; 2]> {
    let mut bounds = [node.maybe_float("min")?, node.maybe_float("max")?];
    for (i, bound) in bounds.iter_mut().enumerate() {
        if let Some(known) = node.constant(i + 1, "a bound")? {
            *bound = known.uniform();
        }
        *bound = bound.filter(|bound| bound.abs() < f32::MAX);
    }
    Ok(bounds)
}

/// The activation that a Clip is.
pub(super) fn clip_function(b: &Builder<'_>, node: &Node<'_>) -> Result<Json> {
    match bounds(node)? {
        [Some(-1.0), Some(1.0)] => Ok("hard_tanh".into()),
        [Some(0.0), None] => Ok("relu".into()),
        [Some(0.0), Some(6.0)] => Ok("relu6".into()),
        [Some(0.0), Some(high)] => {
            let config = json!({ "negative_slope": 0.0, "max_value": high, "threshold": 0.0 });
            Ok(json!({ "class_name": "relu", "config": config }))
        }
        [low, high] => Err(b.unsupported(format!("a clip to {low:?} and {high:?} within a cell"))),
    }
}

/// A computed value kept above one number and below another: `low + relu(x - low)` with a largest value, or mirrored.
pub(super) fn clipped(
    b: &mut Builder<'_>,
    x: &Device,
    low: Option<f32>,
    high: Option<f32>,
) -> Result<Device> {
    let relu = |max: Option<f32>| {
        let config = json!({ "negative_slope": 0.0, "max_value": max, "threshold": 0.0 });
        json!({ "class_name": "relu", "config": config })
    };
    match (low, high) {
        (None, None) => Ok(x.clone()),
        (Some(-1.0), Some(1.0)) => activation(b, x, "hard_tanh".into()),
        (Some(0.0), Some(6.0)) => activation(b, x, "relu6".into()),
        (Some(low), high) => {
            let from_low = with_number(b, Binary::Sub, x, low, false)?;
            let y = activation(b, &from_low, relu(high.map(|high| (high - low).max(0.0))))?;
            with_number(b, Binary::Add, &y, low, false)
        }
        (None, Some(high)) => {
            let below = with_number(b, Binary::Sub, x, high, true)?;
            let y = activation(b, &below, "relu".into())?;
            with_number(b, Binary::Sub, &y, high, true)
        }
    }
}

/// Operators of one input without numbers of their own.
pub(super) fn unary(b: &mut Builder<'_>, node: &Node<'_>) -> Result<Vec<Value>> {
    let x = match node.input(0)? {
        Value::Known(known) => return unary_known(b, node.op, known).map(|y| vec![y.into()]),
        other => b.computed(other)?,
    };
    Ok(vec![Value::Device(match node.op {
        "Neg" => with_number(b, Binary::Mul, &x, -1.0, false)?,
        "Exp" => activation(b, &x, "exponential".into())?,
        op => return Err(b.unsupported(format!("{op} of a computed tensor"))),
    })])
}

/// Operators of one input that a constant is folded with.
fn unary_of(op: &str, x: f32) -> Option<f32> {
    Some(match op {
        "Neg" => -x,
        "Abs" => x.abs(),
        "Sqrt" => x.sqrt(),
        "Reciprocal" => 1.0 / x,
        "Exp" => x.exp(),
        "Log" => x.ln(),
        "Floor" => x.floor(),
        "Ceil" => x.ceil(),
        "Sigmoid" => 1.0 / (1.0 + (-x).exp()),
        "Tanh" => x.tanh(),
        "Relu" => x.max(0.0),
        _ => return None,
    })
}

fn unary_known(b: &mut Builder<'_>, op: &str, known: &Known) -> Result<Known> {
    b.count(known.tensor.len())?;
    let tensor = match (known.tensor.as_ref(), op) {
        (Tensor::Float(values), _) if unary_of(op, 1.0).is_some() => {
            Tensor::Float(values.mapv(|x| unary_of(op, x).unwrap_or(x)))
        }
        (Tensor::Int(values), "Neg") => Tensor::Int(values.mapv(|n| n.mul(&Number::Known(-1)))),
        (Tensor::Bool(values), "Not") => Tensor::Bool(values.mapv(|x| !x)),
        _ => return Err(b.unsupported(format!("{op} of a constant of this kind"))),
    };
    Ok(Known { tensor: Rc::new(tensor), shape: known.shape.clone() })
}

/// PRelu: a slope for each value of a sample, or one for several along some axes.
pub(super) fn prelu(b: &mut Builder<'_>, node: &Node<'_>) -> Result<Vec<Value>> {
    let x = b.computed(node.input(0)?)?;
    let Some(slope) = node.constant(1, "the slope")? else { return Err(b.damaged("it has no slope")) };
    let x = b.canonical(&x)?;
    let rank = x.axes.len();
    let own = floats(b, slope)?;
    let batch = x.batch_axis().unwrap_or_default();
    let front = rank.saturating_sub(own.ndim());
    let mut dims = vec![1; front];
    dims.extend(own.shape());
    if own.ndim() > rank || dims.get(batch) != Some(&1) {
        return Err(b.unsupported(format!("a slope of shape {:?}", own.shape())));
    }
    dims.remove(batch);
    let mut shared = Vec::new();
    for (axis, (&n, group)) in dims.iter().zip(x.sample_axes().unwrap_or_default()).enumerate() {
        match b.known_size(&group) {
            Some(size) if size == n => {}
            _ if n == 1 => shared.push(axis + 1),
            _ => return Err(b.damaged(format!("a slope of shape {:?}", own.shape()))),
        }
    }
    let alpha = own.into_shape_with_order(dims).map_err(|e| b.damaged(e.to_string()))?;
    let layer = if shared.is_empty() { PRelu::new() } else { PRelu::new().shared_axes(shared) };
    let symbol = b.layer(layer, vec![alpha], &x.symbol)?;
    Ok(vec![b.like(&x, symbol).into()])
}
