//! States that stay on the device between calls.

use super::{Model, Part, lowering::StateSlices};
use crate::array::array;
use crate::device::{Buffer, Device, Slice};
use crate::error::count;
use crate::layer::RecurrentTraits;
use crate::{Error, HostArray, Result};
use ndarray::ArrayD;
use std::collections::BTreeMap;

/// The states of one recurrent layer, or of one direction of a bidirectional one, as copied to or from the host.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerState {
    /// name of the layer: `lstm`, `bidirectional/forward`
    pub layer: String,
    /// `[batch, units]` each: h, and c of an LSTM
    pub states: Vec<ArrayD<f32>>,
}

impl LayerState {
    /// The hidden state.
    pub fn h(&self) -> &ArrayD<f32> {
        &self.states[0]
    }

    /// The cell state of an LSTM.
    pub fn c(&self) -> Option<&ArrayD<f32>> {
        self.states.get(1)
    }
}

/// The resident states of some recurrent parts for one batch size.
pub(crate) struct StateSet {
    pub batch: usize,
    /// by part
    parts: BTreeMap<usize, Vec<Buffer>>,
}

impl StateSet {
    /// Zero states for the wanted parts.
    pub fn zeros(
        device: &Device,
        batch: usize,
        parts: &[Part],
        wanted: impl Fn(&RecurrentTraits) -> bool,
    ) -> Result<Self> {
        let wanted = parts.iter().enumerate().filter(|(_, p)| wanted(&p.traits)).map(|(index, _)| index);
        Self::zeros_of(device, batch, parts, wanted)
    }

    /// Zero states for the parts named.
    pub fn zeros_of(
        device: &Device,
        batch: usize,
        parts: &[Part],
        wanted: impl Iterator<Item = usize>,
    ) -> Result<Self> {
        let mut resident = BTreeMap::new();
        for index in wanted {
            let states = parts[index].traits.states.iter().map(|units| device.alloc(batch * units));
            resident.insert(index, states.collect::<Result<_>>()?);
        }
        Ok(StateSet { batch, parts: resident })
    }

    /// The parts whose states are here, in order.
    pub fn parts(&self) -> impl Iterator<Item = usize> {
        self.parts.keys().copied()
    }

    /// The states of one part; none where they are not here.
    pub fn of(&self, part: usize) -> &[Buffer] {
        self.parts.get(&part).map_or(&[], Vec::as_slice)
    }

    /// All states, in order.
    pub fn buffers(&self) -> impl Iterator<Item = &Buffer> {
        self.parts.values().flatten()
    }

    pub fn slices(&self) -> StateSlices {
        self.parts.iter().map(|(&part, states)| (part, states.iter().map(Buffer::all).collect())).collect()
    }

    pub fn reset(&self, device: &Device) -> Result<()> {
        for state in self.parts.values().flatten() {
            let all = state.all();
            device.engine().write(all, &vec![0.0; all.len])?;
        }
        Ok(())
    }

    pub fn read(&self, model: &Model) -> Result<Vec<LayerState>> {
        let read = |buffer: &Buffer| -> Result<ArrayD<f32>> {
            let all = buffer.all();
            Ok(array(&[self.batch, all.len / self.batch], model.device.engine().read(all)?))
        };
        let state = |(&part, states): (&usize, &Vec<Buffer>)| {
            let layer = model.parts[part].name.clone();
            Ok(LayerState { layer, states: states.iter().map(read).collect::<Result<_>>()? })
        };
        self.parts.iter().map(state).collect()
    }

    /// Writes all states; checks every one before the first is written.
    pub fn write(&self, model: &Model, states: &[LayerState]) -> Result<()> {
        for (to, array) in self.writes(model, states, self.batch)? {
            model.device.engine().write(to, &array.data)?;
        }
        Ok(())
    }

