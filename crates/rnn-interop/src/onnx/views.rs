//! Operators that change the shape of a value and none of its elements: Transpose, Squeeze, Unsqueeze, Reshape, Flatten,
//! Expand, Identity.

use super::builder::Builder;
use super::node::Node;
use super::number::{Number, text};
use super::value::{BATCH, Device, Group, Kind, Known, Stack, Value};
use crate::Result;
use rnn_model::layer;
use std::rc::Rc;

pub(super) fn transpose(b: &mut Builder<'_>, node: &Node<'_>) -> Result<Vec<Value>> {
    let x = node.input(0)?;
    let rank = b.shape_of(x).len();
    let order: Vec<usize> = match node.list("perm")? {
        Some(perm) => perm.iter().map(|&axis| node.axis(axis, rank)).collect::<Result<_>>()?,
        None => (0..rank).rev().collect(),
    };
    let mut sorted = order.clone();
    sorted.sort_unstable();
    if !sorted.into_iter().eq(0..rank) {
        return Err(b.damaged(format!("perm {order:?} of a tensor of {rank} axes")));
    }
    Ok(vec![match x {
        Value::Known(known) => {
            b.count(known.tensor.len())?;
            let shape = order.iter().map(|&axis| known.shape[axis].clone()).collect();
            Value::Known(Known { tensor: Rc::new(known.tensor.permuted(&order)), shape })
        }
        Value::Device(x) => Value::Device(turned(x, &order)),
        Value::Stack(stack) => {
            let axis = order.iter().position(|&axis| axis == stack.axis).unwrap_or_default();
            Value::Stack(Stack { axis, parts: stack.parts.iter().map(|part| turned(part, &order)).collect() })
        }
    }])
}

/// A value with its axes in another order.
pub(super) fn turned(x: &Device, order: &[usize]) -> Device {
    let axes = order.iter().map(|&axis| x.axes[axis].clone()).collect();
    Device { axes, ..x.clone() }
}

/// The axes of Squeeze and Unsqueeze: an input, before version 13 an attribute.
fn axes(node: &Node<'_>) -> Result<Option<Vec<i64>>> {
    match node.opset {
        13.. => node.ints(1, "axes"),
        _ => Ok(node.list("axes")?.map(<[i64]>::to_vec)),
    }
}

pub(super) fn squeeze(b: &mut Builder<'_>, node: &Node<'_>) -> Result<Vec<Value>> {
    let x = node.input(0)?;
    let shape = b.shape_of(x);
    let mut gone = vec![false; shape.len()];
    match axes(node)? {
        Some(axes) => {
            for axis in axes {
                gone[node.axis(axis, shape.len())?] = true;
            }
        }
        None => gone = shape.iter().map(|n| n == &Number::Known(1)).collect(),
    }
    if shape.iter().zip(&gone).any(|(n, &gone)| gone && n != &Number::Known(1)) {
        return Err(
            b.unsupported(format!("an axis of a tensor of shape {} that is not of size 1", text(&shape)))
        );
    }
    let keep: Vec<usize> = (0..shape.len()).filter(|&axis| !gone[axis]).collect();
    without(b, x, &keep).map(|y| vec![y])
}

/// A value with the axes of `keep` alone; the others are of size 1.
fn without(b: &mut Builder<'_>, x: &Value, keep: &[usize]) -> Result<Value> {
    let kept =
        |x: &Device| Device { axes: keep.iter().map(|&axis| x.axes[axis].clone()).collect(), ..x.clone() };
    Ok(match x {
        Value::Known(known) => {
            let dims: Vec<usize> = keep.iter().map(|&axis| known.tensor.dims()[axis]).collect();
            let shape = keep.iter().map(|&axis| known.shape[axis].clone()).collect();
            let tensor = known.tensor.reshaped(&dims).ok_or_else(|| b.damaged("axes of other sizes"))?;
            Value::Known(Known { tensor: Rc::new(tensor), shape })
        }
        Value::Device(x) => Value::Device(kept(x)),
        Value::Stack(stack) => match keep.iter().position(|&axis| axis == stack.axis) {
            Some(axis) => Value::Stack(Stack { axis, parts: stack.parts.iter().map(kept).collect() }),
            // A stack of one.
            None => Value::Device(kept(&b.joined(stack)?)),
        },
    })
}

