//! Programs recorded for a model, one per purpose and shape, kept for the next batch of that shape.

use super::dataset::Dataset;
use super::lowering::{LaidOut, Lowering, StateSlices, Value};
use super::placement::Placed;
use super::scores::TargetPorts;
use super::targets::Targets;
use super::window::Reach;
use super::{Counters, Model};
use crate::Result;
use crate::array::Arrays;
use crate::device::{IndexBuffer, Op, Port, Program, Slice};
use rnn_shaders::vocabulary::StepParams;
use std::sync::Arc;

/// What a program does with a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Purpose {
    /// forward, loss, backward, update
    Train,
    /// forward, loss and metrics
    Evaluate,
    /// forward
    Predict,
}

/// What a recorded program fits.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub purpose: Purpose,
    pub batch: usize,
    /// shape of one sample of each input
    pub samples: Vec<Vec<usize>>,
    /// sample weights per sample of each output: none, one, or one for each step
    pub weights: Vec<Option<usize>>,
    /// batches that a training step's gradient goes back through
    pub window: Reach,
    /// the data set batches are gathered from; `None` when each batch is handed over by itself
    pub dataset: Option<u64>,
}

/// A recorded program and its buffers.
pub(super) struct Plan {
    pub program: Program,
    /// where a batch goes in when it is handed over by itself: one for each input, and for each output's target
    pub x: Vec<Port>,
    pub y: Vec<Port>,
    pub weights: Vec<Option<Port>>,
    /// predictions of each output: of the batch, or of the whole data set
    pub outputs: Vec<Port>,
    _buffers: (Placed, Vec<IndexBuffer>),
}

/// Where things go into a program that is being put together, and come out.
pub(super) struct Ports {
    x: Vec<Port>,
    targets: TargetPorts,
    outputs: Vec<Port>,
}

/// The most recently used plans.
#[derive(Default)]
pub(super) struct Plans {
    /// most recently used last
    plans: Vec<(Key, Arc<Plan>)>,
    /// of runs beside the kept states
    beside: Vec<(Key, Arc<Plan>)>,
}

/// Enough for train, evaluate and predict programs of full and last batches over several sequence lengths.
const KEPT: usize = 24;

impl Plans {
    pub fn clear(&mut self) {
        self.plans.clear();
        self.beside.clear();
    }

    /// Plans of runs beside the kept states become those in use, and the other way round.
    pub fn swap(&mut self) {
        std::mem::swap(&mut self.plans, &mut self.beside);
    }

    fn get(&mut self, key: &Key) -> Option<Arc<Plan>> {
        let at = self.plans.iter().rposition(|(k, _)| k == key)?;
        if at + 1 != self.plans.len() {
            let entry = self.plans.remove(at);
            self.plans.push(entry);
        }
        self.plans.last().map(|(_, plan)| plan.clone())
    }

    fn insert(&mut self, key: Key, plan: Plan) -> Arc<Plan> {
        if self.plans.len() == KEPT {
            self.plans.remove(0);
        }
        let plan = Arc::new(plan);
        self.plans.push((key, plan.clone()));
        plan
    }

    /// Forgets programs of a data set that is gone.
    pub fn forget(&mut self, dataset: u64) {
        let others = |(key, _): &(Key, Arc<Plan>)| key.dataset != Some(dataset);
        self.plans.retain(others);
        self.beside.retain(others);
    }
}

impl Plans {
    /// Whether there is a program for it.
    pub fn has(&self, key: &Key) -> bool {
        self.plans.iter().any(|(k, _)| k == key)
    }
}

impl Counters {
    /// The record of a pass that does not train.
    pub fn inference(&self, cursor: usize) -> StepParams {
        StepParams { cursor: cursor as u32, rng_step: self.passes as u32, ..StepParams::default() }
    }
}

