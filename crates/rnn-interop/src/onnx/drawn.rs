//! Sequences with gaps that are drawn together: what [`write`](super::write) makes of masks, read as layers behind a mask again.
//!
//! The steps that are there move to the front (TopK of the mask, GatherND), a recurrent operator runs over as many of them
//! (`sequence_lens` is the sum of the mask), and its outputs go back to their steps (CumSum, GatherND, Where). Nothing of
//! this is computed here. A value that is drawn together is the same value with a note of it ([`Device::drawn`]), and only
//! the operators of this table take it.

use super::builder::Builder;
use super::filled::is_filled;
use super::flags::{Derived, Flags, Test, flagged};
use super::node::Node;
use super::number::Number;
use super::recurrent::states::behind_lengths;
use super::value::{BATCH, Device, Group, Kind, Known, MaskOf, Value};
use crate::Result;
use ndarray::ArrayD;
use rnn_model::layer::{ActivationLayer, Concatenate, Layer, Multiply, Reverse, WithMask};
use rnn_model::{Parametric, Symbol};
use std::rc::Rc;

/// That a value's steps stand together.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Drawn {
    /// the mask whose steps they are
    pub by: MaskOf,
    /// the axis of the steps
    pub time: Group,
    pub stage: Stage,
}

/// How far a sequence has come.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Stage {
    /// steps for a recurrent operator
    Input,
    /// its outputs
    Outputs { backward: bool },
    /// the same at their own steps, with anything where nothing came before
    Back { backward: bool },
    /// steps at their places, with a number at masked ones, by its bits (see [`filled`](super::filled))
    Filled { number: u32 },
    /// the sum of the steps that are there
    Sum { keep: bool },
    /// the largest values of these
    Most { keep: bool },
    /// a softmax that does not see masked steps
    Shares { axis: usize },
    /// a product that is 0 at masked steps already
    Emptied,
}

/// A layer behind a mask, as it is where masked steps are shown otherwise.
#[derive(Clone, Debug)]
pub(super) struct Forms {
    /// the mask
    pub by: MaskOf,
    /// the layer that gives 0 there, if it has no further outputs
    pub zeroed: Option<Zeroed>,
    /// its last output, where the operator gives the last state
    pub last: Option<Symbol>,
    /// the values that it starts from
    pub starts: Vec<u64>,
    /// its last state
    pub end: Option<u64>,
    /// the layer whose outputs repeat themselves behind the lengths
    pub held: Option<Zeroed>,
}

/// A layer that was not applied yet.
#[derive(Clone, Debug)]
pub(super) struct Zeroed {
    /// what tells the layer from others
    pub key: String,
    pub layer: Layer,
    pub inputs: Vec<Symbol>,
    pub weights: Vec<ArrayD<f32>>,
    /// it runs from the last step to the first
    pub backward: bool,
    /// the layer that it stands for, if that may not be in the model beside it
    pub instead: Option<String>,
}

impl Drawn {
    /// Of the outputs of a layer.
    pub fn outputs(&self, backward: bool) -> Self {
        Drawn { stage: Stage::Outputs { backward }, ..self.clone() }
    }
}

/// Remembers how else the layer can be that gave these values: its outputs, then its states.
pub(super) fn remember(b: &mut Builder<'_>, made: &[Value], forms: &Forms) {
    let gives_sequence = forms.last.is_none();
    for (at, value) in made.iter().enumerate() {
        let Value::Device(x) = value else { continue };
        let is_output = at == usize::from(!gives_sequence);
        let zeroed = forms.zeroed.clone().filter(|_| is_output);
        let last = forms.last.clone().filter(|_| is_output);
        let held = forms.held.clone().filter(|_| is_output);
        b.set_forms(x, Forms { zeroed, last, held, ..forms.clone() });
    }
}

/// Refuses values that are drawn together where an operator takes them as they are.
pub(super) fn check(b: &Builder<'_>, node: &Node<'_>) -> Result<()> {
    let is_drawn = |value: &Value| match value {
        Value::Device(x) => x.drawn.is_some(),
        Value::Stack(stack) => stack.parts.iter().any(|part| part.drawn.is_some()),
        Value::Known(_) => false,
    };
    if node.inputs().any(is_filled) {
        return Ok(());
    }
    let first = usize::from(matches!(node.op, "LSTM" | "GRU" | "RNN" | "GatherND"));
    let taken = match node.op {
        "Transpose" | "Squeeze" | "Unsqueeze" | "Identity" => node.count(),
        "Where" => 2,
        _ => first,
    };
    let others = (taken..node.count()).filter_map(|i| node.optional(i)).chain(node.captured.values());
    match others.into_iter().any(is_drawn) {
        true => Err(refused(b, "an operator on steps that stand together")),
        false => Ok(()),
    }
}

