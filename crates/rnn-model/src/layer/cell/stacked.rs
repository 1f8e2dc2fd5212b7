//! Several cells as one.

use super::{AnyCell, CellDefinition, CellOps, CellStep, CellValue, CellVariable, CellWeight};
use crate::layer::VariableSpec;
use crate::{Error, Result};
use serde::{Deserialize, Serialize};

/// Several cells as one: the output of each is the input of the next, the states are those of all (Keras's
/// `StackedRNNCells`).
///
/// [`Rnn`](crate::layer::Rnn) runs them one sequence after the other, each by the best that there is for it: the numbers are
/// the same, because no cell's output goes back to one before it.
///
/// ```
/// use rnn_model::{Device, Input, Sequential, layer::{GruCell, LstmCell, Rnn, StackedCells}};
/// let cells = StackedCells::new().cell(LstmCell::new(16)).cell(GruCell::new(8));
/// let model = Sequential::new(Input::sequence(None, 4)).layer(Rnn::new(cells)).build(&Device::cpu())?;
/// assert_eq!(model.output_shape(), [Some(8)]);
/// # Ok::<(), rnn_model::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StackedCells {
    cells: Vec<AnyCell>,
}

impl StackedCells {
    /// No cells yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a cell on top.
    pub fn cell(mut self, cell: impl Into<AnyCell>) -> Self {
        self.cells.push(cell.into());
        self
    }

    /// The cells, the first one first.
    pub fn cells(&self) -> &[AnyCell] {
        &self.cells
    }

    /// How many weights and states each cell has, for inputs of `features` values.
    fn sizes(&self, features: usize) -> Vec<(usize, usize)> {
        let mut features = features;
        let size = |cell: &AnyCell| {
            let cell = cell.definition();
            let sizes = (cell.variables(features).len(), cell.state_sizes().len());
            features = cell.output_size();
            sizes
        };
        self.cells.iter().map(size).collect()
    }
}

impl CellDefinition for StackedCells {
    fn class(&self) -> &str {
        "StackedRNNCells"
    }

    fn config(&self) -> serde_json::Value {
        serde_json::to_value(self).expect("cells are plain data")
    }

    fn check(&self) -> Result<()> {
        if self.cells.is_empty() {
            return Err(Error::invalid("StackedCells", "there are no cells; add one with cell(...)"));
        }
        self.cells.iter().try_for_each(|cell| cell.definition().check())
    }

    fn state_sizes(&self) -> Vec<usize> {
        self.cells.iter().flat_map(|cell| cell.definition().state_sizes()).collect()
    }

    fn output_size(&self) -> usize {
        self.cells.last().map_or(0, |cell| cell.definition().output_size())
    }

    /// Names are those of the cells behind `cell_0/`, `cell_1/`, ...
    fn variables(&self, features: usize) -> Vec<CellVariable> {
        let mut features = features;
        let mut all = Vec::new();
        for (i, cell) in self.cells.iter().enumerate() {
            let cell = cell.definition();
            let named = |CellVariable(v): CellVariable| {
                let name = format!("cell_{i}/{}", v.name);
                CellVariable(VariableSpec { name, ..v })
            };
            all.extend(cell.variables(features).into_iter().map(named));
            features = cell.output_size();
        }
        all
    }

    fn step(
        &self,
        ops: &mut CellOps<'_, '_>,
        x: &CellValue,
        mut states: &[CellValue],
        mut weights: &[CellWeight],
    ) -> Result<CellStep> {
        let mut step = CellStep { output: x.clone(), states: Vec::new() };
        for (cell, (variables, count)) in self.cells.iter().zip(self.sizes(x.size())) {
            let (own, states_behind) = states.split_at(count);
            let (own_weights, weights_behind) = weights.split_at(variables);
            (states, weights) = (states_behind, weights_behind);
            let prepared = cell.definition().prepare(ops, step.output, own_weights)?;
            let next = cell.definition().step(ops, &prepared, own, own_weights)?;
            step.output = next.output;
            step.states.extend(next.states);
        }
        Ok(step)
    }
}
