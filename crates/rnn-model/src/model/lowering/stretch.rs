//! Lowering a part of the time axis by itself, among others that are run before and after it.

use super::{Lowering, StateSlices, Value};
use crate::device::{IndexSlice, LayerOp, Op, Slice};
use crate::{Error, Result};
use rnn_shaders::shape::Block;
use std::collections::{HashMap, HashSet};

/// The part of the time axis that is lowered now.
pub(super) struct Stretch {
    /// which step of the whole its first one is
    first: usize,
    /// steps of the whole
    total: usize,
    /// samples of the batch, of which a layer may make more
    batch: usize,
    /// which part it is, where each goes on from the one before; `None` where each is a sequence of its own
    number: Option<usize>,
    /// its second run, for the backward pass: what counts once has been counted
    again: bool,
    /// which call of a layer is lowered
    call: usize,
    /// what the values at hand are parts of, by their ids
    wholes: HashMap<usize, Value>,
}

/// What is kept from part to part.
#[derive(Default)]
pub(super) struct Kept {
    /// buffers of indices, used again by each part in the same order
    indices: Vec<IndexSlice>,
    next: usize,
    /// by call and recurrent part: the row of flags after each part of the time axis, which tell what has been seen
    seen: HashMap<(usize, usize), Vec<IndexSlice>>,
    /// step flags of all steps, by the value that they were made from
    flags: HashMap<usize, IndexSlice>,
}

/// The states that a run started from and ended with, by recurrent part.
pub(crate) struct RunStates {
    pub starts: HashMap<usize, Vec<Value>>,
    pub ends: HashMap<usize, Vec<Value>>,
}