pub(super) fn refused(b: &Builder<'_>, what: &str) -> crate::Error {
    b.unsupported(format!(
        "{what}; the steps of a mask may be drawn together before a recurrent operator and must be put back behind it"
    ))
}

/// What an operator makes of flags, if it is one of those that draw together.
pub(super) fn operator(b: &mut Builder<'_>, node: &Node<'_>) -> Result<Option<Vec<Value>>> {
    let inputs = node.all()?;
    let test = |x: &Device| x.flags.as_ref().map(|flags| flags.test);
    let made = match (node.op, inputs.as_slice()) {
        ("TopK", [Value::Device(x), _]) => return order(b, node, x).map(Some),
        ("CumSum", [Value::Device(x), Value::Known(axis)]) => passed(b, node, x, axis)?,
        ("ReduceSum", [Value::Device(x), Value::Known(axes)]) if test(x) == Some(Test::Steps) => {
            let of_steps = axes.ints().as_deref() == Some(&[1]) && node.int("keepdims", 1)? == 0;
            node.pass_over("noop_with_empty_axes");
            let (Some(flags), true) = (steps(x), of_steps) else {
                return Err(refused(b, "a sum of truth values"));
            };
            Device { axes: vec![x.axes[0].clone()], ..derived(x, flags, Derived::Number) }
        }
        ("Sub", [Value::Device(x), Value::Known(one)]) if one.uniform() == Some(1.0) => {
            match (x.flags.as_deref(), test(x)) {
                (Some(flags), Some(Test::Derived(Derived::Passed { exclusive: false }))) => {
                    derived(x, flags, Derived::Place { backward: false })
                }
                _ => return Ok(None),
            }
        }
        ("Greater", [Value::Device(x), Value::Known(zero)]) if zero.uniform() == Some(0.0) => {
            match (x.flags.as_deref(), test(x)) {
                (Some(flags), Some(Test::Derived(Derived::Passed { exclusive: false }))) => {
                    derived(x, flags, Derived::Seen { backward: false })
                }
                (Some(flags), Some(Test::Derived(Derived::Number))) => derived(x, flags, Derived::Any),
                _ => return Ok(None),
            }
        }
        ("Max", [Value::Device(x), Value::Known(one)]) if one.uniform() == Some(1.0) => {
            match (x.flags.as_deref(), test(x)) {
                (Some(flags), Some(Test::Derived(Derived::Number))) => derived(x, flags, Derived::AtLeastOne),
                _ => return Ok(None),
            }
        }
        ("Less", [Value::Device(x), Value::Device(n)]) => match (x.flags.as_deref(), n.flags.as_deref()) {
            (Some(flags), Some(number))
                if flags.test == Test::Derived(Derived::Passed { exclusive: true })
                    && number.test == Test::Derived(Derived::Number)
                    && flags.by == number.by
                    && n.axes.as_slice() == [vec![BATCH], Group::new()] =>
            {
                derived(x, flags, Derived::Seen { backward: true })
            }
            _ => return Ok(None),
        },
        ("Gather", [Value::Device(x), Value::Known(at)]) => {
            let first = match at.ints().as_deref() {
                Some([0]) => Some(true),
                Some([-1]) => Some(false),
                _ => None,
            };
            let (Some(flags), 1, Some(first)) = (steps(x), node.int("axis", 0)?, first) else {
                return Err(refused(b, "elements of truth values"));
            };
            let axes = vec![x.axes[0].clone(), Group::new()];
            Device { axes, ..derived(x, flags, Derived::End { first }) }
        }
        ("GatherND", [Value::Device(x), Value::Device(by)]) => moved(b, node, x, by)?,
        ("Where", [Value::Device(by), Value::Device(x), other]) => match shown(b, by, x, other)? {
            Some(y) => y,
            None => return Ok(None),
        },
        _ => return Ok(None),
    };
    Ok(Some(vec![made.into()]))
}

/// The flags of a value `[batch, time]` that is a mask.
fn steps(x: &Device) -> Option<&Flags> {
    let flags = x.flags.as_deref()?;
    let plain = flags.test == Test::Steps && !flags.negated && !flags.reversed;
    (plain && x.axes.len() == 2 && x.batch_axis() == Some(0)).then_some(flags)
}

