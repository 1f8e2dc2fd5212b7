//! States of single samples of a batch: reset, read, set, moved to another place or another batch size, taken over from
//! another model. What stays on the device is moved there.

use super::state::{LayerState, StateSet};
use super::{Model, Part};
use crate::device::{Buffer, Device, Op};
use crate::{Error, Result};
use ndarray::{ArrayD, Axis};

impl StateSet {
    /// The states of some samples, in the order given, as a set of their own.
    fn select(&self, device: &Device, parts: &[Part], samples: &[u32]) -> Result<StateSet> {
        let set = StateSet::zeros_of(device, samples.len(), parts, self.parts())?;
        if samples.is_empty() {
            return Ok(set);
        }
        let order = device.alloc_index(samples.len())?;
        device.engine().write_index(order.all(), samples)?;
        let gather = |(from, to): (&Buffer, &Buffer)| {
            let (dataset, out, rows) = (from.all(), to.all(), samples.len());
            let (indices, features) = (order.all(), out.len / rows);
            Op::GatherBatch { rows, time: 1, features, dataset, indices, out }
        };
        let program = device.compile(self.buffers().zip(set.buffers()).map(gather).collect())?;
        device.run(&program, &[Default::default()])?;
        Ok(set)
    }

    /// Sets the states of one sample to zero.
    fn reset_sample(&self, device: &Device, sample: usize) -> Result<()> {
        for buffer in self.buffers() {
            let units = buffer.all().len / self.batch;
            device.engine().write(buffer.all().part(sample * units, units), &vec![0.0; units])?;
        }
        Ok(())
    }

    /// Takes over the states of the parts that both have, on the device.
    pub fn copy_parts(&self, device: &Device, other: &StateSet) -> Result<()> {
        let both = self.parts().flat_map(|part| other.of(part).iter().zip(self.of(part)));
        let ops = both.map(|(x, y)| Op::Copy { x: x.all(), y: y.all() }).collect();
        let program = device.compile(ops)?;
        device.run(&program, &[Default::default()])
    }
}

impl Model {
    /// Sets the states of some samples of the resident batch to zero: their next step is a first one. The others go on.
    ///
    /// # Errors
    /// When a sample is not in the batch, or the device fails.
    pub fn reset_states_of(&mut self, samples: &[usize]) -> Result<()> {
        let Some(set) = &self.states else { return Ok(()) };
        self.check_samples(set, samples)?;
        samples.iter().try_for_each(|&sample| set.reset_sample(&self.device, sample))?;
        self.states_changed();
        Ok(())
    }

    /// Copies of the states of some samples of the resident batch, in the order given; only these leave the device.
    ///
    /// # Errors
    /// When there are no states yet, a sample is not in the batch, or the device fails.
    pub fn get_states_of(&self, samples: &[usize]) -> Result<Vec<LayerState>> {
        let set = self.resident_states("get_states_of")?;
        let samples = self.check_samples(set, samples)?;
        set.select(&self.device, &self.parts, &samples)?.read(self)
    }

    /// Replaces the states of some samples of the resident batch: row `i` of the given arrays becomes the state of sample
    /// `samples[i]`. The others keep theirs.
    ///
    /// # Errors
    /// When there are no states yet, a sample is not in the batch, or layers or shapes do not fit; nothing is changed then.
    pub fn set_states_of(&mut self, samples: &[usize], states: &[LayerState]) -> Result<()> {
        let set = self.resident_states("set_states_of")?;
        let places = self.check_samples(set, samples)?;
        for (to, array) in set.writes(self, states, samples.len())? {
            let units = to.len / set.batch;
            for (&place, row) in places.iter().zip(array.data.chunks(units)) {
                self.device.engine().write(to.part(place as usize * units, units), row)?;
            }
        }
        self.states_changed();
        Ok(())
    }

    /// Makes the resident batch consist of these of its samples, in this order: the next batch has as many samples. A
    /// sample may be named more than once, and the copies go their own ways from then on. Nothing leaves the device.
    ///
    /// ```
    /// # use ndarray::Array3;
    /// # use rnn_model::{Device, Input, Sequential, layer::Lstm};
    /// let mut model = Sequential::new(Input::sequence(None, 1)).layer(Lstm::new(4).stateful(true)).build(&Device::cpu())?;
    /// model.predict_on_batch(&Array3::<f32>::ones((32, 5, 1)))?;
    /// // Two of the 32 go on.
    /// model.keep_states(&[3, 17])?;
    /// model.predict_on_batch(&Array3::<f32>::ones((2, 1, 1)))?;
    /// # Ok::<(), rnn_model::Error>(())
    /// ```
    ///
    /// # Errors
    /// When there are no states yet, no sample is named or one is not in the batch, the model's batch size is fixed to
    /// another one, or the device lacks memory.
    pub fn keep_states(&mut self, samples: &[usize]) -> Result<()> {
        let samples: Vec<Option<usize>> = samples.iter().copied().map(Some).collect();
        self.arrange_states(&samples)
    }

