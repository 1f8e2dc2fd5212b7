//! Training on parts of the time axis, one after the other, with exact gradients: the states between the parts are kept, and
//! what lies within a part is computed again when its gradient is due (gradient checkpointing, Chen et al. 2016,
//! "Training deep nets with sublinear memory cost", over time). Buffers of different parts are never needed together, so
//! they share memory.

use super::Model;
use super::lowering::{Lowering, StateSlices, Value};
use super::scores::TargetPorts;
use crate::device::{LayerOp, Op, Slice};
use crate::{Error, Result};

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

    fn starts(&self) -> Vec<usize> {
        let start = |at: &mut usize, &steps: &usize| {
            let from = *at;
            *at += steps;
            Some(from)
        };
        self.steps.iter().scan(0, start).collect()
    }
}

/// What a training in segments leaves behind.
pub(super) struct Trained {
    pub targets: TargetPorts,
    /// the states before the first segment, between the segments, and after the last
    pub borders: Vec<StateSlices>,
}

/// An output put together from the segments.
struct Whole {
    value: Value,
    in_time: bool,
}

impl Model {
    /// Forward over all segments, then `scores` on the outputs put together, then forward and backward over each segment from
    /// the last to the first. The first starts from `start` where there are states for a part, else from zero.
    pub(super) fn lower_segments(
        &self,
        l: &mut Lowering<'_>,
        inputs: &[Value],
        segments: &Segments,
        start: &StateSlices,
        scores: impl FnOnce(&mut Lowering<'_>, &[Value]) -> Result<TargetPorts>,
    ) -> Result<Trained> {
        let (starts, count) = (segments.starts(), segments.steps.len());
        let streams = l.streams();
        let zero = |part: usize, at: usize| at > 0 && segments.batches && !self.parts[part].traits.stateful;
        let mut borders = vec![self.border(l)?];
        for part in 0..self.parts.len() {
            let slices = &borders[0][&part];
            let given = start.get(&part).map_or(&[][..], Vec::as_slice);
            for (i, &y) in slices.iter().enumerate() {
                l.emit(given.get(i).map_or(Op::Fill { value: 0.0, y }, |&x| Op::Copy { x, y }));
            }
        }
        let mut whole: Vec<Whole> = Vec::new();
        for (at, (&from, &steps)) in starts.iter().zip(&segments.steps).enumerate() {
            let next = self.border(l)?;
            self.begin_from(l, &borders[at], &next, |part| zero(part, at));
            l.begin_segment(&next, from, streams, Some(false));
            let parts: Vec<Value> = inputs.iter().map(|x| l.steps(x, from, steps)).collect();
            let outputs = l.forward(&self.graph, &self.nodes, parts)?;
            if l.makes_masks() {
                let problem = "a layer makes masks, and what a masked step repeats can lie in another part of the time axis; \
                               train on the whole axis";
                return Err(Error::invalid("memory_budget or backprop_batches", problem));
            }
            l.begin_segment(&next, 0, streams, None);
            if at == segments.scored {
                whole = self.wholes(l, &outputs, segments)?;
            }
            if at >= segments.scored {
                for (output, whole) in outputs.iter().zip(&whole) {
                    let offset = from - starts[segments.scored];
                    self.put_together(l, output, whole, offset)?;
                }
            }
            borders.push(next);
        }
        let values: Vec<Value> = whole.iter().map(|w| w.value.clone()).collect();
        let targets = scores(l, &values)?;

        // Gradients of the states at the end of the segment at hand.
        let mut carried: Vec<(usize, Vec<Option<Slice>>)> = Vec::new();
        for at in (0..count).rev() {
            let (from, steps) = (starts[at], segments.steps[at]);
            let wanted = at > 0;
            let work = self.border(l)?;
            self.begin_from(l, &borders[at], &work, |part| zero(part, at));
            l.begin_segment(&work, from, streams, Some(true));
            l.want_state_gradients(wanted);
            let parts: Vec<Value> = inputs.iter().map(|x| l.steps(x, from, steps)).collect();
            let outputs = l.forward(&self.graph, &self.nodes, parts)?;
            if at >= segments.scored {
                for (output, whole) in outputs.iter().zip(&whole) {
                    hand_back(l, output, whole, from - starts[segments.scored], at + 1 == count);
                }
            }
            for (part, gradients) in std::mem::take(&mut carried) {
                let Some(ends) = l.ends(part) else {
                    let problem =
                        "it does not hand on its states, so it can not be trained on parts of the time axis";
                    return Err(Error::invalid(format!("layer {}", self.parts[part].name), problem));
                };
                ends.iter().zip(gradients).for_each(|(end, gradient)| l.arrived(end, gradient));
            }
            l.unwind()?;
            if wanted {
                let mut found: Vec<_> = l.start_gradients();
                found.retain(|&(part, _)| !zero(part, at));
                found.sort_by_key(|&(part, _)| part);
                carried = found;
            }
        }
        l.want_state_gradients(false);
        Ok(Trained { targets, borders })
    }

    /// Puts the states of a border, zero for some parts, where a segment starts from.
    fn begin_from(
        &self,
        l: &mut Lowering<'_>,
        border: &StateSlices,
        to: &StateSlices,
        zero: impl Fn(usize) -> bool,
    ) {
        for part in 0..self.parts.len() {
            for (&x, &y) in border[&part].iter().zip(&to[&part]) {
                l.emit(if zero(part) { Op::Fill { value: 0.0, y } } else { Op::Copy { x, y } });
            }
        }
    }

    /// Room for the states of all parts.
    fn border(&self, l: &mut Lowering<'_>) -> Result<StateSlices> {
        let batch = l.batch();
        let room = |(index, part): (usize, &super::Part)| {
            let states = part.traits.states.iter().map(|units| l.buffer(batch * units));
            Ok((index, states.collect::<Result<_>>()?))
        };
        self.parts.iter().enumerate().map(room).collect()
    }

    /// Room for the outputs of all segments that count.
    fn wholes(&self, l: &mut Lowering<'_>, outputs: &[Value], segments: &Segments) -> Result<Vec<Whole>> {
        let time: usize = segments.steps[segments.scored..].iter().sum();
        let mut wholes = Vec::new();
        for (output, in_time) in outputs.iter().zip(self.outputs_in_time()) {
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
            let mut value = of(l, output)?;
            if let Some(logits) = &output.logits {
                value.logits = Some(Box::new(of(l, logits)?));
            }
            if in_time && output.mask.is_some() {
                value.mask = Some(l.index_buffer(time * l.batch())?);
            }
            wholes.push(Whole { value, in_time });
        }
        Ok(wholes)
    }

    /// Copies the output of a segment, whose first step is `offset` of those that count, to its place.
    fn put_together(&self, l: &mut Lowering<'_>, output: &Value, whole: &Whole, offset: usize) -> Result<()> {
        let logits = output.logits.as_deref().zip(whole.value.logits.as_deref());
        for (x, y) in std::iter::once((output, &whole.value)).chain(logits) {
            let at = if whole.in_time { offset * (y.data.len / y.shape[0]) } else { 0 };
            l.emit(Op::Copy { x: x.data, y: y.data.part(at, x.data.len) });
        }
        if let (Some(a), Some(all)) = (output.mask, whole.value.mask) {
            let out = all.part(offset * l.batch(), a.len);
            l.emit(LayerOp::CombineFlags { either: false, a, b: a, out });
        }
        Ok(())
    }
}

/// Gives the gradient that reached the whole output to the part of a segment.
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

impl Lowering<'_> {
    /// Steps `from..from + count` of a sequence, as an input of a segment.
    fn steps(&mut self, x: &Value, from: usize, count: usize) -> Value {
        let step = x.data.len / x.shape[0];
        let mut shape = x.shape.clone();
        shape[0] = count;
        let batch = self.batch();
        let mask = x.mask.map(|flags| flags.part(from * batch, count * batch));
        let mut part = self.input(x.data.part(from * step, count * step), shape, false);
        part.mask = mask;
        part
    }
}
