//! What all layers that walk along time have in common: their options, and what becomes of inputs, masks and states on the
//! way in and out.

use super::{Layer, RecurrentTraits, SampleShape, arity, sequence_shape};
use crate::device::{IndexSlice, Op, Slice};
use crate::model::lowering::{Lowering, Node, Value};
use crate::{Error, Result};
use serde::{Deserialize, Serialize};

/// Options of every layer that walks along time, with Keras's names and defaults (all false).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SequenceOptions {
    pub(super) return_sequences: bool,
    pub(crate) return_state: bool,
    pub(crate) go_backwards: bool,
    pub(crate) stateful: bool,
    pub(crate) unroll: bool,
    pub(crate) zero_output_for_mask: bool,
}

/// The builder methods of a layer with a field `sequence: SequenceOptions`.
macro_rules! sequence_options {
    () => {
        /// Give every step's output, not only the last one's; false.
        pub fn return_sequences(mut self, on: bool) -> Self {
            self.sequence.return_sequences = on;
            self
        }

        /// Give the last states too, as further outputs behind the first; false. In a
        /// [`Sequential`](crate::Sequential) they go to
        /// [`Model::predict_with_states`](crate::Model::predict_with_states).
        pub fn return_state(mut self, on: bool) -> Self {
            self.sequence.return_state = on;
            self
        }

        /// Run from the last step to the first; outputs, and their mask, come in the order in which they are made;
        /// false.
        pub fn go_backwards(mut self, on: bool) -> Self {
            self.sequence.go_backwards = on;
            self
        }

        /// Sample i of a batch goes on from the state of sample i of the batch before, until `reset_states`; false.
        pub fn stateful(mut self, on: bool) -> Self {
            self.sequence.stateful = on;
            self
        }

        /// Keras's choice between a loop and its unrolled steps. Here the device chooses its schedule itself
        /// ([`Model::explain`](crate::Model::explain) tells which), so this changes nothing; it is kept for models that
        /// come from Keras and go back; false.
        pub fn unroll(mut self, on: bool) -> Self {
            self.sequence.unroll = on;
            self
        }

        /// Give 0 at masked steps, in place of the output of the step before; false.
        pub fn zero_output_for_mask(mut self, on: bool) -> Self {
            self.sequence.zero_output_for_mask = on;
            self
        }
    };
}
pub(crate) use sequence_options;

/// What a layer walks along.
pub(super) struct Walk {
    /// `[time, batch, features]`, in the order in which it is run, with its mask
    pub x: Value,
    /// states to start from; zero where there are none
    pub start: Option<Vec<Value>>,
    /// resident states to start from and to leave the last ones in, where they may be used in place
    pub resident: Option<Vec<Slice>>,
    /// the outputs of all steps are wanted
    pub return_sequences: bool,
}

/// What comes out: the outputs of all steps or of the last, and the last states.
pub(super) struct Run {
    pub outputs: Value,
    pub states: Vec<Value>,
}

impl SequenceOptions {
    /// Shapes of the outputs of a layer called `class` that gives `units` per step and keeps states of `states` values.
    pub(super) fn output_shapes(
        self,
        class: &str,
        inputs: &[SampleShape],
        units: usize,
        states: &[usize],
    ) -> Result<Vec<SampleShape>> {
        let Some((x, given)) = inputs.split_first() else { return Err(arity(class, "a sequence", 0)) };
        let (time, _) = sequence_shape(class, x)?;
        let states: Vec<SampleShape> = states.iter().map(|&n| vec![Some(n)]).collect();
        if !given.is_empty() && given.len() != states.len() {
            let expected = format!("a sequence, or a sequence and {} initial states", states.len());
            return Err(arity(class, &expected, inputs.len()));
        }
        if let Some((given, state)) = given.iter().zip(&states).find(|(given, state)| given != state) {
            let expected = crate::error::AsShape::text(&state.as_slice());
            return Err(Error::shape(format!("initial state of {class}"), expected, given.as_slice()));
        }
        let units = Some(units);
        let mut outputs = vec![if self.return_sequences { vec![time, units] } else { vec![units] }];
        if self.return_state {
            outputs.extend(states);
        }
        Ok(outputs)
    }

