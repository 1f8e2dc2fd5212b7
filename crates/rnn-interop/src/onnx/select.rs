//! Operators that take a part of a value or put values together: Slice, Gather, Split, Concat.

use super::builder::Builder;
use super::node::Node;
use super::number::{Number, text};
use super::tensor::Tensor;
use super::value::{BATCH, Device, Group, Kind, Known, Origin, Stack, Value};
use super::views;
use crate::Result;
use ndarray::ArrayD;
use rnn_model::Symbol;
use rnn_model::layer::{self, Concatenate, Embedding, Reverse};
use std::rc::Rc;

/// A range of an axis as Python writes it: from `start`, to before `end` or to the last, every `step`-th.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Range {
    pub start: i64,
    pub end: Option<i64>,
    pub step: i64,
}

impl Range {
    /// The one element `at`.
    pub fn one(at: i64) -> Self {
        Range { start: at, end: at.checked_add(1).filter(|&end| end != 0), step: 1 }
    }

    /// First index and number of indices, of an axis of `n`.
    fn of(self, n: usize) -> (i64, usize) {
        let n = n as i64;
        let at = |index: i64, low: i64, high: i64| if index < 0 { index + n } else { index }.clamp(low, high);
        if self.step > 0 {
            let start = at(self.start, 0, n);
            let end = self.end.map_or(n, |end| at(end, 0, n));
            let len = (end - start).max(0) as u64;
            (start, len.div_ceil(self.step as u64) as usize)
        } else {
            let start = at(self.start, -1, n - 1);
            let end = self.end.map_or(-1, |end| at(end, -1, n - 1));
            let len = (start - end).max(0) as u64;
            (start, len.div_ceil(self.step.unsigned_abs()) as usize)
        }
    }

    fn is_whole(self, n: Option<usize>) -> bool {
        match n {
            Some(n) => self.step == 1 && self.of(n) == (0, n),
            None => self.step == 1 && self.start == 0 && self.end.is_none(),
        }
    }
}

/// A bound of a slice relative to the axis, as Python counts; `None` for its end.
fn bound(b: &Builder<'_>, number: &Number, size: &Number) -> Option<Option<i64>> {
    // What exporters write for "to the end".
    const FAR: i64 = i32::MAX as i64;
    match (b.declared(number), b.declared(size)) {
        (Number::Known(n), _) if n >= FAR => Some(None),
        (Number::Known(n), Number::Known(size)) if n >= size => Some(None),
        (Number::Known(n), _) => Some(Some(n)),
        (Number::Open { .. }, size) => match number.sub(&size) {
            Number::Known(0) => Some(None),
            Number::Known(n) if n < 0 => Some(Some(n)),
            _ => None,
        },
        _ => None,
    }
}

pub(super) fn slice(b: &mut Builder<'_>, node: &Node<'_>) -> Result<Vec<Value>> {
    let mut x = node.input(0)?.clone();
    let known = |list: &[i64]| list.iter().map(|&n| Number::Known(n)).collect::<Vec<_>>();
    let (starts, ends, axes, steps) = match node.opset {
        10.. => (
            node.numbers(1, "starts")?,
            node.numbers(2, "ends")?,
            node.ints(3, "axes")?,
            node.ints(4, "steps")?,
        ),
        _ => (
            node.list("starts")?.map(known),
            node.list("ends")?.map(known),
            node.list("axes")?.map(<[i64]>::to_vec),
            None,
        ),
    };
    let (Some(starts), Some(ends)) = (starts, ends) else {
        return Err(b.damaged("it has no starts or no ends"));
    };
    let axes = axes.unwrap_or_else(|| (0..starts.len() as i64).collect());
    let steps = steps.unwrap_or_else(|| vec![1; starts.len()]);
    if ends.len() != starts.len() || axes.len() != starts.len() || steps.len() != starts.len() {
        return Err(b.damaged("starts, ends, axes and steps of different lengths"));
    }
    for (at, &axis) in axes.iter().enumerate() {
        let shape = b.shape_of(&x);
        let axis = node.axis(axis, shape.len())?;
        let step = steps[at];
        if step == 0 || step == i64::MIN {
            return Err(b.damaged(format!("a step of {step}")));
        }
        let far_back = step < 0 && ends[at].known().is_some_and(|end| end <= -i64::from(i32::MAX));
        let start = bound(b, &starts[at], &shape[axis]);
        let end = if far_back { Some(None) } else { bound(b, &ends[at], &shape[axis]) };
        let (Some(start), Some(end)) = (start, end) else {
            return Err(b.unsupported("bounds that depend on the size of the data"));
        };
        // From past the end, forward there is nothing, and backward it is from the last.
        let start = match start {
            Some(start) => start,
            None if step < 0 => -1,
            None => return Err(b.unsupported("a part with nothing in it")),
        };
        x = part(b, &x, axis, Range { start, end, step })?;
    }
    Ok(vec![x])
}