impl Model {
    /// The program for `purpose`, recorded if there is none. States must have been made for this batch size.
    pub(super) fn plan(
        &mut self,
        purpose: Purpose,
        batch: usize,
        samples: &[Vec<usize>],
        weights: &[Option<usize>],
        dataset: Option<&Dataset>,
    ) -> Result<Arc<Plan>> {
        let dataset_id = dataset.map(|d| d.id);
        match purpose {
            Purpose::Train => self.prepare_window(batch, samples)?,
            Purpose::Evaluate | Purpose::Predict => self.window.forget(),
        }
        let (samples, weights) = (samples.to_vec(), weights.to_vec());
        let window = if purpose == Purpose::Train { self.window.reach() } else { Reach::default() };
        let key = Key { purpose, batch, samples, weights, window, dataset: dataset_id };
        if let Some(plan) = self.plans.get(&key) {
            return Ok(plan);
        }
        let states = self.states.as_ref().map(|s| s.slices()).unwrap_or_default();
        let plan = self.record(&key, dataset, &states)?;
        Ok(self.plans.insert(key, plan))
    }

    fn record(&self, key: &Key, dataset: Option<&Dataset>, states: &StateSlices) -> Result<Plan> {
        let training = key.purpose == Purpose::Train;
        let (laid_out, ports) = match self.memory_budget {
            Some(budget) if training => self.lower_within(budget, key, dataset, states)?,
            _ => self.lower(key, dataset, states, 1)?,
        };
        let lowered = laid_out.place()?;
        let Ports { x, targets: TargetPorts { y, weights }, outputs } = ports;
        Ok(Plan {
            x: lowered.ports(&x),
            y: lowered.ports(&y),
            weights: weights.into_iter().map(|at| at.map(|port| lowered.port(port))).collect(),
            outputs: lowered.ports(&outputs),
            program: self.device.compile(lowered.ops)?,
            _buffers: (lowered.buffers, lowered.index_buffers),
        })
    }

    /// The operations of a program; of a training with the time axis in `segments` parts.
    pub(super) fn lower(
        &self,
        key: &Key,
        dataset: Option<&Dataset>,
        states: &StateSlices,
        segments: usize,
    ) -> Result<(LaidOut<'_>, Ports)> {
        let training = key.purpose == Purpose::Train;
        let mut l = Lowering::new(&self.device, key.batch, training, self.graph.seed, states);
        if key.purpose != Purpose::Predict {
            l = l.with_penalties(self.penalty_sum()?.part(0, 1));
        }
        if let (true, Some(grads)) = (training, &self.grads) {
            l.emit(Op::Fill { value: 0.0, y: grads.all() });
        }
        let (mut x, mut inputs) = (Vec::new(), Vec::new());
        for (i, sample) in key.samples.iter().enumerate() {
            let (port, data) = feed(&mut l, sample, dataset.map(|d| (d, d.x[i].all())))?;
            x.push(port);
            inputs.push(l.input(data, sample.clone(), false));
        }
        self.apply_resets(&mut l, &mut inputs)?;
        let mut ports =
            Ports { x, targets: TargetPorts { y: Vec::new(), weights: Vec::new() }, outputs: Vec::new() };
        if training && (segments > 1 || key.window.batches > 0) {
            let scores = |l: &mut Lowering<'_>, outputs: &[Value]| {
                self.lower_scores(l, outputs, &key.weights, dataset, training)
            };
            ports.targets = match key.window.batches {
                0 => self.lower_in_parts(&mut l, inputs, &key.samples, segments, states, scores)?,
                _ => self.lower_window(&mut l, &inputs, &key.samples, key.window, states, scores)?,
            };
            self.penalty_op(l.batch(), training)?.into_iter().for_each(|op| l.emit(op));
        } else {
            let values = l.forward(&self.graph, &self.nodes, inputs)?;
            if key.purpose == Purpose::Predict {
                let samples = dataset.map(|d| d.samples);
                let outputs = values.iter().map(|v| l.collect_output(v, samples));
                ports.outputs = outputs.collect::<Result<_>>()?;
            } else {
                ports.targets = self.lower_scores(&mut l, &values, &key.weights, dataset, training)?;
                self.penalty_op(l.batch(), training)?.into_iter().for_each(|op| l.emit(op));
            }
            if training {
                l.unwind()?;
            }
        }
        if training {
            self.update_ops()?.into_iter().for_each(|op| l.emit(op));
        }
        Ok((l.lay_out(), ports))
    }

    /// Writes a batch to where its plan takes it from, and runs the plan.
    pub(super) fn run_batch(
        &self,
        plan: &Plan,
        x: &Arrays<'_>,
        targets: Option<&Targets<'_>>,
        step: StepParams,
    ) -> Result<()> {
        for (to, array) in plan.x.iter().zip(&x.0) {
            to.write(&self.device, &array.data)?;
        }
        if let Some(Targets { y, weights }) = targets {
            for (to, array) in plan.y.iter().zip(&y.0) {
                to.write(&self.device, &array.data)?;
            }
            for (to, array) in plan.weights.iter().zip(weights) {
                if let (Some(to), Some(array)) = (to, array) {
                    to.write(&self.device, &array.data)?;
                }
            }
        }
        self.device.run(&plan.program, &[step])
    }
}