    /// As [`keep_states`](Self::keep_states), with new samples among the old: `None` starts from zero.
    ///
    /// # Errors
    /// As `keep_states`.
    pub fn arrange_states(&mut self, samples: &[Option<usize>]) -> Result<()> {
        if samples.is_empty() {
            return Err(Error::invalid("keep_states", "no sample was named"));
        }
        self.check_batch(samples.len())?;
        let set = self.resident_states("keep_states")?;
        let named: Vec<usize> = samples.iter().copied().flatten().collect();
        self.check_samples(set, &named)?;
        let order: Vec<u32> = samples.iter().map(|s| s.unwrap_or(0) as u32).collect();
        let arranged = set.select(&self.device, &self.parts, &order)?;
        for (place, _) in samples.iter().enumerate().filter(|(_, s)| s.is_none()) {
            arranged.reset_sample(&self.device, place)?;
        }
        if arranged.batch == set.batch {
            set.copy_parts(&self.device, &arranged)?;
        } else {
            self.replace_states(Some(arranged));
        }
        self.states_changed();
        Ok(())
    }

    /// Takes over the states of the layers that `other` has too: layers made from the same
    /// [`SharedLayer`](crate::layer::SharedLayer) or sub-graph, else layers of the same name. The batch size becomes that
    /// of `other`. Between models on one device nothing leaves it. The two go their own ways from then on.
    ///
    /// # Errors
    /// When `other` has no states yet, or none of the same sizes for a stateful layer of this model; nothing is changed then.
    pub fn copy_states_from(&mut self, other: &Model) -> Result<()> {
        let theirs = other.resident_states("copy_states_from")?;
        self.check_batch(theirs.batch)?;
        let mut pairs = Vec::new();
        for (index, part) in self.parts.iter().enumerate().filter(|(_, p)| p.traits.stateful) {
            let id =
                |model: &Model, part: &Part| (model.graph.layers[part.layer].id, part.traits.part.clone());
            let with = |fits: &dyn Fn(&Part) -> bool| {
                theirs
                    .parts()
                    .find(|&p| fits(&other.parts[p]) && other.parts[p].traits.states == part.traits.states)
            };
            let found = with(&|p| id(other, p) == id(self, part)).or_else(|| with(&|p| p.name == part.name));
            let found = found.ok_or_else(|| {
                let problem = "the other model has no states of such a layer";
                Error::invalid(format!("copy_states_from: layer {}", part.name), problem)
            })?;
            pairs.push((index, found));
        }
        let set = StateSet::zeros(&self.device, theirs.batch, &self.parts, |part| part.stateful)?;
        let buffers = pairs.iter().flat_map(|&(own, from)| theirs.of(from).iter().zip(set.of(own)));
        if self.device.is_same(&other.device) {
            let copy = |(x, y): (&Buffer, &Buffer)| Op::Copy { x: x.all(), y: y.all() };
            let program = self.device.compile(buffers.map(copy).collect())?;
            self.device.run(&program, &[Default::default()])?;
        } else {
            for (from, to) in buffers {
                let values = other.device.engine().read(from.all())?;
                self.device.engine().write(to.all(), &values)?;
            }
        }
        match &self.states {
            Some(own) if own.batch == set.batch => own.copy_parts(&self.device, &set)?,
            _ => self.replace_states(Some(set)),
        }
        self.states_changed();
        Ok(())
    }

    fn resident_states(&self, operation: &str) -> Result<&StateSet> {
        self.states.as_ref().ok_or_else(|| {
            let problem = match self.is_stateful() {
                true => "there are no states yet: run a batch first, or set_states",
                false => "no layer of this model is stateful; build it with stateful(true)",
            };
            Error::invalid(operation, problem)
        })
    }

    /// The samples as indices, all within the batch.
    fn check_samples(&self, set: &StateSet, samples: &[usize]) -> Result<Vec<u32>> {
        match samples.iter().find(|&&s| s >= set.batch) {
            Some(bad) => {
                let problem = format!("there is no sample {bad} in a batch of {}", set.batch);
                Err(Error::invalid("states of samples", problem))
            }
            None => Ok(samples.iter().map(|&s| s as u32).collect()),
        }
    }

    /// Somebody has given the states other values: they count, and no gradient leads back behind them.
    pub(super) fn states_changed(&mut self) {
        self.states_are_fresh = false;
        self.window.forget();
    }
}

impl LayerState {
    /// The states of some samples, in the order given.
    ///
    /// # Errors
    /// When a sample is not there.
    pub fn select(&self, samples: &[usize]) -> Result<LayerState> {
        let batch = self.states.first().map_or(0, |s| s.shape().first().copied().unwrap_or(0));
        if let Some(bad) = samples.iter().find(|&&s| s >= batch) {
            let problem = format!("there is no sample {bad} in a batch of {batch}");
            return Err(Error::invalid(format!("state of {}", self.layer), problem));
        }
        let states: Vec<ArrayD<f32>> = self.states.iter().map(|s| s.select(Axis(0), samples)).collect();
        Ok(LayerState { layer: self.layer.clone(), states })
    }
}
