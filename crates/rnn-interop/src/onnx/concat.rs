//! Concat, of constants, of computed values, and of states that are not yet put together.

use super::builder::Builder;
use super::node::Node;
use super::number::text;
use super::tensor::Tensor;
use super::value::{Device, Kind, Known, Stack, Value};
use crate::Result;
use rnn_model::Symbol;
use rnn_model::layer::Concatenate;
use std::rc::Rc;

pub(super) fn concat(b: &mut Builder<'_>, node: &Node<'_>) -> Result<Vec<Value>> {
    let parts = node.all()?;
    let Some(first) = parts.first() else { return Err(b.damaged("a concatenation of nothing")) };
    let rank = b.shape_of(first).len();
    if parts.iter().any(|x| b.shape_of(x).len() != rank) {
        return Err(b.damaged("tensors of different numbers of axes"));
    }
    let default = if node.opset < 4 { 1 } else { 0 };
    let axis = node.axis(node.int("axis", default)?, rank)?;
    if parts.len() == 1 {
        return Ok(vec![parts[0].clone()]);
    }
    let known: Option<Vec<&Known>> =
        parts.iter().map(|x| if let Value::Known(known) = x { Some(known) } else { None }).collect();
    if let Some(known) = known {
        return joined_known(b, &known, axis).map(|y| vec![y.into()]);
    }
    let pieces: Option<Vec<Vec<Device>>> = parts
        .iter()
        .map(|x| match x {
            Value::Device(x) if x.axes[axis].is_empty() => Some(vec![x.clone()]),
            Value::Stack(stack) if stack.axis == axis => Some(stack.parts.clone()),
            _ => None,
        })
        .collect();
    if let Some(pieces) = pieces {
        let mut batches = pieces.iter().flatten().map(Device::batch_axis);
        let first = batches.next().flatten();
        if first.is_none() || first == Some(axis) || batches.any(|batch| batch != first) {
            return Err(b.unsupported(
                "a concatenation along the batch, or of tensors with the batch at different places",
            ));
        }
        return Ok(vec![Value::Stack(Stack { axis, parts: pieces.concat() })]);
    }
    let devices: Vec<Device> = parts.iter().map(|x| b.computed(x)).collect::<Result<_>>()?;
    joined(b, &devices, axis).map(|y| vec![Value::Device(y)])
}

/// Computed values one behind the other along an axis.
fn joined(b: &mut Builder<'_>, parts: &[Device], axis: usize) -> Result<Device> {
    let batch = parts[0].batch_axis();
    if batch == Some(axis) || parts.iter().any(|x| x.batch_axis() != batch || batch.is_none()) {
        return Err(b.unsupported(
            "a concatenation along the batch, or of tensors with the batch at different places",
        ));
    }
    let at = axis - usize::from(batch.is_some_and(|batch| batch < axis));
    let mut arranged = Vec::new();
    for x in parts {
        let x = b.canonical(x)?;
        arranged.push(if at == 0 { b.unmasked(&x)? } else { x });
    }
    let symbols: Vec<&Symbol> = arranged.iter().map(|x| &x.symbol).collect();
    let symbol = b.apply(Concatenate::new().axis(at as i64 + 1), Vec::new(), &symbols)?.swap_remove(0);
    let sizes: Option<Vec<usize>> = parts.iter().map(|x| b.known_size(&x.axes[axis])).collect();
    let group = b.axis(sizes.map(|sizes| sizes.iter().sum()));
    let first = &arranged[0];
    let (mut physical, mut axes) = (first.physical.clone(), first.axes.clone());
    physical[at] = group.clone();
    axes[axis] = group;
    let mask = arranged.iter().find_map(|x| x.mask);
    let kind = if arranged.iter().all(|x| x.kind == first.kind) { first.kind } else { Kind::CutOff };
    let mut y = b.device(symbol, physical, axes);
    (y.mask, y.kind) = (mask, kind);
    Ok(y)
}

fn joined_known(b: &mut Builder<'_>, parts: &[&Known], axis: usize) -> Result<Known> {
    let mut shape = parts[0].shape.clone();
    for other in &parts[1..] {
        for (at, n) in other.shape.iter().enumerate() {
            if at == axis {
                shape[at] = shape[at].add(n);
            } else if !b.same(&shape[at], n) {
                let problem = format!("tensors of shapes {} and {}", text(&shape), text(&other.shape));
                return Err(b.damaged(problem));
            }
        }
    }
    let first = parts[0].uniform();
    if first.is_some()
        && parts.iter().all(|x| x.uniform() == first)
        && let Some(tensor) = parts[0].tensor.first(shape.len())
        && parts[0].tensor.len() > 0
        && !matches!(parts[0].tensor.as_ref(), Tensor::Int(_))
    {
        return Ok(Known { tensor: Rc::new(tensor), shape });
    }
    // Broadcast axes stay so where all parts broadcast them.
    let mut tensors = Vec::new();
    for x in parts {
        let mut dims: Vec<usize> =
            (0..shape.len()).map(|at| parts.iter().map(|x| x.tensor.dims()[at]).max().unwrap_or(1)).collect();
        let own = x.shape[axis].known().and_then(|n| usize::try_from(n).ok());
        dims[axis] = own.ok_or_else(|| b.unsupported("a concatenation of an unknown number of constants"))?;
        let sizes: Vec<u64> = dims.iter().map(|&n| n as u64).collect();
        let count = b.limits.elements(&b.place, &sizes)?;
        b.count(count)?;
        tensors.push(x.tensor.expanded(&dims).ok_or_else(|| b.damaged("tensors that do not fit together"))?);
    }
    let tensor = Tensor::joined(axis, &tensors).ok_or_else(|| b.damaged("tensors of different kinds"))?;
    Ok(Known { tensor: Rc::new(tensor), shape })
}