pub(super) fn unsqueeze(b: &mut Builder<'_>, node: &Node<'_>) -> Result<Vec<Value>> {
    let x = node.input(0)?;
    let axes = axes(node)?.ok_or_else(|| b.damaged("it has no axes"))?;
    let rank = b.shape_of(x).len() + axes.len();
    if rank as u64 > b.limits.rank {
        return Err(b.unsupported(format!("a tensor of {rank} axes")));
    }
    let mut new = vec![false; rank];
    for axis in &axes {
        let at = node.axis(*axis, rank)?;
        if std::mem::replace(&mut new[at], true) {
            return Err(b.damaged(format!("axes {axes:?} name one twice")));
        }
    }
    with_ones(b, x, &new).map(|y| vec![y])
}

/// A value with further axes of size 1, where `new` says so.
pub(super) fn with_ones(b: &mut Builder<'_>, x: &Value, new: &[bool]) -> Result<Value> {
    fn spread<T: Clone>(new: &[bool], old: &[T], one: &T) -> Vec<T> {
        let mut old = old.iter();
        new.iter().map(|&new| if new { one.clone() } else { old.next().unwrap_or(one).clone() }).collect()
    }
    let wide = |x: &Device| Device { axes: spread(new, &x.axes, &Group::new()), ..x.clone() };
    Ok(match x {
        Value::Known(known) => {
            let dims = spread(new, known.tensor.dims(), &1);
            let tensor = known.tensor.reshaped(&dims).ok_or_else(|| b.damaged("axes of other sizes"))?;
            Value::Known(Known {
                tensor: Rc::new(tensor),
                shape: spread(new, &known.shape, &Number::Known(1)),
            })
        }
        Value::Device(x) => Value::Device(wide(x)),
        Value::Stack(stack) => {
            let old = (0..new.len()).filter(|&at| !new[at]).nth(stack.axis).unwrap_or_default();
            Value::Stack(Stack { axis: old, parts: stack.parts.iter().map(wide).collect() })
        }
    })
}

pub(super) fn flatten(b: &mut Builder<'_>, node: &Node<'_>) -> Result<Vec<Value>> {
    let x = node.input(0)?;
    let shape = b.shape_of(x);
    let axis = match node.int("axis", 1)? {
        axis if axis == shape.len() as i64 => shape.len(),
        axis => node.axis(axis, shape.len())?,
    };
    let size = |part: &[Number]| part.iter().fold(Number::Known(1), |n, m| n.mul(m));
    let target = [size(&shape[..axis]), size(&shape[axis..])];
    reshaped(b, x, &target).map(|y| vec![y])
}

pub(super) fn reshape(b: &mut Builder<'_>, node: &Node<'_>) -> Result<Vec<Value>> {
    let x = node.input(0)?;
    let target = match node.opset {
        5.. => node.numbers(1, "the shape")?,
        _ => node.list("shape")?.map(|list| list.iter().map(|&n| Number::Known(n)).collect()),
    };
    let mut target = target.ok_or_else(|| b.damaged("it has no shape"))?;
    let copies = node.int("allowzero", 0)? == 0;
    let shape = b.shape_of(x);
    for (axis, n) in target.iter_mut().enumerate() {
        if n == &Number::Known(0) && copies {
            *n = shape
                .get(axis)
                .cloned()
                .ok_or_else(|| b.damaged(format!("axis {axis} can not be copied")))?;
        }
    }
    if target.len() as u64 > b.limits.rank {
        return Err(b.unsupported(format!("a tensor of {} axes", target.len())));
    }
    let open: Vec<usize> = (0..target.len()).filter(|&axis| target[axis] == Number::Known(-1)).collect();
    if let &[axis] = open.as_slice() {
        let whole = shape.iter().fold(Number::Known(1), |n, m| n.mul(m));
        let rest = target.iter().enumerate().filter(|(at, _)| *at != axis);
        let rest = rest.fold(Number::Known(1), |n, (_, m)| n.mul(m));
        let left = whole.div(&rest);
        // A declared batch size may stand for the batch on one side; then the axes tell.
        target[axis] = if left == Number::Unknown { Number::Known(-1) } else { left };
    }
    reshaped(b, x, &target).map(|y| vec![y])
}

