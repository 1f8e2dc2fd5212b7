//! LSTM, GRU, SimpleRNN and Bidirectional as ONNX's operators.

use super::activations::of_cell;
use super::emit::{Attribute, Emit, Tensor};
use super::masks::{Mask, Shown, Walk};
use crate::Result;
use crate::onnx::proto::data_type;
use ndarray::{ArrayD, ArrayView2, Axis, Ix1, Ix2, concatenate, s};
use serde_json::Value as Json;

/// What a recurrent layer is, read from its data.
struct Cell<'a> {
    op: &'static str,
    /// places here of the gates in ONNX's order
    gates: &'static [usize],
    config: &'a Json,
}

impl<'a> Cell<'a> {
    fn of(class: &str, config: &'a Json) -> Option<Self> {
        let (op, gates): (_, &[usize]) = match class {
            "LSTM" => ("LSTM", &[0, 3, 1, 2]),
            "GRU" => ("GRU", &[0, 1, 2]),
            "SimpleRNN" => ("RNN", &[0]),
            _ => return None,
        };
        Some(Cell { op, gates, config })
    }

    fn is(&self, option: &str) -> bool {
        self.config[option].as_bool().unwrap_or(false)
    }

    fn units(&self) -> usize {
        self.config["units"].as_u64().and_then(|n| usize::try_from(n).ok()).unwrap_or(0)
    }

    fn states(&self) -> usize {
        if self.op == "LSTM" { 2 } else { 1 }
    }
}

/// What one direction gives.
struct Run {
    /// `[batch, time, units]` at their own steps, or the last one `[batch, units]`
    outputs: String,
    /// `[batch, units]`
    states: Vec<String>,
}

/// A layer of one direction: its outputs.
pub(super) fn recurrent(
    e: &mut Emit,
    class: &str,
    config: &Json,
    weights: &[ArrayD<f32>],
    inputs: &[Tensor],
    shapes: &[Vec<Option<usize>>],
) -> Result<Option<Vec<Tensor>>> {
    let Some(cell) = Cell::of(class, config) else { return Ok(None) };
    let (sequences, backwards) = (cell.is("return_sequences"), cell.is("go_backwards"));
    let x = &inputs[0];
    let run = run(e, &cell, weights, x, &names(&inputs[1..]), "")?;
    let mut outputs = Vec::new();
    let (mut y, mut mask) = (run.outputs, Mask::None);
    if sequences {
        mask = x.mask.clone();
        if backwards {
            y = e.turned_round(&y);
            mask = mask.turned_round(e, &x.name);
        }
    }
    outputs.push(y);
    if cell.is("return_state") {
        outputs.extend(run.states);
    }
    let tensors = outputs.into_iter().zip(shapes).enumerate().map(|(at, (name, shape))| Tensor {
        name,
        shape: shape.clone(),
        mask: if at == 0 { mask.clone() } else { Mask::None },
        whole: false,
    });
    Ok(Some(tensors.collect()))
}

fn names(inputs: &[Tensor]) -> Vec<String> {
    inputs.iter().map(|input| input.name.clone()).collect()
}

