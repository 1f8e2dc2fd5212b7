//! Runs beside the kept states: predictions and evaluations that use them or start anew, and leave them as they were.

use super::Model;
use super::resets::Resets;
use super::state::StateSet;
use crate::array::Arrays;
use crate::{Error, Result};
use ndarray::ArrayD;

/// What a run that is no training does with the states of stateful layers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum StateUse {
    /// Go on from the kept states and keep the last ones, as Keras does: the next call, training too, goes on from there.
    #[default]
    Carry,
    /// Go on from the kept states (from zero where there are none) and leave them as they were.
    Borrow,
    /// Start from zero with any batch size, and leave the kept states as they were.
    Fresh,
}

/// Options of [`Model::predict_with`].
#[derive(Clone, Debug, Default)]
pub struct PredictOptions {
    batch_size: Option<usize>,
    states: StateUse,
    resets: Option<Resets>,
}

impl PredictOptions {
    /// Batches of 32 samples, carrying states.
    pub fn new() -> Self {
        Self::default()
    }

    /// Samples per batch; 32, or those whose states are kept, or the model's fixed batch size.
    pub fn batch_size(mut self, batch_size: usize) -> Self {
        self.batch_size = Some(batch_size);
        self
    }

    /// What becomes of the states of stateful layers; [`StateUse::Carry`].
    pub fn states(mut self, states: StateUse) -> Self {
        self.states = states;
        self
    }

    /// Before which steps of which samples, `[samples, time]`, the states of all recurrent layers are zero.
    pub fn resets(mut self, resets: impl Into<Resets>) -> Self {
        self.resets = Some(resets.into());
        self
    }
}

impl Model {
    /// All outputs for `x` in batches, with options.
    ///
    /// ```
    /// # use ndarray::Array3;
    /// # use rnn_model::{Device, Input, Sequential, layer::Lstm};
    /// use rnn_model::{PredictOptions, StateUse};
    /// # let mut model = Sequential::new(Input::sequence(None, 1)).layer(Lstm::new(4).stateful(true)).build(&Device::cpu())?;
    /// model.predict_on_batch(&Array3::<f32>::ones((8, 5, 1)))?;
    /// let kept = model.get_states()?;
    /// // Another batch size, beside the states of the eight.
    /// let options = PredictOptions::new().states(StateUse::Fresh);
    /// model.predict_with(&Array3::<f32>::ones((3, 5, 1)), options)?;
    /// assert_eq!(model.get_states()?, kept);
    /// # Ok::<(), rnn_model::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`predict`](Self::predict).
    pub fn predict_with<'a>(
        &mut self,
        x: impl Into<Arrays<'a>>,
        options: PredictOptions,
    ) -> Result<Vec<ArrayD<f32>>> {
        let x = x.into();
        if options.batch_size == Some(0) {
            return Err(Error::invalid("batch_size", "must be at least 1"));
        }
        self.beside(options.states, |model| {
            let batch = options.batch_size.unwrap_or_else(|| model.default_batch(x.samples()));
            model.predict_batched(&x, options.resets.as_ref(), batch)
        })
    }

    /// Runs `f` with the states as `states` says.
    pub(super) fn beside<R>(
        &mut self,
        states: StateUse,
        f: impl FnOnce(&mut Model) -> Result<R>,
    ) -> Result<R> {
        if states == StateUse::Carry || !self.is_stateful() {
            return f(self);
        }
        let (fresh, reach) = (self.states_are_fresh, self.window.count());
        self.swap_states();
        let result = self.begin_beside(states, fresh).and_then(|()| f(self));
        self.swap_states();
        self.states_are_fresh = fresh;
        self.window.resume(reach);
        result
    }

    /// The states and programs beside become the ones in use, and the other way round.
    fn swap_states(&mut self) {
        std::mem::swap(&mut self.states, &mut self.beside);
        self.plans.swap();
    }

    /// Brings the states to be used beside to where they start; the kept ones stand in `self.beside`.
    fn begin_beside(&mut self, states: StateUse, fresh: bool) -> Result<()> {
        self.states_are_fresh = true;
        let kept = self.beside.as_ref().filter(|_| states == StateUse::Borrow && !fresh);
        let Some(kept) = kept else {
            return self.states.as_ref().map_or(Ok(()), |set| set.reset(&self.device));
        };
        if self.states.as_ref().is_none_or(|own| own.batch != kept.batch) {
            self.states = Some(StateSet::zeros(&self.device, kept.batch, &self.parts, |part| part.stateful)?);
            self.plans.clear();
        }
        if let (Some(own), Some(kept)) = (&self.states, &self.beside) {
            own.copy_parts(&self.device, kept)?;
        }
        self.states_are_fresh = false;
        Ok(())
    }
}
