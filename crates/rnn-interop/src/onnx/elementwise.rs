//! Operators of two inputs, element by element, on constants and on computed values; and Where.

use super::activations::{activation, clipped};
use super::arithmetic::Binary;
use super::builder::Builder;
use super::node::Node;
use super::number::{Number, text};
use super::tensor::Tensor;
use super::value::{Device, Group, Kind, Known, Origin, Value};
use super::{dense, filled, flags, parts, views};
use crate::Result;
use ndarray::{ArrayD, Zip};
use rnn_model::Symbol;
use rnn_model::layer::{self, Layer, Rescaling};
use std::rc::Rc;

pub(super) fn binary(b: &mut Builder<'_>, node: &Node<'_>, op: Binary) -> Result<Vec<Value>> {
    let inputs = node.all()?;
    let (Some(first), true) = (inputs.first(), inputs.len() >= 2 || matches!(op, Binary::Max | Binary::Min))
    else {
        return Err(b.damaged("an operator of two inputs with fewer"));
    };
    let mut result = (*first).clone();
    for other in &inputs[1..] {
        result = binary_of(b, op, &result, other)?;
    }
    Ok(vec![result])
}

fn binary_of(b: &mut Builder<'_>, op: Binary, x: &Value, y: &Value) -> Result<Value> {
    let rank = b.shape_of(x).len().max(b.shape_of(y).len());
    let (x, y) = (views::padded(b, x, rank)?, views::padded(b, y, rank)?);
    let shape = broadcast(b, &b.shape_of(&x), &b.shape_of(&y))?;
    if let Some(made) = parts::binary(b, op, &x, &y)? {
        return Ok(made);
    }
    match (&x, &y) {
        (Value::Device(x), Value::Known(known)) | (Value::Known(known), Value::Device(x))
            if op == Binary::Equal =>
        {
            match known.uniform() {
                Some(number) => flags::compared(b, x, number),
                None => Err(b.unsupported("a computed tensor compared with several numbers")),
            }
        }
        (Value::Known(steps), Value::Device(lengths))
            if op == Binary::Less && filled::counts_steps(steps) && filled::are_columns(lengths) =>
        {
            filled::before_lengths(b, &shape, lengths)
        }
        (Value::Device(x), Value::Known(known)) if op == Binary::Greater && flags::are_lengths(x, known) => {
            Ok(flags::any_step(x))
        }
        (Value::Known(x), Value::Known(y)) => {
            let sizes: Vec<u64> =
                x.tensor.dims().iter().zip(y.tensor.dims()).map(|(&a, &c)| a.max(c) as u64).collect();
            let count = b.limits.elements(&b.place, &sizes)?;
            b.count(count)?;
            let tensor = op.known(&x.tensor, &y.tensor);
            let tensor = tensor
                .ok_or_else(|| b.unsupported("constants of these kinds, or ones that depend on the data"))?;
            Ok(Value::Known(Known { tensor: Rc::new(tensor), shape }))
        }
        (Value::Known(known), other) => {
            let device = b.computed(other)?;
            with_known(b, op, &device, known, true, &shape)
        }
        (other, Value::Known(known)) => {
            let device = b.computed(other)?;
            with_known(b, op, &device, known, false, &shape)
        }
        (x, y) => {
            let (x, y) = (b.computed(x)?, b.computed(y)?);
            both(b, op, &x, &y)
        }
    }
}

/// The shape that two broadcast to.
fn broadcast(b: &Builder<'_>, x: &[Number], y: &[Number]) -> Result<Vec<Number>> {
    let sizes = x.iter().zip(y).map(|(a, c)| match (a, c) {
        (Number::Known(1), other) | (other, Number::Known(1)) => Some(other.clone()),
        (a, c) if b.same(a, c) => Some(a.clone()),
        _ => None,
    });
    let sizes: Option<Vec<Number>> = sizes.collect();
    sizes.ok_or_else(|| {
        b.unsupported(format!("shapes {} and {}, which do not fit together", text(x), text(y)))
    })
}

