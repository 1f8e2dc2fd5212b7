//! Activations as layers name them: any element-wise one, or softmax over the last axis.

use rnn_shaders::vocabulary::Activation;
use serde::{Deserialize, Serialize};

/// Softmax over the last axis, as an activation: `Dense::new(10).activation(Softmax)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Softmax;

/// What a layer applies to its output. Written in files by Keras's names (`"tanh"`, `"softmax"`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Activate {
    /// On each element.
    Each(Activation),
    /// Over the last axis.
    Softmax,
}

impl From<Activation> for Activate {
    fn from(kind: Activation) -> Self {
        Activate::Each(kind)
    }
}

impl From<Softmax> for Activate {
    fn from(_: Softmax) -> Self {
        Activate::Softmax
    }
}

const NAMES: [(&str, Activation); 14] = [
    ("linear", Activation::Linear),
    ("tanh", Activation::Tanh),
    ("sigmoid", Activation::Sigmoid),
    ("relu", Activation::Relu),
    ("hard_sigmoid", Activation::HardSigmoid),
    ("softplus", Activation::Softplus),
    ("softsign", Activation::Softsign),
    ("elu", Activation::Elu),
    ("selu", Activation::Selu),
    ("exponential", Activation::Exponential),
    ("leaky_relu", Activation::LeakyRelu),
    ("relu6", Activation::Relu6),
    ("silu", Activation::Silu),
    ("gelu", Activation::Gelu),
];

impl Activate {
    /// Keras's name of it.
    pub fn name(self) -> &'static str {
        match self {
            Activate::Softmax => "softmax",
            Activate::Each(kind) => NAMES.iter().find(|(_, k)| *k == kind).map_or("linear", |(name, _)| name),
        }
    }

    /// The activation Keras calls `name`.
    ///
    /// # Errors
    /// With the names there are, when none fits.
    pub fn from_name(name: &str) -> Result<Activate, String> {
        if name == "softmax" {
            return Ok(Activate::Softmax);
        }
        let found = NAMES.iter().find(|(n, _)| *n == name);
        found.map(|(_, kind)| Activate::Each(*kind)).ok_or_else(|| {
            let names: Vec<&str> = NAMES.iter().map(|(n, _)| *n).chain(["softmax"]).collect();
            format!("unknown activation {name:?}; there are {}", names.join(", "))
        })
    }
}

impl TryFrom<String> for Activate {
    type Error = String;
    fn try_from(name: String) -> Result<Self, String> {
        Activate::from_name(&name)
    }
}

impl From<Activate> for String {
    fn from(a: Activate) -> String {
        a.name().to_owned()
    }
}
