//! Running a model forward.

use super::dataset::Dataset;
use super::plan::Purpose;
use super::state::{LayerState, StateSet};
use super::{Model, lowering::Lowering};
use crate::array::array;
use crate::{Error, HostArray, Result, Tensor};
use ndarray::ArrayD;

/// Full batches and the rest: (batch size, first sample of each batch).
pub(super) fn batches(
    samples: usize,
    batch: usize,
) -> impl Iterator<Item = (usize, impl Iterator<Item = usize>)> {
    let full = samples / batch;
    let parts = [(batch, 0, full), (samples - full * batch, full, full + 1)];
    let parts = parts.into_iter().filter(|&(size, from, to)| size > 0 && from < to);
    parts.map(move |(size, from, to)| (size, (from..to).map(move |i| i * batch)))
}

impl Model {
    /// Outputs for `x`, `[samples, ...]`, in batches of 32 (of the fixed batch size if the model has one).
    ///
    /// Stateful layers carry their states from batch to batch and on into the next call.
    ///
    /// # Errors
    /// When the shape does not fit, the batch size is not the one whose states are kept, or the device fails.
    pub fn predict<'a>(&mut self, x: impl Into<HostArray<'a>>) -> Result<ArrayD<f32>> {
        let x = x.into();
        let batch = self.default_batch(x.samples());
        self.predict_batched(&x, batch)
    }

    /// As [`predict`](Self::predict), in batches of `batch_size`.
    ///
    /// # Errors
    /// As `predict`.
    pub fn predict_with_batch_size<'a>(
        &mut self,
        x: impl Into<HostArray<'a>>,
        batch_size: usize,
    ) -> Result<ArrayD<f32>> {
        let x = x.into();
        if batch_size == 0 {
            return Err(Error::invalid("batch_size", "must be at least 1"));
        }
        self.predict_batched(&x, batch_size)
    }

    /// All of `x` as one batch.
    ///
    /// # Errors
    /// As `predict`.
    pub fn predict_on_batch<'a>(&mut self, x: impl Into<HostArray<'a>>) -> Result<ArrayD<f32>> {
        let x = x.into();
        let samples = x.samples().max(1);
        self.predict_batched(&x, samples)
    }

    fn predict_batched(&mut self, x: &HostArray<'_>, batch_size: usize) -> Result<ArrayD<f32>> {
        let sample = self.check_input("x", &x.shape)?;
        let samples = x.samples();
        let mut shape = vec![samples];
        shape.extend(self.concrete_output(&sample));
        self.check_whole_batches("x", samples, batch_size)?;
        if samples <= batch_size {
            self.ensure_states(samples)?;
            let plan = self.plan(Purpose::Predict, samples, &sample, None)?;
            self.run_batch(&plan, x, None, self.counters.inference(0))?;
            self.states_are_fresh = false;
            let output = plan.output.expect("a prediction has an output");
            let values = output.read(&self.device)?;
            return Ok(array(&shape, values));
        }
        let dataset = Dataset::upload(self, x, None)?;
        let values = self.predict_dataset(&dataset, batch_size);
        self.plans.forget(dataset.id);
        Ok(array(&shape, values?))
    }

    /// One read-back for each of the two batch sizes.
    fn predict_dataset(&mut self, dataset: &Dataset, batch_size: usize) -> Result<Vec<f32>> {
        let mut values: Vec<f32> = Vec::new();
        for (batch, starts) in batches(dataset.samples, batch_size) {
            self.ensure_states(batch)?;
            let plan = self.plan(Purpose::Predict, batch, &dataset.sample, Some(dataset))?;
            let steps: Vec<_> = starts.map(|start| self.counters.inference(start)).collect();
            self.device.run(&plan.program, &steps)?;
            self.states_are_fresh = false;
            let output = plan.output.expect("a prediction has an output");
            let per_sample = output.len() / dataset.samples;
            let (from, count) = (steps[0].cursor as usize, batch * steps.len());
            let part = output.slice().part(from * per_sample, count * per_sample);
            values.extend(self.device.engine().read(part)?);
        }
        Ok(values)
    }

    /// All of `x` as one batch, from device memory to device memory: nothing is read back, and the call need not wait for
    /// the device.
    ///
    /// # Errors
    /// As `predict`; also when `x` lives on another device.
    pub fn predict_tensor(&mut self, x: &Tensor) -> Result<Tensor> {
        if !x.device().is_same(&self.device) {
            let problem = format!("it lives on another device than the model ({})", self.device.name());
            return Err(Error::invalid(format!("{x:?}"), problem));
        }
        let sample = self.check_input("x", x.shape())?;
        let samples = x.shape()[0];
        let mut shape = vec![samples];
        shape.extend(self.concrete_output(&sample));
        self.ensure_states(samples)?;
        let plan = self.plan(Purpose::Predict, samples, &sample, None)?;
        let y = Tensor::zeros(&self.device, &shape)?;
        plan.x.take(&self.device, x)?;
        self.device.run(&plan.program, &[self.counters.inference(0)])?;
        self.states_are_fresh = false;
        plan.output.expect("a prediction has an output").give(&self.device, &y)?;
        Ok(y)
    }

    /// Outputs and last states of all recurrent layers, started from `initial` states or from zero.
    ///
    /// The states of stateful layers are neither used nor changed. The states come in layer order; of layers built
    /// with `return_state(true)` only, if there are any such.
    ///
    /// # Errors
    /// When a shape does not fit or the device fails.
    pub fn predict_with_states<'a>(
        &mut self,
        x: impl Into<HostArray<'a>>,
        initial: Option<&[LayerState]>,
    ) -> Result<(ArrayD<f32>, Vec<LayerState>)> {
        let x = x.into();
        let sample = self.check_input("x", &x.shape)?;
        self.check_batch(x.samples())?;
        let set = StateSet::zeros(&self.device, x.samples(), &self.recurrent_layers(|_| true))?;
        if let Some(initial) = initial {
            set.write(self, initial)?;
        }
        let slices = set.slices();
        let mut l = Lowering::new(&self.device, x.samples(), false, self.architecture.seed, &slices);
        let (input, values) = super::plan::feed(&mut l, &sample, None)?;
        let value = l.input(values, sample, false);
        let y = l.forward(&self.nodes, value)?;
        let output = l.collect_output(&y, None)?;
        let lowered = l.finish();
        let program = self.device.compile(lowered.ops)?;
        input.write(&self.device, &x.data)?;
        self.device.run(&program, &[self.counters.inference(0)])?;
        let mut shape = vec![x.samples()];
        shape.extend(&y.shape);
        let output = array(&shape, output.read(&self.device)?);
        let mut states = set.read(self)?;
        let returned = self.recurrent_layers(|r| r.return_state);
        if !returned.is_empty() {
            states.retain(|s| returned.iter().any(|(i, _)| self.nodes[*i].name == s.layer));
        }
        Ok((output, states))
    }
}
