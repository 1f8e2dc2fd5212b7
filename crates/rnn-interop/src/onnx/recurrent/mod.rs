//! LSTM, GRU and RNN: options, weights and states of ONNX's operators in the terms of the layers here.
//!
//! | | ONNX | here |
//! |---|---|---|
//! | kernels | `W [directions, gates * units, features]`, `R [directions, gates * units, units]` | transposed, one pair for each direction |
//! | gates of an LSTM | i, o, f, c | i, f, c, o |
//! | gates of a GRU | z, r, h | the same |
//! | bias | `B [directions, 2 * gates * units]`, of the input, then of the state | their sum; of a GRU with `linear_before_reset` the two rows |
//! | `linear_before_reset` | 1, 0 | `reset_after` true, false |
//! | `activations` of an LSTM: f, g, h | | `recurrent_activation`, `activation`, `output_activation` |
//! | `clip`, `input_forget`, `P` | | `clip`, `input_forget`, `peepholes` |
//! | `direction=reverse` | outputs stand at their steps | `go_backwards`, and [`Reverse`] behind it |
//! | `sequence_lens` | outputs behind the last step are 0, states are the last step's | [`Lengths`] and `zero_output_for_mask` |

mod options;
pub(super) mod states;
mod weights;

use super::builder::Builder;
use super::drawn::{self, Forms, Zeroed};
use super::node::Node;
use super::number::text;
use super::value::{BATCH, Device, Group, Kind, Known, MaskOf, Origin, Stack, Value};
use crate::Result;
use ndarray::ArrayD;
use options::{Options, layer};
use rnn_model::Symbol;
use rnn_model::layer::{Bidirectional, Layer, MergeMode, Reverse};
use states::{initial_states, lengths};
use std::rc::Rc;
use weights::Weights;

/// The three operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cell {
    Lstm,
    Gru,
    Rnn,
}

impl Cell {
    /// Places of ONNX's gates, in the order of the layers here.
    fn gates(self) -> &'static [usize] {
        match self {
            Cell::Lstm => &[0, 2, 3, 1],
            Cell::Gru => &[0, 1, 2],
            Cell::Rnn => &[0],
        }
    }

    /// Activations of a direction.
    fn activations(self) -> &'static [&'static str] {
        match self {
            Cell::Lstm => &["Sigmoid", "Tanh", "Tanh"],
            Cell::Gru => &["Sigmoid", "Tanh"],
            Cell::Rnn => &["Tanh"],
        }
    }
}

