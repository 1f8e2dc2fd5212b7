//! What a layer's weight is held by: its regularizer and its constraint.

use super::{Constraint, Regularizer};
use serde::{Deserialize, Serialize};

/// A penalty in the loss and a constraint after each update, of one weight of a layer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Held {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub regularizer: Option<Regularizer>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub constraint: Option<Constraint>,
}

impl Held {
    /// Whether nothing holds it.
    pub fn is_free(&self) -> bool {
        *self == Held::default()
    }
}
