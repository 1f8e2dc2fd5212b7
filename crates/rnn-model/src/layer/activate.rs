//! Activations as layers name them: any element-wise one, or one that couples the last axis.

use rnn_shaders::vocabulary::{Activation, Parametric, RowActivation};
use serde::de::value::MapAccessDeserializer;
use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// Softmax over the last axis, as an activation: `Dense::new(10).activation(Softmax)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Softmax;

/// What a layer applies to its output.
///
/// Files have Keras's name of it (`"tanh"`, `"softmax"`), and for one with numbers of its own a class and its
/// configuration with Keras's argument names: `{"class_name": "elu", "config": {"alpha": 0.5}}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activate {
    /// On each element.
    Each(Activation),
    /// Softmax over the last axis.
    Softmax,
    /// Another over the last axis.
    Row(RowActivation),
}

impl From<Activation> for Activate {
    fn from(kind: Activation) -> Self {
        Activate::Each(kind)
    }
}

impl From<Parametric> for Activate {
    fn from(kind: Parametric) -> Self {
        Activate::Each(kind.into())
    }
}

impl From<RowActivation> for Activate {
    fn from(kind: RowActivation) -> Self {
        Activate::Row(kind)
    }
}

impl From<Softmax> for Activate {
    fn from(_: Softmax) -> Self {
        Activate::Softmax
    }
}

const NAMES: [(&str, Activation); 26] = [
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
    ("gelu_tanh", Activation::GeluTanh),
    ("celu", Activation::Celu),
    ("hard_shrink", Activation::HardShrink),
    ("hard_silu", Activation::HardSilu),
    ("hard_tanh", Activation::HardTanh),
    ("log_sigmoid", Activation::LogSigmoid),
    ("mish", Activation::Mish),
    ("soft_shrink", Activation::SoftShrink),
    ("sparse_plus", Activation::SparsePlus),
    ("sparse_sigmoid", Activation::SparseSigmoid),
    ("squareplus", Activation::Squareplus),
    ("tanh_shrink", Activation::TanhShrink),
];

const ROW_NAMES: [(&str, Activate); 3] = [
    ("softmax", Activate::Softmax),
    ("log_softmax", Activate::Row(RowActivation::LogSoftmax)),
    ("sparsemax", Activate::Row(RowActivation::Sparsemax)),
];

/// Keras's other names.
const ALIASES: [(&str, Activation); 2] = [("swish", Activation::Silu), ("hard_swish", Activation::HardSilu)];

impl Activate {
    /// Keras's name of it; `gelu_tanh` is its `gelu(approximate=True)`.
    pub fn name(self) -> &'static str {
        match self {
            Activate::Softmax => "softmax",
            Activate::Row(RowActivation::LogSoftmax) => "log_softmax",
            Activate::Row(RowActivation::Sparsemax) => "sparsemax",
            Activate::Each(Activation::With(kind)) => match kind {
                Parametric::Affine { .. } => "affine",
                Parametric::Celu { .. } => "celu",
                Parametric::Elu { .. } => "elu",
                Parametric::HardShrink { .. } => "hard_shrink",
                Parametric::HardSigmoid { .. } => "hard_sigmoid",
                Parametric::LeakyRelu { .. } => "leaky_relu",
                Parametric::Relu { .. } => "relu",
                Parametric::ScaledTanh { .. } => "scaled_tanh",
                Parametric::SoftShrink { .. } => "soft_shrink",
                Parametric::Squareplus { .. } => "squareplus",
                Parametric::Threshold { .. } => "threshold",
            },
            Activate::Each(kind) => NAMES.iter().find(|(_, k)| *k == kind).map_or("linear", |(name, _)| name),
        }
    }

    /// The activation Keras calls `name`, with Keras's default numbers.
    ///
    /// # Errors
    /// With the names there are, when none fits.
    pub fn from_name(name: &str) -> Result<Activate, String> {
        if let Some((_, row)) = ROW_NAMES.iter().find(|(n, _)| *n == name) {
            return Ok(*row);
        }
        if name == "glu" {
            let problem = "activation \"glu\" halves the values, which the activation of a layer can not: put the layer Glu \
                           behind one with twice the units";
            return Err(problem.to_owned());
        }
        let found = NAMES.iter().chain(&ALIASES).find(|(n, _)| *n == name);
        found.map(|(_, kind)| Activate::Each(*kind)).ok_or_else(|| {
            let names: Vec<&str> = NAMES.iter().map(|(n, _)| *n).chain(ROW_NAMES.map(|(n, _)| n)).collect();
            format!("unknown activation {name:?}; there are {}", names.join(", "))
        })
    }

    /// Refuses numbers that the activation has no meaning for.
    pub(crate) fn check(self, class: &str) -> crate::Result<()> {
        match self {
            Activate::Each(kind) => kind.check().map_err(|problem| {
                crate::Error::invalid(class, format!("activation {}: {problem}", self.name()))
            }),
            Activate::Softmax | Activate::Row(_) => Ok(()),
        }
    }
}

/// An activation with numbers as files have it: Keras's function and argument names.
#[derive(Serialize, Deserialize)]
#[serde(tag = "class_name", content = "config", rename_all = "snake_case", deny_unknown_fields)]
enum Written {
    Affine { alpha: f32, beta: f32 },
    Celu { alpha: f32 },
    Elu { alpha: f32 },
    Gelu { approximate: bool },
    HardShrink { threshold: f32 },
    HardSigmoid { alpha: f32, beta: f32 },
    LeakyRelu { negative_slope: f32 },
    Relu { negative_slope: f32, max_value: Option<f32>, threshold: f32 },
    ScaledTanh { alpha: f32, beta: f32 },
    SoftShrink { threshold: f32 },
    Squareplus { b: f32 },
    Threshold { threshold: f32, default_value: f32 },
}

