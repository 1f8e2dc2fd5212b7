//! Loop and [`scan`]: a recurrent layer that an exporter wrote as a loop over the steps, as Keras's does.
//!
//! The body is not run. [`body`] follows what it computes from the step's input and the states, as formulas; [`cell`] says
//! which cells have these formulas ([`finder`]: how a cell is told); [`layers`] makes the layers. A body that is no recurrent layer is refused, with what of it
//! was not recognised.

mod body;
mod cell;
mod finder;
mod layers;
mod scan;

use super::builder::Builder;
use super::node::Node;
use super::number::text;
use super::proto;
use super::value::{BATCH, Device, Kind, Known, Value};
use crate::Result;
use body::{Body, Local};
pub(super) use scan::scan;

/// A value that goes from step to step.
#[derive(Clone, Debug)]
enum Carried {
    /// The same in all steps.
    Fixed(Value),
    /// The number of the step, from this one on.
    Counter(i64),
    /// A state `[batch, width]`, and what it is at first.
    State { first: Value, width: usize },
}

pub(super) fn looped(b: &mut Builder<'_>, node: &Node<'_>) -> Result<Vec<Value>> {
    let graph = node.graph("body")?.ok_or_else(|| b.damaged("it has no body"))?;
    let count = node.count().saturating_sub(2);
    let outputs = graph.output.len().checked_sub(count + 1);
    let scans = outputs.filter(|_| graph.input.len() == count + 2);
    let Some(scans) = scans.filter(|scans| node.wanted.len() <= count + scans) else {
        let problem = format!(
            "a body of {} inputs and {} outputs for {count} values that go from step to step",
            graph.input.len(),
            graph.output.len()
        );
        return Err(b.damaged(problem));
    };
    if let Some(name) = b.name.strip_suffix("/while_loop").or_else(|| b.name.strip_suffix("/while")) {
        b.name = name.to_owned();
    }
    let carried = carried(b, node, graph, count, 2)?;
    let [step, condition, states @ ..] = graph.input.as_slice() else {
        return Err(b.damaged("a body without a counter and a condition"));
    };
    let mut body = Body::new(b, graph, node, states, &carried)?;
    body.set(&step.name, Local::Counter(0));
    body.set(&condition.name, Local::Going(Vec::new()));
    body.walk(b)?;
    let x = body.sequence(b)?;
    let going = body.named(b, &graph.output[0].name)?;
    steps(b, node, &going, &x)?;
    layers_of(b, node, graph, &carried, body, x, Walked { first_output: 1, scans })
}

/// A body that has been followed.
struct Walked {
    /// the output that is the first value that goes from step to step
    first_output: usize,
    /// how many outputs of all steps there are
    scans: usize,
}

/// The layers of a body, and what they give.
fn layers_of(
    b: &mut Builder<'_>,
    node: &Node<'_>,
    graph: &proto::Graph,
    carried: &[Carried],
    mut body: Body<'_>,
    x: Device,
    walked: Walked,
) -> Result<Vec<Value>> {
    let (count, Walked { first_output, scans }) = (carried.len(), walked);
    let made = |body: &Body<'_>, b: &Builder<'_>, at: usize| body.named(b, &graph.output[at].name);
    let mut next = Vec::with_capacity(count);
    for (at, carried) in carried.iter().enumerate() {
        let local = made(&body, b, at + first_output)?;
        next.push(match (carried, local) {
            (Carried::State { .. }, Local::Formula(formula)) => Some(formula),
            (Carried::Counter(first), Local::Counter(then)) if then == first + 1 => None,
            (Carried::Fixed(_), _) => None,
            _ => {
                let name = &graph.output[at + first_output].name;
                return Err(
                    b.unsupported(format!("{name}, which goes from step to step, is no state of a cell"))
                );
            }
        });
    }
    let mut scanned = Vec::with_capacity(scans);
    for at in 0..scans {
        match made(&body, b, count + first_output + at)? {
            Local::Formula(formula) => scanned.push(formula),
            _ => return Err(b.unsupported(format!("output {} of all steps is not computed", count + at))),
        }
    }
    let cells = cell::find(b, &mut body, &next, &scanned)?;
    layers::layers(b, node, carried, &cells, x, &body)
}

/// What each value is that goes from step to step. A Loop has `before` inputs before them, and an output.
fn carried(
    b: &mut Builder<'_>,
    node: &Node<'_>,
    graph: &proto::Graph,
    count: usize,
    before: usize,
) -> Result<Vec<Carried>> {
    let mut carried = Vec::with_capacity(count);
    for at in 0..count {
        let first = node.input(at + before)?;
        let name = &graph.input[at + before].name;
        if body::origin(graph, &graph.output[at + before.min(1)].name) == name {
            carried.push(Carried::Fixed(first.clone()));
            continue;
        }
        let shape = b.shape_of(first);
        let whole = match first {
            Value::Known(Known { tensor, .. }) => tensor.is_whole(),
            _ => false,
        };
        carried.push(match (first, shape.as_slice()) {
            (Value::Known(known), []) if whole => match known.ints().as_deref() {
                Some(&[n]) => Carried::Counter(n),
                _ => return Err(b.unsupported(format!("{name} starts from a number that is not known"))),
            },
            (Value::Known(_) | Value::Device(Device { kind: Kind::Float, .. }), [_, width]) if !whole => {
                let width = width.known().and_then(|n| usize::try_from(n).ok()).filter(|&n| n > 0);
                let Some(width) = width else {
                    return Err(b.unsupported(format!("a state {name} of an unknown number of units")));
                };
                b.limits.elements(&b.place, &[width as u64])?;
                Carried::State { first: first.clone(), width }
            }
            _ => {
                let problem = format!(
                    "{name} of shape {}, which goes from step to step, is no state [batch, units]",
                    text(&shape)
                );
                return Err(b.unsupported(problem));
            }
        });
    }
    Ok(carried)
}

/// Refuses loops that end before the last step of the sequence, or run on behind it.
fn steps(b: &Builder<'_>, node: &Node<'_>, going: &Local, x: &Device) -> Result<()> {
    let steps = b.size(&x.axes[0]);
    debug_assert!(x.batch_axis() == Some(1) && !x.axes[0].contains(&BATCH));
    let started = node.constant(1, "the condition")?.is_none_or(|known| known.uniform() == Some(1.0));
    let most = match node.constant(0, "the number of steps")? {
        Some(known) => known.tensor.number(),
        None => None,
    };
    let bounded = most.as_ref().is_some_and(|most| b.same(most, &steps));
    let open = most.is_none_or(|most| most.known().is_some_and(|n| n >= i64::from(i32::MAX)));
    let ends = match going {
        // One that is still true when the last step begins; whether it ends the loop then.
        Local::Going(bounds) if bounds.iter().all(|(at, bound)| *at <= 1 && b.same(bound, &steps)) => {
            Some(bounds.iter().any(|(at, _)| *at == 1))
        }
        Local::Value(Value::Known(known)) if known.uniform() == Some(1.0) => Some(false),
        _ => None,
    };
    match ends {
        Some(exact) if started && (bounded || open && exact) => Ok(()),
        _ => Err(b.unsupported(format!(
            "a loop that need not run for all {} of the sequence",
            if steps.known().is_some() { format!("{steps} steps") } else { "steps".to_owned() }
        ))),
    }
}
