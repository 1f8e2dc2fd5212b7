//! Recurrent cells in terms of tensor operations: those of one's own, and those that no kernel fuses.
//!
//! A cell is one step of a recurrence. It implements [`CellDefinition`]: the sizes of its output and states, its weights,
//! and [`step`](CellDefinition::step), written with the operations of [`CellOps`], which know their gradients. The layer
//! [`Rnn`](super::Rnn) runs a cell over a sequence with everything that the built-in layers have: masks, initial states,
//! `stateful`, `go_backwards`. [`CellLayer`](super::CellLayer) applies it once, for loops of one's own.
//!
//! ```
//! use rnn_model::cell::{CellDefinition, CellOps, CellStep, CellValue, CellVariable, CellWeight};
//! use rnn_model::layer::{Initializer, Rnn};
//! use rnn_model::{Activation, Device, Input, Result, Sequential, serde_json};
//!
//! /// `h' = tanh(x W + b) + decay h`
//! #[derive(Clone, Debug)]
//! struct Leaky {
//!     units: usize,
//!     decay: f32,
//! }
//!
//! impl CellDefinition for Leaky {
//!     fn class(&self) -> &str {
//!         "Leaky"
//!     }
//!     fn config(&self) -> serde_json::Value {
//!         serde_json::json!({ "units": self.units, "decay": self.decay })
//!     }
//!     fn state_sizes(&self) -> Vec<usize> {
//!         vec![self.units]
//!     }
//!     fn variables(&self, features: usize) -> Vec<CellVariable> {
//!         vec![
//!             CellVariable::new("kernel", [features, self.units], Initializer::GlorotUniform),
//!             CellVariable::new("bias", [self.units], Initializer::Zeros),
//!         ]
//!     }
//!     // What does not depend on the state is done for all steps at once.
//!     fn prepare(&self, ops: &mut CellOps<'_, '_>, x: CellValue, w: &[CellWeight]) -> Result<CellValue> {
//!         let z = ops.product(&x, &w[0], Some(&w[1]))?;
//!         ops.activation(&z, Activation::Tanh)
//!     }
//!     fn step(
//!         &self,
//!         ops: &mut CellOps<'_, '_>,
//!         x: &CellValue,
//!         states: &[CellValue],
//!         _: &[CellWeight],
//!     ) -> Result<CellStep> {
//!         let kept = ops.scale(&states[0], self.decay)?;
//!         let h = ops.add(x, &kept)?;
//!         Ok(CellStep::of_state(h, []))
//!     }
//! }
//!
//! let rnn = Rnn::new(Leaky { units: 4, decay: 0.5 }).return_sequences(true);
//! let model = Sequential::new(Input::sequence(None, 3)).layer(rnn).build(&Device::cpu())?;
//! assert_eq!(model.count_params(), 3 * 4 + 4);
//! # Ok::<(), rnn_model::Error>(())
//! ```

mod any;
mod built_in;
mod layer_norm;
mod ops;
mod projected;
mod registry;
pub(super) mod schedule;
mod stacked;
mod zoneout;

pub use any::AnyCell;
pub use built_in::{GruCell, LstmCell, RecurrentCell, SimpleRnnCell};
pub use layer_norm::{LayerNormGruCell, LayerNormLstmCell};
pub use ops::{CellOps, CellValue, CellWeight, Draws};
pub use projected::ProjectedLstmCell;
pub use registry::Cells;
pub use stacked::StackedCells;
pub use zoneout::Zoneout;

use super::{Initializer, VariableSpec};
use crate::Result;
use std::any::Any;
use std::fmt::Debug;

/// A recurrent cell: one step, and what a schedule must know to run it over a sequence.
///
/// An implementation is data, as a layer is: it may be cloned into several models, and is written into the model file by
/// [`class`](Self::class) and [`config`](Self::config). [`Model::load_with`](crate::Model::load_with) reads it back.
pub trait CellDefinition: Any + Debug + Send + Sync {
    /// The name by which a model file refers to the cell.
    fn class(&self) -> &str;

    /// The options, enough to make the cell again.
    fn config(&self) -> serde_json::Value;

    /// Refuses options that can not work, before anything else is asked of the cell.
    ///
    /// # Errors
    /// In words, by [`Error::Invalid`](crate::Error::Invalid).
    fn check(&self) -> Result<()> {
        Ok(())
    }

    /// Values per sample of each state, at least one state of at least one value.
    fn state_sizes(&self) -> Vec<usize>;

    /// Values per sample of the output; as many as the first state has.
    fn output_size(&self) -> usize {
        self.state_sizes().first().copied().unwrap_or(0)
    }

    /// The weights, for inputs of `features` values per sample, in the order in which [`step`](Self::step) gets them.
    fn variables(&self, features: usize) -> Vec<CellVariable>;

    /// What can be done for all steps before the first: `x` is the whole sequence, and the steps of what is returned reach
    /// [`step`](Self::step). A product with the input belongs here: one large product is much faster than one for each
    /// step.
    ///
    /// # Errors
    /// Those of the operations.
    fn prepare(
        &self,
        _ops: &mut CellOps<'_, '_>,
        x: CellValue,
        _weights: &[CellWeight],
    ) -> Result<CellValue> {
        Ok(x)
    }

    /// One step: the output and the new states from the (prepared) input and the states before.
    ///
    /// It is called once for each step when a model is recorded, never while it runs, and must do the same operations each
    /// time.
    ///
    /// # Errors
    /// Those of the operations.
    fn step(
        &self,
        ops: &mut CellOps<'_, '_>,
        x: &CellValue,
        states: &[CellValue],
        weights: &[CellWeight],
    ) -> Result<CellStep>;
}

/// What a step gives.
#[derive(Clone, Debug)]
pub struct CellStep {
    /// `[batch, output size]`
    pub output: CellValue,
    /// in the order of [`CellDefinition::state_sizes`]
    pub states: Vec<CellValue>,
}

impl CellStep {
    /// Of a cell whose first state `h` is its output, and that has these other states.
    pub fn of_state(h: CellValue, others: impl IntoIterator<Item = CellValue>) -> Self {
        let output = h.clone();
        CellStep { output, states: [h].into_iter().chain(others).collect() }
    }
}

/// A weight of a cell before it has a place on a device.
#[derive(Clone, Debug)]
pub struct CellVariable(VariableSpec);

impl CellVariable {
    /// A vector `[n]` or a matrix `[rows, columns]`.
    pub fn new(name: &str, shape: impl Into<Vec<usize>>, initializer: Initializer) -> Self {
        CellVariable(VariableSpec::new(name, shape.into(), initializer))
    }

    /// A vector whose parts start differently: `(length, initializer)` of each.
    pub fn vector_of(name: &str, parts: impl IntoIterator<Item = (usize, Initializer)>) -> Self {
        let start: Vec<(usize, Initializer)> = parts.into_iter().collect();
        let len = start.iter().map(|(len, _)| len).sum();
        CellVariable(VariableSpec { start, ..VariableSpec::new(name, vec![len], Initializer::Zeros) })
    }
}
