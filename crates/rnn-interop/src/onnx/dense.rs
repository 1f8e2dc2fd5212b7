//! Products with constant matrices, and what stands around them: MatMul, Gemm, LayerNormalization, Reduce..., Embedding.

use super::arithmetic::Binary;
use super::builder::Builder;
use super::constants::floats;
use super::elementwise::with_number;
use super::node::Node;
use super::number::{Number, text};
use super::parts;
use super::tensor::Tensor;
use super::value::{BATCH, Device, Group, Kind, Known, Origin, Value};
use crate::Result;
use ndarray::{Array1, ArrayD, Ix1, Ix2};
use rnn_model::Symbol;
use rnn_model::layer::{Dense, Dot, GlobalAveragePooling1D, GlobalMaxPooling1D, LayerNormalization};
use std::rc::Rc;

/// Widest value that a constant vector is added to or multiplied with by a product with a matrix.
const WIDEST_DIAGONAL: usize = 4096;

/// A Dense layer; nodes of the same matrix, bias and activation share one.
pub(super) fn dense(
    b: &mut Builder<'_>,
    x: &Symbol,
    kernel: &Rc<Tensor>,
    key: usize,
    bias: Option<Rc<ArrayD<f32>>>,
    activation: serde_json::Value,
) -> Result<Symbol> {
    let (Tensor::Float(values), &[_, units]) = (kernel.as_ref(), kernel.dims()) else {
        return Err(b.unsupported("a product with a constant that is no matrix of floats"));
    };
    let bits: Option<Vec<u32>> = bias.as_ref().map(|bias| bias.iter().map(|x| x.to_bits()).collect());
    let key = format!("dense {key} {bits:?} {activation}");
    let options = [("activation", activation), ("use_bias", bias.is_some().into())];
    let layer = b.configured(Dense::new(units), &options)?;
    let weights = || std::iter::once(values.clone()).chain(bias.as_deref().cloned()).collect();
    Ok(b.shared(key, layer, weights, &[x])?.swap_remove(0))
}

/// The product of a computed value's last axis with a matrix.
fn product(b: &mut Builder<'_>, x: &Device, kernel: Rc<Tensor>, key: usize) -> Result<Device> {
    if x.kind != Kind::Float {
        return Err(b.unsupported("a product of whole numbers"));
    }
    let &[rows, units] = kernel.dims() else {
        return Err(b.unsupported(format!("a product with a constant of shape {:?}", kernel.dims())));
    };
    let x = b.last_axis(x)?;
    let last = x.axes.len() - 1;
    if b.known_size(&x.axes[last]) != Some(rows) {
        let problem = format!("a tensor of shape {} times a matrix [{rows}, {units}]", text(&b.shape(&x)));
        return Err(b.damaged(problem));
    }
    let symbol = dense(b, &x.symbol, &kernel, key, None, "linear".into())?;
    let group = b.axis(Some(units));
    let (mut physical, mut axes) = (x.physical.clone(), x.axes.clone());
    axes[last] = group.clone();
    if let Some(axis) = physical.last_mut() {
        *axis = group;
    }
    let mut y = b.device(symbol, physical, axes);
    y.mask = x.mask;
    y.origin = Some(Rc::new(Origin::Dense { x: x.symbol, kernel, kernel_key: key, bias: None }));
    Ok(y)
}

/// `x + values` along the last axis.
pub(super) fn shifted(b: &mut Builder<'_>, x: &Device, values: Vec<f32>) -> Result<Device> {
    let bias = Rc::new(Array1::from_vec(values).into_dyn());
    let (input, kernel, key, bias) = match x.origin.as_deref() {
        Some(Origin::Dense { x: input, kernel, kernel_key, bias: old }) => {
            let bias = match old {
                Some(old) => Rc::new(old.as_ref() + bias.as_ref()),
                None => bias,
            };
            (input.clone(), kernel.clone(), *kernel_key, bias)
        }
        _ => {
            let arranged = b.last_axis(x)?;
            let (kernel, key) = diagonal(b, &vec![1.0; bias.len()])?;
            let symbol = dense(b, &arranged.symbol, &kernel, key, Some(bias), "linear".into())?;
            return Ok(b.like(&arranged, symbol));
        }
    };
    let symbol = dense(b, &input, &kernel, key, Some(bias.clone()), "linear".into())?;
    let mut y = b.like(x, symbol);
    y.origin = Some(Rc::new(Origin::Dense { x: input, kernel, kernel_key: key, bias: Some(bias) }));
    Ok(y)
}