/// A computed value and a constant; `swapped` where the constant comes first.
fn with_known(
    b: &mut Builder<'_>,
    op: Binary,
    x: &Device,
    known: &Known,
    swapped: bool,
    shape: &[Number],
) -> Result<Value> {
    let own = b.shape(x);
    let refuse = |b: &Builder<'_>| {
        b.unsupported(format!(
            "a computed tensor of shape {} and a constant of shape {}",
            text(&own),
            text(&known.shape)
        ))
    };
    if op == Binary::Add
        && shape.len() == own.len()
        && let Some(bias) = bias_of(x, known)
    {
        return Ok(Value::Device(dense::shifted(b, x, bias)?));
    }
    let known = &without_repeats(known);
    let uniform = known.uniform();
    // What changes nothing, or leaves nothing, holds for whole numbers too.
    match (op, uniform) {
        (Binary::Add, Some(0.0)) => return same_shape(b, Value::Device(x.clone()), &own, shape),
        (Binary::Sub, Some(0.0)) if !swapped => {
            return same_shape(b, Value::Device(x.clone()), &own, shape);
        }
        (Binary::Mul, Some(1.0)) => return same_shape(b, Value::Device(x.clone()), &own, shape),
        (Binary::Div, Some(1.0)) if !swapped => return same_shape(b, Value::Device(x.clone()), &own, shape),
        (Binary::Mul, Some(0.0)) => {
            let tensor = known.tensor.first(own.len()).ok_or_else(|| refuse(b))?;
            return Ok(Value::Known(Known { tensor: Rc::new(tensor), shape: shape.to_vec() }));
        }
        // Row numbers are taken to be at least 0: a table has no rows below.
        (Binary::Less, Some(0.0)) if !swapped && b.is_whole(x) => {
            b.note_once(
                "Row numbers below 0 do not count from the end of a table here: they give rows of zeros.",
            );
            let tensor = Tensor::Bool(ArrayD::from_elem(vec![1; own.len()], false));
            return Ok(Value::Known(Known { tensor: Rc::new(tensor), shape: own }));
        }
        _ => {}
    }
    if shape.len() != own.len() || shape.iter().zip(&own).any(|(a, c)| !b.same(a, c)) {
        return Err(refuse(b));
    }
    if let Some(value) = uniform {
        let kind = match (x.kind, op) {
            (Kind::Float, _) => Kind::Float,
            // Exact on a device, where whole numbers are floats.
            (Kind::Int, Binary::Add | Binary::Sub | Binary::Mul) => Kind::Int,
            _ => Kind::Lost,
        };
        let y = with_number(b, op, x, value, swapped)?;
        return Ok(Value::Device(Device { kind, ..y }));
    }
    if x.kind != Kind::Float {
        return Err(b.unsupported("arithmetic on whole numbers that are computed or inputs of the model"));
    }
    let Tensor::Float(values) = known.tensor.as_ref() else { return Err(refuse(b)) };
    let width = values.shape().last().copied().unwrap_or(1);
    if values.len() != width {
        return Err(refuse(b));
    }
    let values = values.iter().copied().collect::<Vec<f32>>();
    let y = match (op, swapped) {
        (Binary::Add, _) => dense::shifted(b, x, values)?,
        (Binary::Sub, false) => dense::shifted(b, x, values.iter().map(|v| -v).collect())?,
        (Binary::Sub, true) => {
            let negative = with_number(b, Binary::Mul, x, -1.0, false)?;
            dense::shifted(b, &negative, values)?
        }
        (Binary::Mul, _) => dense::scaled(b, x, values)?,
        (Binary::Div, false) => dense::scaled(b, x, values.iter().map(|v| 1.0 / v).collect())?,
        _ => return Err(refuse(b)),
    };
    Ok(Value::Device(y))
}

