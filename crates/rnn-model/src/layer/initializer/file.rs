//! Initializers in files: Keras's names, and its classes and configurations.

use super::{Distribution, Fan, Initializer, Recipe};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value, json};

const NAMES: [(&str, &str, Initializer); 10] = [
    ("zeros", "Zeros", Initializer::Zeros),
    ("ones", "Ones", Initializer::Ones),
    ("glorot_uniform", "GlorotUniform", Initializer::GlorotUniform),
    ("glorot_normal", "GlorotNormal", Initializer::GlorotNormal),
    ("he_uniform", "HeUniform", Initializer::HeUniform),
    ("he_normal", "HeNormal", Initializer::HeNormal),
    ("lecun_uniform", "LecunUniform", Initializer::LecunUniform),
    ("lecun_normal", "LecunNormal", Initializer::LecunNormal),
    ("orthogonal", "Orthogonal", Initializer::Orthogonal),
    ("identity", "Identity", Initializer::Identity),
];

/// Those whose class has numbers, by Keras's two names.
const CLASSES: [(&str, &str); 7] = [
    ("constant", "Constant"),
    ("random_uniform", "RandomUniform"),
    ("random_normal", "RandomNormal"),
    ("truncated_normal", "TruncatedNormal"),
    ("variance_scaling", "VarianceScaling"),
    ("orthogonal", "Orthogonal"),
    ("identity", "Identity"),
];