/// `x * values` along the last axis.
pub(super) fn scaled(b: &mut Builder<'_>, x: &Device, values: Vec<f32>) -> Result<Device> {
    let x = b.last_axis(x)?;
    let (kernel, key) = diagonal(b, &values)?;
    let symbol = dense(b, &x.symbol, &kernel, key, None, "linear".into())?;
    Ok(b.like(&x, symbol))
}

/// A diagonal matrix, and a key of its own.
fn diagonal(b: &mut Builder<'_>, values: &[f32]) -> Result<(Rc<Tensor>, usize)> {
    if values.len() > WIDEST_DIAGONAL {
        let problem = format!("a constant vector of {} values beside a computed tensor", values.len());
        return Err(b.unsupported(problem));
    }
    b.count(values.len() * values.len())?;
    let matrix = ndarray::Array2::from_diag(&Array1::from_vec(values.to_vec())).into_dyn();
    Ok((Rc::new(Tensor::Float(matrix)), b.key()))
}

pub(super) fn matmul(b: &mut Builder<'_>, node: &Node<'_>) -> Result<Vec<Value>> {
    let (x, y) = (node.input(0)?, node.input(1)?);
    Ok(vec![match (x, y) {
        (Value::Known(x), Value::Known(y)) => Value::Known(product_known(b, x, y)?),
        (x, Value::Known(y)) => {
            let x = b.computed(x)?;
            let key = Rc::as_ptr(&y.tensor) as usize;
            let kernel = matrix(b, y)?;
            Value::Device(product(b, &x, kernel, key)?)
        }
        (Value::Known(_), _) => return Err(b.unsupported("a constant times a computed tensor")),
        (x, y) => {
            let (x, y) = (b.computed(x)?, b.computed(y)?);
            Value::Device(scores(b, &x, &y)?)
        }
    }])
}

/// A constant as a matrix, without axes of size 1 in front.
fn matrix(b: &mut Builder<'_>, known: &Known) -> Result<Rc<Tensor>> {
    let plain = b.plain(known)?;
    let dims = plain.tensor.dims();
    match dims {
        [_, _] => Ok(plain.tensor.clone()),
        [ones @ .., rows, cols] if ones.iter().all(|&n| n == 1) => {
            let tensor = plain.tensor.reshaped(&[*rows, *cols]);
            tensor.map(Rc::new).ok_or_else(|| b.damaged("a matrix of another size"))
        }
        _ => Err(b.unsupported(format!("a product with a constant of shape {dims:?}"))),
    }
}

/// A constant times a matrix; rows that are all the same stay so.
fn product_known(b: &mut Builder<'_>, x: &Known, y: &Known) -> Result<Known> {
    let kernel = matrix(b, y)?;
    let (Tensor::Float(left), Tensor::Float(right)) = (x.tensor.as_ref(), kernel.as_ref()) else {
        return Err(b.unsupported("a product of constants of whole numbers"));
    };
    let right = right.view().into_dimensionality::<Ix2>().map_err(|e| b.damaged(e.to_string()))?;
    let (rows, cols) = right.dim();
    let Some((_, front)) = left.shape().split_last() else {
        return Err(b.damaged("a product with one number"));
    };
    if x.shape.last() != Some(&Number::Known(rows as i64)) {
        return Err(
            b.damaged(format!("a tensor of shape {} times a matrix [{rows}, {cols}]", text(&x.shape)))
        );
    }
    let count: usize = front.iter().product();
    b.count(count.saturating_mul(cols).saturating_add(count.saturating_mul(rows)))?;
    let full = left.broadcast([front, &[rows]].concat()).ok_or_else(|| b.damaged("sizes that do not fit"))?;
    let full = full.to_owned().into_shape_with_order((count, rows)).map_err(|e| b.damaged(e.to_string()))?;
    let made = full.dot(&right).into_shape_with_order([front, &[cols]].concat());
    let made = made.map_err(|e| b.damaged(e.to_string()))?;
    let mut shape = x.shape.clone();
    if let Some(n) = shape.last_mut() {
        *n = Number::Known(cols as i64);
    }
    Ok(Known { tensor: Rc::new(Tensor::Float(made)), shape })
}

