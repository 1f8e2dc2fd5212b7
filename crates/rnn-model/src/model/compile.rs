//! Optimizer, loss and metrics of a model, and the device memory they need.

use super::scores::{PLACES, metric_places};
use super::{Model, weights};
use crate::device::{Buffer, Op, Segments, Slice};
use crate::error::count;
use crate::train::{Clip, Loss, Metric, Optimizer};
use crate::{Error, Result};
use rnn_shaders::vocabulary::{Bound, Factored, Matrix, OptimizerSpec, Penalty, StepParams, UpdateRule};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// What `compile` was told; written into the model file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct TrainingConfig {
    pub optimizer: Optimizer,
    /// one for each output
    pub goals: Vec<Goal>,
}

/// What one output of a model is trained for and judged by.
///
/// ```
/// use rnn_model::{Goal, Loss, Metric};
/// let goal = Goal::new(Loss::MeanSquaredError).weight(0.5).metrics(&[Metric::MeanAbsoluteError]);
/// # let _ = goal;
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Goal {
    pub(crate) loss: Loss,
    pub(crate) weight: f64,
    pub(crate) metrics: Vec<Metric>,
    pub(crate) weighted_metrics: Vec<Metric>,
}

impl Goal {
    /// The output's loss, with weight 1 and no metrics.
    pub fn new(loss: Loss) -> Self {
        Goal { loss, weight: 1.0, metrics: Vec::new(), weighted_metrics: Vec::new() }
    }

    /// What the loss is multiplied by in the sum of all outputs' losses; 1.
    pub fn weight(mut self, weight: f64) -> Self {
        self.weight = weight;
        self
    }

    /// What is shown beside the loss.
    pub fn metrics(mut self, metrics: &[Metric]) -> Self {
        self.metrics = metrics.to_vec();
        self
    }

    /// What is shown beside the loss, with each sample counted by its weight; plain metrics count all samples alike.
    pub fn weighted_metrics(mut self, metrics: &[Metric]) -> Self {
        self.weighted_metrics = metrics.to_vec();
        self
    }

    /// Places of the running sums of the loss and of each metric, for outputs of `cols` values.
    pub(super) fn sums(&self, cols: usize) -> usize {
        let metrics = self.metrics.iter().chain(&self.weighted_metrics);
        PLACES + metrics.map(|metric| metric_places(metric, self, cols)).sum::<usize>()
    }

    fn check(&self) -> Result<()> {
        if !(0.0..f64::INFINITY).contains(&self.weight) {
            return Err(Error::invalid("loss weight", format!("must be at least 0, got {}", self.weight)));
        }
        match self.loss.problem() {
            Some(problem) => Err(Error::invalid(format!("{} loss", self.loss.name()), problem)),
            None => Ok(()),
        }
    }

    /// Refuses metrics that do not fit the loss, for outputs of `cols` values.
    fn check_metrics(&self, cols: usize) -> Result<()> {
        let problem = |metric: &Metric| metric.problem(self.loss, cols);
        match self.metrics.iter().chain(&self.weighted_metrics).find_map(problem) {
            Some(problem) => Err(Error::invalid("metrics", problem)),
            None => Ok(()),
        }
    }
}

impl TrainingConfig {
    pub fn check(&self) -> Result<()> {
        if let Some(problem) = self.optimizer.problem() {
            return Err(Error::invalid("optimizer", problem));
        }
        self.goals.iter().try_for_each(Goal::check)
    }
}

/// Places of the running sum of penalties on weights and outputs, after those of all goals.
pub(super) const PENALTY_PLACES: usize = 2;

/// Names of what the update keeps: the slots of its rule, the weights' moving average, gradients gathered.
pub(super) const SLOTS: [&str; 5] = ["m", "v", "x", "average", "gathered"];

/// A compiled model's device memory.
pub(crate) struct Training {
    pub config: TrainingConfig,
    /// what the update keeps, as long as the weights; see [`SLOTS`]
    pub slots: [Option<Buffer>; SLOTS.len()],
    /// sums of squares of each weight's gradient
    sumsq: Buffer,
    /// running sums of the loss and of each metric of each output
    pub sums: Buffer,
}

