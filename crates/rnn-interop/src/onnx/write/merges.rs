//! Layers that make one value of several.

use super::emit::{Attribute, Emit, Tensor};
use super::masks::Mask;
use serde_json::Value as Json;

/// Sums, products and the like, element by element, and which steps the result has.
pub(super) fn merged(e: &mut Emit, class: &str, inputs: &[Tensor]) -> (String, Mask) {
    // Axes that are missing stand behind the batch, and are no steps.
    let rank = inputs.iter().map(|x| x.shape.len()).max().unwrap_or(0);
    let mut wide = Vec::with_capacity(inputs.len());
    for x in inputs {
        let mask = if x.shape.len() == rank { x.mask.clone() } else { Mask::None };
        let name = (x.shape.len()..rank).fold(x.name.clone(), |name, _| e.unsqueeze(&name, 1));
        wide.push(Tensor { name, mask, ..x.clone() });
    }
    let mask = Mask::any(e, &wide);
    let y = match class {
        "Multiply" => product(e, &wide, &mask, rank),
        "Maximum" => extreme(e, "Max", &wide, rank),
        "Minimum" => extreme(e, "Min", &wide, rank),
        "Subtract" => folded(e, "Sub", &wide),
        "Divide" => folded(e, "Div", &wide),
        "Average" => {
            let sum = folded(e, "Add", &wide);
            e.with_number("Mul", &sum, 1.0 / inputs.len() as f32)
        }
        _ => folded(e, "Add", &wide),
    };
    (y, mask)
}

fn folded(e: &mut Emit, op: &str, inputs: &[Tensor]) -> String {
    let first = inputs[0].name.clone();
    inputs[1..].iter().fold(first, |y, x| e.node(op, &[&y, &x.name], &[]))
}

/// The product, with 1 for a masked step, and 0 where no input has the step.
fn product(e: &mut Emit, inputs: &[Tensor], mask: &Mask, rank: usize) -> String {
    let mut factors = inputs.to_vec();
    for x in &mut factors {
        if let Some(there) = x.mask.steps(e, &x.name) {
            let (there, one) = (e.spread(&there, rank), e.number(1.0));
            x.name = e.node("Where", &[&there, &x.name, &one], &[]);
        }
    }
    let y = folded(e, "Mul", &factors);
    match mask.steps(e, &y) {
        Some(there) => {
            let there = e.spread(&there, rank);
            e.or_zero(&there, &y)
        }
        None => y,
    }
}

/// The largest or smallest of the inputs that have the step; one without a mask has all, and so have all behind it.
fn extreme(e: &mut Emit, op: &str, inputs: &[Tensor], rank: usize) -> String {
    let (mut best, mut seen) = (inputs[0].name.clone(), inputs[0].mask.steps(e, &inputs[0].name));
    for x in &inputs[1..] {
        let there = x.mask.steps(e, &x.name);
        let mut value = x.name.clone();
        if let Some(there) = &there {
            let there = e.spread(there, rank);
            value = e.node("Where", &[&there, &value, &best], &[]);
        }
        if let Some(seen) = &seen {
            let seen = e.spread(seen, rank);
            best = e.node("Where", &[&seen, &best, &value], &[]);
        }
        seen = seen.zip(there).map(|(a, b)| e.node("Or", &[&a, &b], &[]));
        best = e.node(op, &[&best, &value], &[]);
    }
    best
}

/// Values one behind the other, and which steps they have.
pub(super) fn concatenated(e: &mut Emit, config: &Json, inputs: &[Tensor]) -> (String, Mask) {
    let axis = config["axis"].as_i64().unwrap_or(-1);
    let rank = inputs[0].shape.len() as i64;
    let names: Vec<&str> = inputs.iter().map(|x| x.name.as_str()).collect();
    let y = e.node("Concat", &names, &[("axis", Attribute::Int(axis))]);
    let of_steps = axis == 1 || axis + rank == 0;
    (y, if of_steps { Mask::joined(e, inputs) } else { Mask::any(e, inputs) })
}

/// Products summed over an axis of each of two inputs.
pub(super) fn dot(e: &mut Emit, config: &Json, inputs: &[Tensor]) -> String {
    let normalize = config["normalize"].as_bool().unwrap_or(false);
    let mut sides = Vec::new();
    for (i, x) in inputs.iter().enumerate().take(2) {
        let rank = x.shape.len() as i64;
        let axis = config["axes"][i].as_i64().unwrap_or(-1);
        let axis = if axis < 0 { axis + rank + 1 } else { axis };
        let mut name = x.name.clone();
        if normalize {
            let attributes = [("axes", Attribute::Ints(vec![axis])), ("keepdims", Attribute::Int(1))];
            let norm = e.node("ReduceL2", &[&name], &attributes);
            let norm = e.with_number("Max", &norm, 1e-7);
            name = e.node("Div", &[&name, &norm], &[]);
        }
        // The first as [batch, rows, summed], the second as [batch, summed, columns].
        let summed_last = i == 0;
        sides.push(if rank == 1 {
            e.unsqueeze(&name, if summed_last { 1 } else { 2 })
        } else if (axis == 2) == summed_last {
            name
        } else {
            e.transpose(&name, &[0, 2, 1])
        });
    }
    let y = e.node("MatMul", &[&sides[0], &sides[1]], &[]);
    match (inputs[0].shape.len(), inputs[1].shape.len()) {
        (1, _) => e.squeeze(&y, 1),
        (_, 1) => e.squeeze(&y, 2),
        _ => y,
    }
}