/// A value in another shape; one size may be -1, for what is left.
fn reshaped(b: &mut Builder<'_>, x: &Value, target: &[Number]) -> Result<Value> {
    let x = match x {
        Value::Known(known) => return reshaped_known(b, known, target).map(Value::Known),
        Value::Device(x) => x.clone(),
        Value::Stack(stack) => b.joined(stack)?,
    };
    let shape = b.shape(&x);
    if shape.len() == target.len() && shape.iter().zip(target).all(|(a, t)| b.same(a, t)) {
        return Ok(Value::Device(x));
    }
    let mut y = x.clone();
    y.axes = vec![Group::new(); target.len()];
    let open = target.iter().position(|n| n == &Number::Known(-1));
    // From the front up to the open size, from the back down to it, and that takes what is left.
    let front = open.unwrap_or(target.len());
    let mut rest = x.axes.concat();
    let fits = (0..front).try_for_each(|at| {
        y.axes[at] = take(b, &mut y, &mut rest, &target[at], true)?;
        Some(())
    });
    let fits = fits.and_then(|()| {
        (front + 1..target.len()).rev().try_for_each(|at| {
            y.axes[at] = take(b, &mut y, &mut rest, &target[at], false)?;
            Some(())
        })
    });
    if let Some(at) = open {
        y.axes[at] = std::mem::take(&mut rest);
    }
    match fits {
        Some(()) if rest.is_empty() => Ok(Value::Device(y)),
        _ if x.kind == Kind::Float || x.kind == Kind::Int => match moved(b, &x, target)? {
            Some(y) => Ok(Value::Device(y)),
            None => Err(b.unsupported(format!(
                "a tensor of shape {} in the shape {}",
                text(&shape),
                text(target)
            ))),
        },
        _ => Err(b.unsupported(format!("a tensor of shape {} in the shape {}", text(&shape), text(target)))),
    }
}

/// A sample of known sizes in another shape, the batch first in both: axes that no old ones can be split into.
fn moved(b: &mut Builder<'_>, x: &Device, target: &[Number]) -> Result<Option<Device>> {
    let Some((batch, sizes)) = target.split_first() else { return Ok(None) };
    let whole = x.sample_axes().and_then(|axes| b.known_size(&axes.concat()));
    let (Some(0), true, Some(whole)) = (x.batch_axis(), b.same(batch, &Number::axis(BATCH)), whole) else {
        return Ok(None);
    };
    let sizes: Option<Vec<usize>> = sizes.iter().map(|n| usize::try_from(n.known()?).ok()).collect();
    let product = |sizes: &Vec<usize>| sizes.iter().try_fold(1usize, |n, &m| n.checked_mul(m)) == Some(whole);
    let Some(sizes) = sizes.filter(|sizes| !sizes.is_empty() && product(sizes)) else { return Ok(None) };
    let x = b.canonical(x)?;
    let layer = layer::Reshape::new(sizes.iter().map(|&n| n as i64).collect::<Vec<_>>());
    let symbol = b.layer(layer, Vec::new(), &x.symbol)?;
    let physical: Vec<Group> = sizes.into_iter().map(|n| b.axis(Some(n))).collect();
    let axes = std::iter::once(vec![BATCH]).chain(physical.iter().cloned()).collect();
    let mut y = b.device(symbol, physical, axes);
    y.kind = x.kind;
    Ok(Some(y))
}

/// Takes atoms whose sizes come to `size` from the front or the back of `rest`, splitting one where that helps.
fn take(
    b: &mut Builder<'_>,
    y: &mut Device,
    rest: &mut Vec<u32>,
    size: &Number,
    front: bool,
) -> Option<Group> {
    let mut group = Group::new();
    let mut product = Number::Known(1);
    loop {
        let next = if front { rest.first() } else { rest.last() }.copied();
        // A batch that is declared as 1 is an axis of its own.
        let alone = next == Some(BATCH) && group.is_empty() && b.same(size, &Number::axis(BATCH));
        if b.same(&product, size) && !alone {
            return Some(group);
        }
        let atom = next?;
        let with = product.mul(&b.size(&[atom]));
        let fits = b.same(&with, size) || alone || exact(size, &b.declared(&with));
        if !fits {
            let wanted = size.div(&product).known().and_then(|n| usize::try_from(n).ok())?;
            let whole = b.known_size(&[atom])?;
            let first = if front { wanted } else { whole.checked_div(wanted)? };
            let (head, tail) = b.split(y, atom, first)?;
            let at = rest.iter().position(|&a| a == atom)?;
            rest.splice(at..=at, head.iter().chain(&tail).copied());
            continue;
        }
        if front {
            rest.remove(0);
            group.push(atom);
        } else {
            rest.pop();
            group.insert(0, atom);
        }
        if alone {
            return Some(group);
        }
        product = with;
    }
}