impl From<Parametric> for Written {
    fn from(kind: Parametric) -> Written {
        match kind {
            Parametric::Affine { alpha, beta } => Written::Affine { alpha, beta },
            Parametric::Celu { alpha } => Written::Celu { alpha },
            Parametric::Elu { alpha } => Written::Elu { alpha },
            Parametric::HardShrink { threshold } => Written::HardShrink { threshold },
            Parametric::HardSigmoid { alpha, beta } => Written::HardSigmoid { alpha, beta },
            Parametric::LeakyRelu { slope } => Written::LeakyRelu { negative_slope: slope },
            Parametric::Relu { slope, max, threshold } => {
                let max_value = max.is_finite().then_some(max);
                Written::Relu { negative_slope: slope, max_value, threshold }
            }
            Parametric::ScaledTanh { alpha, beta } => Written::ScaledTanh { alpha, beta },
            Parametric::SoftShrink { threshold } => Written::SoftShrink { threshold },
            Parametric::Squareplus { b } => Written::Squareplus { b },
            Parametric::Threshold { threshold, value } => {
                Written::Threshold { threshold, default_value: value }
            }
        }
    }
}

impl From<Written> for Activation {
    fn from(written: Written) -> Activation {
        let kind = match written {
            Written::Affine { alpha, beta } => Parametric::Affine { alpha, beta },
            Written::Celu { alpha } => Parametric::Celu { alpha },
            Written::Elu { alpha } => Parametric::Elu { alpha },
            Written::Gelu { approximate: true } => return Activation::GeluTanh,
            Written::Gelu { approximate: false } => return Activation::Gelu,
            Written::HardShrink { threshold } => Parametric::HardShrink { threshold },
            Written::HardSigmoid { alpha, beta } => Parametric::HardSigmoid { alpha, beta },
            Written::LeakyRelu { negative_slope } => Parametric::LeakyRelu { slope: negative_slope },
            Written::Relu { negative_slope, max_value, threshold } => {
                Parametric::Relu { slope: negative_slope, max: max_value.unwrap_or(f32::INFINITY), threshold }
            }
            Written::ScaledTanh { alpha, beta } => Parametric::ScaledTanh { alpha, beta },
            Written::SoftShrink { threshold } => Parametric::SoftShrink { threshold },
            Written::Squareplus { b } => Parametric::Squareplus { b },
            Written::Threshold { threshold, default_value } => {
                Parametric::Threshold { threshold, value: default_value }
            }
        };
        Activation::With(kind)
    }
}

impl Serialize for Activate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match *self {
            Activate::Each(Activation::With(kind)) => Written::from(kind).serialize(serializer),
            named => serializer.serialize_str(named.name()),
        }
    }
}

impl<'de> Deserialize<'de> for Activate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NameOrClass;

        impl<'de> Visitor<'de> for NameOrClass {
            type Value = Activate;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an activation's name, or its class_name and config")
            }

            fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<Activate, E> {
                Activate::from_name(name).map_err(E::custom)
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Activate, A::Error> {
                let kind = Activation::from(Written::deserialize(MapAccessDeserializer::new(map))?);
                kind.check().map_err(A::Error::custom)?;
                Ok(Activate::Each(kind))
            }
        }

        deserializer.deserialize_any(NameOrClass)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_activation_survives_a_file() {
        for kind in Activation::ALL.map(Activate::Each).into_iter().chain(ROW_NAMES.map(|(_, row)| row)) {
            let text = serde_json::to_string(&kind).unwrap();
            assert_eq!(serde_json::from_str::<Activate>(&text).unwrap(), kind, "{text}");
        }
        let elu = Activate::from(Parametric::Elu { alpha: 0.5 });
        assert_eq!(serde_json::to_string(&elu).unwrap(), r#"{"class_name":"elu","config":{"alpha":0.5}}"#);
        assert_eq!(serde_json::to_string(&Activate::from(Activation::Tanh)).unwrap(), r#""tanh""#);
    }

    #[test]
    fn names_are_keras_s() {
        for (name, kind) in NAMES {
            assert_eq!(Activate::from_name(name), Ok(kind.into()));
            assert_eq!(Activate::from(kind).name(), name);
        }
        assert_eq!(Activate::from_name("swish"), Ok(Activation::Silu.into()));
        let gelu = r#"{"class_name": "gelu", "config": {"approximate": true}}"#;
        assert_eq!(serde_json::from_str::<Activate>(gelu).unwrap(), Activation::GeluTanh.into());
        let problem = Activate::from_name("tan").unwrap_err();
        assert!(NAMES.iter().all(|(name, _)| problem.contains(name)), "{problem}");
        assert!(Activate::from_name("glu").unwrap_err().contains("the layer Glu"));
    }

    #[test]
    fn numbers_without_meaning_are_refused() {
        for text in [
            r#"{"class_name": "celu", "config": {"alpha": 0.0}}"#,
            r#"{"class_name": "elu", "config": {"alpha": -1.0}}"#,
            r#"{"class_name": "elu", "config": {"alpha": 1e39}}"#,
            r#"{"class_name": "elu", "config": {"slope": 1.0}}"#,
            r#"{"class_name": "leaky_relu", "config": {"negative_slope": -0.1}}"#,
            r#"{"class_name": "relu", "config": {"negative_slope": 0, "max_value": -1, "threshold": 0}}"#,
            "3",
        ] {
            assert!(serde_json::from_str::<Activate>(text).is_err(), "{text}");
        }
    }
}
