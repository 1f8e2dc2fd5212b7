//! What an optimizer keeps between steps, to be taken out and put back: how a training goes on in another system, or comes
//! from one.

use super::Model;
use super::compile::{SLOTS, TrainingConfig};
use crate::array::HostArray;
use crate::device::Buffer;
use crate::train::Optimizer;
use crate::{Error, Goal, Result};
use ndarray::ArrayD;

/// One array per weight that an optimizer keeps.
#[derive(Clone, Debug, PartialEq)]
pub struct Slot {
    /// `m`, `v` and `x` of the update rule, `average` of the weights, `gathered` gradients
    pub name: String,
    /// in the order and the shapes of the weights
    pub values: Vec<ArrayD<f32>>,
}

/// What an optimizer keeps between steps.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OptimizerState {
    /// steps done
    pub iterations: u64,
    /// those that the rule has
    pub slots: Vec<Slot>,
}

impl Model {
    /// The optimizer the model was compiled with.
    pub fn optimizer(&self) -> Option<&Optimizer> {
        Some(&self.config()?.optimizer)
    }

    /// What each output is trained for; empty before [`compile`](Self::compile).
    pub fn goals(&self) -> &[Goal] {
        self.config().map_or(&[], |config| &config.goals)
    }

    fn config(&self) -> Option<&TrainingConfig> {
        Some(&self.training.as_ref()?.config)
    }

    /// A copy of what the optimizer keeps.
    ///
    /// # Errors
    /// Before `compile`, or when the device fails.
    pub fn optimizer_state(&self) -> Result<OptimizerState> {
        let slots = self.compiled("optimizer_state")?.slots.iter().zip(SLOTS);
        let slot = |(buffer, name): (&Option<Buffer>, &str)| {
            let buffer = buffer.as_ref()?;
            let values = self.read_like_weights(buffer.all());
            Some(values.map(|values| Slot { name: name.to_owned(), values }))
        };
        Ok(OptimizerState {
            iterations: self.iterations(),
            slots: slots.filter_map(slot).collect::<Result<_>>()?,
        })
    }

    /// Puts back what [`optimizer_state`](Self::optimizer_state) gave, of this model or of one with the same weights and
    /// optimizer. Slots that are not given stay as they are.
    ///
    /// # Errors
    /// Before `compile`, when the optimizer has no slot of a name, or shapes differ; nothing is changed then.
    pub fn set_optimizer_state(&mut self, state: &OptimizerState) -> Result<()> {
        let training = self.compiled("set_optimizer_state")?;
        let mut places = Vec::new();
        for slot in &state.slots {
            let at = SLOTS.iter().position(|name| *name == slot.name);
            let Some(buffer) = at.and_then(|at| training.slots[at].as_ref()) else {
                let kept = SLOTS.iter().zip(&training.slots).filter(|(_, s)| s.is_some());
                let kept: Vec<&str> = kept.map(|(name, _)| *name).collect();
                let problem = format!("the optimizer keeps no such slot; it keeps: {}", kept.join(", "));
                return Err(Error::invalid(format!("optimizer slot {:?}", slot.name), problem));
            };
            let arrays: Vec<HostArray<'_>> = slot.values.iter().map(HostArray::from).collect();
            self.check_like_weights(&arrays)?;
            places.push((buffer.all(), arrays));
        }
        for (place, arrays) in &places {
            self.write_like_weights(*place, arrays)?;
        }
        self.counters.iterations = state.iterations;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::layer::{Dense, Lstm};
    use crate::{Adam, Device, Input, Loss, Model, Sequential, Sgd};
    use ndarray::Array;

    fn model() -> Model {
        let mut model = Sequential::new(Input::sequence(3, 1))
            .layer(Lstm::new(4))
            .layer(Dense::new(1))
            .build(&Device::cpu())
            .unwrap();
        model.compile(Adam::new(), Loss::MeanSquaredError, &[]).unwrap();
        model
    }

    #[test]
    fn a_training_goes_on_in_a_model_that_was_given_weights_and_slots() {
        let x = Array::from_shape_fn((8, 3, 1), |(i, t, _)| ((i + t) as f32).sin());
        let y = Array::from_shape_fn((8, 1), |(i, _)| (i as f32 + 3.0).sin());
        let mut one = model();
        for _ in 0..3 {
            one.train_on_batch(&x, &y).unwrap();
        }
        let mut two = model();
        two.set_weights(&one.get_weights().unwrap()).unwrap();
        let state = one.optimizer_state().unwrap();
        assert_eq!(state.iterations, 3);
        assert_eq!(state.slots.iter().map(|s| s.name.as_str()).collect::<Vec<_>>(), ["m", "v"]);
        two.set_optimizer_state(&state).unwrap();
        for _ in 0..3 {
            one.train_on_batch(&x, &y).unwrap();
            two.train_on_batch(&x, &y).unwrap();
        }
        assert_eq!(one.get_weights().unwrap(), two.get_weights().unwrap());
    }

    #[test]
    fn what_does_not_fit_is_refused_and_changes_nothing() {
        let mut model = model();
        let before = model.optimizer_state().unwrap();
        let mut wrong = before.clone();
        wrong.iterations = 9;
        wrong.slots[1].values.pop();
        assert!(model.set_optimizer_state(&wrong).is_err());
        wrong.slots[1].name = "x".into();
        let message = model.set_optimizer_state(&wrong).unwrap_err().to_string();
        assert!(message.contains("keeps: m, v"), "{message}");
        assert_eq!(model.optimizer_state().unwrap(), before);
        model.compile(Sgd::new(), Loss::MeanSquaredError, &[]).unwrap();
        assert!(model.optimizer_state().unwrap().slots.is_empty());
    }
}