/// A range of an axis, which stays.
pub(super) fn part(b: &mut Builder<'_>, x: &Value, axis: usize, range: Range) -> Result<Value> {
    let shape = b.shape_of(x);
    let n = shape[axis].known().and_then(|n| usize::try_from(n).ok());
    if range.is_whole(n) {
        return Ok(x.clone());
    }
    let found = n.map(|n| range.of(n));
    if found.is_some_and(|(_, len)| len == 0) && !matches!(x, Value::Known(_)) {
        return Err(b.unsupported("a part with nothing in it"));
    }
    match x {
        Value::Known(known) => {
            let Some((start, len)) = found else {
                let problem = format!("a part of a constant of shape {}", text(&shape));
                return Err(b.unsupported(problem));
            };
            let picked: Vec<usize> = (0..len as i64).map(|i| (start + i * range.step) as usize).collect();
            picked_of(b, known, axis, &picked).map(Value::Known)
        }
        Value::Stack(stack) if stack.axis == axis => {
            let (start, len) = found.ok_or_else(|| b.damaged("a stack of unknown length"))?;
            let parts =
                (0..len as i64).map(|i| stack.parts[(start + i * range.step) as usize].clone()).collect();
            Ok(Value::Stack(Stack { axis, parts }))
        }
        Value::Stack(stack) => {
            let parts: Result<Vec<Device>> = stack.parts.iter().map(|x| sliced(b, x, axis, range)).collect();
            Ok(Value::Stack(Stack { axis: stack.axis, parts: parts? }))
        }
        Value::Device(x) => sliced(b, x, axis, range).map(Value::Device),
    }
}

/// Elements of an axis of a constant.
fn picked_of(b: &mut Builder<'_>, known: &Known, axis: usize, picked: &[usize]) -> Result<Known> {
    let mut shape = known.shape.clone();
    shape[axis] = Number::Known(picked.len() as i64);
    let tensor = match known.tensor.dims()[axis] {
        1 if known.shape[axis] != Number::Known(1) && !picked.is_empty() => known.tensor.clone(),
        _ => Rc::new(known.tensor.selected(axis, picked)),
    };
    b.count(tensor.len())?;
    Ok(Known { tensor, shape })
}

