//! Samples in another order: TopK, Gather and ScatterElements as PyTorch writes `pack_padded_sequence` with
//! `enforce_sorted=False`, and what people write who sort samples by their lengths themselves.
//!
//! TopK over the whole batch gives a permutation. It is not computed here. A value gathered by it is the same value with a
//! note of the permutation ([`Device::order`]); every layer treats each sample alike, so what is made of values of one
//! permutation has that permutation; and gathered by its inverse a value is again in the order of the model's inputs. So the
//! permutation itself never matters, if it ends before the outputs and no operator mixes two.

use super::builder::Builder;
use super::constants::{self, kind_of};
use super::node::Node;
use super::number::{Number, text};
use super::tensor::Tensor;
use super::value::{BATCH, Device, Group, Kind, Known, Stack, Value};
use super::views;
use crate::{Error, Result};
use ndarray::ArrayD;
use std::rc::Rc;

/// Whether an operator is about the order of samples.
pub(super) fn is_sorting(node: &Node<'_>) -> bool {
    let flags = |value: &Value| matches!(value, Value::Device(x) if x.kind == Kind::Flag);
    let places = |value: &Value| matches!(value, Value::Device(x) if matches!(x.kind, Kind::Places { .. }));
    node.op == "TopK" && !node.inputs().any(flags) || node.inputs().any(places)
}

pub(super) fn operator(b: &mut Builder<'_>, node: &Node<'_>) -> Result<Vec<Value>> {
    match node.op {
        "TopK" => sort(b, node),
        "Shape" => constants::shape(b, node),
        "Identity" => Ok(vec![node.input(0)?.clone()]),
        "Cast" => {
            node.pass_over("saturate");
            match i32::try_from(node.int("to", 0)?).ok().and_then(kind_of) {
                Some(Kind::Int) => Ok(vec![node.input(0)?.clone()]),
                _ => Err(refused(b, "numbers of samples cast to what are no whole numbers")),
            }
        }
        "Unsqueeze" => views::unsqueeze(b, node),
        "Gather" | "GatherND" => gather(b, node),
        "ScatterElements" => invert(b, node),
        _ => Err(refused(b, "an order of samples")),
    }
}

fn refused(b: &Builder<'_>, what: &str) -> Error {
    b.unsupported(format!(
        "{what}; samples may be sorted by TopK over the batch and must be brought back by its inverse, as \
         pack_padded_sequence(enforce_sorted=False) does. Sort them before the model, and export it with enforce_sorted=True"
    ))
}

/// The order that a node's inputs are in, which must be one.
pub(super) fn order(b: &Builder<'_>, node: &Node<'_>) -> Result<Option<u64>> {
    let mut found: Option<Option<u64>> = None;
    for value in node.inputs().chain(node.captured.values()) {
        let parts = match value {
            Value::Known(_) => continue,
            Value::Device(x) => std::slice::from_ref(x),
            Value::Stack(stack) => &stack.parts,
        };
        for part in parts {
            if *found.get_or_insert(part.order) != part.order {
                return Err(refused(b, "samples in one order together with samples in another"));
            }
        }
    }
    Ok(found.flatten())
}

/// Notes the order of what was made of values in that order.
pub(super) fn ordered(order: Option<u64>, made: &mut [Value]) {
    for value in made {
        match value {
            Value::Known(_) => {}
            Value::Device(x) => x.order = order,
            Value::Stack(stack) => stack.parts.iter_mut().for_each(|part| part.order = order),
        }
    }
}

/// TopK: a vector of a number for each sample, sorted, and the places that the samples had before.
fn sort(b: &mut Builder<'_>, node: &Node<'_>) -> Result<Vec<Value>> {
    let axis = node.int("axis", -1)?;
    let (largest, sorted) = (node.int("largest", 1)? != 0, node.int("sorted", 1)? != 0);
    let Value::Device(x) = node.input(0)? else {
        return Err(refused(b, "the largest of constants, or of several tensors put together"));
    };
    let all = node.numbers(1, "how many are taken")?;
    let batch = b.size(&[BATCH]);
    let whole = matches!(all.as_deref(), Some([n]) if b.same(n, &batch));
    if x.axes.as_slice() != [vec![BATCH]] || node.axis(axis, 1)? != 0 || !whole {
        let problem = format!("the largest values of a tensor of shape {}", text(&b.shape(x)));
        return Err(refused(b, &problem));
    }
    // Sorted upwards, the places themselves are 0, 1, ..., and they come from where the inverse says.
    if let Kind::Places { order, inverse } = x.kind {
        return match sorted && !largest {
            true => Ok(vec![counted(b), places(x, order, !inverse)]),
            false => Err(refused(b, "places of samples that are not sorted upwards")),
        };
    }
    if x.order.is_some() || matches!(x.kind, Kind::Flag | Kind::Part) {
        return Err(refused(b, "samples that are sorted twice"));
    }
    let order = b.key() as u64;
    Ok(vec![Device { order: Some(order), origin: None, ..x.clone() }.into(), places(x, order, false)])
}

