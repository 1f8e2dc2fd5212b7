//! What stands within the options of layers: activations, initializers, regularizers, constraints, data types. Each both ways.

use super::fields::{Config, given, object, option, shown, text, wrong};
use super::version::Version;
use crate::{Error, Result};
use rnn_model::Activation;
use rnn_model::layer::{Activate, Initializer};
use serde_json::{Map, Value, json};

/// An object as Keras 3 writes it.
pub(super) fn written(module: &str, class: &str, config: Value) -> Value {
    json!({ "module": module, "class_name": class, "config": config, "registered_name": null })
}

/// A class and its configuration; Keras 2 leaves the configuration of some out.
pub(super) fn class_of<'a>(value: &'a Value, place: &str) -> Result<(&'a str, Option<&'a Config>)> {
    let object = object(value, place)?;
    let class = super::fields::get_text(object, "class_name", place)?;
    match object.get("config") {
        None | Some(Value::Null) => Ok((class, None)),
        Some(config) => Ok((class, Some(super::fields::object(config, place)?))),
    }
}

/// The name of a function: by itself, or in the form that Keras 3 gives functions.
pub(super) fn function_name(value: &Value) -> Option<&str> {
    match value {
        Value::String(name) => Some(name),
        Value::Object(map) if map.get("class_name")? == "function" => map.get("config")?.as_str(),
        _ => None,
    }
}

/// A number without the digits that single precision adds to it.
pub(super) fn tidy(value: Value) -> Value {
    match value {
        Value::Number(ref n) if n.is_f64() => {
            let x = n.as_f64().unwrap_or(f64::NAN);
            let single = x as f32;
            let short = (f64::from(single) == x).then(|| single.to_string().parse::<f64>());
            match short {
                Some(Ok(short)) => json!(short),
                _ => value,
            }
        }
        Value::Array(values) => values.into_iter().map(tidy).collect(),
        Value::Object(map) => Value::Object(map.into_iter().map(|(key, value)| (key, tidy(value))).collect()),
        other => other,
    }
}

/// Classes of layers that may stand for an activation, and what they are as one of ours.
const LAYERS_AS_ACTIVATIONS: [(&str, &str); 3] =
    [("LeakyReLU", "leaky_relu"), ("ELU", "elu"), ("ReLU", "relu")];

/// An activation in our form.
pub(super) fn activation(value: &Value, version: Version, place: &str) -> Result<Value> {
    let unsupported = |name: &str| Error::unsupported(place, format!("there is no activation {name:?} here"));
    if let Some(name) = function_name(value) {
        let name = match name {
            // Not a name of Keras's.
            "gelu_tanh" => return Err(unsupported(name)),
            "hard_sigmoid" if version.is_2() => {
                return Ok(json!({ "class_name": "hard_sigmoid", "config": { "alpha": 0.2, "beta": 0.5 } }));
            }
            name => name,
        };
        let kind = Activate::from_name(name).map_err(|problem| Error::unsupported(place, problem))?;
        return Ok(json!(kind.name()));
    }
    if value.is_null() {
        return Ok(json!("linear"));
    }
    let (class, config) = class_of(value, place)?;
    let empty = Map::new();
    let config = config.unwrap_or(&empty);
    let number = |key: &str, default: f64| match given(config, key) {
        None => Ok(default),
        Some(x) => x.as_f64().ok_or_else(|| wrong(place, &format!("a number for {key}"), x)),
    };
    let config = match class {
        // Keras 2 has another name for the slope.
        "LeakyReLU" => json!({ "negative_slope": number("negative_slope", number("alpha", 0.3)?)? }),
        "ELU" => json!({ "alpha": number("alpha", 1.0)? }),
        "ReLU" => json!({
            "negative_slope": number("negative_slope", 0.0)?,
            "max_value": given(config, "max_value"),
            "threshold": number("threshold", 0.0)?,
        }),
        other => return Err(unsupported(other)),
    };
    let name =
        LAYERS_AS_ACTIVATIONS.iter().find(|(layer, _)| *layer == class).map_or(class, |(_, name)| name);
    Ok(json!({ "class_name": name, "config": config }))
}

/// An activation of ours in Keras's form.
pub(super) fn activation_written(value: &Value, place: &str) -> Result<Value> {
    let unsupported = |name: &str| Error::unsupported(place, format!("Keras has no activation {name}"));
    if let Some(name) = value.as_str() {
        let approximate = Activate::from(Activation::GeluTanh).name();
        return if name == approximate {
            Err(unsupported("gelu with approximate=True, by name"))
        } else {
            Ok(json!(name))
        };
    }
    let (class, config) = class_of(value, place)?;
    let layer = LAYERS_AS_ACTIVATIONS.iter().find(|(_, name)| *name == class);
    let (layer, _) = layer.ok_or_else(|| unsupported(&shown(value)))?;
    let config = config.cloned().unwrap_or_default();
    Ok(written("keras.layers", layer, tidy(Value::Object(config))))
}

