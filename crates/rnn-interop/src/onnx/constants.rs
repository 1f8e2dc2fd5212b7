//! Operators that make constants, or shapes of other values: Constant, ConstantOfShape, Shape, Size, Range, Cast, Tile.

use super::builder::Builder;
use super::node::Node;
use super::number::{Number, text};
use super::proto::data_type;
use super::sorting;
use super::tensor::Tensor;
use super::value::{BATCH, Device, Kind, Known, Stack, Value};
use crate::Result;
use ndarray::ArrayD;
use rnn_model::layer::RepeatVector;
use std::rc::Rc;

pub(super) fn constant(b: &mut Builder<'_>, node: &Node<'_>) -> Result<Vec<Value>> {
    let whole = |list: &[i64]| list.iter().map(|&n| Number::Known(n)).collect::<Vec<_>>();
    let tensor = if let Some(tensor) = node.tensor("value", b.limits)? {
        tensor
    } else if let Some(value) = node.maybe_float("value_float")? {
        Tensor::scalar(value)
    } else if let Some(value) = node.maybe_int("value_int")? {
        Tensor::Int(ArrayD::from_elem(vec![], Number::Known(value)))
    } else if let Some(values) = node.list("value_ints")? {
        Tensor::ints(whole(values))
    } else {
        let values = node.floats("value_floats")?;
        if values.is_empty() {
            return Err(b.unsupported("a constant that is no tensor of numbers"));
        }
        Tensor::Float(ndarray::Array1::from_vec(values.to_vec()).into_dyn())
    };
    b.count(tensor.len())?;
    Ok(vec![Known::plain(tensor).into()])
}

pub(super) fn constant_of_shape(b: &mut Builder<'_>, node: &Node<'_>) -> Result<Vec<Value>> {
    let shape = node.numbers(0, "the shape")?.ok_or_else(|| b.damaged("it has no shape"))?;
    if shape.len() as u64 > b.limits.rank || shape.iter().any(|n| n.known().is_some_and(|n| n < 0)) {
        return Err(b.damaged(format!("the shape {}", text(&shape))));
    }
    let value = node.tensor("value", b.limits)?.unwrap_or_else(|| Tensor::scalar(0.0));
    let tensor = value.first(shape.len()).ok_or_else(|| b.damaged("a value of no elements"))?;
    Ok(vec![Value::Known(Known { tensor: Rc::new(tensor), shape })])
}

pub(super) fn shape(b: &mut Builder<'_>, node: &Node<'_>) -> Result<Vec<Value>> {
    let shape = b.shape_of(node.input(0)?);
    let rank = shape.len() as i64;
    let at = |n: i64| if n < 0 { n.saturating_add(rank) } else { n }.clamp(0, rank) as usize;
    let start = at(node.int("start", 0)?);
    let end = at(node.int("end", rank)?).max(start);
    Ok(vec![Known::plain(Tensor::ints(shape[start..end].to_vec())).into()])
}

pub(super) fn size(b: &mut Builder<'_>, node: &Node<'_>) -> Result<Vec<Value>> {
    let count = b.shape_of(node.input(0)?).iter().fold(Number::Known(1), |n, m| n.mul(m));
    Ok(vec![Known::plain(Tensor::Int(ArrayD::from_elem(vec![], count))).into()])
}