/// Both directions, each by an operator of its own.
pub(super) fn bidirectional(
    e: &mut Emit,
    config: &Json,
    weights: &[ArrayD<f32>],
    inputs: &[Tensor],
    shapes: &[Vec<Option<usize>>],
) -> Result<Vec<Tensor>> {
    let layer = &config["layer"];
    let mut turned = layer.clone();
    let backward = match &config["backward_layer"] {
        Json::Null => {
            let on = layer["config"]["go_backwards"].as_bool().unwrap_or(false);
            turned["config"]["go_backwards"] = (!on).into();
            &turned
        }
        given => given,
    };
    let class = |layer: &Json| layer["class_name"].as_str().unwrap_or_default().to_owned();
    let cells = [layer, backward].map(|layer| Cell::of(&class(layer), &layer["config"]));
    let [Some(first), Some(second)] = cells else {
        return Err(e.unsupported(format!("{} in two directions has no form in ONNX", class(layer))));
    };
    let half = weights.len() / 2;
    let given = first.states().min(inputs.len() - 1);
    let x = &inputs[0];
    let a = run(e, &first, &weights[..half], x, &names(&inputs[1..1 + given]), "_forward")?;
    let b = run(e, &second, &weights[half..], x, &names(&inputs[1 + given..]), "_backward")?;
    let sequences = first.is("return_sequences");
    let (y, z) = (a.outputs, b.outputs);
    let merged = match config["merge_mode"].as_str().unwrap_or("concat") {
        "concat" => vec![e.node("Concat", &[&y, &z], &[("axis", Attribute::Int(-1))])],
        "sum" => vec![e.node("Add", &[&y, &z], &[])],
        "mul" => vec![e.node("Mul", &[&y, &z], &[])],
        "ave" => {
            let sum = e.node("Add", &[&y, &z], &[]);
            vec![e.with_number("Mul", &sum, 0.5)]
        }
        _ => vec![y, z],
    };
    let count = merged.len();
    let states = if first.is("return_state") { [a.states, b.states].concat() } else { Vec::new() };
    let tensors =
        merged.into_iter().chain(states).zip(shapes).enumerate().map(|(at, (name, shape))| Tensor {
            name,
            shape: shape.clone(),
            mask: if sequences && at < count { x.mask.clone() } else { Mask::None },
            whole: false,
        });
    Ok(tensors.collect())
}

/// The operator of one direction, which is what a layer of both calls it.
fn run(
    e: &mut Emit,
    cell: &Cell<'_>,
    weights: &[ArrayD<f32>],
    x: &Tensor,
    start: &[String],
    direction: &str,
) -> Result<Run> {
    // States that are given hold for each batch.
    let keeps = cell.is("stateful") && start.is_empty();
    let kept = match keeps {
        true => e.kept_states(direction, &["h", "c"][..cell.states()], cell.units())?,
        false => Vec::new(),
    };
    let start = if keeps { kept.as_slice() } else { start };
    let (sequences, backwards) = (cell.is("return_sequences"), cell.is("go_backwards"));
    let shown = Shown { zero_masked: cell.is("zero_output_for_mask"), backwards, started: !start.is_empty() };
    let walk = Walk::along(e, x);
    let units = cell.units();
    let sequence = walk.sequence(e, &x.name);
    let steps_first = e.transpose(&sequence, &[1, 0, 2]);
    let w = matrix(e, cell, "W", &weights[0], units)?;
    let r = matrix(e, cell, "R", &weights[1], units)?;
    let mut rest = weights[2..].iter();
    let bias = match cell.is("use_bias").then(|| rest.next()).flatten() {
        Some(bias) => self::bias(e, cell, bias, units)?,
        None => String::new(),
    };
    let peepholes = match cell.is("peepholes").then(|| rest.next()).flatten() {
        Some(p) => {
            let flat = p.to_shape((1, p.len())).map_err(|error| e.unsupported(error.to_string()))?;
            e.weights("P", &flat.to_owned().into_dyn())
        }
        None => String::new(),
    };
    let first: Vec<String> = start.iter().map(|state| e.unsqueeze(state, 0)).collect();
    let at = |i: usize| first.get(i).map_or("", String::as_str);
    let mut inputs = vec![steps_first.as_str(), &w, &r, &bias, walk.lengths(), at(0)];
    if cell.op == "LSTM" {
        inputs.extend([at(1), peepholes.as_str()]);
    }
    while inputs.last() == Some(&"") {
        inputs.pop();
    }
    let attributes = attributes(e, cell, backwards, units)?;
    let mut wanted = vec![sequences, true];
    if cell.op == "LSTM" {
        wanted.push(cell.is("return_state") || keeps);
    }
    let made = e.outputs(cell.op, &inputs, &attributes, &wanted);
    let states: Vec<String> =
        made[1..].iter().filter(|name| !name.is_empty()).map(|state| e.squeeze(state, 0)).collect();
    let last = walk.last(e, &states[0], Shown { zero_masked: shown.zero_masked && !sequences, ..shown });
    let outputs = match sequences {
        true => {
            let y = e.squeeze(&made[0], 1);
            let y = e.transpose(&y, &[1, 0, 2]);
            walk.outputs(e, y, &last, shown)
        }
        false => last,
    };
    let states = walk.states(e, states, start);
    e.keep(&kept, &states);
    Ok(Run { outputs, states })
}