/// An initializer in our form. It has no say in the weights of a file, so one that is not known becomes zeros, which the
/// second value tells.
pub(super) fn initializer(value: &Value) -> (Value, bool) {
    let mut value = value.clone();
    if let Some(config) = value.get_mut("config").and_then(Value::as_object_mut) {
        // A generator of seeds, or a number below 0: neither has a counterpart, nor a say in anything any more.
        if config.get("seed").is_some_and(|seed| !seed.is_u64()) {
            config.remove("seed");
        }
        config.remove("dtype");
    }
    match serde_json::from_value::<Initializer>(value) {
        Ok(known) => (serde_json::to_value(known).unwrap_or_else(|_| json!("zeros")), true),
        Err(_) => (json!("zeros"), false),
    }
}

/// An initializer of ours in Keras's form.
pub(super) fn initializer_written(value: &Value) -> Value {
    match value {
        Value::String(name) => {
            // Keras's class of a name: each word with a capital.
            let capital = |word: &str| {
                let mut letters = word.chars();
                letters
                    .next()
                    .map(|c| c.to_uppercase().chain(letters).collect::<String>())
                    .unwrap_or_default()
            };
            let class: String = name.split('_').map(capital).collect();
            written("keras.initializers", &class, json!({}))
        }
        Value::Object(map) => {
            let class = map.get("class_name").and_then(Value::as_str).unwrap_or("Zeros");
            written("keras.initializers", class, tidy(map.get("config").cloned().unwrap_or(json!({}))))
        }
        other => other.clone(),
    }
}

/// A regularizer in our form.
pub(super) fn regularizer(value: &Value, place: &str) -> Result<Value> {
    let known = "there are L1, L2 and L1L2";
    if let Some(name) = value.as_str() {
        // Keras's default.
        return match name {
            "l1" | "L1" => Ok(json!({ "l1": 0.01 })),
            "l2" | "L2" => Ok(json!({ "l2": 0.01 })),
            "l1_l2" | "L1L2" => Ok(json!({ "l1": 0.01, "l2": 0.01 })),
            other => Err(Error::unsupported(place, format!("a regularizer {other:?}; {known}"))),
        };
    }
    let (class, config) = class_of(value, place)?;
    if !matches!(class, "L1" | "L2" | "L1L2") {
        return Err(Error::unsupported(place, format!("a regularizer {class:?}; {known}")));
    }
    let mut ours = Map::new();
    for (key, value) in config.into_iter().flatten() {
        match (key.as_str(), value) {
            ("l1" | "l2", Value::Number(_)) => drop(ours.insert(key.clone(), value.clone())),
            ("l1" | "l2", Value::Null) => {}
            _ => {
                return Err(Error::unsupported(
                    place,
                    format!("an option {key:?} of {class}: {}", shown(value)),
                ));
            }
        }
    }
    Ok(Value::Object(ours))
}

/// A regularizer of ours in Keras's form.
pub(super) fn regularizer_written(value: &Value) -> Value {
    written("keras.regularizers", "L1L2", tidy(value.clone()))
}

/// A constraint in our form.
pub(super) fn constraint(value: &Value, place: &str) -> Result<Value> {
    let (class, config) = class_of(value, place)?;
    let options: &[(&str, f64)] = match class {
        "MaxNorm" => &[("max_value", 2.0)],
        "MinMaxNorm" => &[("min_value", 0.0), ("max_value", 1.0), ("rate", 1.0)],
        "NonNeg" | "UnitNorm" => &[],
        other => {
            let problem =
                format!("a constraint {other:?}; there are MaxNorm, MinMaxNorm, NonNeg and UnitNorm");
            return Err(Error::unsupported(place, problem));
        }
    };
    let mut ours: Map<String, Value> = options.iter().map(|(key, x)| ((*key).to_owned(), json!(x))).collect();
    for (key, value) in config.into_iter().flatten() {
        match (key.as_str(), value) {
            ("axis", Value::Null) => {}
            ("axis", axis) if *axis == json!(0) || *axis == json!([0]) => {}
            ("axis", axis) => {
                let problem = format!("norms over axis {}; only over axis 0", shown(axis));
                return Err(Error::unsupported(place, problem));
            }
            (_, value) => match ours.get_mut(key) {
                Some(own) if value.is_number() => *own = value.clone(),
                _ => {
                    return Err(Error::unsupported(
                        place,
                        format!("an option {key:?} of {class}: {}", shown(value)),
                    ));
                }
            },
        }
    }
    Ok(match ours.is_empty() {
        true => json!({ "class_name": class }),
        false => json!({ "class_name": class, "config": ours }),
    })
}