pub(super) fn range(b: &mut Builder<'_>, node: &Node<'_>) -> Result<Vec<Value>> {
    if let (Some([Number::Known(0)]), Some([limit]), Some([Number::Known(1)])) = (
        node.numbers(0, "the start")?.as_deref(),
        node.numbers(1, "the limit")?.as_deref(),
        node.numbers(2, "the step")?.as_deref(),
    ) && *limit == b.size(&[BATCH])
    {
        return Ok(vec![sorting::counted(b)]);
    }
    if let (
        Some([Number::Known(0)]),
        Some([limit @ Number::Open { factor: 1, axes, offset: 0 }]),
        Some([Number::Known(1)]),
    ) = (
        node.numbers(0, "the start")?.as_deref(),
        node.numbers(1, "the limit")?.as_deref(),
        node.numbers(2, "the step")?.as_deref(),
    ) && axes.len() == 1
    {
        let tensor = Tensor::Int(ArrayD::from_elem(vec![1], Number::Step));
        return Ok(vec![Known { tensor: Rc::new(tensor), shape: vec![limit.clone()] }.into()]);
    }
    let one = |i: usize, what: &str| -> Result<i64> {
        match node.ints(i, what)?.as_deref() {
            Some(&[n]) => Ok(n),
            _ => Err(b.damaged(format!("{what} is not one number"))),
        }
    };
    let (start, limit, delta) = (one(0, "the start")?, one(1, "the limit")?, one(2, "the step")?);
    if delta == 0 {
        return Err(b.damaged("a step of 0"));
    }
    let span = limit.checked_sub(start).ok_or_else(|| b.damaged("bounds that overflow"))?;
    let count = if (span < 0) == (delta < 0) && span != 0 {
        span.unsigned_abs().div_ceil(delta.unsigned_abs())
    } else {
        0
    };
    let count = b.limits.elements(&b.place, &[count])?;
    b.count(count)?;
    let values = (0..count as i64).map(|i| Number::Known(start.wrapping_add(i.wrapping_mul(delta))));
    Ok(vec![Known::plain(Tensor::ints(values.collect())).into()])
}

/// What elements of a type are here.
pub(super) fn kind_of(code: i32) -> Option<Kind> {
    use data_type::*;
    match code {
        FLOAT | FLOAT16 | DOUBLE | BFLOAT16 => Some(Kind::Float),
        INT64 | INT32 | INT16 | INT8 | UINT8 => Some(Kind::Int),
        _ => None,
    }
}

pub(super) fn cast(b: &mut Builder<'_>, node: &Node<'_>) -> Result<Vec<Value>> {
    node.pass_over("saturate");
    let to = i32::try_from(node.int("to", 0)?).unwrap_or(0);
    cast_to(b, node.input(0)?, to).map(|y| vec![y])
}

fn cast_to(b: &mut Builder<'_>, x: &Value, to: i32) -> Result<Value> {
    let refuse = |b: &Builder<'_>| b.unsupported(format!("a cast to {}", data_type::name(to)));
    let known = match x {
        Value::Known(known) => known,
        Value::Device(part) if part.kind == Kind::Part && kind_of(to) == Some(Kind::Float) => {
            return Ok(x.clone());
        }
        other => {
            let x = b.computed(other)?;
            let kind = kind_of(to).ok_or_else(|| refuse(b))?;
            let kind = match (x.kind, kind) {
                (Kind::Float, Kind::Float) => Kind::Float,
                (Kind::Int, to) => to,
                (Kind::Lost, _) => Kind::Lost,
                (Kind::CutOff, Kind::Float) => {
                    return Err(b.unsupported("floats cast to whole numbers and back"));
                }
                _ => Kind::CutOff,
            };
            // A change of kind alone keeps the value and what it was made of.
            return Ok(Value::Device(Device { kind, ..x }));
        }
    };
    b.count(known.tensor.len())?;
    let tensor = match (known.tensor.as_ref(), kind_of(to), to) {
        (Tensor::Float(values), Some(Kind::Float), _) => Tensor::Float(values.clone()),
        (Tensor::Float(values), Some(_), _) => Tensor::Int(values.mapv(|x| Number::Known(x as i64))),
        (Tensor::Float(values), None, data_type::BOOL) => Tensor::Bool(values.mapv(|x| x != 0.0)),
        (Tensor::Int(values), Some(Kind::Float), _) => {
            match values.iter().all(|n| n.known().is_some()) {
                true => Tensor::Float(values.mapv(|n| n.known().unwrap_or_default() as f32)),
                // Sizes of the data stay what they are, for comparisons.
                false => Tensor::Int(values.clone()),
            }
        }
        (Tensor::Int(values), Some(_), _) => Tensor::Int(values.clone()),
        (Tensor::Int(values), None, data_type::BOOL) if values.iter().all(|n| n.known().is_some()) => {
            Tensor::Bool(values.mapv(|n| n.known() != Some(0)))
        }
        (Tensor::Bool(values), Some(Kind::Float), _) => {
            Tensor::Float(values.mapv(|x| f32::from(u8::from(x))))
        }
        (Tensor::Bool(values), Some(_), _) => Tensor::Int(values.mapv(|x| Number::Known(i64::from(x)))),
        (Tensor::Bool(values), None, data_type::BOOL) => Tensor::Bool(values.clone()),
        _ => return Err(refuse(b)),
    };
    Ok(Value::Known(Known { tensor: Rc::new(tensor), shape: known.shape.clone() }))
}

