//! Optimizer, loss and metrics of a model, and the device memory they need.

use super::{Model, weights};
use crate::device::{Buffer, Op, Segments, Slice};
use crate::train::{Clip, Loss, Metric, Optimizer};
use crate::{Error, Result};
use serde::{Deserialize, Serialize};

/// What `compile` was told; written into the model file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct TrainingConfig {
    pub optimizer: Optimizer,
    pub loss: Loss,
    pub metrics: Vec<Metric>,
}

impl TrainingConfig {
    pub fn check(&self) -> Result<()> {
        if let Some(problem) = self.optimizer.problem() {
            return Err(Error::invalid("optimizer", problem));
        }
        match self.loss {
            Loss::Huber { delta } if delta.is_nan() || delta <= 0.0 => {
                Err(Error::invalid("Huber loss", format!("delta must be positive, got {delta}")))
            }
            _ => Ok(()),
        }
    }
}

/// A compiled model's device memory.
pub(crate) struct Training {
    pub config: TrainingConfig,
    /// m, v and x of the update rule, as long as the weights
    pub slots: [Option<Buffer>; 3],
    /// (offset, length) of each weight
    segments: Segments,
    /// sum of squares of each weight's gradient
    sumsq: Buffer,
    /// (sum, count) of the loss and of each metric
    pub sums: Buffer,
}

impl Training {
    /// Clipping and update.
    pub fn update_ops(&self, params: Slice, grads: Slice) -> Vec<Op> {
        let mut ops = Vec::new();
        let (segments, sumsq) = (&self.segments, self.sumsq.all());
        let mut clip = |max_norm, global| {
            ops.push(Op::SegmentNorms { segments: segments.clone(), x: grads, out: sumsq });
            ops.push(Op::ClipByNorm { segments: segments.clone(), sumsq, max_norm, global, x: grads });
        };
        match self.config.optimizer.clip {
            Clip::Norm(max_norm) => clip(max_norm, false),
            Clip::GlobalNorm(max_norm) => clip(max_norm, true),
            Clip::None | Clip::Value(_) => {}
        }
        let [m, v, x] = self.slots.each_ref().map(|slot| slot.as_ref().map(Buffer::all));
        ops.push(Op::OptimizerStep { spec: self.config.optimizer.spec(), params, grads, m, v, x });
        ops
    }
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
    /// # Errors
    /// When a setting can not work, or the device lacks memory for the optimizer's slots.
    pub fn compile(&mut self, optimizer: impl Into<Optimizer>, loss: Loss, metrics: &[Metric]) -> Result<()> {
        let config = TrainingConfig { optimizer: optimizer.into(), loss, metrics: metrics.to_vec() };
        config.check()?;
        let len = self.params.all().len;
        let wanted = config.optimizer.spec().rule.slots();
        let mut slots = [None, None, None];
        for (slot, wanted) in slots.iter_mut().zip(wanted) {
            if wanted {
                *slot = Some(self.device.alloc(len)?);
            }
        }
        let segments = self.variables.iter().flat_map(|v| [v.offset as u32, v.len as u32]).collect();
        let sumsq = self.device.alloc(self.variables.len().max(1))?;
        let sums = self.device.alloc(2 * (1 + metrics.len()))?;
        self.ensure_gradients()?;
        self.plans.clear();
        self.training = Some(Training { config, slots, segments, sumsq, sums });
        self.counters.iterations = 0;
        Ok(())
    }

    /// Makes the gradients' buffer and tells the layers where theirs are.
    pub(super) fn ensure_gradients(&mut self) -> Result<()> {
        if self.grads.is_some() {
            return Ok(());
        }
        let grads = self.device.alloc(self.params.all().len)?;
        for node in &mut self.nodes {
            node.gradients = weights::slices(&self.variables, node.index, grads.all());
        }
        self.grads = Some(grads);
        Ok(())
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