/// Brings a batch of samples to where the layers want it, time-major: gathered from a data set, or handed over through
/// the port. Without a data set the port is where to write, before each run.
pub(super) fn feed(
    l: &mut Lowering<'_>,
    sample: &[usize],
    dataset: Option<(&Dataset, Slice)>,
) -> Result<(Port, Slice)> {
    let (batch, swaps) = (l.batch(), l.swaps());
    let (time, features) = steps_and_features(sample);
    let len = batch * time * features;
    if let Some((dataset, values)) = dataset {
        let out = l.buffer(len)?;
        let indices = dataset.indices.all();
        l.emit(Op::GatherBatch { rows: batch, time, features, dataset: values, indices, out });
        return Ok((Port::new(values, dataset.samples, time, features, false), out));
    }
    let written = l.buffer(len)?;
    l.given(written);
    let values = if swaps { written } else { l.swapped(written, batch, time, features)? };
    Ok((Port::new(written, batch, time, features, swaps), values))
}

/// `(time, values per step)` of a sample; a vector is one step.
fn steps_and_features(sample: &[usize]) -> (usize, usize) {
    match sample {
        [time, rest @ ..] if !rest.is_empty() => (*time, rest.iter().product()),
        _ => (1, sample.iter().product()),
    }
}

impl Lowering<'_> {
    /// Ports and values of a batch's inputs, handed over by themselves.
    pub(super) fn feed_inputs(
        &mut self,
        samples: &[Vec<usize>],
        needs_gradient: bool,
    ) -> Result<(Vec<Port>, Vec<Value>)> {
        let (mut ports, mut values) = (Vec::new(), Vec::new());
        for sample in samples {
            let (port, data) = feed(self, sample, None)?;
            ports.push(port);
            values.push(self.input(data, sample.clone(), needs_gradient));
        }
        Ok((ports, values))
    }

    fn swapped(&mut self, x: Slice, a: usize, b: usize, f: usize) -> Result<Slice> {
        if a == 1 || b == 1 {
            return Ok(x);
        }
        let y = self.buffer(x.len)?;
        self.emit(Op::Transpose01 { a, b, f, x, y });
        Ok(y)
    }

    /// Where values of `sample` shape per sample, time-major at `x`, come out.
    pub(super) fn outlet(&mut self, x: Slice, sample: &[usize]) -> Result<Port> {
        let (batch, swaps) = (self.batch(), self.swaps());
        let (time, features) = steps_and_features(sample);
        let slice = if swaps { x } else { self.swapped(x, time, batch, features)? };
        self.keep(slice);
        Ok(Port::new(slice, batch, time, features, swaps))
    }

    /// Where the output comes out: of this batch, or stored among the outputs of all `samples`.
    pub(super) fn collect_output(&mut self, y: &Value, samples: Option<usize>) -> Result<Port> {
        let Some(samples) = samples else { return self.outlet(y.data, &y.shape) };
        let (batch, (time, features)) = (self.batch(), steps_and_features(&y.shape));
        let output = self.swapped(y.data, time, batch, features)?;
        let stride = time * features;
        let all = self.buffer(samples * stride)?;
        self.keep(all);
        self.emit(Op::StoreStep { stride, x: output, seq: all });
        Ok(Port::new(all, samples, time, features, false))
    }
}