/// A constraint of ours in Keras's form.
pub(super) fn constraint_written(value: &Value, place: &str) -> Result<Value> {
    let (class, config) = class_of(value, place)?;
    let mut config = config.cloned().unwrap_or_default();
    if class != "NonNeg" {
        config.insert("axis".to_owned(), json!(0));
    }
    Ok(written("keras.constraints", class, tidy(Value::Object(config))))
}

/// Refuses types that numbers of single precision can not stand for; gives a sentence for one in which Keras rounds otherwise.
pub(super) fn check_dtype(value: &Value, place: &str) -> Result<Option<String>> {
    let name = match value {
        Value::Null => return Ok(None),
        Value::String(name) => name.as_str(),
        Value::Object(_) => {
            let (class, config) = class_of(value, place)?;
            let name = config.and_then(|config| config.get("name"));
            match (class, name) {
                ("DTypePolicy" | "Policy", Some(name)) => text(name, &option(place, "dtype"))?,
                _ => class,
            }
        }
        other => return Err(wrong(&option(place, "dtype"), "a data type", other)),
    };
    match name {
        "float32" => Ok(None),
        "float16" | "bfloat16" | "float64" | "mixed_float16" | "mixed_bfloat16" => Ok(Some(format!(
            "Keras computes the model in {name}; it is computed in float32 here, so results differ by what {name} rounds"
        ))),
        _ => {
            let problem = format!(
                "a data type {name:?}; float16, bfloat16, float32, float64, mixed_float16 and mixed_bfloat16 are read: convert \
                 the model to one of them"
            );
            Err(Error::unsupported(option(place, "dtype"), problem))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_come_in_and_go_out_again() {
        let out = initializer_written(
            &initializer(&json!({
                "module": "keras.initializers", "class_name": "RandomNormal",
                "config": { "seed": null, "mean": 0.0, "stddev": 0.1 }, "registered_name": null,
            }))
            .0,
        );
        assert_eq!((&out["class_name"], &out["config"]["stddev"]), (&json!("RandomNormal"), &json!(0.1)));
        assert_eq!(initializer_written(&json!("he_uniform"))["class_name"], "HeUniform");
        assert_eq!(initializer(&json!({ "class_name": "STFT", "config": {} })), (json!("zeros"), false));
        let held = json!({ "class_name": "MaxNorm", "config": { "max_value": 3, "axis": 0 } });
        let ours = constraint(&held, "x").unwrap();
        assert_eq!(constraint_written(&ours, "x").unwrap()["config"], held["config"]);
        let held = json!({ "class_name": "MaxNorm", "config": { "max_value": 3, "axis": 1 } });
        assert!(constraint(&held, "x").unwrap_err().to_string().contains("axis 1"));
        let l2 = regularizer(&json!({ "class_name": "L2", "config": { "l2": 0.01 } }), "x").unwrap();
        assert_eq!(regularizer_written(&l2)["config"], json!({ "l2": 0.01 }));
        assert!(regularizer(&json!({ "class_name": "OrthogonalRegularizer", "config": {} }), "x").is_err());
    }

    #[test]
    fn activations_are_those_of_the_version() {
        let hard = json!("hard_sigmoid");
        assert_eq!(activation(&hard, Version::Three, "x").unwrap(), hard);
        let two = activation(&hard, Version::Two, "x").unwrap();
        assert_eq!(two["config"]["alpha"], 0.2);
        assert!(activation_written(&two, "x").is_err());
        let layer = json!({ "class_name": "LeakyReLU", "config": { "negative_slope": 0.1 } });
        let ours = activation(&layer, Version::Three, "x").unwrap();
        assert_eq!(ours, json!({ "class_name": "leaky_relu", "config": { "negative_slope": 0.1 } }));
        assert_eq!(activation_written(&ours, "x").unwrap()["class_name"], "LeakyReLU");
        let function = json!({ "class_name": "function", "config": "silu", "module": "builtins" });
        assert_eq!(activation(&function, Version::Three, "x").unwrap(), "silu");
        assert!(activation(&json!("gelu_tanh"), Version::Three, "x").is_err());
        assert!(
            activation(&json!({ "class_name": "__lambda__", "config": {} }), Version::Three, "x").is_err()
        );
    }

    #[test]
    fn numbers_lose_the_digits_of_single_precision() {
        assert_eq!(tidy(json!(f64::from(0.1f32))), json!(0.1));
        assert_eq!(tidy(json!([0.9, 1])), json!([0.9, 1]));
    }

    #[test]
    fn only_single_precision_is_computed() {
        let policy = |name: &str| json!({ "class_name": "DTypePolicy", "config": { "name": name } });
        assert_eq!(check_dtype(&policy("float32"), "x").unwrap(), None);
        assert!(
            check_dtype(&policy("mixed_float16"), "x")
                .unwrap()
                .is_some_and(|note| note.contains("mixed_float16"))
        );
        let message = check_dtype(&policy("int8_from_float32"), "layer dense").unwrap_err().to_string();
        assert!(message.starts_with("layer dense, option dtype: "), "{message}");
    }
}