fn derived(x: &Device, flags: &Flags, what: Derived) -> Device {
    flagged(x, Flags { test: Test::Derived(what), ..flags.clone() })
}

/// TopK of a mask: its steps in their order, then the others.
fn order(b: &mut Builder<'_>, node: &Node<'_>, x: &Device) -> Result<Vec<Value>> {
    let (axis, largest, sorted) = (node.int("axis", -1)?, node.int("largest", 1)?, node.int("sorted", 1)?);
    let all = node.numbers(1, "how many are taken")?;
    let time = x.axes.last().map(|group| b.size(group));
    let whole = matches!((all.as_deref(), &time), (Some([n]), Some(time)) if b.same(n, time));
    let used = node.wanted.first() == Some(&true);
    match steps(x) {
        Some(flags) if node.axis(axis, 2)? == 1 && largest == 1 && sorted == 1 && whole && !used => {
            let nothing = Known::plain(super::tensor::Tensor::scalar(0.0));
            Ok(vec![nothing.into(), derived(x, flags, Derived::Order).into()])
        }
        _ => Err(refused(b, "truth values that are sorted")),
    }
}

/// CumSum of a mask.
fn passed(b: &Builder<'_>, node: &Node<'_>, x: &Device, axis: &Known) -> Result<Device> {
    let exclusive = node.int("exclusive", 0)? != 0;
    let forward = node.int("reverse", 0)? == 0;
    match (steps(x), axis.tensor.number()) {
        (Some(flags), Some(Number::Known(1))) if forward => {
            Ok(derived(x, flags, Derived::Passed { exclusive }))
        }
        _ => Err(refused(b, "a running sum of truth values")),
    }
}

/// GatherND of steps: drawn together, or put back.
fn moved(b: &Builder<'_>, node: &Node<'_>, x: &Device, by: &Device) -> Result<Device> {
    let refuse = |b: &Builder<'_>| refused(b, "elements of a tensor by a mask");
    let Some(flags) = by.flags.as_deref() else { return Err(refuse(b)) };
    let by_step = node.int("batch_dims", 0)? == 1 && by.axes.len() == 3 && by.axes[2].is_empty();
    if !by_step || by.batch_axis() != Some(0) || x.batch_axis() != Some(0) || x.axes.len() != 3 {
        return Err(refuse(b));
    }
    let time = x.axes[1].clone();
    let backward = match flags.test {
        Test::Derived(Derived::Order) if x.drawn.is_none() && x.kind == Kind::Float => {
            let drawn = Some(Rc::new(Drawn { by: flags.by, time, stage: Stage::Input }));
            return Ok(Device { drawn, origin: None, ..x.clone() });
        }
        Test::Derived(Derived::Place { backward }) => backward,
        Test::Derived(Derived::Passed { exclusive: true }) => true,
        _ => return Err(refuse(b)),
    };
    let outputs = Drawn { by: flags.by, time, stage: Stage::Outputs { backward } };
    match &x.drawn {
        Some(drawn) if **drawn == outputs => {
            let drawn = Some(Rc::new(Drawn { stage: Stage::Back { backward }, ..outputs }));
            Ok(Device { drawn, ..x.clone() })
        }
        _ => Err(refuse(b)),
    }
}

/// Where: outputs, or a last output or state, as masked steps show them.
fn shown(b: &mut Builder<'_>, by: &Device, x: &Device, other: &Value) -> Result<Option<Device>> {
    let Some(flags) = by.flags.clone() else { return Ok(None) };
    let zero = matches!(other, Value::Known(known) if known.uniform() == Some(0.0));
    let columns = by.batch_axis() == Some(0) && by.axes.last().is_some_and(Vec::is_empty);
    if !columns || by.axes.len() != x.axes.len() || x.batch_axis() != Some(0) {
        return Ok(None);
    }
    let back = match x.drawn.as_deref() {
        None => None,
        Some(Drawn { by, stage: Stage::Back { backward }, .. }) if *by == flags.by && zero => Some(*backward),
        Some(_) => return Err(refused(b, "outputs of steps that stand together")),
    };
    let plain = Device { drawn: None, ..x.clone() };
    match (flags.test, back) {
        (Test::Derived(Derived::Seen { backward }), Some(own)) if own == backward => Ok(Some(plain)),
        (Test::Steps, Some(own)) if !flags.negated && !flags.reversed => match zeroed(b, x, own) {
            Ok(y) => Ok(Some(y)),
            Err(_) => emptied(b, &plain, flags.by).map(Some),
        },
        (_, Some(_)) => Err(refused(b, "outputs that are shown at other steps")),
        (Test::Derived(Derived::End { first }), None) if zero => {
            if b.forms(x).is_none_or(|forms| forms.by != flags.by) {
                return Err(refused(b, "a choice by whether a step is there"));
            }
            zeroed(b, x, first).map(Some)
        }
        (Test::Derived(Derived::Any), None) => {
            let forms = b.forms(x).filter(|forms| forms.by == flags.by);
            let last = forms.and_then(|forms| forms.last.clone());
            let starts = forms.map(|forms| forms.starts.clone()).unwrap_or_default();
            match (other, last) {
                (_, Some(last)) if zero => Ok(Some(b.device(last, x.physical.clone(), x.axes.clone()))),
                (Value::Device(start), _) if starts.contains(&start.id) => Ok(Some(plain)),
                _ => Err(refused(b, "a choice by whether there is any step")),
            }
        }
        _ => Ok(None),
    }
}