/// A range of an axis of a computed value.
fn sliced(b: &mut Builder<'_>, x: &Device, axis: usize, range: Range) -> Result<Device> {
    let group = x.axes[axis].clone();
    if group.contains(&BATCH) {
        return Err(b.unsupported("a part of the batch: every sample is computed alike"));
    }
    let n = b.known_size(&group);
    let whole = Range { step: 1, ..range };
    if range.step == -1 && whole_backwards(range, n) {
        return turned_round(b, x, &group);
    }
    if range.step < 0 {
        return Err(b.unsupported(format!("a step of {}", range.step)));
    }
    if let Some(last) = last_step(b, x, &group, whole, n, axis)? {
        return Ok(last);
    }
    // Where the axis stands in the sample: at the front of one of its axes, or it is put there.
    let place = |x: &Device| x.physical.iter().position(|axis| !group.is_empty() && axis.starts_with(&group));
    let (x, at) = match place(x) {
        Some(at) if x.physical[at] == group || range.step == 1 && b.known_size(&x.physical[at]).is_some() => {
            (x.clone(), at)
        }
        _ => {
            let x = b.canonical(x)?;
            let at = axis - usize::from(x.batch_axis().is_some_and(|batch| batch < axis));
            (x, at)
        }
    };
    let behind = x.physical[at].get(group.len()..).unwrap_or_default().to_vec();
    let inner = b.known_size(&behind).unwrap_or(1) as i64;
    let (layer, len) = match n {
        Some(n) => {
            let (start, len) = range.of(n);
            let end = start + (len as i64 - 1) * range.step + 1;
            (layer::Slice::new(at + 1, start * inner, end * inner), Some(len))
        }
        None => {
            let len = match (range.start, range.end) {
                (0.., Some(end)) if end >= 0 => end.checked_sub(range.start),
                (..0, Some(end)) if end < 0 => end.checked_sub(range.start),
                (..0, None) => range.start.checked_neg(),
                _ => None,
            };
            if len.is_some_and(|len| len <= 0) {
                return Err(b.unsupported("a part with nothing in it"));
            }
            let len = len.and_then(|len| usize::try_from(len).ok());
            (layer::Slice::new(at + 1, range.start, range.end), len.map(|n| n.div_ceil(range.step as usize)))
        }
    };
    let layer = layer.step(usize::try_from(range.step).unwrap_or(1));
    let symbol = b.layer(layer, Vec::new(), &x.symbol)?;
    let new = b.axis(len);
    let mut physical = x.physical.clone();
    physical[at] = [new.as_slice(), &behind].concat();
    let mut axes = x.axes.clone();
    axes[axis] = new;
    let mut y = b.device(symbol, physical, axes);
    y.kind = x.kind;
    Ok(y)
}

fn whole_backwards(range: Range, n: Option<usize>) -> bool {
    match n {
        Some(n) => range.of(n) == (n as i64 - 1, n),
        None => range.start == -1 && range.end.is_none(),
    }
}

/// The steps in the opposite order.
fn turned_round(b: &mut Builder<'_>, x: &Device, group: &Group) -> Result<Device> {
    if x.physical.first() != Some(group) || x.physical.len() < 2 {
        let problem = "elements in the opposite order along an axis that is not that of the steps";
        return Err(b.unsupported(problem));
    }
    let x = b.unmasked(x)?;
    let symbol = b.layer(Reverse::new(), Vec::new(), &x.symbol)?;
    let mut y = b.like(&x, symbol);
    y.kind = x.kind;
    Ok(y)
}

/// The last step of a forward layer that nothing else is wanted of: the layer gives that alone then.
fn last_step(
    b: &mut Builder<'_>,
    x: &Device,
    group: &Group,
    range: Range,
    n: Option<usize>,
    axis: usize,
) -> Result<Option<Device>> {
    let Some(origin) = x.origin.clone() else { return Ok(None) };
    let Origin::Sequence { last, inputs, weights, time, units } = origin.as_ref() else { return Ok(None) };
    let is_last = match n {
        Some(n) => range.of(n) == (n as i64 - 1, 1),
        None => range.start == -1 && range.end.is_none(),
    };
    if !is_last || time != group || group.is_empty() {
        return Ok(None);
    }
    let inputs: Vec<&Symbol> = inputs.iter().collect();
    let symbol = b.apply(last.as_ref().clone(), weights.clone(), &inputs)?.swap_remove(0);
    let mut axes = x.axes.clone();
    axes[axis] = Group::new();
    Ok(Some(b.device(symbol, vec![units.clone()], axes)))
}