/// The permutation of this number, or its inverse.
fn places(x: &Device, order: u64, inverse: bool) -> Value {
    Device { kind: Kind::Places { order, inverse }, order: None, origin: None, ..x.clone() }.into()
}

/// The permutation that a value of these axes is, and whether it is the inverse.
fn permutation(value: &Value, axes: &[Group]) -> Option<(u64, bool)> {
    match value {
        Value::Device(Device { kind: Kind::Places { order, inverse }, axes: own, .. }) if own == axes => {
            Some((*order, *inverse))
        }
        _ => None,
    }
}

/// 0, 1, ... of the samples, as Range makes it of the size of the batch.
pub(super) fn counted(b: &Builder<'_>) -> Value {
    let tensor = Tensor::Int(ArrayD::from_elem(vec![1], Number::Place));
    Known { tensor: Rc::new(tensor), shape: vec![b.size(&[BATCH])] }.into()
}

/// Gather, or GatherND of rows `[batch, 1]`: samples in the order of the places, or back from it.
fn gather(b: &mut Builder<'_>, node: &Node<'_>) -> Result<Vec<Value>> {
    let (x, by) = (node.input(0)?, node.input(1)?);
    let by_rows = node.op == "GatherND";
    let axis = match by_rows {
        true => node.axis(node.int("batch_dims", 0)?, 1)?,
        false => node.axis(node.int("axis", 0)?, b.shape_of(x).len())?,
    };
    let wanted: &[Group] = if by_rows { &[vec![BATCH], Group::new()] } else { &[vec![BATCH]] };
    let Some((order, inverse)) = permutation(by, wanted) else {
        return Err(refused(b, "an element of an order of samples"));
    };
    let moved = |b: &Builder<'_>, x: &Device| -> Result<Device> {
        let (before, after) = if inverse { (Some(order), None) } else { (None, Some(order)) };
        if x.batch_axis() != Some(axis) || x.order != before || matches!(x.kind, Kind::Places { .. }) {
            let problem = format!("axis {axis} of a tensor of shape {} in an order", text(&b.shape(x)));
            return Err(refused(b, &problem));
        }
        Ok(Device { order: after, ..x.clone() })
    };
    Ok(vec![match x {
        Value::Device(x) => moved(b, x)?.into(),
        Value::Stack(stack) => {
            let parts = stack.parts.iter().map(|part| moved(b, part)).collect::<Result<_>>()?;
            Value::Stack(Stack { axis: stack.axis, parts })
        }
        // The same for all samples.
        Value::Known(known)
            if b.same(&known.shape[axis], &b.size(&[BATCH]))
                && (known.tensor.dims()[axis] == 1 && !is_counted(known) || known.uniform().is_some()) =>
        {
            x.clone()
        }
        Value::Known(_) => return Err(refused(b, "constants that differ from sample to sample in an order")),
    }])
}

/// ScatterElements: where each sample is put says the inverse of a permutation.
fn invert(b: &mut Builder<'_>, node: &Node<'_>) -> Result<Vec<Value>> {
    let (data, by, updates) = (node.input(0)?, node.input(1)?, node.input(2)?);
    let batch = b.size(&[BATCH]);
    let is_row = |value: &Value| matches!(b.shape_of(value).as_slice(), [n] if b.same(n, &batch));
    let counts = match updates {
        Value::Known(known) => is_counted(known) || is_listed(known),
        _ => false,
    };
    let plain = node.axis(node.int("axis", 0)?, 1)? == 0 && node.string("reduction", "none")? == "none";
    match (by, permutation(by, &[vec![BATCH]])) {
        // Every place is written once, so that nothing of the data is left.
        (Value::Device(x), Some((order, inverse)))
            if plain && counts && is_row(data) && is_row(updates) && matches!(data, Value::Known(_)) =>
        {
            Ok(vec![places(x, order, !inverse)])
        }
        _ => Err(refused(b, "values put in an order of samples that are not 0, 1, ... of the batch")),
    }
}

/// Whether a value is [`counted`].
fn is_counted(known: &Known) -> bool {
    matches!(known.tensor.as_ref(), Tensor::Int(values) if values.iter().any(|n| *n == Number::Place))
}

/// The same of a batch of a fixed size.
fn is_listed(known: &Known) -> bool {
    let row = known.ints();
    known.shape.len() == 1 && row.is_some_and(|row| row.iter().copied().eq(0..row.len() as i64))
}
