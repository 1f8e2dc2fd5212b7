//! Cells written as a user of the crate writes them.

use ndarray::ArrayD;
use rnn_model::cell::{CellDefinition, CellOps, CellStep, CellValue, CellVariable, CellWeight, Draws};
use rnn_model::layer::{Initializer, Softmax};
use rnn_model::serde_json::{Value, json};
use rnn_model::{Activation, Error, Result};

/// Minimal gated unit (Zhou et al. 2016): `f = sigmoid(x W_f + h U_f + b_f)`, `h~ = tanh(x W_h + (f h) U_h + b_h)`,
/// `h' = (1 - f) h + f h~`.
#[derive(Clone, Debug)]
pub struct Minimal {
    units: usize,
}

impl Minimal {
    pub fn new(units: usize) -> Self {
        Minimal { units }
    }

    pub fn from_config(config: &Value) -> Result<Self> {
        let units = config["units"].as_u64().filter(|&u| u > 0 && u < 1 << 20);
        let problem = || Error::Invalid { what: "units".into(), problem: format!("can not be {config}") };
        Ok(Minimal { units: units.ok_or_else(problem)? as usize })
    }
}

impl CellDefinition for Minimal {
    fn class(&self) -> &str {
        "MinimalGatedUnit"
    }

    fn config(&self) -> Value {
        json!({ "units": self.units })
    }

    fn state_sizes(&self) -> Vec<usize> {
        vec![self.units]
    }

    fn variables(&self, features: usize) -> Vec<CellVariable> {
        let u = self.units;
        vec![
            CellVariable::new("kernel", [features, 2 * u], Initializer::GlorotUniform),
            CellVariable::new("recurrent_kernel", [u, 2 * u], Initializer::Orthogonal),
            CellVariable::new("bias", [2 * u], Initializer::Zeros),
        ]
    }

    fn prepare(&self, ops: &mut CellOps<'_, '_>, x: CellValue, w: &[CellWeight]) -> Result<CellValue> {
        ops.product(&x, &w[0], Some(&w[2]))
    }

    fn step(
        &self,
        ops: &mut CellOps<'_, '_>,
        x: &CellValue,
        states: &[CellValue],
        w: &[CellWeight],
    ) -> Result<CellStep> {
        let (u, h) = (self.units, &states[0]);
        let x = ops.split(x, &[u, u])?;
        let product = ops.product(h, &w[1].columns(0..u)?, None)?;
        let z = ops.add(&product, &x[0])?;
        let f = ops.activation(&z, Activation::Sigmoid)?;
        let kept = ops.mul(&f, h)?;
        let product = ops.product(&kept, &w[1].columns(u..2 * u)?, None)?;
        let z = ops.add(&product, &x[1])?;
        let candidate = ops.activation(&z, Activation::Tanh)?;
        Ok(CellStep::of_state(ops.mix(&f, &candidate, h)?, []))
    }
}

/// The same as a loop in f64: outputs `[batch, time, units]` and the last state.
pub fn minimal_by_hand(
    weights: &[ArrayD<f32>],
    x: &ArrayD<f32>,
    h0: &ArrayD<f32>,
) -> (ArrayD<f32>, ArrayD<f32>) {
    let &[batch, time, features] = x.shape() else { panic!("a sequence") };
    let units = h0.shape()[1];
    let w = |which: usize, i: usize, j: usize| f64::from(weights[which][[i, j]]);
    let mut y = ArrayD::zeros(vec![batch, time, units]);
    let mut last = ArrayD::zeros(vec![batch, units]);
    for b in 0..batch {
        let mut h: Vec<f64> = (0..units).map(|j| f64::from(h0[[b, j]])).collect();
        for t in 0..time {
            let sum = |h: &[f64], j: usize| {
                let x = (0..features).map(|i| f64::from(x[[b, t, i]]) * w(0, i, j)).sum::<f64>();
                x + h.iter().enumerate().map(|(i, h)| h * w(1, i, j)).sum::<f64>()
                    + f64::from(weights[2][[j]])
            };
            let f: Vec<f64> = (0..units).map(|j| 1.0 / (1.0 + (-sum(&h, j)).exp())).collect();
            let kept: Vec<f64> = f.iter().zip(&h).map(|(f, h)| f * h).collect();
            let new: Vec<f64> = (0..units).map(|j| sum(&kept, units + j).tanh()).collect();
            for j in 0..units {
                h[j] = (1.0 - f[j]) * h[j] + f[j] * new[j];
                y[[b, t, j]] = h[j] as f32;
                last[[b, j]] = h[j] as f32;
            }
        }
    }
    (y, last)
}

