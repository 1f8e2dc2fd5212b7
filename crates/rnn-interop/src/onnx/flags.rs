//! Truth values of each step that a model computes: masks. They are no tensors here. What graphs do with them is followed as
//! far as Masking, Embedding(mask_zero) and recurrent layers need it: comparing with the masked value, turning round,
//! counting, and multiplying the masked values away.

use super::builder::Builder;
use super::drawn;
use super::filled::filled;
use super::node::Node;
use super::value::{BATCH, Device, Kind, Known, MaskOf, Value};
use crate::Result;
use rnn_model::layer::Masking;
use std::rc::Rc;

/// 1 or true where a value is not the masked one; or what is made of a mask.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Flags {
    /// the mask that they come to
    pub by: MaskOf,
    pub test: Test,
    pub negated: bool,
    /// the steps stand in the opposite order
    pub reversed: bool,
}

/// How far a comparison has come.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Test {
    /// of each feature of each step
    Features,
    /// how many of a step's features differ
    Count,
    /// of each step: a mask
    Steps,
    /// no truth values of steps, but what moves steps by them
    Derived(Derived),
}

/// What is made of a mask to draw its steps together.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Derived {
    /// how many steps there are
    Number,
    /// the same, and 1 where there are none
    AtLeastOne,
    /// whether there are any
    Any,
    /// the first or the last step is there
    End { first: bool },
    /// the steps that are there, then the others
    Order,
    /// how many steps there are up to each, itself not counted if `exclusive`
    Passed { exclusive: bool },
    /// the number of the output that each step shows
    Place { backward: bool },
    /// each step has an output to show
    Seen { backward: bool },
}

/// `x` with flags in place of its elements.
pub(super) fn flagged(x: &Device, flags: Flags) -> Device {
    Device { kind: Kind::Flag, flags: Some(Rc::new(flags)), origin: None, ..x.clone() }
}

/// Equal, of a computed value and one number.
pub(super) fn compared(b: &Builder<'_>, x: &Device, number: f32) -> Result<Value> {
    let masked = if number == 0.0 { 0.0f32 } else { number };
    let (by, test) = match x.kind {
        Kind::Int if number == 0.0 => (MaskOf::Rows(x.id), Test::Steps),
        Kind::Int => {
            return Err(
                b.unsupported(format!("row numbers that are masked where they are {number}; only 0 can be"))
            );
        }
        Kind::Float if x.axes.len() == 3 => (MaskOf::Steps(x.id, masked.to_bits()), Test::Features),
        _ => return Err(b.unsupported("a comparison of what is neither a sequence nor row numbers")),
    };
    Ok(flagged(x, Flags { by, test, negated: true, reversed: false }).into())
}

/// Whether `x` is compared with 0 as lengths of sequences are.
pub(super) fn are_lengths(x: &Device, number: &Known) -> bool {
    matches!(x.kind, Kind::Int | Kind::CutOff)
        && x.axes.as_slice() == [vec![BATCH]]
        && number.uniform() == Some(0.0)
}

/// Lengths above 0.
pub(super) fn any_step(lengths: &Device) -> Value {
    let (by, test) = (MaskOf::Lengths(lengths.id), Test::Derived(Derived::Any));
    flagged(lengths, Flags { by, test, negated: false, reversed: false }).into()
}

/// What an operator makes of flags.
pub(super) fn operator(b: &mut Builder<'_>, node: &Node<'_>) -> Result<Vec<Value>> {
    if let Some(made) = drawn::operator(b, node)? {
        return Ok(made);
    }
    let inputs = node.all()?;
    let refuse = |b: &Builder<'_>| {
        b.unsupported(
            "truth values that are computed; they are read as the masks of Masking and Embedding(mask_zero), where \
             recurrent layers use them",
        )
    };
    let made = match (node.op, inputs.as_slice()) {
        ("Not", [Value::Device(x)]) => turned(b, x)?,
        ("Cast", [Value::Device(x)]) => {
            node.int("to", 1)?;
            x.clone().into()
        }
        ("Or", [Value::Device(x), Value::Device(y)]) => either(b, x, y)?,
        ("ReduceSum", [Value::Device(x), ..]) => counted(b, node, x)?,
        ("Greater", [Value::Device(x), Value::Known(known)]) => match (x.flags.as_deref(), known.uniform()) {
            (Some(flags), Some(0.0)) if flags.test == Test::Count => {
                flagged(x, Flags { test: Test::Steps, ..flags.clone() }).into()
            }
            _ => return Err(refuse(b)),
        },
        ("Mul", [Value::Device(x), Value::Device(y)]) => match (x.kind, y.kind) {
            (Kind::Flag, Kind::Float) => masked(b, x, y)?,
            (Kind::Float, Kind::Flag) => masked(b, y, x)?,
            _ => return Err(refuse(b)),
        },
        ("Mul", [Value::Device(x), Value::Known(known)] | [Value::Known(known), Value::Device(x)])
            if known.uniform() == Some(0.0) =>
        {
            let shape = b.shape(x);
            let tensor = known.tensor.first(shape.len()).ok_or_else(|| refuse(b))?;
            Known { tensor: Rc::new(tensor), shape }.into()
        }
        ("Where", [Value::Device(flags), Value::Device(x), Value::Known(other)])
            if flags.kind == Kind::Flag && other.uniform() == Some(0.0) =>
        {
            masked(b, flags, x)?
        }
        ("Where", [Value::Device(flags), Value::Device(x), Value::Known(other)])
            if flags.kind == Kind::Flag =>
        {
            match other.uniform() {
                Some(number) => filled(b, flags, x, number)?,
                None => return Err(refuse(b)),
            }
        }
        ("Where", [Value::Device(flags), Value::Known(other), Value::Device(x)])
            if flags.kind == Kind::Flag && other.uniform() == Some(0.0) =>
        {
            let Value::Device(flags) = turned(b, flags)? else { return Err(refuse(b)) };
            masked(b, &flags, x)?
        }
        _ => return Err(refuse(b)),
    };
    Ok(vec![made])
}