/// What the layer that made `x` gives where masked steps are 0.
fn zeroed(b: &mut Builder<'_>, x: &Device, backward: bool) -> Result<Device> {
    let Some(form) = b.take_zeroed(x).filter(|form| form.backward == backward) else {
        return Err(b.unsupported(
            "zeros at masked steps, of a layer that gives states too or whose outputs are used more than once",
        ));
    };
    let inputs: Vec<&Symbol> = form.inputs.iter().collect();
    let weights = form.weights;
    let mut symbol = b.shared(form.key, form.layer, || weights, &inputs)?.swap_remove(0);
    if backward && x.drawn.is_some() {
        symbol = b.layer(Reverse::new(), Vec::new(), &symbol)?;
    }
    Ok(b.like(x, symbol))
}

/// The sequence behind the mask that its steps were drawn together by, where `lens` counts them.
pub(super) fn behind_mask(b: &mut Builder<'_>, x: &Device, drawn: &Drawn, lens: &Device) -> Result<Device> {
    let counts = lens.flags.as_deref().is_some_and(|flags| {
        flags.test == Test::Derived(Derived::Number)
            && flags.by == drawn.by
            && lens.axes.as_slice() == [vec![BATCH]]
    });
    if !counts || drawn.stage != Stage::Input || x.physical.first() != Some(&drawn.time) {
        return Err(refused(b, "sequence_lens that do not count the steps that stand together"));
    }
    let x = Device { drawn: None, ..x.clone() };
    if x.mask == Some(drawn.by) {
        return Ok(x);
    }
    masked_by(b, &x, drawn.by)
}

/// A value `[time, ...]` behind a mask.
pub(super) fn masked_by(b: &mut Builder<'_>, x: &Device, by: MaskOf) -> Result<Device> {
    if x.mask == Some(by) {
        return Ok(x.clone());
    }
    if let Some(lengths) = b.lengths(by).cloned() {
        return behind_lengths(b, x, &lengths);
    }
    let carrier = carrier(b, x, by)?;
    let symbol = b.apply(WithMask::new(), Vec::new(), &[&x.symbol, &carrier])?.swap_remove(0);
    let mut y = b.like(x, symbol);
    y.mask = Some(by);
    Ok(y)
}

/// A value that has a mask; of two masks of which either counts, one is made of values that have them.
fn carrier(b: &mut Builder<'_>, x: &Device, by: MaskOf) -> Result<Symbol> {
    if let Some(carrier) = b.carrier(by) {
        return Ok(carrier);
    }
    if b.lengths(by).is_some() {
        return Ok(masked_by(b, x, by)?.symbol);
    }
    let Some((first, second)) = b.parts_of(by) else {
        return Err(refused(b, "a mask that is not one of Masking or Embedding(mask_zero)"));
    };
    let parts = [carrier(b, x, first)?, carrier(b, x, second)?];
    let both = b.apply(Concatenate::new(), Vec::new(), &[&parts[0], &parts[1]])?.swap_remove(0);
    b.carry(by, &both);
    Ok(both)
}

/// A sequence `[time, units]` with 0 at masked steps: its product with ones behind the same mask.
fn emptied(b: &mut Builder<'_>, x: &Device, by: MaskOf) -> Result<Device> {
    let masked = masked_by(b, x, by)?;
    let one = ActivationLayer::new(Parametric::Affine { alpha: 0.0, beta: 1.0 });
    let ones = b.layer(one, Vec::new(), &masked.symbol)?;
    let symbol = b.apply(Multiply::new(), Vec::new(), &[&masked.symbol, &ones])?.swap_remove(0);
    Ok(b.like(&masked, symbol))
}