/// The constant as the bias of the product that `x` is, if it can be one: also where all its values are equal, or 0, so that
/// it is trained as a bias is.
fn bias_of(x: &Device, known: &Known) -> Option<Vec<f32>> {
    let Some(Origin::Dense { kernel, bias: None, .. }) = x.origin.as_deref() else { return None };
    let Tensor::Float(values) = known.tensor.as_ref() else { return None };
    let units = *kernel.dims().last()?;
    (values.shape().last() == Some(&units) && values.len() == units).then(|| values.iter().copied().collect())
}

/// A constant with axes along which it repeats itself taken once.
fn without_repeats(known: &Known) -> Known {
    let mut tensor = known.tensor.clone();
    for axis in 0..tensor.dims().len() {
        let n = tensor.dims()[axis];
        let first = tensor.selected(axis, if n > 1 { &[0] } else { &[] });
        if n > 1 && first.expanded(tensor.dims()).as_ref() == Some(&*tensor) {
            tensor = Rc::new(first);
        }
    }
    Known { tensor, shape: known.shape.clone() }
}

fn same_shape(b: &Builder<'_>, x: Value, own: &[Number], shape: &[Number]) -> Result<Value> {
    if own.iter().zip(shape).all(|(a, c)| b.same(a, c)) {
        return Ok(x);
    }
    Err(b.unsupported(format!("a computed tensor of shape {} repeated to {}", text(own), text(shape))))
}

/// A computed value and one number.
pub(super) fn with_number(
    b: &mut Builder<'_>,
    op: Binary,
    x: &Device,
    c: f32,
    swapped: bool,
) -> Result<Device> {
    let (scale, offset) = match (op, swapped) {
        (Binary::Add, _) => (1.0, c),
        (Binary::Sub, false) => (1.0, -c),
        (Binary::Sub, true) => (-1.0, c),
        (Binary::Mul, _) => (c, 0.0),
        (Binary::Div, false) => (1.0 / c, 0.0),
        (Binary::Pow, false) if c == 2.0 => {
            let x = b.unmasked(x)?;
            let symbol = merge(b, layer::Multiply::new(), &x.symbol, &x.symbol)?;
            let y = b.like(&x, symbol);
            parts::remember_square(b, &x, &y)?;
            return Ok(y);
        }
        (Binary::Div, true) if c.is_finite() => {
            let symbol = b.layer(layer::Reciprocal::new(c), Vec::new(), &x.symbol)?;
            return Ok(b.like(x, symbol));
        }
        (Binary::Max, _) if c == 0.0 => return activation(b, x, "relu".into()),
        (Binary::Max, _) => return clipped(b, x, Some(c), None),
        (Binary::Min, _) => return clipped(b, x, None, Some(c)),
        _ => return Err(b.unsupported(format!("a computed tensor and the number {c}"))),
    };
    if !(scale.is_finite() && offset.is_finite()) {
        return Err(b.damaged(format!("a computed tensor and the number {c}")));
    }
    let symbol = b.layer(Rescaling::new(scale, offset), Vec::new(), &x.symbol)?;
    let y = b.like(x, symbol);
    parts::remember(b, x, &y, scale, offset)?;
    Ok(y)
}

fn merge(b: &mut Builder<'_>, layer: impl Into<Layer>, x: &Symbol, y: &Symbol) -> Result<Symbol> {
    Ok(b.apply(layer, Vec::new(), &[x, y])?.swap_remove(0))
}