/// `[batch, t, f]` times `[batch, f, s]`, sample by sample.
fn scores(b: &mut Builder<'_>, x: &Device, y: &Device) -> Result<Device> {
    let refuse = |b: &Builder<'_>| {
        let (x, y) = (text(&b.shape(x)), text(&b.shape(y)));
        b.unsupported(format!("a product of computed tensors of shapes {x} and {y}; [batch, a, b] and [batch, b, c] are possible"))
    };
    if x.axes.len() != 3 || y.axes.len() != 3 || x.batch_axis() != Some(0) || y.batch_axis() != Some(0) {
        return Err(refuse(b));
    }
    let (own, other) = (b.shape(x), b.shape(y));
    if !b.same(&own[2], &other[1]) {
        return Err(refuse(b));
    }
    let (x, y) = (b.canonical(x)?, b.canonical(y)?);
    let symbol = b.apply(Dot::new([2, 1]), Vec::new(), &[&x.symbol, &y.symbol])?.swap_remove(0);
    let physical = vec![x.axes[1].clone(), y.axes[2].clone()];
    let axes = vec![vec![BATCH], x.axes[1].clone(), y.axes[2].clone()];
    // The same axis on both sides: two axes of its size.
    if x.axes[1] == y.axes[2] {
        let copy = b.axis(b.known_size(&y.axes[2]));
        let (physical, axes) =
            (vec![physical[0].clone(), copy.clone()], vec![axes[0].clone(), axes[1].clone(), copy]);
        return Ok(b.device(symbol, physical, axes));
    }
    Ok(b.device(symbol, physical, axes))
}

pub(super) fn gemm(b: &mut Builder<'_>, node: &Node<'_>) -> Result<Vec<Value>> {
    let (alpha, beta) = (node.float("alpha", 1.0)?, node.float("beta", 1.0)?);
    let (trans_a, trans_b) = (node.int("transA", 0)? != 0, node.int("transB", 0)? != 0);
    if node.opset < 7 && node.int("broadcast", 0)? == 0 && node.optional(2).is_some() {
        // Then the addend has the full shape, which a bias does not have.
        b.note_once("Gemm of a version before 7 without broadcast.");
    }
    let Some(y) = node.constant(1, "the second matrix")? else { return Err(b.damaged("it has one input")) };
    let key = Rc::as_ptr(&y.tensor) as usize;
    let mut kernel = matrix(b, y)?;
    if trans_b || alpha != 1.0 {
        b.count(kernel.len())?;
        let turned = if trans_b { kernel.permuted(&[1, 0]) } else { kernel.as_ref().clone() };
        kernel = Rc::new(match turned {
            Tensor::Float(values) => Tensor::Float(values * alpha),
            other => other,
        });
    }
    // The same matrix, used in another way, is another layer's.
    let key = b.keyed(format!("{key} {trans_b} {}", alpha.to_bits()));
    let addend = match node.constant(2, "the addend")? {
        Some(c) => Some(floats(b, c)? * beta),
        None => None,
    };
    let x = match node.input(0)? {
        Value::Known(_) => return Err(b.unsupported("a product of constants")),
        x => b.computed(x)?,
    };
    if trans_a || x.axes.len() != 2 {
        return Err(b.unsupported("the first matrix transposed, or no matrix"));
    }
    let units = kernel.dims()[1];
    let y = product(b, &x, kernel, key)?;
    let Some(addend) = addend else { return Ok(vec![y.into()]) };
    if addend.len() == 1 {
        let value = addend.iter().next().copied().unwrap_or(0.0);
        return Ok(vec![shifted(b, &y, vec![value; units])?.into()]);
    }
    if addend.len() != units || addend.shape().last() != Some(&units) {
        return Err(b.unsupported(format!("an addend of shape {:?}", addend.shape())));
    }
    Ok(vec![shifted(b, &y, addend.into_iter().collect())?.into()])
}

pub(super) fn layer_normalization(b: &mut Builder<'_>, node: &Node<'_>) -> Result<Vec<Value>> {
    let x = b.computed(node.input(0)?)?;
    let epsilon = node.float("epsilon", 1e-5)?;
    node.pass_over("stash_type");
    let axis = node.axis(node.int("axis", -1)?, x.axes.len())?;
    if axis + 1 != x.axes.len() {
        return Err(b.unsupported("normalization over more than the last axis"));
    }
    if node.wanted.iter().skip(1).any(|&wanted| wanted) {
        return Err(b.unsupported("the mean and the deviation as outputs"));
    }
    let x = b.last_axis(&x)?;
    let width = b.known_size(&x.axes[axis]).unwrap_or(0);
    let mut weights = Vec::new();
    for (i, what) in [(1, "the scale"), (2, "the shift")] {
        let Some(known) = node.constant(i, what)? else { continue };
        let values = floats(b, known)?;
        let values = values.into_dimensionality::<Ix1>().map_err(|e| b.damaged(e.to_string()))?;
        if values.len() != width {
            return Err(b.damaged(format!("{what} has {} values, expected {width}", values.len())));
        }
        weights.push(values.into_dyn());
    }
    let layer = LayerNormalization::new().epsilon(epsilon).center(node.optional(2).is_some());
    let symbol = b.layer(layer.scale(node.optional(1).is_some()), weights, &x.symbol)?;
    Ok(vec![b.like(&x, symbol).into()])
}