pub(super) fn recurrent(b: &mut Builder<'_>, node: &Node<'_>) -> Result<Vec<Value>> {
    let cell = match node.op {
        "LSTM" => Cell::Lstm,
        "GRU" => Cell::Gru,
        _ => Cell::Rnn,
    };
    let (backward, directions) = match node.string("direction", "forward")? {
        "forward" => (false, 1),
        "reverse" => (true, 1),
        "bidirectional" => (false, 2),
        other => return Err(b.damaged(format!("direction {other:?}"))),
    };
    let by_sample = match node.int("layout", 0)? {
        0 => false,
        1 => true,
        other => return Err(b.damaged(format!("layout {other}"))),
    };
    // Of versions before 7: all outputs are given anyway.
    node.pass_over("output_sequence");
    for (i, what) in [(1, "W"), (2, "R"), (3, "B")] {
        node.constant(i, what)?;
    }
    let drawn = match node.input(0)? {
        Value::Device(x) => x.drawn.clone(),
        _ => None,
    };
    let x = input(b, node, by_sample)?;
    let features = b.known_size(&x.physical[1]).unwrap_or(0);
    let wanted = |i: usize| node.wanted.get(i).copied().unwrap_or(false);
    let (y_wanted, h_wanted, c_wanted) = (wanted(0), wanted(1), wanted(2));

    let weights = Weights::read(b, node, cell, directions, features)?;
    let units = weights.units;
    if node.maybe_int("hidden_size")?.is_some_and(|n| n != units as i64) {
        return Err(b.damaged(format!("hidden_size is not the {units} of R")));
    }
    let x = match (&drawn, node.optional(4)) {
        (Some(drawn), Some(Value::Device(lens))) if directions == 1 => {
            drawn::behind_mask(b, &x, drawn, lens)?
        }
        (Some(_), _) => {
            return Err(drawn::refused(b, "steps that stand together without their number as sequence_lens"));
        }
        (None, _) => lengths(b, node, x)?,
    };
    let masked = x.mask.is_some();
    let states = initial_states(b, node, cell, directions, units, by_sample, &x)?;

    // Samples without a step have an initial state as their last, which is no output.
    let return_state = c_wanted || y_wanted && h_wanted || h_wanted && masked && !states.is_empty();
    let mut layers = Vec::with_capacity(directions);
    for direction in 0..directions {
        let options = Options {
            return_sequences: y_wanted,
            return_state,
            go_backwards: backward || direction == 1,
            // Of steps that stand together, what stands behind the outputs says how masked ones are shown.
            zero_output_for_mask: y_wanted && masked && drawn.is_none(),
        };
        layers.push(layer(b, node, cell, direction, directions, &weights, options)?);
    }
    let instead = match layers.as_slice() {
        [only] => Some(key_of(b, node, only)?),
        _ => None,
    };
    let arrays: Vec<ArrayD<f32>> = (0..directions).flat_map(|d| weights.arrays(cell, d)).collect();
    let inputs: Vec<&Symbol> = std::iter::once(&x.symbol).chain(&states).collect();
    let (outputs, both) = match <[Layer; 2]>::try_from(layers) {
        Ok([forward, backward]) => {
            let mode = if y_wanted { MergeMode::Concat } else { MergeMode::None };
            let layer = Bidirectional::new(forward).merge_mode(mode).backward_layer(backward);
            (applied(b, node, layer.into(), arrays, &inputs)?, true)
        }
        Err(mut single) => {
            let Some(only) = single.pop() else { return Err(b.damaged("no direction")) };
            (applied(b, node, only, arrays, &inputs)?, false)
        }
    };
    let single = Single { units: b.axis(Some(units)), directions, by_sample };

    let mut results = Vec::new();
    let mut outputs = outputs.into_iter();
    // Y, or the last outputs, which are h where there are no states.
    let firsts: Vec<Symbol> = outputs.by_ref().take(if both && !y_wanted { 2 } else { 1 }).collect();
    let rest: Vec<Symbol> = outputs.collect();
    if y_wanted {
        let Some(y) = firsts.first() else { return Err(b.damaged("no output")) };
        results.push(sequence(b, node, &x, y.clone(), &single, backward, &states, masked, &weights, cell)?);
    } else {
        results.push(none(b));
    }
    let per_direction = rest.len() / directions;
    let state = |i: usize| -> Vec<Symbol> {
        (0..directions).filter_map(|d| rest.get(d * per_direction + i).cloned()).collect()
    };
    let last = firsts.first().cloned().filter(|_| !y_wanted);
    let h = if return_state { state(0) } else { firsts };
    results.push(if h_wanted { stacked(b, h, &single)? } else { none(b) });
    if cell == Cell::Lstm {
        results.push(if c_wanted { stacked(b, state(1), &single)? } else { none(b) });
    }
    if let (Some(by), 1) = (x.mask, directions) {
        let starts = (5..7).filter_map(|i| match node.optional(i)? {
            Value::Device(start) => Some(start.id),
            _ => None,
        });
        let starts = starts.collect();
        let mut forms = Forms { by, zeroed: None, last, starts, end: None, held: None };
        if let (Some(Value::Device(h)), None, MaskOf::Lengths(_)) = (results.get(1), &drawn, by)
            && y_wanted
            && !backward
        {
            forms.end = Some(h.id);
            forms.held = Some(held(b, node, cell, &weights, &inputs, instead)?);
        }
        if let Some(drawn) = &drawn {
            if let Some(Value::Device(y)) = results.first_mut().filter(|_| y_wanted) {
                y.drawn = Some(Rc::new(drawn.outputs(backward)));
            }
            if !return_state {
                forms.zeroed = Some(zeroed(b, node, cell, &weights, y_wanted, backward, &inputs)?);
            }
        }
        drawn::remember(b, &results, &forms);
    }
    Ok(results)
}

/// The layer of a node over steps that stand together, as it is where masked steps give 0.
fn zeroed(
    b: &mut Builder<'_>,
    node: &Node<'_>,
    cell: Cell,
    weights: &Weights,
    return_sequences: bool,
    backward: bool,
    inputs: &[&Symbol],
) -> Result<Zeroed> {
    let options =
        Options { return_sequences, return_state: false, go_backwards: backward, zero_output_for_mask: true };
    let layer = layer(b, node, cell, 0, 1, weights, options)?;
    Ok(Zeroed {
        key: key_of(b, node, &layer)?,
        layer,
        inputs: inputs.iter().map(|&symbol| symbol.clone()).collect(),
        weights: weights.arrays(cell, 0),
        backward,
        instead: None,
    })
}

/// The layer of a node over lengths, as it is where outputs repeat themselves behind them.
fn held(
    b: &mut Builder<'_>,
    node: &Node<'_>,
    cell: Cell,
    weights: &Weights,
    inputs: &[&Symbol],
    instead: Option<String>,
) -> Result<Zeroed> {
    let options = Options {
        return_sequences: true,
        return_state: false,
        go_backwards: false,
        zero_output_for_mask: false,
    };
    let layer = layer(b, node, cell, 0, 1, weights, options)?;
    Ok(Zeroed {
        key: key_of(b, node, &layer)?,
        layer,
        inputs: inputs.iter().map(|&symbol| symbol.clone()).collect(),
        weights: weights.arrays(cell, 0),
        backward: false,
        instead,
    })
}

