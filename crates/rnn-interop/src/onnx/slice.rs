//! Operators that take a part of a value: Slice, Split, and single elements for others.

use super::builder::Builder;
use super::flags;
use super::node::Node;
use super::number::{Number, text};
use super::value::{BATCH, Device, Group, Kind, Known, Origin, Stack, Value};
use crate::Result;
use rnn_model::Symbol;
use rnn_model::layer::{self, Reverse};
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
    pub fn of(self, n: usize) -> (i64, usize) {
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

    pub fn is_whole(self, n: Option<usize>) -> bool {
        match n {
            Some(n) => self.step == 1 && self.of(n) == (0, n),
            None => self.step == 1 && self.start == 0 && self.end.is_none(),
        }
    }
}

pub(super) fn slice(b: &mut Builder<'_>, node: &Node<'_>) -> Result<Vec<Value>> {
    let mut x = node.input(0)?.clone();
    for (axis, range) in ranges(b, node, &b.shape_of(&x))? {
        x = part(b, &x, axis, range)?;
    }
    Ok(vec![x])
}

/// The range of each axis that a Slice names, of a tensor of this shape.
pub(super) fn ranges(b: &Builder<'_>, node: &Node<'_>, shape: &[Number]) -> Result<Vec<(usize, Range)>> {
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
    let mut ranges: Vec<(usize, Range)> = Vec::new();
    for (at, &axis) in axes.iter().enumerate() {
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
        if ranges.iter().any(|(other, _)| *other == axis) {
            return Err(b.damaged(format!("axes {axes:?} name one twice")));
        }
        ranges.push((axis, Range { start, end, step }));
    }
    Ok(ranges)
}

pub(super) fn split(b: &mut Builder<'_>, node: &Node<'_>) -> Result<Vec<Value>> {
    let x = node.input(0)?;
    let shape = b.shape_of(x);
    let axis = node.axis(node.int("axis", 0)?, shape.len())?;
    let sizes = parts(b, node, &shape[axis])?;
    let mut start = 0;
    let mut parts = Vec::new();
    for size in sizes {
        parts.push(part(b, x, axis, Range { start, end: Some(start + size), step: 1 })?);
        start += size;
    }
    Ok(parts)
}

/// The sizes of the parts of a Split of an axis.
pub(super) fn parts(b: &Builder<'_>, node: &Node<'_>, size: &Number) -> Result<Vec<i64>> {
    let sizes = match node.opset {
        13.. => node.ints(1, "split")?,
        _ => node.list("split")?.map(<[i64]>::to_vec),
    };
    let outputs = node.wanted.len() as i64;
    if node.maybe_int("num_outputs")?.is_some_and(|n| n != outputs) {
        return Err(b.damaged("num_outputs is not the number of outputs"));
    }
    let sizes = match (sizes, size.known()) {
        (Some(sizes), _) => sizes,
        (None, Some(n)) if outputs > 0 => {
            let each = (n + outputs - 1) / outputs;
            (0..outputs).map(|i| each.min(n - i * each)).collect()
        }
        _ => return Err(b.unsupported("a split of an axis of unknown size into equal parts")),
    };
    let total = sizes.iter().try_fold(0i64, |sum, &n| sum.checked_add(n).filter(|_| n > 0));
    let fits =
        sizes.len() == node.wanted.len() && total.is_some() && size.known().is_none_or(|n| Some(n) == total);
    if !fits {
        return Err(b.damaged(format!("parts {sizes:?} of an axis of {}", size)));
    }
    Ok(sizes)
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
pub(super) fn picked_of(b: &mut Builder<'_>, known: &Known, axis: usize, picked: &[usize]) -> Result<Known> {
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
pub(super) fn turned_round(b: &mut Builder<'_>, x: &Device, group: &Group) -> Result<Device> {
    if x.kind == Kind::Flag {
        return Err(b.unsupported("truth values in the opposite order"));
    }
    if x.physical.first() != Some(group) || x.physical.len() < 2 {
        let problem = "elements in the opposite order along an axis that is not that of the steps";
        return Err(b.unsupported(problem));
    }
    let original = x.clone();
    let x = b.unmasked(x)?;
    let symbol = b.layer(Reverse::new(), Vec::new(), &x.symbol)?;
    let mut y = b.like(&x, symbol);
    y.kind = x.kind;
    b.mark_reversed(&y, original);
    Ok(y)
}

/// ReverseSequence over all steps of every sample.
pub(super) fn reverse_sequence(b: &mut Builder<'_>, node: &Node<'_>) -> Result<Vec<Value>> {
    let (time, batch) = (node.int("time_axis", 0)?, node.int("batch_axis", 1)?);
    let (x, lengths) = (node.input(0)?, node.input(1)?);
    let shape = b.shape_of(x);
    let (time, batch) = (node.axis(time, shape.len())?, node.axis(batch, shape.len())?);
    let Value::Known(lengths) = lengths else {
        return Err(b.unsupported("steps in the opposite order up to lengths that are computed"));
    };
    if !lengths.tensor.number().is_some_and(|n| b.same(&n, &shape[time])) {
        return Err(b.unsupported("lengths that are not the number of steps"));
    }
    let Value::Device(x) = x else { return Err(b.unsupported("a constant")) };
    if x.batch_axis() != Some(batch) {
        return Err(b.unsupported(format!("axis {batch}, which is not that of the batch")));
    }
    if x.kind == Kind::Flag {
        return Ok(vec![flags::reversed(b, x)?]);
    }
    let others = x.sample_axes().unwrap_or_default().into_iter().filter(|group| *group != x.axes[time]);
    let order: Vec<Group> = std::iter::once(x.axes[time].clone()).chain(others).collect();
    let arranged = b.arrange(x, &order)?;
    turned_round(b, &arranged, &order[0]).map(|y| vec![y.into()])
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
    let Origin::Sequence { key, last, inputs, weights, time, units } = origin.as_ref() else {
        return Ok(None);
    };
    let is_last = match n {
        Some(n) => range.of(n) == (n as i64 - 1, 1),
        None => range.start == -1 && range.end.is_none(),
    };
    if !is_last || time != group || group.is_empty() {
        return Ok(None);
    }
    let inputs: Vec<&Symbol> = inputs.iter().collect();
    let symbol = b.shared(key.clone(), last.as_ref().clone(), || weights.clone(), &inputs)?.swap_remove(0);
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

/// Each element of an axis by itself, without the axis.
pub(super) fn elements(b: &mut Builder<'_>, x: &Value, axis: usize, count: usize) -> Result<Vec<Value>> {
    let n = b.shape_of(x).get(axis).cloned().unwrap_or(Number::Unknown);
    if n != Number::Known(count as i64) {
        return Err(b.damaged(format!("an axis of {n}, expected {count}")));
    }
    (0..count as i64).map(|at| element(b, x, axis, at)).collect()
}
