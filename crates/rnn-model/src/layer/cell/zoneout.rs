//! Zoneout.

use super::{AnyCell, CellDefinition, CellOps, CellStep, CellValue, CellVariable, CellWeight};
use crate::{Error, Result};
use serde::{Deserialize, Serialize};

/// Zoneout (Krueger et al. 2017, arXiv:1606.01305) around a cell: while training a value of a state keeps what it was
/// before the step with the state's rate as probability, drawn anew for each value and step; otherwise it becomes what is to
/// be expected, `rate * old + (1 - rate) * new`. An output that is the first state is that state with zoneout.
///
/// ```
/// use rnn_model::layer::{LstmCell, Rnn, Zoneout};
/// // h keeps a value with probability 0.05, c with 0.5, as in the paper's language models
/// let layer = Rnn::new(Zoneout::new(LstmCell::new(64), [0.05, 0.5])).return_sequences(true);
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Zoneout {
    cell: AnyCell,
    rates: Vec<f32>,
}

impl Zoneout {
    /// `cell`, each of whose states has a rate in `[0, 1]`.
    pub fn new(cell: impl Into<AnyCell>, rates: impl Into<Vec<f32>>) -> Self {
        Zoneout { cell: cell.into(), rates: rates.into() }
    }
}

impl CellDefinition for Zoneout {
    fn class(&self) -> &str {
        "Zoneout"
    }

    fn config(&self) -> serde_json::Value {
        serde_json::to_value(self).expect("cells are plain data")
    }

    fn check(&self) -> Result<()> {
        self.cell.definition().check()?;
        let states = self.state_sizes().len();
        if self.rates.len() != states || self.rates.iter().any(|rate| !(0.0..=1.0).contains(rate)) {
            let problem = format!("needs a rate in [0, 1] for each of {states} states, got {:?}", self.rates);
            return Err(Error::invalid("Zoneout", problem));
        }
        Ok(())
    }

    fn state_sizes(&self) -> Vec<usize> {
        self.cell.definition().state_sizes()
    }

    fn output_size(&self) -> usize {
        self.cell.definition().output_size()
    }

    fn variables(&self, features: usize) -> Vec<CellVariable> {
        self.cell.definition().variables(features)
    }

    fn prepare(&self, ops: &mut CellOps<'_, '_>, x: CellValue, weights: &[CellWeight]) -> Result<CellValue> {
        self.cell.definition().prepare(ops, x, weights)
    }

    fn step(
        &self,
        ops: &mut CellOps<'_, '_>,
        x: &CellValue,
        states: &[CellValue],
        weights: &[CellWeight],
    ) -> Result<CellStep> {
        let step = self.cell.definition().step(ops, x, states, weights)?;
        let shows_state = step.output.is(&step.states[0]);
        let zoned = step.states.iter().zip(states).zip(&self.rates);
        let zoned = zoned.map(|((new, old), &rate)| ops.zoneout(new, old, rate));
        let states = zoned.collect::<Result<Vec<_>>>()?;
        let output = if shows_state { states[0].clone() } else { step.output };
        Ok(CellStep { output, states })
    }
}
