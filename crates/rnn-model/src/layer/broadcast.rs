//! Values of different shapes brought to one, as Keras's merge layers do it: axes are counted from the last, and one of
//! size 1, or one that is not there, is repeated.

use super::SampleShape;
use super::shaping::batch_major;
use crate::device::{IndexSlice, LayerOp, Op};
use crate::model::lowering::{Lowering, Value};
use crate::{Error, Result};
use rnn_shaders::shape::{Block, Steps};
use rnn_shaders::vocabulary::VALID;

/// The shape that samples of these shapes come to, if they fit.
pub(super) fn common(a: &[Option<usize>], b: &[Option<usize>]) -> Option<SampleShape> {
    let rank = a.len().max(b.len());
    let axis = |shape: &[Option<usize>], at: usize| match (at + shape.len()).checked_sub(rank) {
        Some(at) => shape[at],
        None => Some(1),
    };
    let size = |at: usize| match (axis(a, at), axis(b, at)) {
        (Some(1), other) | (other, Some(1)) => Some(other),
        (None, other) | (other, None) => Some(other),
        (a, b) => (a == b).then_some(a),
    };
    (0..rank).map(size).collect()
}

/// Sizes on the device, where the batch stands behind the first of several axes, and before an only one.
fn on_device(shape: &[usize], batch: usize) -> Vec<usize> {
    match shape {
        [first, rest @ ..] if !rest.is_empty() => [&[*first, batch], rest].concat(),
        only => [&[batch], only].concat(),
    }
}

/// `x` repeated until its samples have `shape`. The value has no mask.
pub(super) fn broadcast(l: &mut Lowering<'_>, x: &Value, shape: &[usize]) -> Result<Value> {
    let mut y = l.alias(x, x.shape.clone());
    y.mask = None;
    if x.shape == shape {
        return Ok(y);
    }
    let missing = shape.len().saturating_sub(x.shape.len());
    if missing > 0 {
        // Axes come before those of x, and the batch before them.
        y = batch_major(l, y)?;
    }
    let from = on_device(&[&vec![1; missing][..], &x.shape].concat(), l.batch());
    let to = on_device(shape, l.batch());
    if from.len() != to.len() || from.iter().zip(&to).any(|(&a, &b)| a != b && a != 1) {
        let expected = format!("a shape that comes to {shape:?}");
        return Err(Error::shape("input of a merge layer", expected, x.shape.as_slice()));
    }
    let mut end = to.len();
    while let Some(last) = (0..end).rev().find(|&at| from[at] != to[at]) {
        // Neighbours that are repeated are repeated at once.
        let first = (0..last).rev().take_while(|&at| from[at] != to[at]).last().unwrap_or(last);
        let [outer, times, inner] = [&from[..first], &to[first..=last], &to[last + 1..]].map(product);
        y = repeat(l, &y, [outer, times, inner])?;
        end = first;
    }
    Ok(l.alias(&y, shape.to_vec()))
}

fn product(sizes: &[usize]) -> usize {
    sizes.iter().product()
}

/// `[outer, inner]` to `[outer, times, inner]`.
fn repeat(l: &mut Lowering<'_>, x: &Value, [outer, times, inner]: [usize; 3]) -> Result<Value> {
    let data = l.buffer(outer * times * inner)?;
    let y = l.value(data, vec![outer * times * inner]);
    let (from, to) = ([inner, 0, 1], [times * inner, inner, 1]);
    let block = Block { shape: [outer, times, inner], from, to, accumulate: false };
    l.emit(LayerOp::CopyBlock { block, joint: false, x: x.data, y: data });
    let (x, output) = (x.clone(), y.clone());
    l.backward(move |l| {
        let Some(dy) = l.gradient(&output) else { return Ok(()) };
        if !x.needs_gradient() {
            return Ok(());
        }
        let mut each = dy;
        if outer > 1 {
            each = l.scratch(dy.len)?;
            let block = Block::permute([outer, times, inner], [1, 0, 2]);
            l.emit(LayerOp::CopyBlock { block, joint: false, x: dy, y: each });
        }
        l.propagate(&x, |l, dx| {
            if let Some(out) = dx {
                l.emit(Op::SumRows { rows: times, cols: outer * inner, x: each, out, accumulate: false });
            }
        })
    });
    Ok(y)
}

/// The same flags at each of `time` steps, of flags that have one step.
fn flags_over(l: &mut Lowering<'_>, flags: IndexSlice, time: usize) -> Result<IndexSlice> {
    let batch = l.batch();
    if flags.len == time * batch {
        return Ok(flags);
    }
    let (ones, shown, all) = (l.buffer(batch)?, l.buffer(batch)?, l.buffer(time * batch)?);
    let out = l.index_buffer(time * batch)?;
    l.emit(Op::Fill { value: 1.0, y: ones });
    l.emit(LayerOp::SelectRows { rows: batch, cols: 1, bit: VALID, flags, a: Some(ones), b: None, y: shown });
    l.emit(Op::RepeatVector { time, n: batch, x: shown, y: all });
    let steps = Steps::by_step(time, batch);
    l.emit(LayerOp::FlagsFromValues { steps, cols: 1, value: 0.0, x: all, flags: out });
    Ok(out)
}

/// The masks of inputs as those of values of `shape`: an input that lacks an axis has no steps of its own.
pub(super) fn masks_over(
    l: &mut Lowering<'_>,
    inputs: &[Value],
    shape: &[usize],
) -> Result<Vec<Option<IndexSlice>>> {
    let own = |x: &Value| x.mask.filter(|_| x.shape.len() == shape.len());
    inputs.iter().map(|x| own(x).map(|flags| flags_over(l, flags, shape[0])).transpose()).collect()
}

/// The mask of a merge, by Keras's rule: where an input has none, every step is there, else those that any input has. Where
/// states start anew is kept.
pub(super) fn either_mask(
    l: &mut Lowering<'_>,
    masks: &[Option<IndexSlice>],
    time: usize,
) -> Result<Option<IndexSlice>> {
    let mut given: Vec<IndexSlice> = masks.iter().copied().flatten().collect();
    if given.is_empty() {
        return Ok(None);
    }
    if given.len() < masks.len() {
        given.push(every_step(l, time)?);
    }
    any_of(l, given).map(Some)
}

/// Flags of steps that are all there.
fn every_step(l: &mut Lowering<'_>, time: usize) -> Result<IndexSlice> {
    let len = time * l.batch();
    let (ones, flags) = (l.buffer(len)?, l.index_buffer(len)?);
    l.emit(Op::Fill { value: 1.0, y: ones });
    let steps = Steps::by_step(time, l.batch());
    l.emit(LayerOp::FlagsFromValues { steps, cols: 1, value: 0.0, x: ones, flags });
    Ok(flags)
}

/// A step that any of the masks has.
pub(super) fn any_of(l: &mut Lowering<'_>, masks: Vec<IndexSlice>) -> Result<IndexSlice> {
    let mut masks = masks.into_iter();
    let mut all = masks.next().expect("there is a mask");
    for mask in masks {
        let out = l.index_buffer(all.len)?;
        l.emit(LayerOp::CombineFlags { either: true, a: all, b: mask, out });
        all = out;
    }
    Ok(all)
}