/// A layer with the weights of a node; nodes of the same weights and options are one layer.
fn applied(
    b: &mut Builder<'_>,
    node: &Node<'_>,
    layer: Layer,
    arrays: Vec<ArrayD<f32>>,
    inputs: &[&Symbol],
) -> Result<Vec<Symbol>> {
    let key = key_of(b, node, &layer)?;
    b.shared(key, layer, || arrays, inputs)
}

/// What tells the layer of a node from others: its options, and where its weights stand in the file.
fn key_of(b: &Builder<'_>, node: &Node<'_>, layer: &Layer) -> Result<String> {
    let place = |i: usize| match node.optional(i) {
        Some(Value::Known(known)) => Rc::as_ptr(&known.tensor) as usize,
        _ => 0,
    };
    let options = serde_json::to_string(layer).map_err(|e| b.damaged(e.to_string()))?;
    Ok(format!("recurrent {:?} {options}", [1, 2, 3, 7].map(place)))
}

/// In place of an output that nothing uses.
fn none(_: &mut Builder<'_>) -> Value {
    Value::Known(Known::plain(super::tensor::Tensor::scalar(0.0)))
}

/// What outputs have in common.
struct Single {
    units: Group,
    directions: usize,
    by_sample: bool,
}

/// The sequence, as `[time, features]` of each sample.
fn input(b: &mut Builder<'_>, node: &Node<'_>, by_sample: bool) -> Result<Device> {
    let x = b.computed(node.input(0)?)?;
    let (batch, time) = if by_sample { (0, 1) } else { (1, 0) };
    if x.axes.len() != 3 || x.batch_axis() != Some(batch) {
        return Err(b.unsupported(format!(
            "X of shape {}; expected 3 axes with the batch as axis {batch}",
            text(&b.shape(&x))
        )));
    }
    if x.kind != Kind::Float {
        return Err(b.unsupported("X of whole numbers"));
    }
    if b.known_size(&x.axes[2]).is_none() {
        return Err(b.unsupported("an unknown number of features"));
    }
    b.arrange(&x, &[x.axes[time].clone(), x.axes[2].clone()])
}

/// Y: the outputs of all steps.
fn sequence(
    b: &mut Builder<'_>,
    node: &Node<'_>,
    x: &Device,
    y: Symbol,
    single: &Single,
    backward: bool,
    states: &[Symbol],
    masked: bool,
    weights: &Weights,
    cell: Cell,
) -> Result<Value> {
    let time = x.physical[0].clone();
    let direction = if single.directions > 1 { b.axis(Some(single.directions)) } else { Group::new() };
    let y = if backward { b.layer(Reverse::new(), Vec::new(), &y)? } else { y };
    let axes = match single.by_sample {
        false => vec![time.clone(), direction.clone(), vec![BATCH], single.units.clone()],
        true => vec![vec![BATCH], time.clone(), direction.clone(), single.units.clone()],
    };
    let inner = [direction.as_slice(), &single.units].concat();
    let mut y = b.device(y, vec![time.clone(), inner], axes);
    y.mask = x.mask;
    let states_wanted = node.wanted.iter().skip(1).any(|&wanted| wanted);
    if !backward && single.directions == 1 && !masked && !states_wanted {
        let options = Options {
            return_sequences: false,
            return_state: false,
            go_backwards: false,
            zero_output_for_mask: false,
        };
        let last = layer(b, node, cell, 0, 1, weights, options)?;
        let inputs = std::iter::once(&x.symbol).chain(states).cloned().collect();
        let key = key_of(b, node, &last)?;
        y.origin = Some(Rc::new(Origin::Sequence {
            key,
            last: Box::new(last),
            inputs,
            weights: weights.arrays(cell, 0),
            time,
            units: single.units.clone(),
        }));
    }
    Ok(Value::Device(y))
}

/// Y_h or Y_c: a state of each direction.
fn stacked(b: &mut Builder<'_>, states: Vec<Symbol>, single: &Single) -> Result<Value> {
    let axes = match single.by_sample {
        false => vec![Group::new(), vec![BATCH], single.units.clone()],
        true => vec![vec![BATCH], Group::new(), single.units.clone()],
    };
    let parts: Vec<Device> =
        states.into_iter().map(|state| b.device(state, vec![single.units.clone()], axes.clone())).collect();
    if parts.len() != single.directions {
        return Err(b.damaged("a layer without states"));
    }
    Ok(match <[Device; 1]>::try_from(parts) {
        Ok([only]) => Value::Device(only),
        Err(parts) => Value::Stack(Stack { axis: usize::from(single.by_sample), parts }),
    })
}
