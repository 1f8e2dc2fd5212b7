//! Running a model forward.

use super::dataset::Dataset;
use super::plan::{Key, Purpose};
use super::resets::Resets;
use super::state::{LayerState, StateSet};
use super::window::Reach;
use super::{Model, lowering::Lowering};
use crate::array::{Arrays, array};
use crate::{Error, Result, Tensor};
use ndarray::{ArrayD, Axis};

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
    /// Output for `x`, `[samples, ...]`, in batches of 32 (of the fixed batch size if the model has one).
    ///
    /// Stateful layers carry their states from batch to batch and on into the next call. Sequences that take more than 512 MiB
    /// at once (or more than the [budget](Model::set_memory_budget), or than the device gives to a buffer) go through the model
    /// in chunks of time, as by [`predict_long`](Self::predict_long), where its layers allow that.
    ///
    /// # Errors
    /// When the shape does not fit, the batch size is not the one whose states are kept, the model has several outputs
    /// ([`predict_outputs`](Self::predict_outputs) gives them all), or the device fails.
    pub fn predict<'a>(&mut self, x: impl Into<Arrays<'a>>) -> Result<ArrayD<f32>> {
        self.one_output("predict", "predict_outputs")?;
        Ok(self.predict_outputs(x)?.swap_remove(0))
    }

    /// All outputs for `x`, in batches as [`predict`](Self::predict) does it.
    ///
    /// # Errors
    /// As `predict`.
    pub fn predict_outputs<'a>(&mut self, x: impl Into<Arrays<'a>>) -> Result<Vec<ArrayD<f32>>> {
        let x = x.into();
        let batch = self.default_batch(x.samples());
        self.predict_batched(&x, None, batch)
    }

    /// As [`predict`](Self::predict), in batches of `batch_size`.
    ///
    /// # Errors
    /// As `predict`.
    pub fn predict_with_batch_size<'a>(
        &mut self,
        x: impl Into<Arrays<'a>>,
        batch_size: usize,
    ) -> Result<ArrayD<f32>> {
        if batch_size == 0 {
            return Err(Error::invalid("batch_size", "must be at least 1"));
        }
        self.one_output("predict", "predict_outputs")?;
        Ok(self.predict_batched(&x.into(), None, batch_size)?.swap_remove(0))
    }

    /// All of `x` as one batch.
    ///
    /// # Errors
    /// As `predict`.
    pub fn predict_on_batch<'a>(&mut self, x: impl Into<Arrays<'a>>) -> Result<ArrayD<f32>> {
        self.one_output("predict_on_batch", "predict_outputs")?;
        let x = x.into();
        let samples = x.samples().max(1);
        Ok(self.predict_batched(&x, None, samples)?.swap_remove(0))
    }

    pub(super) fn predict_batched(
        &mut self,
        x: &Arrays<'_>,
        resets: Option<&Resets>,
        batch_size: usize,
    ) -> Result<Vec<ArrayD<f32>>> {
        let mut shapes = self.check_inputs("x", x)?;
        let samples = x.samples();
        let outputs = self.concrete_outputs(&shapes)?;
        let with_resets;
        let x = match resets {
            Some(_) => {
                with_resets = self.with_resets(x.clone(), resets)?;
                shapes = with_resets.0.iter().map(|x| x.shape[1..].to_vec()).collect();
                &with_resets
            }
            None => x,
        };
        self.check_whole_batches("x", samples, batch_size)?;
        if resets.is_none()
            && let Some(chunk) = self.chunk_of_batch(samples.min(batch_size), &shapes)?
        {
            return self.predict_long_batches(x, &outputs, batch_size, chunk);
        }
        let shaped = |(sample, values): (&Vec<usize>, Vec<f32>)| {
            let mut shape = vec![samples];
            shape.extend(sample);
            array(&shape, values)
        };
        if samples <= batch_size {
            self.ensure_states(samples)?;
            let plan = self.plan(Purpose::Predict, samples, &shapes, &[], None);
            let plan = plan.map_err(|error| self.explain_lack(error, &shapes))?;
            self.run_batch(&plan, x, None, self.counters.inference(0))?;
            self.states_are_fresh = false;
            let values = plan.outputs.iter().map(|output| output.read(&self.device));
            return outputs
                .iter()
                .zip(values)
                .map(|(sample, values)| Ok(shaped((sample, values?))))
                .collect();
        }
        let dataset = Dataset::upload(self, x, None)?;
        let values = self.predict_dataset(&dataset, batch_size, outputs.len());
        self.plans.forget(dataset.id);
        Ok(outputs.iter().zip(values?).map(shaped).collect())
    }

    /// Steps of a chunk, where sequences are too long to be run at once. Where there is a program, they are not.
    fn chunk_of_batch(&self, batch: usize, samples: &[Vec<usize>]) -> Result<Option<usize>> {
        let (purpose, window, weights) = (Purpose::Predict, Reach::default(), Vec::new());
        let key = Key { purpose, batch, samples: samples.to_vec(), weights, window, dataset: None };
        if self.plans.has(&key) { Ok(None) } else { self.steps_of_a_chunk(batch, samples) }
    }

    /// Batch after batch, each from chunk to chunk of time.
    fn predict_long_batches(
        &mut self,
        x: &Arrays<'_>,
        outputs: &[Vec<usize>],
        batch_size: usize,
        chunk: usize,
    ) -> Result<Vec<ArrayD<f32>>> {
        let samples = x.samples();
        if samples <= batch_size {
            return self.predict_in_chunks("predict", x, chunk);
        }
        let shaped = |sample: &Vec<usize>| ArrayD::zeros([&[samples], sample.as_slice()].concat());
        let mut all: Vec<ArrayD<f32>> = outputs.iter().map(shaped).collect();
        for from in (0..samples).step_by(batch_size) {
            let to = samples.min(from + batch_size);
            let parts = self.predict_in_chunks("predict", &x.rows(from, to), chunk)?;
            for (all, part) in all.iter_mut().zip(&parts) {
                all.slice_axis_mut(Axis(0), (from..to).into()).assign(part);
            }
        }
        Ok(all)
    }

    /// One read-back of each output for each of the two batch sizes.
    fn predict_dataset(
        &mut self,
        dataset: &Dataset,
        batch_size: usize,
        outputs: usize,
    ) -> Result<Vec<Vec<f32>>> {
        let mut values: Vec<Vec<f32>> = vec![Vec::new(); outputs];
        for (batch, starts) in batches(dataset.samples, batch_size) {
            self.ensure_states(batch)?;
            let plan = self.plan(Purpose::Predict, batch, &dataset.shapes, &[], Some(dataset))?;
            let steps: Vec<_> = starts.map(|start| self.counters.inference(start)).collect();
            self.device.run(&plan.program, &steps)?;
            self.states_are_fresh = false;
            for (output, values) in plan.outputs.iter().zip(&mut values) {
                let per_sample = output.len() / dataset.samples;
                let (from, count) = (steps[0].cursor as usize, batch * steps.len());
                let part = output.slice().part(from * per_sample, count * per_sample);
                values.extend(self.device.engine().read(part)?);
            }
        }
        Ok(values)
    }

    /// All of `x` as one batch, from device memory to device memory: nothing is read back, and the call need not wait for
    /// the device.
    ///
    /// # Errors
    /// As `predict`; also when `x` lives on another device.
    pub fn predict_tensor(&mut self, x: &Tensor) -> Result<Tensor> {
        self.one_output("predict_tensor", "predict_tensors")?;
        Ok(self.predict_tensors(&[x])?.swap_remove(0))
    }

    /// As [`predict_tensor`](Self::predict_tensor), of several inputs and outputs.
    ///
    /// # Errors
    /// As `predict_tensor`.
    pub fn predict_tensors(&mut self, x: &[&Tensor]) -> Result<Vec<Tensor>> {
        if let Some(x) = x.iter().find(|x| !x.device().is_same(&self.device)) {
            let problem = format!("it lives on another device than the model ({})", self.device.name());
            return Err(Error::invalid(format!("{x:?}"), problem));
        }
        let inputs: Vec<&[usize]> = x.iter().map(|x| x.shape()).collect();
        let shapes = self.check_shapes("x", &inputs)?;
        let samples = inputs[0][0];
        self.ensure_states(samples)?;
        let plan = self.plan(Purpose::Predict, samples, &shapes, &[], None)?;
        for (port, x) in plan.x.iter().zip(x) {
            port.take(&self.device, x)?;
        }
        self.device.run(&plan.program, &[self.counters.inference(0)])?;
        self.states_are_fresh = false;
        let mut outputs = Vec::new();
        for (port, sample) in plan.outputs.iter().zip(self.concrete_outputs(&shapes)?) {
            let mut shape = vec![samples];
            shape.extend(sample);
            let y = Tensor::zeros(&self.device, &shape)?;
            port.give(&self.device, &y)?;
            outputs.push(y);
        }
        Ok(outputs)
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
        x: impl Into<Arrays<'a>>,
        initial: Option<&[LayerState]>,
    ) -> Result<(ArrayD<f32>, Vec<LayerState>)> {
        self.one_output("predict_with_states", "a graph whose outputs are the states")?;
        let x = x.into();
        let shapes = self.check_inputs("x", &x)?;
        self.check_batch(x.samples())?;
        let set = StateSet::zeros(&self.device, x.samples(), &self.parts, |_| true)?;
        if let Some(initial) = initial {
            set.write(self, initial)?;
        }
        let slices = set.slices();
        let mut l = Lowering::new(&self.device, x.samples(), false, self.graph.seed, &slices);
        let (ports, values) = l.feed_inputs(&shapes, false)?;
        let y = l.forward(&self.graph, &self.nodes, values)?.swap_remove(0);
        let output = l.collect_output(&y, None)?;
        let lowered = l.finish()?;
        let (ports, output) = (lowered.ports(&ports), lowered.port(output));
        let program = self.device.compile(lowered.ops)?;
        for (port, x) in ports.iter().zip(&x.0) {
            port.write(&self.device, &x.data)?;
        }
        self.device.run(&program, &[self.counters.inference(0)])?;
        let mut shape = vec![x.samples()];
        shape.extend(&y.shape);
        let output = array(&shape, output.read(&self.device)?);
        let mut states = set.read(self)?;
        let returned = |name: &str| self.parts.iter().any(|p| p.traits.return_state && p.name == name);
        if self.parts.iter().any(|p| p.traits.return_state) {
            states.retain(|s| returned(&s.layer));
        }
        Ok((output, states))
    }
}