impl Lowering<'_> {
    /// What follows is the part number `number` of a time axis of `total` steps, from step `first` on; `number` is `None` where
    /// the parts are sequences of their own. With `again` it has been run before, and now has a backward pass.
    pub fn begin_stretch(&mut self, first: usize, total: usize, number: Option<usize>, again: bool) {
        let (batch, wholes) = (self.batch, HashMap::new());
        self.stretch = Some(Stretch { first, total, batch, number, again, call: 0, wholes });
        self.kept.next = 0;
        self.recording = again;
    }

    /// What follows is the whole time axis again.
    pub fn end_stretch(&mut self, states: &StateSlices) {
        self.stretch = None;
        self.states = states.clone();
        self.zero_starts.clear();
        self.recording = self.training;
    }

    /// The next call starts from these states and leaves its last ones there; those of the parts in `zero` were zero before
    /// the first step of the whole sequence.
    pub fn place_states(&mut self, call: usize, states: StateSlices, zero: HashSet<usize>) {
        (self.states, self.zero_starts) = (states, zero);
        self.starts.clear();
        self.ends.clear();
        self.used_parts.clear();
        if let Some(stretch) = &mut self.stretch {
            stretch.call = call;
        }
    }

    /// What the last call started from and ended with.
    pub fn take_states(&mut self) -> RunStates {
        RunStates { starts: std::mem::take(&mut self.starts), ends: std::mem::take(&mut self.ends) }
    }

    /// From now on, gradients of the start states are wanted or not.
    pub fn want_state_gradients(&mut self, wanted: bool) {
        self.state_gradients = wanted;
    }

    /// Whether a part began with zero states, before what is at hand.
    pub fn began_with_zero(&self, part: Option<usize>) -> bool {
        part.is_some_and(|part| self.zero_starts.contains(&part))
    }

    /// Whether what is at hand goes on where something before it ended.
    pub fn goes_on(&self) -> bool {
        self.chunks || self.stretch.as_ref().is_some_and(|s| s.number.is_some())
    }

    /// Penalties are added to the loss: not when a part is run again.
    pub fn counts(&self) -> bool {
        self.stretch.as_ref().is_none_or(|s| !s.again)
    }

    /// Which step of the whole sequence the first one at hand is.
    pub fn first_step(&self) -> usize {
        self.stretch.as_ref().map_or(0, |s| s.first)
    }

    /// Number of the first random number for `x`, one for each of its values in the whole sequence; a multiple of 4.
    ///
    /// # Errors
    /// Where the values of a part are no stretch of those of the whole: a sequence at each step of a sequence.
    pub fn first_value(&self, x: &Value) -> Result<usize> {
        let Some(stretch) = self.stretch.as_ref().filter(|s| s.first > 0) else { return Ok(0) };
        let of_steps = self.batch != stretch.batch;
        let at = match (of_steps, x.shape.len()) {
            (false, 0 | 1) => 0,
            (false, _) => stretch.first * (x.data.len / x.shape[0]),
            (true, 0 | 1) => self.first_of_samples(x.data.len / self.batch),
            (true, _) => {
                let problem =
                    "random numbers for a sequence at each step can not be drawn on parts of the time axis";
                return Err(Error::invalid("TimeDistributed", problem));
            }
        };
        Ok(at.next_multiple_of(4))
    }

    /// As [`first_value`](Self::first_value), of `len` values for each sample: not 0 where samples are the steps of a
    /// sequence.
    pub fn first_of_samples(&self, len: usize) -> usize {
        let of_steps = self.stretch.as_ref().filter(|s| s.batch != self.batch);
        of_steps.map_or(0, |s| s.first * s.batch * len).next_multiple_of(4)
    }

    /// Steps `from..from + count` of a sequence, as an input of a part. Gradients of the part stop there.
    pub fn steps(&mut self, whole: &Value, from: usize, count: usize) -> Result<Value> {
        let (batch, wanted) = (self.batch, whole.needs_gradient);
        let part = match whole.shape.as_slice() {
            // Numbers of words and the like stand by sample.
            &[time] => {
                let data = self.buffer(batch * count)?;
                let x = whole.data.part(from, (batch - 1) * time + count);
                let block = Block::rows(batch, count, time, count);
                self.emit(LayerOp::CopyBlock { block, joint: false, x, y: data });
                self.input(data, vec![count], wanted)
            }
            [time, step @ ..] => {
                let len = whole.data.len / time;
                let shape = [&[count], step].concat();
                let mut part = self.input(whole.data.part(from * len, count * len), shape, wanted);
                part.mask = whole.mask.map(|flags| flags.part(from * batch, count * batch));
                part
            }
            [] => whole.clone(),
        };
        if let Some(stretch) = &mut self.stretch {
            stretch.wholes.insert(part.id, whole.clone());
        }
        Ok(part)
    }

    /// Step flags `[time, batch]` that `op` makes from `x`; of a part those of its steps among all steps.
    pub fn step_flags(
        &mut self,
        x: &Value,
        time: usize,
        op: fn(usize, usize, Slice, IndexSlice) -> LayerOp,
    ) -> Result<IndexSlice> {
        let batch = self.batch;
        let Some(stretch) = self.stretch.as_ref().filter(|s| s.number.is_some()) else {
            let flags = self.index_buffer(time * batch)?;
            self.emit(op(time, batch, x.data, flags));
            return Ok(flags);
        };
        let (first, total) = (stretch.first, stretch.total);
        let whole = stretch.wholes.get(&x.id).unwrap_or(x).clone();
        let flags = match self.kept.flags.get(&whole.id) {
            Some(&flags) => flags,
            None => {
                let flags = self.lasting_index_buffer(total * batch)?;
                self.emit(op(total, batch, whole.data, flags));
                self.kept.flags.insert(whole.id, flags);
                flags
            }
        };
        Ok(flags.part(first * batch, time * batch))
    }

    /// VALID from the first step on that is there, in this part of the sequence or one before; of a recurrent part of the call.
    ///
    /// # Errors
    /// When that is not known, or the device lacks memory.
    pub fn seen_flags(&mut self, part: Option<usize>, flags: IndexSlice) -> Result<IndexSlice> {
        let batch = self.batch;
        if self.chunks {
            let problem = "a stateful layer whose steps are masked can not go from chunk to chunk of time: whether a masked \
                           step has an output to repeat is not known; run the sequence at once";
            return Err(Error::invalid("predict in chunks of time", problem));
        }
        let place = self.stretch.as_ref().and_then(|s| Some((s.number?, (s.call, part?), s.again)));
        let before = place.filter(|p| p.0 > 0).map(|(number, key, _)| self.kept.seen[&key][number - 1]);
        let seen = match before {
            None => {
                let seen = self.index_buffer(flags.len)?;
                self.emit(LayerOp::SeenFlags { time: flags.len / batch, batch, a: flags, out: seen });
                seen
            }
            Some(before) => {
                let time = flags.len / batch + 1;
                let (joined, seen) = (self.index_buffer(time * batch)?, self.index_buffer(time * batch)?);
                self.copy_flags(before, joined.part(0, batch));
                self.copy_flags(flags, joined.part(batch, flags.len));
                self.emit(LayerOp::SeenFlags { time, batch, a: joined, out: seen });
                seen.part(batch, flags.len)
            }
        };
        if let Some((_, key, false)) = place {
            let row = self.lasting_index_buffer(batch)?;
            self.copy_flags(seen.part(seen.len - batch, batch), row);
            self.kept.seen.entry(key).or_default().push(row);
        }
        Ok(seen)
    }

    pub fn copy_flags(&mut self, from: IndexSlice, to: IndexSlice) {
        self.emit(LayerOp::CombineFlags { either: false, a: from, b: from, out: to });
    }

    /// A buffer of step flags or indices: within a part of the time axis one that other parts use too.
    pub fn index_buffer(&mut self, len: usize) -> Result<IndexSlice> {
        if self.stretch.is_none() {
            return self.lasting_index_buffer(len);
        }
        let at = self.kept.next;
        self.kept.next += 1;
        match self.kept.indices.get(at) {
            Some(slice) if slice.len >= len => Ok(slice.part(0, len)),
            found => {
                let found = found.is_some();
                let slice = self.lasting_index_buffer(len)?;
                match found {
                    true => self.kept.indices[at] = slice,
                    false => self.kept.indices.push(slice),
                }
                Ok(slice)
            }
        }
    }

    /// A buffer of step flags or indices that lives as long as the program.
    pub fn lasting_index_buffer(&mut self, len: usize) -> Result<IndexSlice> {
        let buffer = self.device.alloc_index(len)?;
        let slice = buffer.all();
        self.index_buffers.push(buffer);
        Ok(slice)
    }

    /// The gradients that have reached these values.
    pub fn gradients_of(&mut self, values: &[Value]) -> Vec<Option<Slice>> {
        values.iter().map(|value| self.gradient(value)).collect()
    }

    /// Puts the gradient of the steps from `from` on into its place in that of all steps.
    pub fn put_gradient(&mut self, part: &Value, from: usize, all: Slice, whole: &Value) {
        let step = whole.data.len / whole.shape[0];
        let y = all.part(from * step, part.data.len);
        match self.gradient(part) {
            Some(x) => self.emit(Op::Copy { x, y }),
            None => self.emit(Op::Fill { value: 0.0, y }),
        }
    }
}
