//! Optimizer, loss and metrics of a model, and the device memory they need.

use super::scores::PLACES;
use super::{Model, weights};
use crate::device::{Buffer, Op, Segments};
use crate::train::{Clip, Loss, Metric, Optimizer};
use crate::{Error, Result};
use serde::{Deserialize, Serialize};

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

    /// Places of the running sums of the loss and of each metric.
    pub(super) fn sums(&self) -> usize {
        PLACES * (1 + self.metrics.len() + self.weighted_metrics.len())
    }

    fn check(&self) -> Result<()> {
        if !(0.0..f64::INFINITY).contains(&self.weight) {
            return Err(Error::invalid("loss weight", format!("must be at least 0, got {}", self.weight)));
        }
        match self.loss {
            Loss::Huber { delta } if delta.is_nan() || delta <= 0.0 => {
                Err(Error::invalid("Huber loss", format!("delta must be positive, got {delta}")))
            }
            _ => Ok(()),
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

/// A compiled model's device memory.
pub(crate) struct Training {
    pub config: TrainingConfig,
    /// m, v and x of the update rule, as long as the weights
    pub slots: [Option<Buffer>; 3],
    /// sum of squares of each weight's gradient
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
            let expected = format!("{} goals ({names})", self.graph.outputs.len());
            return Err(Error::Shape { what: "compile".into(), expected, got: format!("{}", goals.len()) });
        }
        let len = self.params.all().len;
        let wanted = config.optimizer.spec().rule.slots();
        let mut slots = [None, None, None];
        for (slot, wanted) in slots.iter_mut().zip(wanted) {
            if wanted {
                *slot = Some(self.device.alloc(len)?);
            }
        }
        let sumsq = self.device.alloc(self.variables.len().max(1))?;
        let sums = self.device.alloc(goals.iter().map(Goal::sums).sum())?;
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
        let trained: Vec<&weights::Variable> =
            self.variables.iter().filter(|v| self.graph.layers[v.layer].trainable).collect();
        if trained.is_empty() {
            return Ok(Vec::new());
        }
        let segments: Segments = trained.iter().flat_map(|v| [v.offset as u32, v.len as u32]).collect();
        let (params, sumsq) = (self.params.all(), training.sumsq.all().part(0, trained.len()));
        let optimizer = &training.config.optimizer;
        let mut ops = Vec::new();
        let mut clip = |max_norm, global| {
            ops.push(Op::SegmentNorms { segments: segments.clone(), x: grads, out: sumsq });
            ops.push(Op::ClipByNorm { segments: segments.clone(), sumsq, max_norm, global, x: grads });
        };
        match optimizer.clip {
            Clip::Norm(max_norm) => clip(max_norm, false),
            Clip::GlobalNorm(max_norm) => clip(max_norm, true),
            Clip::None | Clip::Value(_) => {}
        }
        let slots = training.slots.each_ref().map(|slot| slot.as_ref().map(Buffer::all));
        for (at, len) in runs(&trained) {
            let [m, v, x] = slots.map(|slot| slot.map(|s| s.part(at, len)));
            let (params, grads) = (params.part(at, len), grads.part(at, len));
            ops.push(Op::OptimizerStep { spec: optimizer.spec(), params, grads, m, v, x });
        }
        Ok(ops)
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

    pub(super) fn compiled(&self, operation: &'static str) -> Result<&Training> {
        self.training.as_ref().ok_or(Error::NotCompiled { operation })
    }

    /// The learning rate in use, before any decay.
    pub fn learning_rate(&self) -> Option<f64> {
        self.training.as_ref().map(|t| t.config.optimizer.learning_rate)
    }

    /// Changes the learning rate from the next step on.
    ///
    /// # Errors
    /// When the model is not compiled, or the rate is negative or not a number.
    pub fn set_learning_rate(&mut self, learning_rate: f64) -> Result<()> {
        let training = self.training.as_mut().ok_or(Error::NotCompiled { operation: "set_learning_rate" })?;
        if !(0.0..f64::INFINITY).contains(&learning_rate) {
            let problem = format!("must be at least 0, got {learning_rate}");
            return Err(Error::invalid("learning rate", problem));
        }
        training.config.optimizer.learning_rate = learning_rate;
        Ok(())
    }
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