    /// Runs a layer: turns the sequence round where that is asked for, finds the states to start from, lets `walk` run all
    /// steps, keeps the last states, and gives the outputs with what masks make of them. `in_place` says that `walk` can
    /// use resident states where they live when nothing is to be differentiated.
    pub(super) fn lower(
        self,
        l: &mut Lowering<'_>,
        node: &Node,
        inputs: &[Value],
        states: &[usize],
        in_place: bool,
        walk: impl FnOnce(&mut Lowering<'_>, Walk) -> Result<Run>,
    ) -> Result<Vec<Value>> {
        let (x, given) = (inputs[0].clone(), &inputs[1..]);
        let x = if self.go_backwards { super::shaping::reverse_time(l, x)? } else { x };
        let mask = x.mask;
        // States of a layer that is not stateful, wanted by the caller, are those of its first use.
        let kept = if self.stateful || l.first_use(node.part) { l.states(node.part) } else { None };
        // Without a way back, and where nobody is given a copy of them, kept states stay where they live.
        let in_place = in_place && given.is_empty() && !l.recording() && !self.return_state;
        let resident = kept.clone().filter(|_| in_place);
        // Initial states handed over go before kept ones.
        let start = match given {
            _ if resident.is_some() => None,
            [] if kept.is_some() => l.start_states(node.part, states),
            [] => None,
            given => Some(given.to_vec()),
        };
        let from_zero = l.began_with_zero(node.part) || (start.is_none() && resident.is_none());
        let copied_to = kept.filter(|_| resident.is_none()).unwrap_or_default();
        let run = walk(l, Walk { x, start, resident, return_sequences: self.return_sequences })?;
        l.leave_states(node.part, &run.states);
        for (state, to) in run.states.iter().zip(copied_to) {
            l.emit(Op::Copy { x: state.data, y: to });
        }
        let mut y = run.outputs;
        if let Some(flags) = mask {
            y = self.masked_outputs(l, y, flags, from_zero, node.part)?;
        }
        let mut outputs = vec![y];
        if self.return_state {
            outputs.extend(run.states);
        }
        Ok(outputs)
    }

    /// A masked step repeats the output before it, or gives 0 where that is asked for or nothing came before: a state to
    /// start from is no output (Keras).
    fn masked_outputs(
        self,
        l: &mut Lowering<'_>,
        y: Value,
        flags: IndexSlice,
        from_zero: bool,
        part: Option<usize>,
    ) -> Result<Value> {
        let (batch, steps) = (l.batch(), flags.len / l.batch());
        let shown = if self.zero_output_for_mask {
            Some(flags)
        } else if from_zero {
            None
        } else {
            Some(l.seen_flags(part, flags)?)
        };
        let mut y = match shown {
            Some(shown) if self.return_sequences => l.mask_rows(&y, shown)?,
            Some(shown) => l.mask_rows(&y, shown.part((steps - 1) * batch, batch))?,
            None => y,
        };
        y.mask = Some(flags).filter(|_| self.return_sequences);
        Ok(y)
    }
}

impl Layer {
    /// The options of a layer that walks along time.
    pub(super) fn sequence_mut(&mut self) -> Option<&mut SequenceOptions> {
        match self {
            Layer::LSTM(layer) => Some(&mut layer.sequence),
            Layer::GRU(layer) => Some(&mut layer.sequence),
            Layer::SimpleRNN(layer) => Some(&mut layer.sequence),
            Layer::RNN(layer) => Some(&mut layer.sequence),
            _ => None,
        }
    }

    /// The same, to read.
    pub(super) fn sequence(&self) -> Option<SequenceOptions> {
        self.clone().sequence_mut().copied()
    }
}

/// What a model needs to know of a layer that is one recurrent part.
pub(super) fn one_part(
    options: SequenceOptions,
    fused: Option<rnn_shaders::vocabulary::Cell>,
    states: Vec<usize>,
) -> Vec<RecurrentTraits> {
    vec![RecurrentTraits {
        part: String::new(),
        fused,
        states,
        stateful: options.stateful,
        return_state: options.return_state,
    }]
}
