//! Training on parts of the time axis, one after the other, with exact gradients: the states between the parts are kept, and
//! what lies within a part is computed again when its gradient is due (gradient checkpointing, Chen et al. 2016,
//! "Training deep nets with sublinear memory cost", over time). Buffers of different parts are never needed together, so
//! they share memory.

use super::Model;
use super::graph::Edge;
use super::lowering::{Lowering, Made, RunStates, StateSlices, Value};
use super::scores::TargetPorts;
use super::stages::{Along, Stage};
use crate::device::{Op, Slice};
use crate::{Error, Result};
use std::collections::{BTreeMap, HashMap};

/// The time axis in parts.
pub(super) struct Segments {
    /// steps of each
    pub steps: Vec<usize>,
    /// the first one whose outputs are compared with targets
    pub scored: usize,
    /// each is a batch of its own: layers that are not stateful start each from zero
    pub batches: bool,
}

impl Segments {
    /// `time` steps in about `count` parts, each but the last of a multiple of 4 steps: random numbers come by fours.
    pub fn even(time: usize, count: usize) -> Self {
        let size = time.div_ceil(count.max(1)).next_multiple_of(4);
        let steps = (0..time).step_by(size).map(|at| size.min(time - at)).collect();
        Segments { steps, scored: 0, batches: false }
    }

    fn count(&self) -> usize {
        self.steps.len()
    }

    fn start(&self, at: usize) -> usize {
        self.steps[..at].iter().sum()
    }

    fn total(&self) -> usize {
        self.steps.iter().sum()
    }
}

/// States of calls: before the first part, between two, or after the last.
type Border = BTreeMap<usize, StateSlices>;

/// A stage that goes along time in parts.
pub(super) struct Walk<'s> {
    pub stage: &'s Stage,
    pub segments: Segments,
    /// what the steps of the stage are taken from: its inputs with a time axis
    pub sequences: Vec<Edge>,
    borders: Vec<Border>,
    wholes: Vec<Whole>,
}

/// An output put together from the parts.
struct Whole {
    edge: Edge,
    value: Value,
    in_time: bool,
}

/// A part that has been lowered.
struct Ran {
    made: Made,
    /// the parts of the stage's sequences
    taken: Vec<(Edge, Value)>,
    states: BTreeMap<usize, RunStates>,
}

/// Gradients of the states at the end of a part, by call and recurrent part.
type Carried = ((usize, usize), Vec<Option<Slice>>);

/// A stage whose backward pass is to come.
enum Done<'s> {
    /// run at once; its backward pass lies on the tape behind so many others
    AtOnce(usize),
    InParts(Walk<'s>),
}

