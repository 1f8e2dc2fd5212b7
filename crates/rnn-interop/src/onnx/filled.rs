//! Masked steps that count for nothing: a number in their place (Where), and behind it a sum, a largest value or a softmax that
//! does not see it. Read as the layer that leaves the steps of a mask out.
//!
//! | in the file, of `there [batch, time, 1]` | here, of `x` behind the mask |
//! |---|---|
//! | `ReduceSum(Where(there, x, 0)) / max(sum(there), 1)` | `GlobalAveragePooling1D` |
//! | `Where(sum(there) > 0, ReduceMax(Where(there, x, least)), 0)` | `GlobalMaxPooling1D(masked)` |
//! | `Where(there, Softmax(Where(there, x, -1e9)), 0)` | `Softmax` |
//! | `Where(a or b, Where(a, x, 1) * Where(b, y, 1), 0)` | `Multiply` |
//! | `Where(there, outputs of lengths, last output)` | the recurrent layer, whose outputs repeat themselves |

use super::builder::Builder;
use super::drawn::{Drawn, Stage, masked_by, refused};
use super::flags::{Derived, Flags, Test, flagged};
use super::node::Node;
use super::number::Number;
use super::tensor::Tensor;
use super::value::{BATCH, Device, Group, Kind, Known, MaskOf, Value};
use crate::Result;
use rnn_model::Symbol;
use rnn_model::layer::{GlobalAveragePooling1D, GlobalMaxPooling1D, Layer, Multiply, SoftmaxLayer};
use std::rc::Rc;

/// What a masked value counts as in a softmax, here and in Keras.
const OUT_OF_REACH: f32 = -1e9;

/// Whether a value is on the way to one of these layers.
pub(super) fn is_filled(value: &Value) -> bool {
    let stage = |x: &Device| x.drawn.as_ref().map(|drawn| drawn.stage);
    match value {
        Value::Device(x) => matches!(
            stage(x),
            Some(
                Stage::Filled { .. }
                    | Stage::Sum { .. }
                    | Stage::Most { .. }
                    | Stage::Shares { .. }
                    | Stage::Emptied
            )
        ),
        _ => false,
    }
}

/// `Where(there, x, number)` of a mask.
pub(super) fn filled(b: &Builder<'_>, by: &Device, x: &Device, number: f32) -> Result<Value> {
    let refuse =
        |b: &Builder<'_>| b.unsupported("a choice by truth values that is none by the steps of a mask");
    let flags = by.flags.as_deref().filter(|flags| is_mask(flags)).ok_or_else(|| refuse(b))?;
    let columns = by.axes.len() == 3 && by.axes[2].is_empty() && by.batch_axis() == Some(0);
    let fits = columns && x.axes.len() == 3 && x.batch_axis() == Some(0) && x.kind == Kind::Float;
    if !fits || x.drawn.is_some() || !b.same(&b.size(&by.axes[1]), &b.size(&x.axes[1])) {
        return Err(refuse(b));
    }
    let stage = Stage::Filled { number: number.to_bits() };
    let drawn = Some(Rc::new(Drawn { by: flags.by, time: x.axes[1].clone(), stage }));
    Ok(Device { drawn, origin: None, ..x.clone() }.into())
}

fn is_mask(flags: &Flags) -> bool {
    flags.test == Test::Steps && !flags.negated && !flags.reversed
}

/// What an operator makes of such a value.
pub(super) fn operator(b: &mut Builder<'_>, node: &Node<'_>) -> Result<Option<Vec<Value>>> {
    if node.op != "Where" && !node.inputs().any(is_filled) {
        return Ok(None);
    }
    let inputs = node.all()?;
    if let ("Where", [Value::Device(by), Value::Device(y), Value::Device(last)]) =
        (node.op, inputs.as_slice())
    {
        return repeated(b, by, y, last);
    }
    if !inputs.iter().any(|value| is_filled(value)) {
        return Ok(None);
    }
    let stage = |x: &Device| x.drawn.as_ref().map(|drawn| drawn.stage);
    let made = match (node.op, inputs.as_slice()) {
        ("ReduceSum" | "ReduceMax", [Value::Device(x), ..]) => reduced(b, node, x)?,
        ("Softmax", [Value::Device(x)])
            if stage(x) == Some(Stage::Filled { number: OUT_OF_REACH.to_bits() }) =>
        {
            let axis = node.axis(node.int("axis", -1)?, 3)?;
            with_stage(x, Stage::Shares { axis })
        }
        ("Div", [Value::Device(sum), Value::Device(count)]) => match stage(sum) {
            Some(Stage::Sum { keep }) if counts(sum, count, Derived::AtLeastOne) => {
                pooled(b, sum, GlobalAveragePooling1D::new().keepdims(keep).into(), keep)?
            }
            _ => return Err(refused(b, "a quotient of sums over a mask")),
        },
        ("Where", [Value::Device(by), Value::Device(x), Value::Known(zero)])
            if zero.uniform() == Some(0.0) =>
        {
            match stage(x) {
                Some(Stage::Most { keep }) if counts(x, by, Derived::Any) => {
                    pooled(b, x, GlobalMaxPooling1D::new().masked(true).keepdims(keep).into(), keep)?
                }
                Some(Stage::Shares { axis }) if same_mask(x, by) => shares(b, x, axis)?,
                Some(Stage::Emptied) if same_mask(x, by) => Device { drawn: None, ..x.clone() },
                _ => return Err(refused(b, "a choice by a mask")),
            }
        }
        ("Mul", [Value::Device(x), Value::Device(y)]) => product(b, x, y)?,
        _ => return Err(refused(b, "an operator on values with a number in place of masked steps")),
    };
    Ok(Some(vec![made.into()]))
}