/// Two computed values of the same shape.
fn both(b: &mut Builder<'_>, op: Binary, x: &Device, y: &Device) -> Result<Value> {
    let layer: Layer = match op {
        Binary::Add => layer::Add::new().into(),
        Binary::Sub => layer::Subtract::new().into(),
        Binary::Mul => layer::Multiply::new().into(),
        Binary::Div => layer::Divide::new().into(),
        Binary::Max => layer::Maximum::new().into(),
        Binary::Min => layer::Minimum::new().into(),
        _ => return Err(b.unsupported(format!("{op:?} of two computed tensors"))),
    };
    if x.kind != Kind::Float || y.kind != Kind::Float {
        return Err(b.unsupported("arithmetic on whole numbers that are computed or inputs of the model"));
    }
    let (own, other) = (b.shape(x), b.shape(y));
    let fits = own.len() == other.len() && own.iter().zip(&other).all(|(a, c)| b.same(a, c));
    if !fits || x.batch_axis() != y.batch_axis() {
        let problem = format!(
            "computed tensors of shapes {} and {}: one would have to be repeated",
            text(&own),
            text(&other)
        );
        return Err(b.unsupported(problem));
    }
    let squared = x.id == y.id;
    let mut y = y.clone();
    rename(&x.axes, &mut y);
    let (x, y) = match x.physical == y.physical {
        true => (x.clone(), y),
        false => {
            let (x, mut y) = (b.canonical(x)?, b.canonical(&y)?);
            rename(&x.axes, &mut y);
            (x, y)
        }
    };
    // A layer that merges looks at the steps of masks, ONNX's operators at the values that stand there.
    let (x, y) = match x.mask == y.mask && matches!(op, Binary::Add | Binary::Sub) {
        true => (x, y),
        false => (b.unmasked(&x)?, b.unmasked(&y)?),
    };
    let symbol = merge(b, layer, &x.symbol, &y.symbol)?;
    let z = b.like(&x, symbol);
    if op == Binary::Mul && squared {
        parts::remember_square(b, &x, &z)?;
    }
    Ok(Value::Device(z))
}

/// Gives the axes of `y` the names of the same axes of another value, where they are made of as many parts.
fn rename(axes: &[Group], y: &mut Device) {
    let mut names = std::collections::HashMap::new();
    for (theirs, own) in axes.iter().zip(&y.axes) {
        if theirs.len() == own.len() {
            names.extend(own.iter().copied().zip(theirs.iter().copied()));
        }
    }
    for atom in y.physical.iter_mut().chain(&mut y.axes).flatten() {
        *atom = names.get(atom).copied().unwrap_or(*atom);
    }
}

/// Where: one of two by a constant condition.
pub(super) fn choose(b: &mut Builder<'_>, node: &Node<'_>) -> Result<Vec<Value>> {
    let (condition, x, y) = (node.input(0)?, node.input(1)?, node.input(2)?);
    let Value::Known(condition) = condition else {
        return Err(b.unsupported("a condition that is computed"));
    };
    let shapes = [b.shape_of(x), b.shape_of(y), condition.shape.clone()];
    let rank = shapes.iter().map(Vec::len).max().unwrap_or(0);
    if let Some(all) = condition.uniform() {
        let chosen = if all != 0.0 { x } else { y };
        let chosen = views::padded(b, chosen, rank)?;
        let mut target = b.shape_of(&chosen);
        for shape in &shapes {
            let ones = vec![Number::Known(1); rank - shape.len()];
            target = broadcast(b, &target, &[ones.as_slice(), shape].concat())?;
        }
        return views::expanded(b, &chosen, &target).map(|y| vec![y]);
    }
    let (Value::Known(x), Value::Known(y)) = (x, y) else {
        return Err(b.unsupported("a condition that differs from element to element, of computed tensors"));
    };
    let x = b.plain(x)?;
    let y = b.plain(y)?;
    let condition = b.plain(condition)?;
    let same = x.shape == y.shape && x.shape == condition.shape;
    let tensor = match (condition.tensor.as_ref(), x.tensor.as_ref(), y.tensor.as_ref()) {
        (Tensor::Bool(c), Tensor::Int(x), Tensor::Int(y)) if same => {
            Tensor::Int(Zip::from(c).and(x).and(y).map_collect(|&c, x, y| if c { x } else { y }.clone()))
        }
        (Tensor::Bool(c), Tensor::Float(x), Tensor::Float(y)) if same => {
            Tensor::Float(Zip::from(c).and(x).and(y).map_collect(|&c, &x, &y| if c { x } else { y }))
        }
        _ => return Err(b.unsupported("constants of different shapes or kinds")),
    };
    Ok(vec![Value::Known(Known::plain(tensor))])
}