impl Model {
    /// A training's forward pass stage by stage, `scores`, and the backward pass from the last stage to the first; stages that
    /// can go through time in about `count` parts do. States of stateful layers are at `states`.
    pub(super) fn lower_in_parts(
        &self,
        l: &mut Lowering<'_>,
        inputs: Vec<Value>,
        samples: &[Vec<usize>],
        count: usize,
        states: &StateSlices,
        scores: impl FnOnce(&mut Lowering<'_>, &[Value]) -> Result<TargetPorts>,
    ) -> Result<TargetPorts> {
        let along = self.along(samples)?;
        let stages = along.stages();
        let mut made: Made = inputs.into_iter().enumerate().map(|(i, x)| (Edge::Input(i), x)).collect();
        let mut done = Vec::with_capacity(stages.len());
        for stage in &stages {
            let Some(time) = stage.time else {
                done.push(Done::AtOnce(l.tape_len()));
                for &call in &stage.calls {
                    let args = self.graph.calls[call].inputs.iter().map(|edge| made[edge].clone()).collect();
                    l.call(&self.graph, &self.nodes, call, args, &mut made)?;
                }
                continue;
            };
            let mut walk = self.walk(stage, Segments::even(time, count), &along);
            self.walk_forward(l, &mut walk, &mut made, states, states, &along)?;
            done.push(Done::InParts(walk));
        }
        let outputs: Vec<Value> = self.graph.outputs.iter().map(|edge| made[edge].clone()).collect();
        let ports = scores(l, &outputs)?;
        for stage in done.iter().rev() {
            match stage {
                Done::AtOnce(before) => l.unwind_to(*before)?,
                Done::InParts(walk) => self.walk_backward(l, walk, &made, states)?,
            }
        }
        Ok(ports)
    }

    /// A walk along a stage.
    pub(super) fn walk<'s>(&self, stage: &'s Stage, segments: Segments, along: &Along<'_>) -> Walk<'s> {
        let inside = |edge: &Edge| matches!(edge, Edge::Output { call, .. } if stage.calls.contains(call));
        let mut sequences = Vec::new();
        let taken = stage.calls.iter().flat_map(|&call| &self.graph.calls[call].inputs);
        for edge in taken.chain(&stage.outputs) {
            if !inside(edge) && along.time(edge).is_some() && !sequences.contains(edge) {
                sequences.push(*edge);
            }
        }
        Walk { stage, segments, sequences, borders: Vec::new(), wholes: Vec::new() }
    }

    /// Forward over all parts, of which only the states between them and the outputs are kept. Stateful layers begin with the
    /// states at `start`; the last states of those that have a place in `kept` are put there.
    pub(super) fn walk_forward(
        &self,
        l: &mut Lowering<'_>,
        walk: &mut Walk<'_>,
        made: &mut Made,
        start: &StateSlices,
        kept: &StateSlices,
        along: &Along<'_>,
    ) -> Result<()> {
        let first = self.border(l, walk.stage)?;
        for (&call, parts) in &first {
            for (part, slices) in parts {
                let given = start.get(part).map_or(&[][..], Vec::as_slice);
                for (i, &y) in slices.iter().enumerate().filter(|_| !self.is_given(call)) {
                    l.emit(given.get(i).map_or(Op::Fill { value: 0.0, y }, |&x| Op::Copy { x, y }));
                }
            }
        }
        walk.borders.push(first);
        for at in 0..walk.segments.count() {
            let next = self.border(l, walk.stage)?;
            let mut ran = self.part(l, walk, at, &next, made, false)?;
            l.end_stretch(kept);
            walk.borders.push(next);
            if at == walk.segments.scored {
                self.make_wholes(l, walk, &mut ran, along)?;
            }
            if at >= walk.segments.scored {
                self.put_together(l, walk, &ran, at);
            }
        }
        made.extend(walk.wholes.iter().map(|whole| (whole.edge, whole.value.clone())));
        for (part, last) in walk.borders.last().into_iter().flat_map(|border| border.values().flatten()) {
            let to = kept.get(part).into_iter().flatten();
            last.iter().zip(to).for_each(|(&x, &y)| l.emit(Op::Copy { x, y }));
        }
        Ok(())
    }

    /// Forward and backward over each part, from the last to the first, with the gradients that have reached the outputs.
    pub(super) fn walk_backward(
        &self,
        l: &mut Lowering<'_>,
        walk: &Walk<'_>,
        made: &Made,
        kept: &StateSlices,
    ) -> Result<()> {
        let (before, count) = (l.tape_len(), walk.segments.count());
        // Gradients of the stage's sequences, and of the states at the end of the part at hand.
        let wanted: Vec<&Edge> = walk.sequences.iter().filter(|edge| made[*edge].needs_gradient()).collect();
        let gradients: HashMap<Edge, Slice> = wanted
            .iter()
            .map(|&&edge| Ok((edge, l.scratch(made[&edge].data.len)?)))
            .collect::<Result<_>>()?;
        let mut carried: Vec<Carried> = Vec::new();
        for at in (0..count).rev() {
            l.want_state_gradients(at > 0);
            let work = self.border(l, walk.stage)?;
            let ran = self.part(l, walk, at, &work, made, true)?;
            for whole in walk.wholes.iter().filter(|_| at >= walk.segments.scored) {
                let from = walk.segments.start(at) - walk.segments.start(walk.segments.scored);
                hand_back(l, &ran.made[&whole.edge], whole, from, at + 1 == count);
            }
            for ((call, part), gradients) in std::mem::take(&mut carried) {
                let Some(ends) = ran.states[&call].ends.get(&part) else {
                    let problem =
                        "it does not hand on its states, so it can not be trained on parts of the time axis";
                    return Err(Error::invalid(format!("layer {}", self.parts[part].name), problem));
                };
                ends.iter().zip(gradients).for_each(|(end, gradient)| l.arrived(end, gradient));
            }
            l.unwind_to(before)?;
            if at > 0 {
                for (&call, states) in &ran.states {
                    for (&part, starts) in &states.starts {
                        if !self.starts_anew(walk, part, at) {
                            carried.push(((call, part), l.gradients_of(starts)));
                        }
                    }
                }
                carried.sort_by_key(|entry| entry.0);
            }
            for (edge, part) in &ran.taken {
                if let Some(&all) = gradients.get(edge) {
                    l.put_gradient(part, walk.segments.start(at), all, &made[edge]);
                }
            }
        }
        l.want_state_gradients(false);
        l.end_stretch(kept);
        for edge in wanted {
            l.arrived(&made[edge], Some(gradients[edge]));
        }
        Ok(())
    }

    /// Lowers one part: its calls start from the states of the border before it and leave theirs at `to`.
    fn part(
        &self,
        l: &mut Lowering<'_>,
        walk: &Walk<'_>,
        at: usize,
        to: &Border,
        outside: &Made,
        again: bool,
    ) -> Result<Ran> {
        let Walk { stage, segments, sequences, borders, .. } = walk;
        let (from, steps) = (segments.start(at), segments.steps[at]);
        l.begin_stretch(from, segments.total(), (!segments.batches).then_some(at), again);
        let mut made = Made::new();
        let mut taken = Vec::new();
        for edge in sequences {
            let part = l.steps(&outside[edge], from, steps)?;
            taken.push((*edge, part.clone()));
            made.insert(*edge, part);
        }
        let mut states = BTreeMap::new();
        for &call in &stage.calls {
            let edges = &self.graph.calls[call].inputs;
            let arg = |edge: &Edge| made.get(edge).unwrap_or_else(|| &outside[edge]).clone();
            let mut args: Vec<Value> = edges.iter().map(arg).collect();
            let given = self.is_given(call);
            if given && at > 0 {
                args.truncate(1);
            }
            let own = to.get(&call);
            for (part, slices) in own.into_iter().flatten().filter(|_| !given || at > 0) {
                for (&x, &y) in borders[at][&call][part].iter().zip(slices) {
                    let anew = self.starts_anew(walk, *part, at);
                    l.emit(if anew { Op::Fill { value: 0.0, y } } else { Op::Copy { x, y } });
                }
            }
            let zero = own.into_iter().flat_map(|parts| parts.keys().copied());
            let zero = zero.filter(|&part| !given && !self.parts[part].traits.stateful).collect();
            l.place_states(call, own.cloned().unwrap_or_default(), zero);
            l.call(&self.graph, &self.nodes, call, args, &mut made)?;
            if own.is_some() {
                states.insert(call, l.take_states());
            }
        }
        Ok(Ran { made, taken, states })
    }

    /// A part whose states are zero at the start of a batch.
    fn starts_anew(&self, walk: &Walk<'_>, part: usize, at: usize) -> bool {
        at > 0 && walk.segments.batches && !self.parts[part].traits.stateful
    }

    /// A recurrent layer that is given the states to start from.
    fn is_given(&self, call: usize) -> bool {
        let call = &self.graph.calls[call];
        call.inputs.len() > 1 && self.parts.iter().any(|part| part.layer == call.layer)
    }

    /// Room for the states of all calls of a stage.
    fn border(&self, l: &mut Lowering<'_>, stage: &Stage) -> Result<Border> {
        let batch = l.batch();
        let mut border = Border::new();
        for &call in &stage.calls {
            for (index, part) in self.parts.iter().enumerate() {
                if part.layer == self.graph.calls[call].layer {
                    let states = part.traits.states.iter().map(|units| l.buffer(batch * units));
                    border.entry(call).or_default().insert(index, states.collect::<Result<_>>()?);
                }
            }
        }
        Ok(border)
    }

    /// Room for the outputs of all parts that count.
    fn make_wholes(
        &self,
        l: &mut Lowering<'_>,
        walk: &mut Walk<'_>,
        ran: &mut Ran,
        along: &Along<'_>,
    ) -> Result<()> {
        let time: usize = walk.segments.steps[walk.segments.scored..].iter().sum();
        for edge in &walk.stage.outputs {
            let (output, in_time) = (ran.made[edge].clone(), along.time(edge).is_some());
            let of = |l: &mut Lowering<'_>, x: &Value| -> Result<Value> {
                let mut shape = x.shape.clone();
                let mut len = x.data.len;
                if in_time {
                    len = len / shape[0] * time;
                    shape[0] = time;
                }
                let data = l.buffer(len)?;
                Ok(l.value(data, shape))
            };
            let mut value = of(l, &output)?;
            if let Some(logits) = &output.logits {
                value.logits = Some(Box::new(of(l, logits)?));
            }
            if in_time && output.mask.is_some() {
                value.mask = Some(l.index_buffer(time * l.batch())?);
            }
            walk.wholes.push(Whole { edge: *edge, value, in_time });
        }
        Ok(())
    }