impl Model {
    /// Says how the model is trained.
    ///
    /// The slots of the optimizer start at zero, and so does its count of steps.
    ///
    /// ```
    /// # use rnn_model::{Device, Input, Sequential, layer::{Dense, Lstm}};
    /// use rnn_model::{Adam, Loss, Metric};
    /// # let mut model = Sequential::new(Input::sequence(3, 1)).layer(Lstm::new(4)).layer(Dense::new(1)).build(&Device::cpu())?;
    /// model.compile(Adam::new().learning_rate(0.01), Loss::MeanSquaredError, &[Metric::MeanAbsoluteError])?;
    /// # Ok::<(), rnn_model::Error>(())
    /// ```
    ///
    /// A model of several outputs has this loss and these metrics for each; [`compile_outputs`](Self::compile_outputs)
    /// tells them apart.
    ///
    /// # Errors
    /// When a setting can not work, or the device lacks memory for the optimizer's slots.
    pub fn compile(&mut self, optimizer: impl Into<Optimizer>, loss: Loss, metrics: &[Metric]) -> Result<()> {
        let goals = vec![Goal::new(loss).metrics(metrics); self.graph.outputs.len()];
        self.compile_outputs(optimizer, &goals)
    }

    /// As [`compile`](Self::compile), with a goal for each output. The loss is the sum of all, each by its weight.
    ///
    /// # Errors
    /// As `compile`, and when there are not as many goals as outputs.
    pub fn compile_outputs(&mut self, optimizer: impl Into<Optimizer>, goals: &[Goal]) -> Result<()> {
        let config = TrainingConfig { optimizer: optimizer.into(), goals: goals.to_vec() };
        config.check()?;
        if goals.len() != self.graph.outputs.len() {
            let names = self.output_names().join(", ");
            let expected = format!("{} ({names})", count(self.graph.outputs.len(), "goal"));
            return Err(Error::Shape { what: "compile".into(), expected, got: goals.len().to_string() });
        }
        let len = self.params.all().len;
        let optimizer = &config.optimizer;
        let rule = optimizer.spec().rule;
        let [m, v, x] = rule.slots();
        let wanted = [m, v, x, optimizer.average.is_some(), optimizer.gradient_accumulation_steps.is_some()];
        let [m, v, x] = rule.start();
        let start = [m, v, x, 0.0, 0.0];
        let mut slots = [const { None }; SLOTS.len()];
        for ((slot, wanted), start) in slots.iter_mut().zip(wanted).zip(start) {
            if wanted {
                let buffer = self.device.alloc(len)?;
                if start != 0.0 {
                    self.device.engine().write(buffer.all(), &vec![start; len])?;
                }
                *slot = Some(buffer);
            }
        }
        // Of gradients; of weights and directions where their ratio counts.
        let sumsq = self.device.alloc(2 * self.variables.len().max(1))?;
        let columns = self.output_columns();
        for (goal, &cols) in goals.iter().zip(&columns) {
            goal.check_metrics(cols)?;
        }
        let sums: usize = goals.iter().zip(columns).map(|(goal, cols)| goal.sums(cols)).sum();
        let sums = self.device.alloc(sums + PENALTY_PLACES)?;
        self.ensure_gradients()?;
        self.plans.clear();
        self.training = Some(Training { config, slots, sumsq, sums });
        self.counters.iterations = 0;
        Ok(())
    }

    /// Whether training changes the weights of the layer called `name`, from now on.
    ///
    /// # Errors
    /// When no layer has this name.
    pub fn set_trainable(&mut self, name: &str, on: bool) -> Result<()> {
        let Some(at) = self.graph.layers.iter().position(|l| l.name == name) else {
            let problem =
                format!("there is no such layer; there are {}", self.graph.layer_names().join(", "));
            return Err(Error::invalid(format!("layer {name:?}"), problem));
        };
        self.graph.layers[at].trainable = on;
        self.place_gradients();
        self.plans.clear();
        Ok(())
    }

