//! Evaluating and predicting on the batches of a source.

use super::Model;
use super::feed::no_batches;
use super::plan::Purpose;
use super::targets::ClassWeights;
use crate::array::Arrays;
use crate::data::{Batch, BatchSource};
use crate::train::Logs;
use crate::{Error, Result};
use ndarray::{ArrayD, Axis};

impl Model {
    /// Runs a training or evaluation step on a batch from the host.
    pub(super) fn run_scored(
        &mut self,
        purpose: Purpose,
        batch: &Batch,
        classes: Option<&ClassWeights>,
    ) -> Result<()> {
        let (x, y) = (Arrays::from(&batch.inputs), Arrays::from(&batch.targets));
        let shapes = self.check_inputs("a batch's inputs", &x)?;
        let weights = (!batch.weights.is_empty()).then(|| Arrays::from(&batch.weights));
        let targets = self.targets(y, weights, classes, x.samples(), &shapes)?;
        self.ensure_states(x.samples())?;
        let plan = self.plan(purpose, x.samples(), &shapes, &targets.weights_per_sample(), None)?;
        let step = if purpose == Purpose::Train { self.next_step(0) } else { self.counters.inference(0) };
        self.run_batch(&plan, &x, Some(&targets), step)?;
        self.states_are_fresh = false;
        if purpose == Purpose::Train {
            self.steps_ran(1);
        }
        Ok(())
    }

    /// Loss and metrics over the batches of a source's first epoch. Stateful layers carry their states on.
    ///
    /// # Errors
    /// When the model is not compiled, the source fails or has no batches, shapes do not fit, or the device fails.
    pub fn evaluate_source(&mut self, source: &mut dyn BatchSource) -> Result<Logs> {
        self.compiled("evaluate_source")?;
        self.clear_sums()?;
        source.begin(1)?;
        let mut any = false;
        while let Some(batch) = source.next_batch()? {
            self.run_scored(Purpose::Evaluate, &batch, None)?;
            any = true;
        }
        if !any {
            return Err(no_batches());
        }
        self.read_sums()
    }

    /// Output for all samples of a source's first epoch; its targets, if it has any, are not looked at. Stateful layers carry
    /// their states from batch to batch.
    ///
    /// # Errors
    /// When the source fails or has no batches, batches' outputs differ in more than the number of samples, or as
    /// [`predict`](Self::predict).
    pub fn predict_source(&mut self, source: &mut dyn BatchSource) -> Result<ArrayD<f32>> {
        self.one_output("predict_source", "predict_source_each")?;
        let mut all: Option<ArrayD<f32>> = None;
        self.predict_source_each(source, |mut outputs| {
            let part = outputs.swap_remove(0);
            match &mut all {
                None => all = Some(part),
                Some(all) => all.append(Axis(0), part.view()).map_err(|_| {
                    Error::shape(
                        "the outputs of a batch",
                        format!("{:?} per sample", &all.shape()[1..]),
                        part.shape(),
                    )
                })?,
            }
            Ok(())
        })?;
        all.ok_or_else(no_batches)
    }

    /// As [`predict_source`](Self::predict_source), handing over the outputs of each batch: for more of them than memory holds.
    ///
    /// # Errors
    /// As `predict_source`, and what `each` fails with.
    pub fn predict_source_each(
        &mut self,
        source: &mut dyn BatchSource,
        mut each: impl FnMut(Vec<ArrayD<f32>>) -> Result<()>,
    ) -> Result<()> {
        source.begin(1)?;
        while let Some(batch) = source.next_batch()? {
            let x = Arrays::from(&batch.inputs);
            each(self.predict_batched(&x, None, x.samples().max(1))?)?;
        }
        Ok(())
    }
}