/// One element of an axis, which goes.
pub(super) fn element(b: &mut Builder<'_>, x: &Value, axis: usize, at: i64) -> Result<Value> {
    if let Value::Stack(stack) = x
        && stack.axis == axis
    {
        let n = stack.parts.len() as i64;
        let found = usize::try_from(if at < 0 { at + n } else { at }).ok().and_then(|i| stack.parts.get(i));
        let Some(found) = found else { return Err(b.damaged(format!("element {at} of {n}"))) };
        let mut y = found.clone();
        y.axes.remove(axis);
        return Ok(Value::Device(y));
    }
    let shape = b.shape_of(x);
    if let Some(n) = shape[axis].known()
        && !(-n..n).contains(&at)
    {
        return Err(b.damaged(format!("element {at} of {n}")));
    }
    let x = part(b, x, axis, Range::one(at))?;
    Ok(match x {
        Value::Known(known) => {
            let mut dims = known.tensor.dims().to_vec();
            dims.remove(axis);
            let mut shape = known.shape.clone();
            shape.remove(axis);
            let tensor = known.tensor.reshaped(&dims).ok_or_else(|| b.damaged("axes of other sizes"))?;
            Value::Known(Known { tensor: Rc::new(tensor), shape })
        }
        Value::Device(mut x) => {
            x.axes.remove(axis);
            Value::Device(x)
        }
        Value::Stack(mut stack) => {
            stack.parts.iter_mut().for_each(|part| drop(part.axes.remove(axis)));
            stack.axis -= usize::from(axis < stack.axis);
            Value::Stack(stack)
        }
    })
}

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
    let key = format!("embedding {:p}", Rc::as_ptr(&table.tensor));
    let symbol = b.shared(key, Embedding::new(vocabulary, width), || vec![rows.clone()], &ids.symbol)?;
    let units = b.axis(Some(width));
    let extended = |groups: &[Group]| [groups, std::slice::from_ref(&units)].concat();
    let (physical, axes) = (extended(&ids.physical), extended(&ids.axes));
    Ok(Value::Device(b.device(symbol, physical, axes)))
}

pub(super) fn split(b: &mut Builder<'_>, node: &Node<'_>) -> Result<Vec<Value>> {
    let x = node.input(0)?;
    let shape = b.shape_of(x);
    let axis = node.axis(node.int("axis", 0)?, shape.len())?;
    let sizes = match node.opset {
        13.. => node.ints(1, "split")?,
        _ => node.list("split")?.map(<[i64]>::to_vec),
    };
    let outputs = node.wanted.len() as i64;
    if node.maybe_int("num_outputs")?.is_some_and(|n| n != outputs) {
        return Err(b.damaged("num_outputs is not the number of outputs"));
    }
    let sizes = match (sizes, shape[axis].known()) {
        (Some(sizes), _) => sizes,
        (None, Some(n)) if outputs > 0 => {
            let each = (n + outputs - 1) / outputs;
            (0..outputs).map(|i| each.min(n - i * each)).collect()
        }
        _ => return Err(b.unsupported("a split of an axis of unknown size into equal parts")),
    };
    let total = sizes.iter().try_fold(0i64, |sum, &n| sum.checked_add(n).filter(|_| n > 0));
    let fits = sizes.len() == node.wanted.len()
        && total.is_some()
        && shape[axis].known().is_none_or(|n| Some(n) == total);
    if !fits {
        return Err(b.damaged(format!("parts {sizes:?} of an axis of {}", shape[axis])));
    }
    let mut start = 0;
    let mut parts = Vec::new();
    for size in sizes {
        parts.push(part(b, x, axis, Range { start, end: Some(start + size), step: 1 })?);
        start += size;
    }
    Ok(parts)
}

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

/// Each element of an axis by itself, without the axis.
pub(super) fn elements(b: &mut Builder<'_>, x: &Value, axis: usize, count: usize) -> Result<Vec<Value>> {
    let n = b.shape_of(x).get(axis).cloned().unwrap_or(Number::Unknown);
    if n != Number::Known(count as i64) {
        return Err(b.damaged(format!("an axis of {n}, expected {count}")));
    }
    (0..count as i64).map(|at| element(b, x, axis, at)).collect()
}

/// The numbers of a constant of floats, with nothing broadcast.
pub(super) fn floats(b: &mut Builder<'_>, known: &Known) -> Result<ArrayD<f32>> {
    match b.plain(known)?.tensor.as_ref() {
        Tensor::Float(values) => Ok(values.clone()),
        _ => Err(b.damaged("a tensor of floats is expected")),
    }
}

/// A value broadcast to more axes, for operators of several inputs.
pub(super) fn padded(b: &mut Builder<'_>, x: &Value, rank: usize) -> Result<Value> {
    views::padded(b, x, rank)
}