    /// Clipping and update of what is trained.
    pub(super) fn update_ops(&self) -> Result<Vec<Op>> {
        let training = self.compiled("training")?;
        let Some(grads) = self.grads.as_ref().map(Buffer::all) else { return Ok(Vec::new()) };
        let trained: Vec<&weights::Variable> = self.trained().collect();
        if trained.is_empty() {
            return Ok(Vec::new());
        }
        let segments: Segments = trained.iter().flat_map(|v| [v.offset as u32, v.len as u32]).collect();
        let (params, optimizer) = (self.params.all(), &training.config.optimizer);
        let sumsq = |i: usize| training.sumsq.all().part(i * trained.len(), trained.len());
        let [m, v, x, average, gathered] =
            training.slots.each_ref().map(|slot| slot.as_ref().map(Buffer::all));
        let mut ops = Vec::new();
        if let (Some(steps), Some(gathered)) = (optimizer.gradient_accumulation_steps, gathered) {
            ops.push(Op::GatherGradients { steps, grads, gathered });
        }
        let norms = |x, out| Op::SegmentNorms { segments: segments.clone(), x, out };
        let mut clip = |max_norm, global| {
            ops.push(norms(grads, sumsq(0)));
            let (segments, sumsq) = (segments.clone(), sumsq(0));
            ops.push(Op::ClipByNorm { segments, sumsq, max_norm, global, x: grads });
        };
        match optimizer.clip {
            Clip::Norm(max_norm) => clip(max_norm, false),
            Clip::GlobalNorm(max_norm) => clip(max_norm, true),
            Clip::None | Clip::Value(_) => {}
        }
        let spec = optimizer.spec();
        match (spec.rule, m, v, x) {
            (UpdateRule::Adafactor { epsilon_1, .. }, Some(m), Some(v), Some(x)) => {
                let OptimizerSpec { weight_decay, clip_value, .. } = spec;
                let spec = Factored { epsilon_1, weight_decay, clip_value };
                let matrices = trained.iter().flat_map(|v| matrices(v)).collect();
                ops.push(Op::FactoredStep { spec, matrices, params, grads, m, v, x });
            }
            _ => {
                for (at, len) in runs(&trained) {
                    let [m, v, x] = [m, v, x].map(|slot| slot.map(|s| s.part(at, len)));
                    let (params, grads) = (params.part(at, len), grads.part(at, len));
                    ops.push(Op::OptimizerStep { spec, params, grads, m, v, x });
                }
            }
        }
        if let (Some(trust), Some(direction)) = (optimizer.trust(), x) {
            let (weight_sumsq, direction_sumsq) = (sumsq(0), sumsq(1));
            ops.push(norms(params, weight_sumsq));
            ops.push(norms(direction, direction_sumsq));
            let segments = segments.clone();
            ops.push(Op::TrustStep { trust, segments, weight_sumsq, direction_sumsq, direction, params });
        }
        if let (Some(settings), Some(average)) = (optimizer.average, average) {
            ops.push(Op::WeightAverage { momentum: settings.momentum, params, average });
        }
        let bounds: Arc<[Bound]> = trained
            .iter()
            .filter_map(|v| Some(v.spec.held.constraint?.bound(v.offset, &v.spec.shape)))
            .collect();
        if !bounds.is_empty() {
            ops.push(Op::Constrain { bounds, params });
        }
        Ok(ops)
    }

    /// The penalties on what is trained, added to the sums of a batch and, when training, to the gradients.
    pub(super) fn penalty_op(&self, batch: usize, training: bool) -> Result<Option<Op>> {
        let penalties: Arc<[Penalty]> =
            self.trained().filter_map(|v| Some(v.spec.held.regularizer?.penalty(v.offset, v.len))).collect();
        if penalties.is_empty() {
            return Ok(None);
        }
        let acc = self.penalty_sum()?;
        let grads = self.grads.as_ref().filter(|_| training).map(Buffer::all);
        let params = self.params.all();
        Ok(Some(Op::WeightPenalty { penalties, params, grads, scale: batch as f32, acc }))
    }

    /// Where penalties of batches add up, each times the samples of its batch.
    pub(super) fn penalty_sum(&self) -> Result<Slice> {
        let sums = self.compiled("training")?.sums.all();
        Ok(sums.part(sums.len - PENALTY_PLACES, PENALTY_PLACES))
    }

