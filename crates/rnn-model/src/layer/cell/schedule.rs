//! A cell over a sequence, step by step, from the operations that its definition asks for.

use super::{CellDefinition, CellOps, CellStep, CellValue, CellWeight};
use crate::layer::VariableSpec;
use crate::layer::sequence::{Run, Walk};
use crate::model::lowering::{Lowering, Node, Value};
use crate::{Error, Result};
use rnn_shaders::vocabulary::{RESET, VALID};

/// The weights of a cell as a layer has them.
pub(in crate::layer) fn variables(cell: &dyn CellDefinition, features: usize) -> Vec<VariableSpec> {
    cell.variables(features).into_iter().map(|v| v.0).collect()
}

/// All steps of a walk.
///
/// A step that the mask leaves out keeps the states and repeats the output; what is shown before the first that it does
/// not is up to the layer. A reset makes the states and the output to repeat 0 before the step.
pub(in crate::layer) fn run(
    l: &mut Lowering<'_>,
    node: &Node,
    cell: &dyn CellDefinition,
    walk: Walk,
) -> Result<Run> {
    let Walk { x, start, return_sequences, .. } = walk;
    let (time, features) = (x.shape[0], x.shape[1]);
    let (batch, mask, from_zero) = (l.batch(), x.mask, start.is_none());
    let weights = CellWeight::of_node(node, &variables(cell, features));
    let mut states = begin(l, start, &cell.state_sizes())?;
    let goes_on = l.goes_on();
    let mut ops = CellOps::new(l);
    let prepared = cell.prepare(&mut ops, CellValue(x), &weights)?;
    if prepared.0.shape.len() != 2 || prepared.0.shape[0] != time {
        return Err(wrong(cell, "prepare must give a sequence of as many steps as it got"));
    }
    ops.prepared();
    let steps = ops.l.unstack(&prepared.0);
    let mut outputs: Vec<Value> = Vec::with_capacity(time);
    for (t, x) in steps.into_iter().enumerate() {
        ops.begin_step(t);
        let flags = mask.map(|flags| flags.part(t * batch, batch));
        // At the first step of zero states there is nothing to reset.
        if let Some(flags) = flags.filter(|_| t > 0 || !from_zero) {
            for state in &mut states {
                *state = ops.l.select(flags, RESET, None, Some(state))?;
            }
        }
        let before: Vec<CellValue> = states.iter().cloned().map(CellValue).collect();
        let step = cell.step(&mut ops, &CellValue(x), &before, &weights)?;
        check(cell, &step, batch)?;
        let CellStep { output: CellValue(mut output), states: made } = step;
        let shows_state = output.data == made[0].0.data;
        let unchanged = |made: &CellValue, before: &CellValue| made.0.data == before.0.data;
        for ((state, made), before) in states.iter_mut().zip(&made).zip(&before) {
            *state = match flags.filter(|_| !unchanged(made, before)) {
                Some(flags) => ops.l.select(flags, VALID, Some(&made.0), Some(&before.0))?,
                None => made.0.clone(),
            };
        }
        if let Some(flags) = flags {
            if !shows_state && goes_on {
                let problem = "its output is not its first state, so what a masked step repeats can lie in another part of the \
                               time axis; run whole sequences";
                return Err(wrong(cell, problem));
            }
            output = match outputs.last() {
                _ if shows_state => states[0].clone(),
                Some(last) => {
                    let last = ops.l.select(flags, RESET, None, Some(last))?;
                    ops.l.select(flags, VALID, Some(&output), Some(&last))?
                }
                None => ops.l.select(flags, VALID, Some(&output), None)?,
            };
        }
        outputs.push(output);
    }
    let outputs = match return_sequences {
        true => l.stack(&outputs)?,
        false => outputs.pop().expect("a sequence has a step"),
    };
    Ok(Run { outputs, states })
}

/// Copies of the states that a run starts from, which the last states may overwrite, or zeros.
fn begin(l: &mut Lowering<'_>, start: Option<Vec<Value>>, sizes: &[usize]) -> Result<Vec<Value>> {
    match start {
        Some(start) => start.iter().map(|state| l.copy(state)).collect(),
        None => {
            let zeros = |&size: &usize| {
                let data = l.buffer(l.batch() * size)?;
                Ok(l.input(data, vec![size], false))
            };
            sizes.iter().map(zeros).collect()
        }
    }
}

/// Refuses a step that does not give what the cell says.
fn check(cell: &dyn CellDefinition, step: &CellStep, batch: usize) -> Result<()> {
    let sizes = cell.state_sizes();
    if step.states.len() != sizes.len() {
        let problem = format!("a step gave {} states, the cell has {}", step.states.len(), sizes.len());
        return Err(wrong(cell, &problem));
    }
    let wanted = std::iter::once(cell.output_size()).chain(sizes);
    for (value, size) in std::iter::once(&step.output).chain(&step.states).zip(wanted) {
        if value.size() != size || value.0.data.len != batch * size {
            let problem =
                format!("a step gave a value of {} per sample where the cell says {size}", value.size());
            return Err(wrong(cell, &problem));
        }
    }
    Ok(())
}

fn wrong(cell: &dyn CellDefinition, problem: &str) -> Error {
    Error::invalid(format!("cell {}", cell.class()), problem)
}
