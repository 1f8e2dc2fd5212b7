//! Scan: a recurrent layer written as what one step makes of the states and of a slice of the sequence.
//!
//! The body is read as that of a Loop. A sequence may have its steps along the first or the second axis and may be walked
//! from its end; so may the outputs of all steps.

use super::body::Body;
use super::{Carried, Walked, carried, layers_of};
use crate::Result;
use crate::onnx::builder::Builder;
use crate::onnx::node::Node;
use crate::onnx::slice;
use crate::onnx::value::{Device, Group, Value};
use crate::onnx::views;

pub(in crate::onnx) fn scan(b: &mut Builder<'_>, node: &Node<'_>) -> Result<Vec<Value>> {
    if node.opset < 9 {
        return Err(b.unsupported("a Scan of version 8, which has the batch and lengths of its own; export it with opset 9 or later"));
    }
    let graph = node.graph("body")?.ok_or_else(|| b.damaged("it has no body"))?;
    let sequences = usize::try_from(node.int("num_scan_inputs", 0)?).unwrap_or(usize::MAX);
    let fits = |count: &usize| {
        graph.input.len() == node.count()
            && graph.output.len() >= *count
            && node.wanted.len() <= graph.output.len()
    };
    let Some(count) = node.count().checked_sub(sequences).filter(fits) else {
        let problem = format!(
            "a body of {} inputs and {} outputs for {} inputs, of which {sequences} are sequences",
            graph.input.len(),
            graph.output.len(),
            node.count()
        );
        return Err(b.damaged(problem));
    };
    let scans = graph.output.len() - count;
    let input = Sides::of(b, node, "scan_input_axes", "scan_input_directions", sequences)?;
    let output = Sides::of(b, node, "scan_output_axes", "scan_output_directions", scans)?;
    let carried = carried(b, node, graph, count, 0)?;
    if carried.iter().any(|carried| matches!(carried, Carried::Counter(_))) {
        return Err(b.unsupported("a count of steps that goes from step to step"));
    }
    let (states, slices) = graph.input.split_at(count);
    let mut body = Body::new(b, graph, node, states, &carried)?;
    for (at, slice) in slices.iter().enumerate() {
        let Value::Device(x) = node.input(count + at)? else {
            return Err(b.unsupported("steps of a constant, or of several tensors put together"));
        };
        let x = stood(b, x, input.axes[at])?;
        let x = if input.backwards[at] { from_end(b, &x)? } else { x };
        body.step_input(b, &slice.name, &x)?;
    }
    body.walk(b)?;
    let x = body.sequence(b)?;
    let made = layers_of(b, node, graph, &carried, body, x, Walked { first_output: 0, scans })?;
    let (last, all) = made.split_at(count);
    let mut made = last.to_vec();
    for (at, value) in all.iter().enumerate() {
        made.push(match value {
            Value::Device(y) => {
                let y = if output.backwards[at] { from_end(b, y)? } else { y.clone() };
                stood(b, &y, output.axes[at])?.into()
            }
            other => other.clone(),
        });
    }
    Ok(made)
}

/// Where the steps of each sequence stand, and from which end they are walked.
struct Sides {
    axes: Vec<usize>,
    backwards: Vec<bool>,
}

impl Sides {
    fn of(
        b: &Builder<'_>,
        node: &Node<'_>,
        axes: &'static str,
        directions: &'static str,
        count: usize,
    ) -> Result<Self> {
        let list = |name: &'static str| -> Result<Vec<i64>> {
            let given = node.list(name)?.map(<[i64]>::to_vec);
            given.map_or_else(
                || Ok(vec![0; count]),
                |list| match list.len() == count {
                    true => Ok(list),
                    false => {
                        Err(b.damaged(format!("{name} of {} numbers for {count} sequences", list.len())))
                    }
                },
            )
        };
        // A step is [batch, features]: the sequence has three axes.
        let axes = list(axes)?.into_iter().map(|axis| node.axis(axis, 3)).collect::<Result<_>>()?;
        let backwards = list(directions)?.into_iter().map(|direction| match direction {
            0 => Ok(false),
            1 => Ok(true),
            other => Err(b.damaged(format!("the direction {other}"))),
        });
        Ok(Sides { axes, backwards: backwards.collect::<Result<_>>()? })
    }
}

/// The first axis as the one of number `axis`, or that one as the first: the same for the first and the second.
fn stood(b: &Builder<'_>, x: &Device, axis: usize) -> Result<Device> {
    match (axis, x.axes.len()) {
        (0, _) => Ok(x.clone()),
        (1, 3) => Ok(views::turned(x, &[1, 0, 2])),
        _ => Err(b.unsupported(format!("steps along axis {axis}"))),
    }
}

/// The steps `[time, batch, features]` from the last to the first.
fn from_end(b: &mut Builder<'_>, x: &Device) -> Result<Device> {
    if x.axes.len() != 3 || x.batch_axis() != Some(1) {
        return Err(b.unsupported("steps of a tensor that is not [time, batch, features]"));
    }
    if let Some(original) = b.reversed(x) {
        return Ok(original);
    }
    let order: [Group; 2] = [x.axes[0].clone(), x.axes[2].clone()];
    let arranged = b.arrange(x, &order)?;
    slice::turned_round(b, &arranged, &order[0])
}
