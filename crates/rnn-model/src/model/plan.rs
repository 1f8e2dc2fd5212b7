//! Programs recorded for a model, one per purpose and shape, kept for the next batch of that shape.

use super::dataset::{Dataset, TargetShape};
use super::lowering::{Lowered, Lowering, StateSlices, Value};
use super::{Counters, Model};
use crate::device::{Buffer, Op, Port, Program, Slice};
use crate::train::Loss;
use crate::{HostArray, Result};
use rnn_shaders::vocabulary::StepParams;
use std::collections::HashMap;
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
    /// shape of one input sample
    pub sample: Vec<usize>,
    /// the data set batches are gathered from; `None` when each batch is handed over by itself
    pub dataset: Option<u64>,
}

/// A recorded program and its buffers.
pub(super) struct Plan {
    pub program: Program,
    /// where a batch goes in when it is handed over by itself
    pub x: Port,
    pub y: Option<Port>,
    /// predictions: of the batch, or of the whole data set
    pub output: Option<Port>,
    _buffers: Vec<Buffer>,
}

/// The most recently used plans.
#[derive(Default)]
pub(super) struct Plans {
    /// most recently used last
    plans: Vec<(Key, Arc<Plan>)>,
}

/// Enough for train, evaluate and predict programs of full and last batches over several sequence lengths.
const KEPT: usize = 24;

impl Plans {
    pub fn clear(&mut self) {
        self.plans.clear();
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
        self.plans.retain(|(key, _)| key.dataset != Some(dataset));
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
        sample: &[usize],
        dataset: Option<&Dataset>,
    ) -> Result<Arc<Plan>> {
        let key = Key { purpose, batch, sample: sample.to_vec(), dataset: dataset.map(|d| d.id) };
        if let Some(plan) = self.plans.get(&key) {
            return Ok(plan);
        }
        let states = self.states.as_ref().map(|s| s.slices()).unwrap_or_default();
        let plan = self.record(&key, dataset, &states)?;
        Ok(self.plans.insert(key, plan))
    }

    fn record(
        &self,
        key: &Key,
        dataset: Option<&Dataset>,
        states: &HashMap<usize, StateSlices>,
    ) -> Result<Plan> {
        let training = key.purpose == Purpose::Train;
        let mut l = Lowering::new(&self.device, key.batch, training, self.architecture.seed, states);
        if let (true, Some(grads)) = (training, &self.grads) {
            l.emit(Op::Fill { value: 0.0, y: grads.all() });
        }
        let (x_in, x) = feed(&mut l, &key.sample, dataset.map(|d| (d, d.x.all())))?;
        let x = l.input(x, key.sample.clone(), false);
        let y = l.forward(&self.nodes, x)?;
        let (mut target, mut output) = (None, None);
        if key.purpose == Purpose::Predict {
            output = Some(l.collect_output(&y, dataset.map(|d| d.samples))?);
        } else {
            target = Some(self.lower_scores(&mut l, &y, dataset, training)?);
        }
        if training {
            l.unwind()?;
            if let (Some(training), Some(grads)) = (&self.training, &self.grads) {
                training.update_ops(self.params.all(), grads.all()).into_iter().for_each(|op| l.emit(op));
            }
        }
        let Lowered { ops, buffers, .. } = l.finish();
        Ok(Plan { program: self.device.compile(ops)?, x: x_in, y: target, output, _buffers: buffers })
    }

    /// Loss and metrics of the output, added to the running sums; the loss's gradient when training.
    fn lower_scores(
        &self,
        l: &mut Lowering<'_>,
        output: &Value,
        dataset: Option<&Dataset>,
        training: bool,
    ) -> Result<Port> {
        let compiled = self.compiled("training")?;
        let loss = compiled.config.loss;
        let classes = *output.shape.last().unwrap_or(&1);
        let target_shape = TargetShape::new(&output.shape, loss);
        let target_sample = match output.shape.len() {
            2 => vec![target_shape.rows, target_shape.cols],
            _ => vec![target_shape.cols],
        };
        let source = dataset.and_then(|d| Some((d, d.y.as_ref()?.all())));
        let (target_in, target) = feed(l, &target_sample, source)?;
        let rows = output.data.len / classes;
        // Cross-entropy of a softmax is computed from the softmax's input: exact where probabilities round to 0.
        let (pred, loss) = match (&output.logits, loss) {
            (Some(logits), Loss::CategoricalCrossentropy { from_logits: false }) => {
                (logits.as_ref(), Loss::CategoricalCrossentropy { from_logits: true })
            }
            (Some(logits), Loss::SparseCategoricalCrossentropy { from_logits: false }) => {
                (logits.as_ref(), Loss::SparseCategoricalCrossentropy { from_logits: true })
            }
            _ => (output, loss),
        };
        let scores = l.buffer(rows)?;
        let sums = compiled.sums.all();
        let metrics = compiled.config.metrics.iter().map(|m| (output.data, m.score(loss, classes)));
        for (i, (pred, score)) in std::iter::once((pred.data, loss.score())).chain(metrics).enumerate() {
            l.emit(Op::ScoreForward { score, rows, cols: classes, pred, target, weights: None, out: scores });
            l.emit(Op::AccumulateMean { x: scores, acc: sums.part(2 * i, 2) });
        }
        if training {
            let (data, scale) = (pred.data, 1.0 / rows as f32);
            l.propagate(pred, |l, to| {
                if let Some(dpred) = to {
                    let score = loss.score();
                    let (cols, pred) = (classes, data);
                    l.emit(Op::ScoreBackward {
                        score,
                        rows,
                        cols,
                        pred,
                        target,
                        weights: None,
                        scale,
                        dpred,
                    });
                }
            })?;
        }
        Ok(target_in)
    }

    /// Writes a batch to where its plan takes it from, and runs the plan.
    pub(super) fn run_batch(
        &self,
        plan: &Plan,
        x: &HostArray<'_>,
        y: Option<&HostArray<'_>>,
        step: StepParams,
    ) -> Result<()> {
        plan.x.write(&self.device, &x.data)?;
        if let (Some(to), Some(y)) = (plan.y, y) {
            to.write(&self.device, &y.data)?;
        }
        self.device.run(&plan.program, &[step])
    }
}

/// Brings a batch of samples to where the layers want it, time-major: gathered from a data set, or handed over through
/// the port. Without a data set the port is where to write.
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
    let values = if swaps { written } else { l.swapped(written, batch, time, features)? };
    Ok((Port::new(written, batch, time, features, swaps), values))
}

/// `(time, features)` of a sample; a vector is one step.
fn steps_and_features(sample: &[usize]) -> (usize, usize) {
    match *sample {
        [time, features] => (time, features),
        _ => (1, sample.iter().product()),
    }
}

impl Lowering<'_> {
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
        Ok(Port::new(slice, batch, time, features, swaps))
    }

    /// Where the output comes out: of this batch, or stored among the outputs of all `samples`.
    pub(super) fn collect_output(&mut self, y: &Value, samples: Option<usize>) -> Result<Port> {
        let Some(samples) = samples else { return self.outlet(y.data, &y.shape) };
        let (batch, (time, features)) = (self.batch(), steps_and_features(&y.shape));
        let output = self.swapped(y.data, time, batch, features)?;
        let stride = time * features;
        let all = self.buffer(samples * stride)?;
        self.emit(Op::StoreStep { stride, x: output, seq: all });
        Ok(Port::new(all, samples, time, features, false))
    }
}