    /// The weights that training changes.
    fn trained(&self) -> impl Iterator<Item = &weights::Variable> {
        self.variables.iter().filter(|v| self.graph.layers[v.layer].trainable)
    }

    /// Gives the weights the values of their moving average where one is kept, as Keras does at the end of `fit`.
    pub(super) fn take_average(&mut self) -> Result<()> {
        let average = self.training.as_ref().and_then(|t| t.slots[3].as_ref()).map(Buffer::all);
        if let Some(average) = average.filter(|_| self.counters.iterations > 0) {
            let program = self.device.compile(vec![Op::Copy { x: average, y: self.params.all() }])?;
            self.device.run(&program, &[StepParams::default()])?;
        }
        Ok(())
    }

    /// Makes the gradients' buffer and tells the layers where theirs are.
    pub(super) fn ensure_gradients(&mut self) -> Result<()> {
        if self.grads.is_some() {
            return Ok(());
        }
        self.grads = Some(self.device.alloc(self.params.all().len)?);
        self.place_gradients();
        Ok(())
    }

    fn place_gradients(&mut self) {
        let Some(grads) = &self.grads else { return };
        for (at, node) in self.nodes.iter_mut().enumerate() {
            node.gradients = match self.graph.layers[at].trainable {
                true => weights::slices(&self.variables, at, grads.all()),
                false => Vec::new(),
            };
        }
    }

    /// Values in a row of each output.
    pub(super) fn output_columns(&self) -> Vec<usize> {
        self.output_shapes().iter().map(|shape| shape.last().copied().flatten().unwrap_or(1)).collect()
    }

    pub(super) fn compiled(&self, operation: &'static str) -> Result<&Training> {
        self.training.as_ref().ok_or(Error::NotCompiled { operation })
    }

    /// The learning rate in use, before any decay; a schedule's at the present step.
    pub fn learning_rate(&self) -> Option<f64> {
        let optimizer = &self.training.as_ref()?.config.optimizer;
        Some(match &optimizer.schedule {
            Some(_) => optimizer.learning_rate_at(self.counters.iterations),
            None => optimizer.learning_rate,
        })
    }

    /// Changes the learning rate from the next step on.
    ///
    /// # Errors
    /// When the model is not compiled, the rate is negative or not a number, or the optimizer follows a schedule.
    pub fn set_learning_rate(&mut self, learning_rate: f64) -> Result<()> {
        let training = self.training.as_mut().ok_or(Error::NotCompiled { operation: "set_learning_rate" })?;
        if training.config.optimizer.schedule.is_some() {
            let problem =
                "the optimizer follows a schedule; compile it with a number to set the rate by hand";
            return Err(Error::invalid("learning rate", problem));
        }
        if !(0.0..f64::INFINITY).contains(&learning_rate) {
            let problem = format!("must be at least 0, got {learning_rate}");
            return Err(Error::invalid("learning rate", problem));
        }
        training.config.optimizer.learning_rate = learning_rate;
        Ok(())
    }
}

/// A weight as the matrices of its last two axes, or as a vector.
fn matrices(variable: &weights::Variable) -> Vec<Matrix> {
    let offset = variable.offset as u32;
    let &[.., rows, cols] = variable.spec.shape.as_slice() else {
        return vec![Matrix { offset, rows: 0, cols: variable.len as u32 }];
    };
    let each = rows * cols;
    let starts = (0..variable.len).step_by(each.max(1));
    starts.map(|at| Matrix { offset: offset + at as u32, rows: rows as u32, cols: cols as u32 }).collect()
}

/// Stretches of the weights' buffer, (offset, length), that hold only what is trained: neighbours are updated together.
fn runs(variables: &[&weights::Variable]) -> Vec<(usize, usize)> {
    let mut runs: Vec<(usize, usize)> = Vec::new();
    for v in variables {
        match runs.last_mut() {
            Some((at, len)) if (*at + *len).next_multiple_of(weights::ALIGN) == v.offset => {
                *len = v.offset + v.len - *at
            }
            _ => runs.push((v.offset, v.len)),
        }
    }
    runs
}
