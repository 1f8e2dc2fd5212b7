//! LSTM, GRU and RNN: options, weights and states of ONNX's operators in the terms of the layers here.
//!
//! | | ONNX | here |
//! |---|---|---|
//! | kernels | `W [directions, gates * units, features]`, `R [directions, gates * units, units]` | transposed, one pair for each direction |
//! | gates of an LSTM | i, o, f, c | i, f, c, o |
//! | gates of a GRU | z, r, h | the same |
//! | bias | `B [directions, 2 * gates * units]`, of the input, then of the state | their sum; of a GRU with `linear_before_reset` the two rows |
//! | `linear_before_reset` | 1, 0 | `reset_after` true, false |
//! | `clip`, `input_forget`, `P` | | `clip`, `input_forget`, `peepholes` |
//! | `direction=reverse` | outputs stand at their steps | `go_backwards`, and [`Reverse`] behind it |
//! | `sequence_lens` | outputs behind the last step are 0, states are the last step's | [`Lengths`] and `zero_output_for_mask` |

use super::builder::Builder;
use super::node::Node;
use super::number::{Number, text};
use super::select;
use super::value::{BATCH, Device, Group, Kind, Known, Origin, Stack, Value};
use crate::Result;
use ndarray::{Array2, ArrayD, ArrayView2, Axis, Ix2, Ix3, concatenate, s};
use rnn_model::layer::{
    ActivationLayer, Bidirectional, Dense, GlobalMaxPooling1D, Gru, Layer, Lengths, Lstm, MergeMode, Reverse,
    SimpleRnn,
};
use rnn_model::{Parametric, Symbol};
use serde_json::{Value as Json, json};
use std::rc::Rc;

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
    let x = input(b, node, by_sample)?;
    let features = b.known_size(&x.physical[1]).unwrap_or(0);
    let wanted = |i: usize| node.wanted.get(i).copied().unwrap_or(false);
    let (y_wanted, h_wanted, c_wanted) = (wanted(0), wanted(1), wanted(2));

    let weights = Weights::read(b, node, cell, directions, features)?;
    let units = weights.units;
    if node.maybe_int("hidden_size")?.is_some_and(|n| n != units as i64) {
        return Err(b.damaged(format!("hidden_size is not the {units} of R")));
    }
    let x = lengths(b, node, x)?;
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
            zero_output_for_mask: y_wanted && masked,
        };
        layers.push(layer(b, node, cell, direction, directions, &weights, options)?);
    }
    let arrays: Vec<ArrayD<f32>> = (0..directions).flat_map(|d| weights.arrays(cell, d)).collect();
    let inputs: Vec<&Symbol> = std::iter::once(&x.symbol).chain(&states).collect();
    let (outputs, both) = match <[Layer; 2]>::try_from(layers) {
        Ok([forward, backward]) => {
            let mode = if y_wanted { MergeMode::Concat } else { MergeMode::None };
            let layer = Bidirectional::new(forward).merge_mode(mode).backward_layer(backward);
            (b.apply(layer, arrays, &inputs)?, true)
        }
        Err(mut single) => {
            let Some(only) = single.pop() else { return Err(b.damaged("no direction")) };
            (b.apply(only, arrays, &inputs)?, false)
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
    let h = if return_state { state(0) } else { firsts };
    results.push(if h_wanted { stacked(b, h, &single)? } else { none(b) });
    if cell == Cell::Lstm {
        results.push(if c_wanted { stacked(b, state(1), &single)? } else { none(b) });
    }
    Ok(results)
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

/// The sequence with the mask that `sequence_lens` says.
fn lengths(b: &mut Builder<'_>, node: &Node<'_>, x: Device) -> Result<Device> {
    let lens = match node.optional(4) {
        None => return b.unmasked(&x),
        Some(Value::Known(known)) => {
            let steps = b.size(&x.physical[0]);
            let all = known.tensor.uniform();
            return match (all, steps.known()) {
                (Some(all), Some(steps)) if all == steps as f32 => b.unmasked(&x),
                _ => Err(b.unsupported("constant sequence_lens that are not the number of steps")),
            };
        }
        Some(other) => b.computed(other)?,
    };
    if x.mask == Some(lens.id) {
        return Ok(x);
    }
    let x = b.unmasked(&x)?;
    if lens.axes.as_slice() != [vec![BATCH]] {
        return Err(b.unsupported(format!("sequence_lens of shape {}", text(&b.shape(&lens)))));
    }
    let lens = Device { physical: lens.physical.clone(), ..lens };
    let arranged = b.arrange(&lens, &[Group::new()])?;
    let symbol = b.apply(Lengths::new(), Vec::new(), &[&x.symbol, &arranged.symbol])?.swap_remove(0);
    let mut y = b.like(&x, symbol);
    y.mask = Some(lens.id);
    Ok(y)
}

/// The states to start from, in the order of the layer's inputs; none where all are zero.
fn initial_states(
    b: &mut Builder<'_>,
    node: &Node<'_>,
    cell: Cell,
    directions: usize,
    units: usize,
    by_sample: bool,
    x: &Device,
) -> Result<Vec<Symbol>> {
    let axis = usize::from(by_sample);
    let mut given: Vec<Option<Vec<Symbol>>> = Vec::new();
    for i in 5..if cell == Cell::Lstm { 7 } else { 6 } {
        let Some(value) = node.optional(i) else {
            given.push(None);
            continue;
        };
        if let Value::Known(known) = value
            && known.uniform() == Some(0.0)
        {
            given.push(None);
            continue;
        }
        if b.shape_of(value).len() != 3 {
            let problem = format!("an initial state of shape {}", text(&b.shape_of(value)));
            return Err(b.damaged(problem));
        }
        let mut symbols = Vec::new();
        for part in select::elements(b, value, axis, directions)? {
            symbols.push(state(b, &part, units, x)?);
        }
        given.push(Some(symbols));
    }
    let Some(some) = given.iter().flatten().next().cloned() else { return Ok(Vec::new()) };
    let mut states = Vec::new();
    for direction in 0..directions {
        for state in &given {
            states.push(match state {
                Some(symbols) => symbols[direction].clone(),
                // The other state starts from zero.
                None => zero(b, &some[direction])?,
            });
        }
    }
    Ok(states)
}

/// Zeros of the shape of a symbol.
fn zero(b: &mut Builder<'_>, like: &Symbol) -> Result<Symbol> {
    let layer = ActivationLayer::new(Parametric::Affine { alpha: 0.0, beta: 0.0 });
    b.layer(layer, Vec::new(), like)
}

/// A state `[batch, units]` of one direction as `[units]` of each sample.
fn state(b: &mut Builder<'_>, value: &Value, units: usize, x: &Device) -> Result<Symbol> {
    let known = match value {
        Value::Known(known) => known,
        other => {
            let h = b.computed(other)?;
            let refuse = |b: &Builder<'_>, h: &Device| {
                b.unsupported(format!("an initial state of shape {}", text(&b.shape(h))))
            };
            if h.batch_axis() != Some(0) || h.axes.len() != 2 || h.kind != Kind::Float {
                return Err(refuse(b, &h));
            }
            if b.known_size(&h.axes[1]) != Some(units) {
                return Err(refuse(b, &h));
            }
            let group = h.axes[1].clone();
            return Ok(b.arrange(&h, &[group])?.symbol);
        }
    };
    // A constant: the same for all samples, and so the bias of a layer that is given zeros.
    let rows = match known.tensor.as_ref() {
        super::tensor::Tensor::Float(values) => values.clone(),
        _ => return Err(b.damaged("an initial state of whole numbers")),
    };
    let rows = rows.into_dimensionality::<Ix2>().map_err(|e| b.damaged(e.to_string()))?;
    let Some(first) = rows.outer_iter().next() else { return Err(b.damaged("an empty initial state")) };
    if rows.outer_iter().any(|row| row != first) {
        return Err(b.unsupported("a constant initial state that differs from sample to sample"));
    }
    if known.shape[1] != Number::Known(units as i64) {
        return Err(b.damaged(format!("an initial state of shape {}", text(&known.shape))));
    }
    let first =
        first.broadcast(units).ok_or_else(|| b.damaged("an initial state of another size"))?.to_owned();
    let pooled = b.layer(GlobalMaxPooling1D::new(), Vec::new(), &x.symbol)?;
    let zeros = zero(b, &pooled)?;
    let features = b.known_size(&x.physical[1]).unwrap_or(0);
    b.count(features.saturating_mul(units))?;
    let kernel = ArrayD::zeros(vec![features, units]);
    b.layer(Dense::new(units), vec![kernel, first.into_dyn()], &zeros)
}

/// Weights of all directions, in the layouts of the layers here.
struct Weights {
    units: usize,
    kernels: Vec<Array2<f32>>,
    recurrent: Vec<Array2<f32>>,
    /// of the input and of the state
    bias: Option<Vec<[ArrayD<f32>; 2]>>,
    peepholes: Option<Vec<Array2<f32>>>,
    both_biases: bool,
}

impl Weights {
    fn read(
        b: &mut Builder<'_>,
        node: &Node<'_>,
        cell: Cell,
        directions: usize,
        features: usize,
    ) -> Result<Self> {
        let order = cell.gates();
        let read = |b: &mut Builder<'_>, i: usize, what: &str| -> Result<Option<ArrayD<f32>>> {
            match node.constant(i, what)? {
                Some(known) => select::floats(b, known).map(Some),
                None => Ok(None),
            }
        };
        let expect = |b: &Builder<'_>, what: &str, array: &ArrayD<f32>, shape: &[usize]| match array.shape()
            == shape
        {
            true => Ok(()),
            false => Err(b.damaged(format!("{what} of shape {:?}, expected {shape:?}", array.shape()))),
        };
        let Some(r) = read(b, 2, "R")? else { return Err(b.damaged("it has no R")) };
        let units = r.shape().last().copied().unwrap_or(0);
        let rows = order.len().checked_mul(units).ok_or_else(|| b.damaged("R is too large"))?;
        if units == 0 {
            return Err(b.damaged("R of no units"));
        }
        expect(b, "R", &r, &[directions, rows, units])?;
        let Some(w) = read(b, 1, "W")? else { return Err(b.damaged("it has no W")) };
        expect(b, "W", &w, &[directions, rows, features])?;
        let split = |b: &Builder<'_>, array: ArrayD<f32>| -> Result<Vec<Array2<f32>>> {
            let array = array.into_dimensionality::<Ix3>().map_err(|e| b.damaged(e.to_string()))?;
            Ok(array.outer_iter().map(|rows| turned(rows, order, units)).collect())
        };
        let (kernels, recurrent) = (split(b, w)?, split(b, r)?);
        let bias = match read(b, 3, "B")? {
            Some(bias) => {
                expect(b, "B", &bias, &[directions, 2 * rows])?;
                let bias = bias.into_dimensionality::<Ix2>().map_err(|e| b.damaged(e.to_string()))?;
                let half = |row: ndarray::ArrayView1<'_, f32>| {
                    let parts: Vec<f32> = order
                        .iter()
                        .flat_map(|&gate| row.slice(s![gate * units..(gate + 1) * units]).to_vec())
                        .collect();
                    ndarray::Array1::from_vec(parts).into_dyn()
                };
                let halves = bias.outer_iter().map(|row| {
                    let (input, state) = row.split_at(Axis(0), rows);
                    [half(input), half(state)]
                });
                Some(halves.collect())
            }
            None => None,
        };
        let peepholes = match (cell, read(b, 7, "P")?) {
            (Cell::Lstm, Some(p)) => {
                expect(b, "P", &p, &[directions, 3 * units])?;
                let p =
                    p.into_shape_with_order((directions, 3, units)).map_err(|e| b.damaged(e.to_string()))?;
                Some(p.outer_iter().map(|rows| rows.to_owned()).collect())
            }
            _ => None,
        };
        let both_biases = cell == Cell::Gru && node.int("linear_before_reset", 0)? != 0;
        Ok(Weights { units, kernels, recurrent, bias, peepholes, both_biases })
    }

    /// The weights of the layer of a direction.
    fn arrays(&self, _: Cell, direction: usize) -> Vec<ArrayD<f32>> {
        let mut arrays =
            vec![self.kernels[direction].clone().into_dyn(), self.recurrent[direction].clone().into_dyn()];
        if let Some(bias) = &self.bias {
            let [input, state] = &bias[direction];
            arrays.push(match self.both_biases {
                true => {
                    let rows = [input.view().insert_axis(Axis(0)), state.view().insert_axis(Axis(0))];
                    concatenate(Axis(0), &rows).unwrap_or_else(|_| input.clone())
                }
                false => input + state,
            });
        }
        if let Some(peepholes) = &self.peepholes {
            arrays.push(peepholes[direction].clone().into_dyn());
        }
        arrays
    }
}

