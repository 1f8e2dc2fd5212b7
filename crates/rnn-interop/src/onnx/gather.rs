//! Gather: elements by their numbers, and rows of a table by numbers that are computed.

use super::builder::Builder;
use super::node::Node;
use super::number::text;
use super::slice::{Range, element, part, picked_of};
use super::tensor::Tensor;
use super::value::{Device, Group, Kind, Known, MaskOf, Value};
use crate::Result;
use rnn_model::layer::Embedding;
use std::rc::Rc;

pub(super) fn gather(b: &mut Builder<'_>, node: &Node<'_>) -> Result<Vec<Value>> {
    let (x, indices) = (node.input(0)?, node.input(1)?);
    let rank = b.shape_of(x).len();
    let axis = node.axis(node.int("axis", 0)?, rank)?;
    if let (Value::Known(table), Value::Device(ids)) = (x, indices) {
        return embedding(b, table, ids, axis).map(|y| vec![y]);
    }
    let Value::Known(indices) = indices else {
        return Err(b.unsupported("computed indices into a computed tensor"));
    };
    let Some(numbers) = indices.ints() else {
        return Err(b.unsupported("indices that are not a list of known numbers"));
    };
    if indices.shape.is_empty() {
        return element(b, x, axis, numbers[0]).map(|y| vec![y]);
    }
    let n = b.shape_of(x)[axis].known();
    if let (Value::Known(known), Some(n)) = (x, n) {
        let picked: Option<Vec<usize>> = numbers
            .iter()
            .map(|&i| usize::try_from(if i < 0 { i + n } else { i }).ok().filter(|&i| (i as i64) < n))
            .collect();
        let Some(picked) = picked else { return Err(b.damaged(format!("elements {numbers:?} of {n}"))) };
        return picked_of(b, known, axis, &picked).map(|y| vec![y.into()]);
    }
    // Neighbours are a part of the axis.
    let in_row = numbers.windows(2).all(|pair| pair[0].checked_add(1) == Some(pair[1]));
    match (numbers.first(), numbers.last()) {
        (Some(&start), Some(&last)) if in_row && (start < 0) == (last < 0) => {
            let range = Range {
                start,
                end: Some(last.saturating_add(1)).filter(|&end| end != 0 || start >= 0),
                step: 1,
            };
            part(b, x, axis, range).map(|y| vec![y])
        }
        _ => Err(b.unsupported(format!("elements {numbers:?} of a computed tensor, which are not in a row"))),
    }
}

/// Rows of a table by their numbers.
fn embedding(b: &mut Builder<'_>, table: &Known, ids: &Device, axis: usize) -> Result<Value> {
    let (Tensor::Float(rows), &[vocabulary, width], 0) = (table.tensor.as_ref(), table.tensor.dims(), axis)
    else {
        let problem =
            format!("computed indices into axis {axis} of a constant of shape {}", text(&table.shape));
        return Err(b.unsupported(problem));
    };
    if matches!(ids.kind, Kind::Float | Kind::Lost) {
        return Err(b.unsupported("indices that are no whole numbers"));
    }
    if !table.is_plain() {
        return Err(b.unsupported("a table that is broadcast"));
    }
    let mut ids = ids.clone();
    if ids.physical.is_empty() {
        ids = b.canonical(&ids)?;
    }
    // Where a mask is made of the row numbers, the layer makes it.
    let masks =
        b.is_masking(&ids) && ids.kind == Kind::Int && ids.sample_axes().is_some_and(|axes| axes.len() == 1);
    let key = format!("embedding {:p} {masks}", Rc::as_ptr(&table.tensor));
    let layer = Embedding::new(vocabulary, width).mask_zero(masks);
    let symbol = b.shared(key, layer, || vec![rows.clone()], &[&ids.symbol])?.swap_remove(0);
    let units = b.axis(Some(width));
    let extended = |groups: &[Group]| [groups, std::slice::from_ref(&units)].concat();
    let (physical, axes) = (extended(&ids.physical), extended(&ids.axes));
    let mut y = b.device(symbol, physical, axes);
    if masks {
        let mask = MaskOf::Rows(ids.id);
        b.carry(mask, &y.symbol);
        y.mask = Some(mask);
    }
    Ok(Value::Device(y))
}