fn with_stage(x: &Device, stage: Stage) -> Device {
    let drawn = x.drawn.as_ref().map(|drawn| Rc::new(Drawn { stage, ..(**drawn).clone() }));
    Device { drawn, ..x.clone() }
}

fn same_mask(x: &Device, by: &Device) -> bool {
    let drawn = x.drawn.as_ref().map(|drawn| drawn.by);
    by.flags.as_deref().is_some_and(|flags| is_mask(flags) && drawn == Some(flags.by)) && by.axes.len() == 3
}

/// Whether `count [batch, 1]` is this of the same mask.
fn counts(x: &Device, count: &Device, what: Derived) -> bool {
    let drawn = x.drawn.as_ref().map(|drawn| drawn.by);
    let of = |flags: &Flags| flags.test == Test::Derived(what) && drawn == Some(flags.by);
    count.flags.as_deref().is_some_and(of)
        && count.axes.len() == x.axes.len()
        && count.batch_axis() == Some(0)
        && count.axes[1..].iter().all(Vec::is_empty)
}

/// The sum or the largest over the steps.
fn reduced(b: &mut Builder<'_>, node: &Node<'_>, x: &Device) -> Result<Device> {
    let by_input = node.opset >= if node.op == "ReduceSum" { 13 } else { 18 };
    let axes = if by_input { node.ints(1, "axes")? } else { node.list("axes")?.map(<[i64]>::to_vec) };
    let keep = node.int("keepdims", 1)? != 0;
    node.pass_over("noop_with_empty_axes");
    let number = match x.drawn.as_ref().map(|drawn| drawn.stage) {
        Some(Stage::Filled { number }) if axes.as_deref() == Some(&[1]) => f32::from_bits(number),
        _ => return Err(refused(b, "a sum or a largest value of masked steps over another axis")),
    };
    let stage = match node.op {
        "ReduceSum" if number == 0.0 => Stage::Sum { keep },
        "ReduceMax" if number == f32::MIN => Stage::Most { keep },
        _ => return Err(refused(b, "a sum or a largest value in which masked steps count")),
    };
    let mut y = with_stage(x, stage);
    match keep {
        true => y.axes[1] = Group::new(),
        false => drop(y.axes.remove(1)),
    }
    Ok(y)
}

/// The value behind its mask, as `[time, features]` of each sample.
fn behind(b: &mut Builder<'_>, x: &Device, time: &Group, features: &Group) -> Result<(Device, Symbol)> {
    let Some(drawn) = x.drawn.clone() else { return Err(b.damaged("no mask")) };
    let whole = Device { drawn: None, axes: vec![vec![BATCH], time.clone(), features.clone()], ..x.clone() };
    let arranged = b.arrange(&whole, &[time.clone(), features.clone()])?;
    let masked = masked_by(b, &arranged, drawn.by)?;
    let symbol = masked.symbol.clone();
    Ok((masked, symbol))
}

fn pooled(b: &mut Builder<'_>, x: &Device, layer: Layer, keep: bool) -> Result<Device> {
    let Some(drawn) = x.drawn.clone() else { return Err(b.damaged("no mask")) };
    let features = x.axes.last().cloned().unwrap_or_default();
    let (_, symbol) = behind(b, x, &drawn.time, &features)?;
    let y = b.layer(layer, Vec::new(), &symbol)?;
    let physical = if keep { vec![Group::new(), features] } else { vec![features] };
    Ok(b.device(y, physical, x.axes.clone()))
}

fn shares(b: &mut Builder<'_>, x: &Device, axis: usize) -> Result<Device> {
    if x.axes.len() != 3 {
        return Err(b.damaged("a softmax over fewer axes than before"));
    }
    let (masked, symbol) = behind(b, x, &x.axes[1], &x.axes[2])?;
    let y = b.layer(SoftmaxLayer::new().axis(axis as i64), Vec::new(), &symbol)?;
    Ok(b.like(&masked, y))
}