/// `[gates * units, n]` as `[n, gates * units]`, the gates in another order.
fn turned(rows: ArrayView2<'_, f32>, order: &[usize], units: usize) -> Array2<f32> {
    let picked: Vec<usize> = order.iter().flat_map(|&gate| gate * units..(gate + 1) * units).collect();
    rows.select(Axis(0), &picked).reversed_axes().as_standard_layout().into_owned()
}

struct Options {
    return_sequences: bool,
    return_state: bool,
    go_backwards: bool,
    zero_output_for_mask: bool,
}

/// The layer of a direction.
fn layer(
    b: &mut Builder<'_>,
    node: &Node<'_>,
    cell: Cell,
    direction: usize,
    directions: usize,
    weights: &Weights,
    options: Options,
) -> Result<Layer> {
    let kinds = activations(b, node, cell, direction, directions)?;
    let mut settings: Vec<(&str, Json)> = vec![
        ("use_bias", weights.bias.is_some().into()),
        ("return_sequences", options.return_sequences.into()),
        ("return_state", options.return_state.into()),
        ("go_backwards", options.go_backwards.into()),
        ("zero_output_for_mask", options.zero_output_for_mask.into()),
    ];
    if let Some(clip) = node.maybe_float("clip")?.filter(|&clip| clip != 0.0) {
        settings.push(("clip", clip.into()));
    }
    let units = weights.units;
    let layer: Layer = match (cell, kinds.as_slice()) {
        (Cell::Lstm, [gates, candidate, output]) => {
            if candidate != output {
                let problem = format!(
                    "activations {candidate} of the candidate and {output} of the cell state; the layer here has one for both"
                );
                return Err(b.unsupported(problem));
            }
            settings.extend([
                ("recurrent_activation", gates.clone()),
                ("activation", candidate.clone()),
                ("unit_forget_bias", false.into()),
                ("peepholes", weights.peepholes.is_some().into()),
                ("input_forget", (node.int("input_forget", 0)? != 0).into()),
            ]);
            Lstm::new(units).into()
        }
        (Cell::Gru, [gates, candidate]) => {
            settings.extend([
                ("recurrent_activation", gates.clone()),
                ("activation", candidate.clone()),
                ("reset_after", weights.both_biases.into()),
            ]);
            Gru::new(units).into()
        }
        (Cell::Rnn, [kind]) => {
            settings.push(("activation", kind.clone()));
            SimpleRnn::new(units).into()
        }
        _ => return Err(b.damaged("another number of activations")),
    };
    b.configured(layer, &settings)
}

