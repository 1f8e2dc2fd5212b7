//! From the cells of a loop to layers, and to what the loop gives.

use super::Carried;
use super::body::Body;
use super::cell::{Cell, Cells, Class, From};
use crate::Result;
use crate::onnx::builder::Builder;
use crate::onnx::flags::Flags;
use crate::onnx::node::Node;
use crate::onnx::recurrent::states;
use crate::onnx::slice;
use crate::onnx::value::{BATCH, Device, Group, Known, Origin, Value};
use rnn_model::Symbol;
use rnn_model::layer::{Gru, Layer, Lstm, SimpleRnn};
use serde_json::Value as Json;
use std::rc::Rc;

/// What is asked of a cell's layer.
#[derive(Clone, Copy, Default)]
struct Wanted {
    sequence: bool,
    last: bool,
    states: bool,
}

/// What a layer gives.
struct Made {
    sequence: Option<Device>,
    last: Option<Symbol>,
    states: Vec<Symbol>,
    units: Group,
}

/// The outputs of the loop.
pub(super) fn layers(
    b: &mut Builder<'_>,
    node: &Node<'_>,
    carried: &[Carried],
    found: &Cells,
    x: Device,
    body: &Body<'_>,
) -> Result<Vec<Value>> {
    let is_wanted = |at: usize| node.wanted.get(at).copied().unwrap_or(false);
    let (x, backwards) = input(b, &x, body.flags.as_deref())?;
    let mut wanted = vec![Wanted::default(); found.cells.len()];
    for (at, &cell) in found.scanned.iter().enumerate() {
        wanted[cell].sequence |= is_wanted(carried.len() + at);
    }
    for (at, cell) in found.cells.iter().enumerate() {
        for (i, &state) in cell.states.iter().enumerate() {
            // h alone is the last output.
            wanted[at].states |= is_wanted(state) && i > 0;
            wanted[at].last |= is_wanted(state) && i == 0;
        }
        if let From::Cell(before) = cell.from {
            wanted[before].sequence = true;
        }
    }
    for &(at, cell) in &found.kept {
        wanted[cell].sequence |= is_wanted(at);
        if !matches!(&carried[at], Carried::State { first: Value::Known(first), .. } if first.uniform() == Some(0.0))
        {
            return Err(b.unsupported("outputs of masked steps that do not start from 0"));
        }
    }
    let mut made: Vec<Made> = Vec::with_capacity(found.cells.len());
    for (cell, wanted) in found.cells.iter().zip(&wanted) {
        let input = match cell.from {
            From::Sequence => x.clone(),
            From::Cell(before) => match &made[before].sequence {
                Some(sequence) => sequence.clone(),
                None => return Err(b.damaged("a cell before its input")),
            },
        };
        let backwards = backwards && cell.from == From::Sequence;
        let one = Run { cell, wanted: *wanted, backwards, zero_masked: found.zero_masked };
        made.push(one.apply(b, &input, carried)?);
    }
    let mut results = Vec::new();
    for (at, carried) in carried.iter().enumerate() {
        results.push(match (is_wanted(at), carried) {
            (true, Carried::Fixed(value)) => value.clone(),
            (true, Carried::State { .. }) => last(b, found, &made, at)?,
            (true, Carried::Counter(_)) => return Err(b.unsupported("the number of steps done as an output")),
            (false, _) => nothing(),
        });
    }
    for &cell in &found.scanned {
        results.push(made[cell].sequence.clone().map_or_else(nothing, Value::Device));
    }
    Ok(results)
}

/// In place of an output that nothing uses.
fn nothing() -> Value {
    Known::plain(crate::onnx::tensor::Tensor::scalar(0.0)).into()
}

/// The sequence as a layer takes it, with the mask that the loop obeys; and whether it is walked from its end.
fn input(b: &mut Builder<'_>, x: &Device, flags: Option<&Flags>) -> Result<(Device, bool)> {
    let (x, backwards) = match b.reversed(x) {
        Some(original) => (original, true),
        None => (x.clone(), false),
    };
    let arranged = b.arrange(&x, &[x.axes[0].clone(), x.axes[2].clone()])?;
    let Some(flags) = flags else { return Ok((b.unmasked(&arranged)?, backwards)) };
    if flags.reversed != backwards || arranged.mask != Some(flags.by) {
        return Err(b.unsupported(
            "a mask that its sequence does not have; masks are read that Masking or Embedding(mask_zero) make",
        ));
    }
    Ok((arranged, backwards))
}