/// Whether `size` is a multiple of `part`.
fn exact(size: &Number, part: &Number) -> bool {
    match (size, part) {
        (Number::Known(a), Number::Known(b)) => a.checked_rem(*b) == Some(0),
        _ => size.div(part) != Number::Unknown,
    }
}

fn reshaped_known(b: &mut Builder<'_>, known: &Known, target: &[Number]) -> Result<Known> {
    // One number everywhere stays that in any shape.
    if known.uniform().is_some()
        && !target.contains(&Number::Known(-1))
        && let Some(tensor) = known.tensor.first(target.len())
    {
        return Ok(Known { tensor: Rc::new(tensor), shape: target.to_vec() });
    }
    let plain = b.plain(known)?;
    let count = plain.tensor.len();
    let dims: Option<Vec<usize>> = target
        .iter()
        .map(|n| match n {
            Number::Known(-1) => Some(usize::MAX),
            n => usize::try_from(n.known()?).ok(),
        })
        .collect();
    let problem = format!("a constant of shape {} in the shape {}", text(&known.shape), text(target));
    let Some(mut dims) = dims else { return Err(b.unsupported(problem)) };
    if let Some(at) = dims.iter().position(|&n| n == usize::MAX) {
        let mut rest = dims.iter().enumerate().filter(|(i, _)| *i != at);
        let rest = rest.try_fold(1usize, |n, (_, &m)| n.checked_mul(m));
        dims[at] = rest.and_then(|rest| count.checked_div(rest)).unwrap_or(0);
    }
    b.count(count)?;
    let tensor = plain.tensor.reshaped(&dims);
    tensor.map(Known::plain).ok_or_else(|| b.damaged(problem))
}

pub(super) fn expand(b: &mut Builder<'_>, node: &Node<'_>) -> Result<Vec<Value>> {
    let target = node.numbers(1, "the shape")?.ok_or_else(|| b.damaged("it has no shape"))?;
    if target.len() as u64 > b.limits.rank {
        return Err(b.unsupported(format!("a tensor of {} axes", target.len())));
    }
    expanded(b, node.input(0)?, &target).map(|y| vec![y])
}

/// A value broadcast to a shape: a constant to any, a computed one to its own with further axes of size 1.
pub(super) fn expanded(b: &mut Builder<'_>, x: &Value, target: &[Number]) -> Result<Value> {
    let rank = target.len().max(b.shape_of(x).len());
    let wide = padded(b, x, rank)?;
    let shape = b.shape_of(&wide);
    let ones = vec![Number::Known(1); rank - target.len()];
    let target = [ones.as_slice(), target].concat();
    let mut result = Vec::with_capacity(rank);
    for (have, want) in shape.iter().zip(&target) {
        result.push(match (have, want) {
            (_, Number::Known(1)) => have.clone(),
            (Number::Known(1), _) => want.clone(),
            _ if b.same(have, want) => have.clone(),
            _ => {
                let problem = format!("a tensor of shape {} broadcast to {}", text(&shape), text(&target));
                return Err(b.unsupported(problem));
            }
        });
    }
    if let Value::Known(known) = wide {
        return Ok(Value::Known(Known { shape: result, ..known }));
    }
    let changed: Vec<usize> = (0..rank).filter(|&axis| !b.same(&result[axis], &shape[axis])).collect();
    match (changed.as_slice(), changed.first().and_then(|&axis| result[axis].known())) {
        ([], _) => Ok(wide),
        (&[axis], Some(n)) if n > 1 => super::constants::repeated(b, &wide, axis, n as usize),
        _ => {
            let problem =
                format!("a computed tensor of shape {} repeated to {}", text(&shape), text(&target));
            Err(b.unsupported(problem))
        }
    }
}

/// With axes of size 1 in front, up to `rank`.
pub(super) fn padded(b: &mut Builder<'_>, x: &Value, rank: usize) -> Result<Value> {
    let have = b.shape_of(x).len();
    let new: Vec<bool> = (0..rank).map(|axis| axis + have < rank).collect();
    with_ones(b, x, &new)
}