/// GlobalAveragePool: of `[batch, a, b]` the mean over the last axis.
pub(super) fn mean_of_channels(b: &mut Builder<'_>, node: &Node<'_>) -> Result<Vec<Value>> {
    match node.input(0)? {
        Value::Device(x) if x.axes.len() == 3 && matches!(x.kind, Kind::Float | Kind::Part) => {
            parts::mean(b, x).map(|y| vec![y])
        }
        other => Err(b.unsupported(format!("a mean of a tensor of shape {}", text(&b.shape_of(other))))),
    }
}

/// ReduceMean, ReduceMax and ReduceSum over the steps; ReduceProd of a constant.
pub(super) fn reduce(b: &mut Builder<'_>, node: &Node<'_>) -> Result<Vec<Value>> {
    let input = node.input(0)?;
    let by_input = node.opset >= if node.op == "ReduceSum" { 13 } else { 18 };
    let axes = if by_input { node.ints(1, "axes")? } else { node.list("axes")?.map(<[i64]>::to_vec) };
    let keep = node.int("keepdims", 1)? != 0;
    node.pass_over("noop_with_empty_axes");
    if let Value::Known(known) = input {
        let numbers = known.numbers().filter(|_| node.op == "ReduceProd" && !keep);
        let Some(numbers) = numbers else { return Err(b.unsupported("a constant")) };
        let product = numbers.iter().fold(Number::Known(1), |n, m| n.mul(m));
        return Ok(vec![Value::Known(Known::plain(Tensor::Int(ArrayD::from_elem(vec![], product))))]);
    }
    if let (Value::Device(x), "ReduceMean", Some(&[axis])) = (input, node.op, axes.as_deref())
        && node.axis(axis, x.axes.len())? + 1 == x.axes.len()
        && keep
        && x.batch_axis().is_some_and(|batch| batch + 1 < x.axes.len())
        && matches!(x.kind, Kind::Float | Kind::Part)
    {
        return parts::mean(b, x).map(|y| vec![y]);
    }
    let x = b.computed(input)?;
    let Some(&[axis]) = axes.as_deref() else {
        return Err(b.unsupported(format!("axes {axes:?}; one axis, that of the steps, is possible")));
    };
    let axis = node.axis(axis, x.axes.len())?;
    let group = x.axes[axis].clone();
    if x.axes.len() != 3 || x.batch_axis() == Some(axis) || x.batch_axis().is_none() || x.kind != Kind::Float
    {
        return Err(b.unsupported(format!("axis {axis} of a tensor of shape {}", text(&b.shape(&x)))));
    }
    let rest: Vec<Group> = x
        .axes
        .iter()
        .enumerate()
        .filter(|(at, g)| *at != axis && g.as_slice() != [BATCH])
        .map(|(_, g)| g.clone())
        .collect();
    let arranged = b.arrange(&x, &[group.clone(), rest[0].clone()])?;
    let arranged = b.unmasked(&arranged)?;
    let symbol = match node.op {
        "ReduceMax" => b.layer(GlobalMaxPooling1D::new(), Vec::new(), &arranged.symbol)?,
        "ReduceMean" | "ReduceSum" => b.layer(GlobalAveragePooling1D::new(), Vec::new(), &arranged.symbol)?,
        op => return Err(b.unsupported(format!("{op} of a computed tensor"))),
    };
    let mut axes = x.axes.clone();
    match keep {
        true => axes[axis] = Group::new(),
        false => drop(axes.remove(axis)),
    }
    let mut y = b.device(symbol, rest, axes);
    if node.op == "ReduceSum" {
        let Some(steps) = b.known_size(&group) else {
            return Err(b.unsupported("a sum over an unknown number of steps"));
        };
        y = with_number(b, Binary::Mul, &y, steps as f32, false)?;
    }
    Ok(vec![y.into()])
}
