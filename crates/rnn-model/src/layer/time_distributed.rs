//! TimeDistributed.

use super::shaping::swap_axes;
use super::{Layer, OneToOne, SampleShape, VariableSpec};
use crate::model::lowering::{Lowering, Node, Value};
use crate::{Error, Result};
use serde::{Deserialize, Serialize};

/// A layer applied to every step of `[batch, time, ...]` alone: any layer of one input and one output that keeps no
/// states between batches.
///
/// The steps are run as one larger batch, so `TimeDistributed(Dense)` costs what `Dense` costs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TimeDistributed {
    layer: Box<Layer>,
}

impl TimeDistributed {
    /// `layer` on every step.
    pub fn new(layer: impl Into<Layer>) -> Self {
        TimeDistributed { layer: Box::new(layer.into()) }
    }

    fn problem(&self, problem: &str) -> Error {
        Error::invalid(format!("TimeDistributed({})", self.layer.class()), problem)
    }
}

impl OneToOne for TimeDistributed {
    fn class(&self) -> &'static str {
        "TimeDistributed"
    }

    fn output_shape(&self, input: &[Option<usize>]) -> Result<SampleShape> {
        let [time, step @ ..] = input else { unreachable!("a sample has an axis") };
        if step.is_empty() {
            return Err(Error::shape("input of TimeDistributed", "[batch, time, ...]", input));
        }
        if self.layer.kind().recurrent_parts().iter().any(|p| p.stateful) {
            return Err(
                self.problem("a stateful layer can not be distributed over time: its steps have no order")
            );
        }
        let mut outputs = self.layer.kind().output_shapes(&[step.to_vec()])?;
        let Some(output) = outputs.pop().filter(|_| outputs.is_empty()) else {
            return Err(self.problem("only a layer of one output can be distributed over time"));
        };
        let mut shape = vec![*time];
        shape.extend(output);
        Ok(shape)
    }

    fn variables(&self, input: &[Option<usize>]) -> Vec<VariableSpec> {
        self.layer.kind().variables(&[input[1..].to_vec()])
    }

    fn is_stepwise(&self) -> bool {
        true
    }

    fn table_rows(&self) -> Option<usize> {
        self.layer.kind().table_rows()
    }

    /// A recurrent layer draws for each step anew, which is not known by its place in the whole sequence.
    fn goes_in_parts(&self) -> bool {
        self.layer.kind().recurrent_parts().is_empty()
    }

    fn kernels(&self) -> &'static str {
        self.layer.kind().kernels()
    }

    fn lower(&self, l: &mut Lowering<'_>, node: &Node, x: Value) -> Result<Value> {
        let (time, step) = (x.shape[0], x.shape[1..].to_vec());
        let samples = time * l.batch();
        // Steps and samples in one axis; behind it, a step that is itself a sequence wants its own axis first.
        let mut inner = l.alias(&x, step.clone());
        inner.mask = None;
        l.with_batch(samples, |l| {
            if let [inner_time, rest @ ..] = step.as_slice()
                && !rest.is_empty()
            {
                let f = rest.iter().product();
                inner = swap_axes(l, inner, samples, *inner_time, f, step.clone())?;
            }
            let mut outputs = self.layer.kind().lower(l, node, std::slice::from_ref(&inner))?;
            let mut y = outputs.pop().expect("checked: one output");
            y.mask = None;
            if let [inner_time, rest @ ..] = y.shape.clone().as_slice()
                && !rest.is_empty()
            {
                let f = rest.iter().product();
                y = swap_axes(l, y.clone(), *inner_time, samples, f, y.shape)?;
            }
            let mut shape = vec![time];
            shape.extend(&y.shape);
            Ok(l.alias(&y, shape))
        })
    }
}