fn turned(b: &Builder<'_>, x: &Device) -> Result<Value> {
    match x.flags.as_deref() {
        Some(flags) => Ok(flagged(x, Flags { negated: !flags.negated, ..flags.clone() }).into()),
        None => Err(b.damaged("no truth values")),
    }
}

/// The steps that either of two masks has.
fn either(b: &mut Builder<'_>, x: &Device, y: &Device) -> Result<Value> {
    let plain = |flags: &Flags| flags.test == Test::Steps && !flags.negated && !flags.reversed;
    let (Some(first), Some(second)) =
        (x.flags.clone().filter(|f| plain(f)), y.flags.clone().filter(|f| plain(f)))
    else {
        return Err(b.unsupported("truth values of which either counts, that are no masks"));
    };
    let same = x.axes.len() == y.axes.len() && x.batch_axis() == y.batch_axis();
    if !same || x.axes.iter().zip(&y.axes).any(|(a, c)| !b.same(&b.size(a), &b.size(c))) {
        return Err(b.unsupported("masks of different numbers of steps"));
    }
    let by = b.either(first.by, second.by);
    Ok(flagged(x, Flags { by, ..(*first).clone() }).into())
}

/// How many features of a step differ.
fn counted(b: &Builder<'_>, node: &Node<'_>, x: &Device) -> Result<Value> {
    node.pass_over("noop_with_empty_axes");
    let axes = if node.opset >= 13 { node.ints(1, "axes")? } else { node.list("axes")?.map(<[i64]>::to_vec) };
    let keep = node.int("keepdims", 1)? != 0;
    let last = x.axes.len() as i64 - 1;
    let (Some(&[axis]), Some(flags)) = (axes.as_deref(), x.flags.as_deref()) else {
        return Err(b.unsupported("a sum of truth values over other axes than the last"));
    };
    if axis != -1 && axis != last || flags.test != Test::Features || flags.negated {
        return Err(b.unsupported("a sum of truth values that is not that of a Masking layer"));
    }
    let mut y = flagged(x, Flags { test: Test::Count, ..flags.clone() });
    y.axes.pop();
    if keep {
        y.axes.push(Vec::new());
    }
    Ok(y.into())
}

/// A sequence whose masked steps become 0, and where it is masked from here on.
fn masked(b: &mut Builder<'_>, by: &Device, x: &Device) -> Result<Value> {
    let steps = by.axes.len() == 3 && by.axes[..2] == x.axes[..2] && by.axes[2].is_empty();
    let value = by.flags.as_deref().and_then(|flags| match flags.by {
        MaskOf::Steps(of, value)
            if of == x.id && flags.test == Test::Steps && !flags.negated && !flags.reversed && steps =>
        {
            Some(value)
        }
        _ => None,
    });
    let Some(value) = value else { return filled(b, by, x, 0.0) };
    let (time, features) = (x.axes[usize::from(x.batch_axis() == Some(0))].clone(), x.axes[2].clone());
    let arranged = b.arrange(x, &[time, features])?;
    let arranged = b.unmasked(&arranged)?;
    let symbol = b.layer(Masking::new(f32::from_bits(value)), Vec::new(), &arranged.symbol)?;
    let mask = MaskOf::Steps(x.id, value);
    b.carry(mask, &symbol);
    let mut y = b.like(&arranged, symbol);
    y.mask = Some(mask);
    Ok(y.into())
}

/// Flags in the opposite order of steps.
pub(super) fn reversed(b: &Builder<'_>, x: &Device) -> Result<Value> {
    match x.flags.as_deref() {
        Some(flags) if flags.test == Test::Steps => {
            Ok(flagged(x, Flags { reversed: !flags.reversed, ..flags.clone() }).into())
        }
        _ => Err(b.unsupported("truth values that are no mask in the opposite order")),
    }
}