impl Serialize for Initializer {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if let Some((name, ..)) = NAMES.iter().find(|(.., named)| named == self) {
            return serializer.serialize_str(name);
        }
        let (class, mut config) = match self.recipe() {
            Recipe::Constant { value } => ("Constant", json!({ "value": value })),
            Recipe::VarianceScaling { scale, mode, distribution } => {
                let mode = match mode {
                    Fan::In => "fan_in",
                    Fan::Out => "fan_out",
                    Fan::Average => "fan_avg",
                };
                let distribution = match distribution {
                    Distribution::Uniform => "uniform",
                    Distribution::TruncatedNormal => "truncated_normal",
                    Distribution::UntruncatedNormal => "untruncated_normal",
                };
                ("VarianceScaling", json!({ "scale": scale, "mode": mode, "distribution": distribution }))
            }
            Recipe::Uniform { min, max } => ("RandomUniform", json!({ "minval": min, "maxval": max })),
            Recipe::Normal { mean, stddev } => ("RandomNormal", json!({ "mean": mean, "stddev": stddev })),
            Recipe::TruncatedNormal { mean, stddev } => {
                ("TruncatedNormal", json!({ "mean": mean, "stddev": stddev }))
            }
            Recipe::Orthogonal { gain } => ("Orthogonal", json!({ "gain": gain })),
            Recipe::Identity { gain } => ("Identity", json!({ "gain": gain })),
        };
        if let Initializer::With { seed: Some(seed), .. } = self {
            config["seed"] = json!(seed);
        }
        json!({ "class_name": class, "config": config }).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Initializer {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        read(&Value::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

fn read(value: &Value) -> Result<Initializer, String> {
    match value {
        Value::String(name) => named(name, &Map::new()),
        Value::Object(map) => match (map.get("class_name"), map.get("config")) {
            (Some(Value::String(class)), None | Some(Value::Null)) => named(class, &Map::new()),
            (Some(Value::String(class)), Some(Value::Object(config))) => named(class, config),
            // As files were written before: {"constant": 0.5}, {"random_uniform": {"min": -1, "max": 1}}.
            _ => match map.iter().next() {
                Some((name, Value::Object(config))) if map.len() == 1 => named(name, config),
                Some((name, Value::Number(number))) if map.len() == 1 && name == "constant" => {
                    named(name, &[("value".to_owned(), Value::Number(number.clone()))].into_iter().collect())
                }
                _ => Err(format!("an initializer is a name, or a class_name and its config, not {value}")),
            },
        },
        other => Err(format!("an initializer is a name, or a class_name and its config, not {other}")),
    }
}

/// The initializer of a class or name with what its configuration says; Keras's defaults for the rest.
fn named(name: &str, config: &Map<String, Value>) -> Result<Initializer, String> {
    let config = Config { class: name, values: config };
    let plain = NAMES.iter().find(|(snake, camel, _)| *snake == name || *camel == name);
    let class = CLASSES.iter().find(|(snake, camel)| *snake == name || *camel == name);
    let initializer = match (plain, class.map(|(_, class)| *class)) {
        (_, Some("Constant")) => {
            config.only(&["value"])?;
            Initializer::Constant(config.number(&["value"], 0.0)?)
        }
        (_, Some("RandomUniform")) => {
            config.only(&["minval", "maxval", "min", "max"])?;
            Initializer::RandomUniform {
                min: config.number(&["minval", "min"], -0.05)?,
                max: config.number(&["maxval", "max"], 0.05)?,
            }
        }
        (_, Some(class @ ("RandomNormal" | "TruncatedNormal"))) => {
            config.only(&["mean", "stddev"])?;
            let (mean, stddev) = (config.number(&["mean"], 0.0)?, config.number(&["stddev"], 0.05)?);
            match class {
                "RandomNormal" => Initializer::RandomNormal { mean, stddev },
                _ => Initializer::truncated_normal(mean, stddev),
            }
        }
        (_, Some("VarianceScaling")) => {
            config.only(&["scale", "mode", "distribution"])?;
            let mode = match config.text("mode", "fan_in")? {
                "fan_in" => Fan::In,
                "fan_out" => Fan::Out,
                "fan_avg" => Fan::Average,
                other => return Err(format!("{name}: unknown mode {other:?}")),
            };
            let distribution = match config.text("distribution", "truncated_normal")? {
                "uniform" => Distribution::Uniform,
                "truncated_normal" | "normal" => Distribution::TruncatedNormal,
                "untruncated_normal" => Distribution::UntruncatedNormal,
                other => return Err(format!("{name}: unknown distribution {other:?}")),
            };
            Initializer::variance_scaling(config.number(&["scale"], 1.0)?, mode, distribution)
        }
        (Some((.., plain)), Some(_)) => {
            config.only(&["gain"])?;
            match (config.number(&["gain"], 1.0)?, plain) {
                (1.0, plain) => *plain,
                (gain, Initializer::Identity) => Initializer::identity(gain),
                (gain, _) => Initializer::orthogonal(gain),
            }
        }
        (Some((.., plain)), None) => {
            config.only(&[])?;
            *plain
        }
        (None, _) => {
            let names: Vec<&str> = NAMES
                .iter()
                .map(|(name, ..)| *name)
                .chain(CLASSES[..5].iter().map(|(name, _)| *name))
                .collect();
            return Err(format!("unknown initializer {name:?}; there are {}", names.join(", ")));
        }
    };
    Ok(config.seed()?.map_or(initializer, |seed| initializer.seed(seed)))
}

/// A class's configuration.
struct Config<'a> {
    class: &'a str,
    values: &'a Map<String, Value>,
}

impl<'a> Config<'a> {
    fn get(&self, key: &str) -> Option<&'a Value> {
        self.values.get(key).filter(|value| !value.is_null())
    }

    /// Refuses a value that would be left out. Every class may have a seed.
    fn only(&self, keys: &[&str]) -> Result<(), String> {
        let odd = self
            .values
            .iter()
            .find(|(key, value)| !value.is_null() && key.as_str() != "seed" && !keys.contains(&key.as_str()));
        odd.map_or(Ok(()), |(key, _)| Err(format!("{}: no option {key:?} here", self.class)))
    }

    /// A number under the first of `keys` that is there.
    fn number(&self, keys: &[&str], default: f32) -> Result<f32, String> {
        match keys.iter().find_map(|key| self.get(key)) {
            None => Ok(default),
            Some(value) => {
                let number = value.as_f64().map(|x| x as f32).filter(|x| x.is_finite());
                number.ok_or_else(|| format!("{}: {} must be a number, got {value}", self.class, keys[0]))
            }
        }
    }

    fn text(&self, key: &str, default: &'a str) -> Result<&'a str, String> {
        match self.get(key) {
            None => Ok(default),
            Some(value) => {
                value.as_str().ok_or_else(|| format!("{}: {key} must be a name, got {value}", self.class))
            }
        }
    }

    fn seed(&self) -> Result<Option<u64>, String> {
        match self.get("seed") {
            None => Ok(None),
            Some(value) => value
                .as_u64()
                .map(Some)
                .ok_or_else(|| format!("{}: seed must be a whole number, got {value}", self.class)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<Initializer, serde_json::Error> {
        serde_json::from_str(text)
    }

    #[test]
    fn every_initializer_survives_a_file() {
        let more = [
            Initializer::Constant(0.25),
            Initializer::RandomUniform { min: -0.5, max: 0.75 },
            Initializer::RandomNormal { mean: 0.1, stddev: 0.2 },
            Initializer::truncated_normal(0.1, 0.2),
            Initializer::variance_scaling(0.3, Fan::Out, Distribution::UntruncatedNormal),
            Initializer::variance_scaling(0.3, Fan::Average, Distribution::Uniform),
            Initializer::orthogonal(1.5),
            Initializer::identity(0.5),
            Initializer::GlorotUniform.seed(7),
            Initializer::Orthogonal.seed(u64::MAX),
        ];
        for initializer in NAMES.iter().map(|(.., i)| *i).chain(more) {
            let text = serde_json::to_string(&initializer).unwrap();
            let again = parsed(&text).unwrap();
            assert_eq!(again.recipe(), initializer.recipe(), "{text}");
            assert_eq!(serde_json::to_string(&again).unwrap(), text);
        }
        assert_eq!(serde_json::to_string(&Initializer::HeNormal).unwrap(), r#""he_normal""#);
    }

    #[test]
    fn keras_s_and_older_forms_are_read() {
        let keras = r#"{"module": "keras.initializers", "class_name": "GlorotUniform",
            "config": {"seed": null, "input_axes": null}, "registered_name": null}"#;
        assert_eq!(parsed(keras).unwrap(), Initializer::GlorotUniform);
        let seeded = r#"{"class_name": "RandomNormal", "config": {"mean": 0.0, "stddev": 1.0, "seed": 3}}"#;
        assert_eq!(parsed(seeded).unwrap(), Initializer::RandomNormal { mean: 0.0, stddev: 1.0 }.seed(3));
        assert_eq!(parsed(r#"{"constant": 0.5}"#).unwrap(), Initializer::Constant(0.5));
        let older = r#"{"random_uniform": {"min": -1.0, "max": 1.0}}"#;
        assert_eq!(parsed(older).unwrap(), Initializer::RandomUniform { min: -1.0, max: 1.0 });
        let defaults = Initializer::RandomUniform { min: -0.05, max: 0.05 };
        assert_eq!(parsed(r#""random_uniform""#).unwrap(), defaults);
        assert_eq!(
            parsed(r#""OnesInitializer""#).map_err(|e| e.to_string()).unwrap_err().split(';').next(),
            Some(r#"unknown initializer "OnesInitializer""#)
        );
    }

    #[test]
    fn what_would_be_left_out_is_refused() {
        for text in [
            r#"{"class_name": "GlorotUniform", "config": {"input_axes": [0]}}"#,
            r#"{"class_name": "Orthogonal", "config": {"gain": "x"}}"#,
            r#"{"class_name": "Constant", "config": {"value": 1e300}}"#,
            r#"{"class_name": "VarianceScaling", "config": {"mode": "fan"}}"#,
            r#"{"class_name": "RandomNormal", "config": {"seed": -1}}"#,
            "{}",
            "1",
        ] {
            assert!(parsed(text).is_err(), "{text}");
        }
    }
}