    /// Copies the outputs of a part to their places.
    fn put_together(&self, l: &mut Lowering<'_>, walk: &Walk<'_>, ran: &Ran, at: usize) {
        let offset = walk.segments.start(at) - walk.segments.start(walk.segments.scored);
        let last = at + 1 == walk.segments.count();
        for whole in walk.wholes.iter().filter(|whole| whole.in_time || last) {
            let output = &ran.made[&whole.edge];
            let logits = output.logits.as_deref().zip(whole.value.logits.as_deref());
            for (x, y) in std::iter::once((output, &whole.value)).chain(logits) {
                let from = if whole.in_time { offset * (y.data.len / y.shape[0]) } else { 0 };
                l.emit(Op::Copy { x: x.data, y: y.data.part(from, x.data.len) });
            }
            if let (Some(flags), Some(all)) = (output.mask, whole.value.mask) {
                l.copy_flags(flags, all.part(offset * l.batch(), flags.len));
            }
        }
    }
}

impl Walk<'_> {
    /// The states of the recurrent parts after the first `at` parts of the time axis, where each is run once.
    pub fn states(&self, at: usize) -> StateSlices {
        self.borders[at].values().flatten().map(|(&part, states)| (part, states.clone())).collect()
    }
}

/// Gives the gradient that reached the whole output to a part.
fn hand_back(l: &mut Lowering<'_>, output: &Value, whole: &Whole, offset: usize, last: bool) {
    let logits = output.logits.as_deref().zip(whole.value.logits.as_deref());
    for (x, y) in std::iter::once((output, &whole.value)).chain(logits) {
        if !whole.in_time && !last {
            continue;
        }
        let at = if whole.in_time { offset * (y.data.len / y.shape[0]) } else { 0 };
        let gradient = l.gradient(y).map(|dy| dy.part(at, x.data.len));
        l.arrived(x, gradient);
    }
}