/// The value at the last step of one that goes from step to step, `[batch, units]`.
fn last(b: &mut Builder<'_>, found: &Cells, made: &[Made], at: usize) -> Result<Value> {
    if let Some(&(_, cell)) = found.kept.iter().find(|(kept, _)| *kept == at)
        && let Some(sequence) = &made[cell].sequence
    {
        return slice::element(b, &Value::Device(sequence.clone()), 0, -1);
    }
    let place = found
        .cells
        .iter()
        .enumerate()
        .find_map(|(cell, c)| c.states.iter().position(|&state| state == at).map(|state| (cell, state)));
    let Some((cell, state)) = place else { return Err(b.damaged("a state of no cell")) };
    let symbol = match (&made[cell].last, made[cell].states.get(state)) {
        (Some(last), _) if state == 0 => last.clone(),
        (_, Some(symbol)) => symbol.clone(),
        _ => return Err(b.damaged("a state that its layer does not give")),
    };
    let units = made[cell].units.clone();
    Ok(Value::Device(b.device(symbol, vec![units.clone()], vec![vec![BATCH], units])))
}

/// A cell that becomes a layer.
struct Run<'a> {
    cell: &'a Cell,
    wanted: Wanted,
    backwards: bool,
    zero_masked: bool,
}

impl Run<'_> {
    fn apply(&self, b: &mut Builder<'_>, x: &Device, carried: &[Carried]) -> Result<Made> {
        let masked = x.mask.is_some();
        let states = self.first_states(b, x, carried)?;
        // Samples without a step have an initial state as their last, which is no output.
        let more =
            self.wanted.states || self.wanted.last && (self.wanted.sequence || masked && !states.is_empty());
        let layer = self.layer(b, self.wanted.sequence, more)?;
        let inputs: Vec<&Symbol> = std::iter::once(&x.symbol).chain(&states).collect();
        let mut outputs = b.apply(layer, self.cell.weights.clone(), &inputs)?.into_iter();
        let first = outputs.next().ok_or_else(|| b.damaged("a layer without outputs"))?;
        let units = b.axis(Some(self.cell.units));
        let time = x.physical[0].clone();
        let sequence = match self.wanted.sequence {
            true => {
                let axes = vec![time.clone(), vec![BATCH], units.clone()];
                let mut y = b.device(first.clone(), vec![time.clone(), units.clone()], axes);
                y.mask = x.mask;
                // Turned round, the steps that are there are others.
                if self.backwards {
                    y = b.unmasked(&y)?;
                }
                if !more && !self.zero_masked {
                    y.origin = Some(Rc::new(Origin::Sequence {
                        key: format!("loop {}", b.key()),
                        last: Box::new(self.layer(b, false, false)?),
                        inputs: inputs.into_iter().cloned().collect(),
                        weights: self.cell.weights.clone(),
                        time,
                        units: units.clone(),
                    }));
                }
                Some(y)
            }
            false => None,
        };
        let last = (!self.wanted.sequence && !more).then_some(first);
        Ok(Made { sequence, last, states: outputs.collect(), units })
    }

    fn first_states(&self, b: &mut Builder<'_>, x: &Device, carried: &[Carried]) -> Result<Vec<Symbol>> {
        let firsts: Vec<&Value> = self
            .cell
            .states
            .iter()
            .filter_map(|&at| match &carried[at] {
                Carried::State { first, .. } => Some(first),
                _ => None,
            })
            .collect();
        states::given(b, &firsts, self.cell.units, x)
    }

    fn layer(&self, b: &Builder<'_>, return_sequences: bool, return_state: bool) -> Result<Layer> {
        let cell = self.cell;
        let mut options: Vec<(&str, Json)> = vec![
            ("activation", cell.activation.clone()),
            ("use_bias", cell.use_bias.into()),
            ("return_sequences", return_sequences.into()),
            ("return_state", return_state.into()),
            ("go_backwards", self.backwards.into()),
            ("zero_output_for_mask", (return_sequences && self.zero_masked).into()),
        ];
        let layer: Layer = match cell.class {
            Class::SimpleRnn => SimpleRnn::new(cell.units).into(),
            Class::Gru { reset_after } => {
                options.push(("reset_after", reset_after.into()));
                options.push(("recurrent_activation", cell.recurrent_activation.clone()));
                Gru::new(cell.units).into()
            }
            Class::Lstm => {
                options.push(("recurrent_activation", cell.recurrent_activation.clone()));
                options.push(("unit_forget_bias", false.into()));
                Lstm::new(cell.units).into()
            }
        };
        b.configured(layer, &options)
    }
}