/// The activations of a direction, as layers name them.
fn activations(
    b: &Builder<'_>,
    node: &Node<'_>,
    cell: Cell,
    direction: usize,
    directions: usize,
) -> Result<Vec<Json>> {
    let default = cell.activations();
    let names = match node.strings("activations")? {
        Some(names) if names.len() == default.len() * directions => names,
        Some(names) => {
            let expected = default.len() * directions;
            return Err(b.damaged(format!("{} activations, expected {expected}", names.len())));
        }
        None => default.repeat(directions),
    };
    // Each activation that has a number takes the next of the list.
    let mut alphas = node.floats("activation_alpha")?.iter().copied();
    let mut betas = node.floats("activation_beta")?.iter().copied();
    let mut kinds = Vec::new();
    for name in &names {
        let mut alpha = |default: f32| alphas.next().unwrap_or(default);
        let mut beta = |default: f32| betas.next().unwrap_or(default);
        let with = |class: &str, config: Json| json!({ "class_name": class, "config": config });
        kinds.push(match name.to_ascii_lowercase().as_str() {
            "tanh" => "tanh".into(),
            "sigmoid" => "sigmoid".into(),
            "relu" => "relu".into(),
            "softsign" => "softsign".into(),
            "softplus" => "softplus".into(),
            "affine" => with("affine", json!({ "alpha": alpha(1.0), "beta": beta(0.0) })),
            "leakyrelu" => with("leaky_relu", json!({ "negative_slope": alpha(0.01) })),
            "thresholdedrelu" => {
                let threshold = alpha(1.0);
                with("relu", json!({ "negative_slope": 0.0, "max_value": null, "threshold": threshold }))
            }
            "scaledtanh" => with("scaled_tanh", json!({ "alpha": alpha(1.0), "beta": beta(1.0) })),
            "hardsigmoid" => with("hard_sigmoid", json!({ "alpha": alpha(0.2), "beta": beta(0.5) })),
            "elu" => with("elu", json!({ "alpha": alpha(1.0) })),
            other => return Err(b.unsupported(format!("activation {other}"))),
        });
    }
    let each = default.len();
    Ok(kinds[direction * each..(direction + 1) * each].to_vec())
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
        y.origin = Some(Rc::new(Origin::Sequence {
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