/// Dropout: nothing, when a model is not trained.
pub(super) fn dropout(b: &mut Builder<'_>, node: &Node<'_>) -> Result<Vec<Value>> {
    ["ratio", "seed", "is_test", "consumed_inputs"].into_iter().for_each(|name| node.pass_over(name));
    if let Some(training) = node.constant(2, "training_mode")?
        && training.uniform() != Some(0.0)
    {
        return Err(b.unsupported("dropout in training mode; export the model for inference"));
    }
    if node.wanted.iter().skip(1).any(|&wanted| wanted) {
        return Err(b.unsupported("the mask of a dropout as an output"));
    }
    Ok(vec![node.input(0)?.clone()])
}

/// Tile: a vector at every step, or nothing.
pub(super) fn tile(b: &mut Builder<'_>, node: &Node<'_>) -> Result<Vec<Value>> {
    let x = node.input(0)?;
    let repeats = node.ints(1, "the repeats")?.ok_or_else(|| b.damaged("it has no repeats"))?;
    let shape = b.shape_of(x);
    if repeats.len() != shape.len() {
        return Err(b.damaged(format!("repeats {repeats:?} of a tensor of shape {}", text(&shape))));
    }
    let target: Option<Vec<Number>> = shape
        .iter()
        .zip(&repeats)
        .map(|(n, &times)| match times {
            1 => Some(n.clone()),
            times if n == &Number::Known(1) && times > 1 => Some(Number::Known(times)),
            _ => None,
        })
        .collect();
    let Some(target) = target else {
        return Err(b.unsupported(format!("a tensor of shape {} repeated {repeats:?} times", text(&shape))));
    };
    super::views::expanded(b, x, &target).map(|y| vec![y])
}

/// A vector of each sample at each of `n` steps; `axis` is that of the steps.
pub(super) fn repeated(b: &mut Builder<'_>, x: &Value, axis: usize, n: usize) -> Result<Value> {
    let x = match x {
        Value::Stack(Stack { .. }) | Value::Device(_) => b.computed(x)?,
        Value::Known(_) => return Err(b.unsupported("a constant repeated")),
    };
    let others: Vec<_> =
        x.sample_axes().unwrap_or_default().into_iter().filter(|group| !group.is_empty()).collect();
    let [features] = others.as_slice() else {
        let problem = format!("a computed tensor of shape {} repeated along axis {axis}", text(&b.shape(&x)));
        return Err(b.unsupported(problem));
    };
    let vector = b.arrange(&x, std::slice::from_ref(features))?;
    let symbol = b.layer(RepeatVector::new(n), Vec::new(), &vector.symbol)?;
    let steps = b.axis(Some(n));
    let mut axes = x.axes.clone();
    axes[axis] = steps.clone();
    Ok(Value::Device(b.device(symbol, vec![steps, features.clone()], axes)))
}

/// The numbers of a constant of floats, with nothing broadcast.
pub(super) fn floats(b: &mut Builder<'_>, known: &Known) -> Result<ArrayD<f32>> {
    match b.plain(known)?.tensor.as_ref() {
        Tensor::Float(values) => Ok(values.clone()),
        _ => Err(b.damaged("a tensor of floats is expected")),
    }
}
