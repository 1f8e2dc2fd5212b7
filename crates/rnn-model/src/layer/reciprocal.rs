//! Reciprocal: a number divided by each value.

use super::{OneToOne, SampleShape};
use crate::device::Op;
use crate::model::lowering::{Lowering, Node, Value};
use crate::{Error, Result};
use serde::{Deserialize, Serialize};

/// `numerator / x`, element by element. Where `x` is 0 the result is infinite, or NaN if the numerator is 0 too.
///
/// ```
/// use rnn_model::{Input, layer::{Dense, Reciprocal}};
/// let x = Input::sequence(None, 3).symbol();
/// let y = x.layer(Dense::new(4))?.layer(Reciprocal::new(1.0))?;
/// assert_eq!(y.shape(), [None, Some(4)]);
/// # Ok::<(), rnn_model::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reciprocal {
    numerator: f32,
}

impl Reciprocal {
    /// `numerator / x`.
    pub fn new(numerator: f32) -> Self {
        Reciprocal { numerator }
    }
}

impl OneToOne for Reciprocal {
    fn class(&self) -> &'static str {
        "Reciprocal"
    }

    fn is_stepwise(&self) -> bool {
        true
    }

    fn kernels(&self) -> &'static str {
        "one element-wise pass"
    }

    fn output_shape(&self, input: &[Option<usize>]) -> Result<SampleShape> {
        if !self.numerator.is_finite() {
            let problem = format!("the numerator must be a finite number, got {}", self.numerator);
            return Err(Error::invalid("Reciprocal", problem));
        }
        Ok(input.to_vec())
    }

    fn lower(&self, l: &mut Lowering<'_>, _: &Node, x: Value) -> Result<Value> {
        let numerators = l.buffer(x.data.len)?;
        l.emit(Op::Fill { value: self.numerator, y: numerators });
        let numerators = l.input(numerators, x.shape.clone(), false);
        l.div(&numerators, &x)
    }
}