fn attributes(
    e: &Emit,
    cell: &Cell<'_>,
    backwards: bool,
    units: usize,
) -> Result<Vec<(&'static str, Attribute<'static>)>> {
    let config = cell.config;
    let kinds: Vec<&Json> = match cell.op {
        "LSTM" => {
            let output = match &config["output_activation"] {
                Json::Null => &config["activation"],
                given => given,
            };
            vec![&config["recurrent_activation"], &config["activation"], output]
        }
        "GRU" => vec![&config["recurrent_activation"], &config["activation"]],
        _ => vec![&config["activation"]],
    };
    let (mut names, mut alphas, mut betas) = (Vec::new(), Vec::new(), Vec::new());
    for kind in kinds {
        let (name, alpha, beta) = of_cell(e, kind)?;
        names.push(name.to_owned());
        alphas.extend(alpha);
        betas.extend(beta);
    }
    let mut attributes = vec![
        ("hidden_size", Attribute::Int(units as i64)),
        ("direction", Attribute::Text(if backwards { "reverse" } else { "forward" })),
        ("activations", Attribute::Texts(names)),
    ];
    if !alphas.is_empty() {
        attributes.push(("activation_alpha", Attribute::Floats(alphas)));
    }
    if !betas.is_empty() {
        attributes.push(("activation_beta", Attribute::Floats(betas)));
    }
    if let Some(clip) = config["clip"].as_f64() {
        attributes.push(("clip", Attribute::Float(clip as f32)));
    }
    if cell.is("input_forget") {
        attributes.push(("input_forget", Attribute::Int(1)));
    }
    if cell.op == "GRU" {
        attributes.push(("linear_before_reset", Attribute::Int(i64::from(cell.is("reset_after")))));
    }
    Ok(attributes)
}

/// `[n, gates * units]` as `[1, gates * units, n]` in ONNX's order of gates.
fn matrix(e: &mut Emit, cell: &Cell<'_>, name: &str, kernel: &ArrayD<f32>, units: usize) -> Result<String> {
    let kernel: ArrayView2<'_, f32> =
        kernel.view().into_dimensionality::<Ix2>().map_err(|error| e.unsupported(error.to_string()))?;
    let blocks: Vec<_> =
        cell.gates.iter().map(|&gate| kernel.slice(s![.., gate * units..(gate + 1) * units])).collect();
    let ordered = concatenate(Axis(1), &blocks).map_err(|error| e.unsupported(error.to_string()))?;
    let rows = ordered.reversed_axes().insert_axis(Axis(0)).as_standard_layout().into_owned();
    Ok(e.weights(name, &rows.into_dyn()))
}

/// The bias as `[1, 2 * gates * units]`: of the input, then of the state.
fn bias(e: &mut Emit, cell: &Cell<'_>, bias: &ArrayD<f32>, units: usize) -> Result<String> {
    let cols = cell.gates.len() * units;
    let both = match bias.ndim() {
        1 => {
            let row = bias.view().insert_axis(Axis(0));
            let zeros = ArrayD::zeros(vec![1, cols]);
            concatenate(Axis(0), &[row, zeros.view()])
        }
        _ => Ok(bias.clone()),
    };
    let both = both.map_err(|error| e.unsupported(error.to_string()))?;
    let mut values = Vec::new();
    for row in both.outer_iter() {
        let row = row.into_dimensionality::<Ix1>().map_err(|error| e.unsupported(error.to_string()))?;
        for &gate in cell.gates {
            values.extend(row.slice(s![gate * units..(gate + 1) * units]).iter().copied());
        }
    }
    let array = ndarray::Array2::from_shape_vec((1, 2 * cols), values);
    let array = array.map_err(|error| e.unsupported(error.to_string()))?;
    Ok(e.weights("B", &array.into_dyn()))
}

/// Lengths `[batch, 1]` as the `[batch]` whole numbers that ONNX's operators take.
pub(super) fn lengths(e: &mut Emit, x: &Tensor) -> String {
    let flat = e.squeeze(&x.name, 1);
    e.cast(&flat, data_type::INT32)
}
