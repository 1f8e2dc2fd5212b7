//! States that stay on the device between calls.

use super::{Model, lowering::StateSlices};
use crate::array::array;
use crate::device::{Buffer, Device};
use crate::layer::RecurrentTraits;
use crate::{Error, HostArray, Result};
use ndarray::ArrayD;
use std::collections::{BTreeMap, HashMap};

/// The states of one recurrent layer, `[batch, units]` each, as copied to or from the host.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerState {
    /// name of the layer
    pub layer: String,
    /// hidden state
    pub h: ArrayD<f32>,
    /// cell state of an LSTM
    pub c: Option<ArrayD<f32>>,
}

/// The resident states of some layers for one batch size.
pub(crate) struct StateSet {
    pub batch: usize,
    pub layers: BTreeMap<usize, ResidentState>,
}

pub(crate) struct ResidentState {
    units: usize,
    h: Buffer,
    c: Option<Buffer>,
}

impl StateSet {
    /// Zero states for the given layers.
    pub fn zeros(device: &Device, batch: usize, layers: &[(usize, RecurrentTraits)]) -> Result<Self> {
        let resident = |&(index, traits): &(usize, RecurrentTraits)| {
            let len = batch * traits.units;
            let h = device.alloc(len)?;
            let c = if traits.states == 2 { Some(device.alloc(len)?) } else { None };
            Ok((index, ResidentState { units: traits.units, h, c }))
        };
        Ok(StateSet { batch, layers: layers.iter().map(resident).collect::<Result<_>>()? })
    }

    pub fn slices(&self) -> HashMap<usize, StateSlices> {
        let slices = |s: &ResidentState| StateSlices { h: s.h.all(), c: s.c.as_ref().map(Buffer::all) };
        self.layers.iter().map(|(&i, s)| (i, slices(s))).collect()
    }

    pub fn reset(&self, device: &Device) -> Result<()> {
        for state in self.layers.values() {
            for buffer in std::iter::once(&state.h).chain(&state.c) {
                let all = buffer.all();
                device.engine().write(all, &vec![0.0; all.len])?;
            }
        }
        Ok(())
    }

    pub fn read(&self, model: &Model) -> Result<Vec<LayerState>> {
        let read = |buffer: &Buffer, units: usize| -> Result<ArrayD<f32>> {
            Ok(array(&[self.batch, units], model.device.engine().read(buffer.all())?))
        };
        self.layers
            .iter()
            .map(|(&index, state)| {
                Ok(LayerState {
                    layer: model.nodes[index].name.clone(),
                    h: read(&state.h, state.units)?,
                    c: state.c.as_ref().map(|c| read(c, state.units)).transpose()?,
                })
            })
            .collect()
    }

    /// Writes all states; checks every one before the first is written.
    pub fn write(&self, model: &Model, states: &[LayerState]) -> Result<()> {
        if states.len() != self.layers.len() {
            return Err(Error::Shape {
                what: "states".into(),
                expected: format!("those of {} layers", self.layers.len()),
                got: format!("{}", states.len()),
            });
        }
        let mut writes = Vec::new();
        for (given, (&index, own)) in states.iter().zip(&self.layers) {
            let name = &model.nodes[index].name;
            let expected = [self.batch, own.units];
            if given.c.is_some() != own.c.is_some() {
                let problem = if own.c.is_some() { "an LSTM needs h and c" } else { "this layer has no c" };
                return Err(Error::invalid(format!("state of {name}"), problem));
            }
            let arrays = std::iter::once((&given.h, &own.h)).chain(given.c.as_ref().zip(own.c.as_ref()));
            for (array, buffer) in arrays {
                if array.shape() != expected {
                    return Err(Error::shape(
                        format!("state of {name}"),
                        format!("{expected:?}"),
                        array.shape(),
                    ));
                }
                writes.push((buffer.all(), HostArray::from(array)));
            }
        }
        for (to, array) in writes {
            model.device.engine().write(to, &array.data)?;
        }
        Ok(())
    }
}

impl Model {
    pub(super) fn recurrent_layers(
        &self,
        wanted: impl Fn(&RecurrentTraits) -> bool,
    ) -> Vec<(usize, RecurrentTraits)> {
        let layers = self.nodes.iter().filter_map(|n| Some((n.index, n.layer.recurrent()?)));
        layers.filter(|(_, traits)| wanted(traits)).collect()
    }

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
                    fixed: self.architecture.input.batch.is_some(),
                });
            }
            _ => {}
        }
        let layers = self.recurrent_layers(|r| r.stateful);
        let states = StateSet::zeros(&self.device, batch, &layers)?;
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
        let Some(batch) = states.first().and_then(|s| s.h.shape().first().copied()) else {
            return Err(Error::invalid("set_states", "no states were given"));
        };
        self.check_batch(batch)?;
        let fits = self.states.as_ref().is_some_and(|set| set.batch == batch);
        if fits {
            self.states.as_ref().map_or(Ok(()), |set| set.write(self, states))?;
            self.states_are_fresh = false;
            return Ok(());
        }
        let set = StateSet::zeros(&self.device, batch, &self.recurrent_layers(|r| r.stateful))?;
        set.write(self, states)?;
        self.replace_states(Some(set));
        self.states_are_fresh = false;
        Ok(())
    }

    /// Programs refer to the states they were recorded with, so both go together.
    pub(super) fn replace_states(&mut self, states: Option<StateSet>) {
        self.plans.clear();
        self.states = states;
    }
}