    /// Where arrays of `samples` samples belong, all of which are checked: the places of all samples, and the values.
    pub fn writes<'s>(
        &self,
        model: &Model,
        states: &'s [LayerState],
        samples: usize,
    ) -> Result<Vec<(Slice, HostArray<'s>)>> {
        if states.len() != self.parts.len() {
            let names: Vec<&str> = self.parts.keys().map(|&p| model.parts[p].name.as_str()).collect();
            return Err(Error::Shape {
                what: "states".into(),
                expected: format!("those of {} ({})", count(names.len(), "layer"), names.join(", ")),
                got: states.len().to_string(),
            });
        }
        let mut writes = Vec::new();
        for (given, (&part, own)) in states.iter().zip(&self.parts) {
            let name = &model.parts[part].name;
            if given.states.len() != own.len() {
                let problem =
                    format!("it has {} states (h, and c of an LSTM), got {}", own.len(), given.states.len());
                return Err(Error::invalid(format!("state of {name}"), problem));
            }
            for (array, buffer) in given.states.iter().zip(own) {
                let expected = [samples, buffer.all().len / self.batch];
                if array.shape() != expected {
                    let what = format!("state of {name}");
                    return Err(Error::shape(what, format!("{expected:?}"), array.shape()));
                }
                writes.push((buffer.all(), HostArray::from(array)));
            }
        }
        Ok(writes)
    }
}

impl Model {
    /// Makes sure the stateful layers have states for `batch` samples, zero when they are new.
    pub(super) fn ensure_states(&mut self, batch: usize) -> Result<()> {
        self.check_batch(batch)?;
        if !self.is_stateful() {
            return Ok(());
        }
        match &self.states {
            Some(set) if set.batch == batch => return Ok(()),
            Some(set) if !self.states_are_fresh => {
                return Err(Error::BatchSize {
                    expected: set.batch,
                    got: batch,
                    fixed: self.graph.batch().is_some(),
                });
            }
            _ => {}
        }
        let states = StateSet::zeros(&self.device, batch, &self.parts, |part| part.stateful)?;
        self.replace_states(Some(states));
        Ok(())
    }

    /// Refuses, before the first batch runs, samples whose last batch would be smaller than the one whose states are kept.
    pub(super) fn check_whole_batches(&self, what: &str, samples: usize, batch: usize) -> Result<()> {
        let rest = samples % batch;
        if !self.is_stateful() || rest == 0 || samples < batch {
            return Ok(());
        }
        Err(Error::invalid(
            what,
            format!(
                "a stateful model needs whole batches: {samples} samples are not a multiple of the batch size {batch}; \
                 leave out {rest} samples or choose another batch size"
            ),
        ))
    }

    /// Sets the states of all stateful layers to zero and lets the next batch have any size.
    ///
    /// # Errors
    /// When the device fails.
    pub fn reset_states(&mut self) -> Result<()> {
        match &self.states {
            Some(states) => states.reset(&self.device)?,
            None => return Ok(()),
        }
        self.states_are_fresh = true;
        self.window.forget();
        Ok(())
    }

    /// Copies of the states of the stateful layers, in layer order; empty before the first batch.
    ///
    /// # Errors
    /// When the device fails.
    pub fn get_states(&self) -> Result<Vec<LayerState>> {
        self.states.as_ref().map_or(Ok(Vec::new()), |states| states.read(self))
    }

    /// Replaces the states of the stateful layers. The arrays' batch size becomes the one of the next batch.
    ///
    /// # Errors
    /// When the layers or shapes do not fit the model; nothing is changed then.
    pub fn set_states(&mut self, states: &[LayerState]) -> Result<()> {
        if !self.is_stateful() {
            return Err(Error::invalid(
                "set_states",
                "no layer of this model is stateful; build it with stateful(true)",
            ));
        }
        let Some(batch) = states.first().and_then(|s| s.states.first()?.shape().first().copied()) else {
            return Err(Error::invalid("set_states", "no states were given"));
        };
        self.check_batch(batch)?;
        let fits = self.states.as_ref().is_some_and(|set| set.batch == batch);
        if fits {
            self.states.as_ref().map_or(Ok(()), |set| set.write(self, states))?;
            self.states_changed();
            return Ok(());
        }
        let set = StateSet::zeros(&self.device, batch, &self.parts, |part| part.stateful)?;
        set.write(self, states)?;
        self.replace_states(Some(set));
        self.states_changed();
        Ok(())
    }

    /// Programs refer to the states they were recorded with, so both go together.
    pub(super) fn replace_states(&mut self, states: Option<StateSet>) {
        self.plans.clear();
        self.states = states;
    }
}