/// A cell that uses every operation there is, with an output that is no state and a state that is handed through.
#[derive(Clone, Debug)]
pub struct Everything {
    units: usize,
    broken: bool,
}

impl Everything {
    pub fn new(units: usize) -> Self {
        Everything { units, broken: false }
    }

    /// Adds values of different sizes.
    pub fn broken(units: usize) -> Self {
        Everything { units, broken: true }
    }
}

impl CellDefinition for Everything {
    fn class(&self) -> &str {
        "Everything"
    }

    fn config(&self) -> Value {
        json!({ "units": self.units })
    }

    fn state_sizes(&self) -> Vec<usize> {
        vec![self.units, self.units, 2]
    }

    fn output_size(&self) -> usize {
        self.units + 2
    }

    fn variables(&self, features: usize) -> Vec<CellVariable> {
        let (u, start) = (self.units, Initializer::GlorotUniform);
        vec![
            CellVariable::new("kernel", [features, 3 * u + 2], start),
            CellVariable::new("recurrent_kernel", [u, 3 * u], start),
            CellVariable::new("bias", [3 * u], Initializer::Zeros),
            CellVariable::new("gamma", [3 * u], Initializer::Ones),
            CellVariable::new("peephole", [u], Initializer::Ones),
            CellVariable::new("rows", [2, u], Initializer::Ones),
        ]
    }

    fn prepare(&self, ops: &mut CellOps<'_, '_>, x: CellValue, w: &[CellWeight]) -> Result<CellValue> {
        let x = ops.dropout(&x, 0.2, Draws::EveryStep)?;
        let z = ops.product(&x, &w[0], None)?;
        ops.activation(&z, Activation::Gelu)
    }

    fn step(
        &self,
        ops: &mut CellOps<'_, '_>,
        x: &CellValue,
        states: &[CellValue],
        w: &[CellWeight],
    ) -> Result<CellStep> {
        let [h, delayed, fed] = states else { unreachable!() };
        if self.broken {
            ops.add(h, fed)?;
        }
        let parts = ops.split(x, &[3 * self.units, 2])?;
        let dropped = ops.dropout(h, 0.25, Draws::OnceASequence)?;
        let z = ops.product(&dropped, &w[1], Some(&w[2]))?;
        let z = ops.layer_norm(&z, &w[3], Some(&w[2]), 0.01)?;
        let z = ops.add(&z, &parts[0])?;
        let gates = ops.gates(&z, &[Activation::Sigmoid.into(), Softmax.into(), Activation::Tanh.into()])?;
        let seen = ops.weigh(delayed, &w[4])?;
        let seen = ops.bias(&seen, &w[5].row(0)?)?;
        let weighed = ops.layer_norm(&seen, &w[5].row(1)?, None, 0.1)?;
        let one = ops.constant(self.units, 0.5)?;
        let closed = ops.one_minus(&gates[0])?;
        let new = ops.mix(&gates[1], &gates[2], &weighed)?;
        let new = ops.sub(&new, &one)?;
        let new = ops.mul(&closed, &new)?;
        let half = ops.scale(h, 0.5)?;
        let new = ops.add(&new, &half)?;
        // Used twice, and once through itself alone.
        let new = ops.add(&new, &new)?;
        let zoned = ops.zoneout(&new, h, 0.3)?;
        let fed = ops.add(fed, &parts[1])?;
        let output = ops.concat(&[&zoned, &fed])?;
        Ok(CellStep { output, states: vec![zoned, h.clone(), fed] })
    }
}