/// The product of values with 1 at masked steps: a masked step of one does not count.
fn product(b: &mut Builder<'_>, x: &Device, y: &Device) -> Result<Device> {
    let own = |x: &Device| x.drawn.as_ref().map(|drawn| (drawn.by, drawn.stage));
    let same = |a: &Group, c: &Group| b.same(&b.size(a), &b.size(c));
    let fits = x.axes.len() == 3 && y.axes.len() == 3 && x.axes.iter().zip(&y.axes).all(|(a, c)| same(a, c));
    if !fits || x.batch_axis() != Some(0) || y.batch_axis() != Some(0) || y.kind != Kind::Float {
        return Err(b.unsupported("a product of masked values of different shapes"));
    }
    let mut masks = Vec::new();
    let mut symbols = Vec::new();
    for side in [x, y] {
        let whole = Device { drawn: None, ..side.clone() };
        let arranged = b.arrange(&whole, &[side.axes[1].clone(), side.axes[2].clone()])?;
        match own(side) {
            Some((by, Stage::Filled { number })) if number == 1f32.to_bits() => {
                symbols.push(masked_by(b, &arranged, by)?.symbol);
                masks.push(Some(by));
            }
            Some((by, Stage::Emptied)) => {
                symbols.push(arranged.symbol);
                masks.push(Some(by));
            }
            None => {
                symbols.push(b.unmasked(&arranged)?.symbol);
                masks.push(None);
            }
            Some(_) => return Err(refused(b, "a product in which masked steps count")),
        }
    }
    let symbol = b.apply(Multiply::new(), Vec::new(), &[&symbols[0], &symbols[1]])?.swap_remove(0);
    let (time, features) = (x.axes[1].clone(), x.axes[2].clone());
    let mut z = b.device(symbol, vec![time.clone(), features], x.axes.clone());
    if let [Some(first), Some(second)] = masks[..] {
        let by = b.either(first, second);
        z.mask = Some(by);
        z.drawn = Some(Rc::new(Drawn { by, time, stage: Stage::Emptied }));
    }
    Ok(z)
}

/// Outputs of lengths, the last one in place of the zeros behind them.
fn repeated(b: &mut Builder<'_>, by: &Device, y: &Device, last: &Device) -> Result<Option<Vec<Value>>> {
    let Some(flags) = by.flags.as_deref().filter(|flags| is_mask(flags)) else { return Ok(None) };
    let Some(forms) = b.forms(y).filter(|forms| forms.by == flags.by && forms.end == Some(last.id)) else {
        return Ok(None);
    };
    let Some(held) = forms.held.clone().filter(|_| y.drawn.is_none() && by.axes.len() == 3) else {
        return Ok(None);
    };
    let inputs: Vec<&Symbol> = held.inputs.iter().collect();
    let weights = held.weights;
    let symbol = b.shared(held.key.clone(), held.layer, || weights, &inputs)?.swap_remove(0);
    if let Some(instead) = held.instead {
        b.one_of(instead, held.key);
    }
    Ok(Some(vec![b.like(y, symbol).into()]))
}

/// Whether a constant `[1, time]` counts the steps: 0, 1, ...
pub(super) fn counts_steps(known: &Known) -> bool {
    let Tensor::Int(values) = known.tensor.as_ref() else { return false };
    let of_known = values.iter().enumerate().all(|(at, n)| *n == Number::Known(at as i64));
    known.shape.len() == 2
        && known.shape[0] == Number::Known(1)
        && (of_known || values.iter().all(|n| *n == Number::Step))
}

/// The steps before the lengths `[batch, 1]`, of as many as there are in `shape`.
pub(super) fn before_lengths(b: &mut Builder<'_>, shape: &[Number], lengths: &Device) -> Result<Value> {
    let time = match shape.last() {
        Some(Number::Known(n)) => b.axis(usize::try_from(*n).ok()),
        Some(Number::Open { factor: 1, axes, offset: 0 }) => axes.clone(),
        _ => return Err(b.unsupported("lengths compared with what is no number of steps")),
    };
    let by = MaskOf::Lengths(lengths.id);
    b.set_lengths(by, Device { axes: vec![vec![BATCH]], ..lengths.clone() });
    let flags = Flags { by, test: Test::Steps, negated: false, reversed: false };
    Ok(Device { axes: vec![vec![BATCH], time], ..flagged(lengths, flags) }.into())
}

/// Whether a value is lengths `[batch, 1]`.
pub(super) fn are_columns(x: &Device) -> bool {
    matches!(x.kind, Kind::Int | Kind::CutOff) && x.axes.as_slice() == [vec![BATCH], Group::new()]
}
