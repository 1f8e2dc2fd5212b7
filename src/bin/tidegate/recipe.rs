//! Layers, transforms, losses and optimisers as words: `lstm:32`, `difference:12`, `adam`.

use rnn_model::layer::{Activate, Dense, Dropout, Gru, Lstm, SimpleRnn};
use rnn_model::series::TransformStep;
use rnn_model::{
    Adadelta, Adafactor, Adagrad, Adam, AdamW, Adamax, Ftrl, Input, Lamb, Lion, Loss, Nadam, Optimizer,
    RmsProp, Sequential, Sgd,
};

use crate::failure::{Failure, Outcome};

/// A hidden layer.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Hidden {
    Lstm(usize),
    Gru(usize),
    Rnn(usize),
    Dense(usize, Option<Activate>),
    Dropout(f32),
}

/// What `--layers` and the TOML file take.
pub const LAYER_HELP: &str = "lstm:UNITS, gru:UNITS, rnn:UNITS, dense:UNITS[:ACTIVATION] or dropout:RATE";

fn hidden(word: &str) -> Outcome<Hidden> {
    let bad = |problem: &str| Failure::usage(format!("layer {word:?}: {problem}; write {LAYER_HELP}"));
    let parts: Vec<&str> = word.split(':').map(str::trim).collect();
    let units = || match parts.get(1).map(|text| text.parse::<usize>()) {
        Some(Ok(units)) if (1..=1 << 16).contains(&units) => Ok(units),
        _ => Err(bad("the number of units must be a whole number from 1 to 65536")),
    };
    let layer = match (parts[0].to_lowercase().as_str(), parts.len()) {
        ("lstm", 2) => Hidden::Lstm(units()?),
        ("gru", 2) => Hidden::Gru(units()?),
        ("rnn" | "simple_rnn" | "simplernn", 2) => Hidden::Rnn(units()?),
        ("dense", 2) => Hidden::Dense(units()?, None),
        ("dense", 3) => {
            Hidden::Dense(units()?, Some(Activate::from_name(parts[2]).map_err(|problem| bad(&problem))?))
        }
        ("dropout", 2) => match parts[1].parse::<f32>() {
            Ok(rate) if (0.0..1.0).contains(&rate) => Hidden::Dropout(rate),
            _ => return Err(bad("the rate must be at least 0 and below 1")),
        },
        ("lstm" | "gru" | "rnn" | "simple_rnn" | "simplernn" | "dense" | "dropout", _) => {
            return Err(bad("it has the wrong number of parts"));
        }
        _ => return Err(bad("unknown kind")),
    };
    Ok(layer)
}

/// The model of a forecaster: windows `[look_back, features]` in, the next row `[features]` out. A linear Dense layer of
/// that size is added behind the hidden layers.
pub fn sequential(words: &[String], look_back: usize, features: usize, seed: u64) -> Outcome<Sequential> {
    let layers = words.iter().map(|word| hidden(word)).collect::<Outcome<Vec<_>>>()?;
    let is_recurrent = |layer: &Hidden| matches!(layer, Hidden::Lstm(_) | Hidden::Gru(_) | Hidden::Rnn(_));
    let Some(last) = layers.iter().rposition(is_recurrent) else {
        return Err(Failure::usage(format!(
            "the layers {words:?} have no recurrent one; begin with lstm:32 or gru:32"
        )));
    };
    let mut model = Sequential::new(Input::sequence(look_back, features)).seed(seed);
    for (index, layer) in layers.iter().enumerate() {
        let sequences = index < last;
        model = match *layer {
            Hidden::Lstm(units) => model.layer(Lstm::new(units).return_sequences(sequences)),
            Hidden::Gru(units) => model.layer(Gru::new(units).return_sequences(sequences)),
            Hidden::Rnn(units) => model.layer(SimpleRnn::new(units).return_sequences(sequences)),
            Hidden::Dense(units, None) => model.layer(Dense::new(units)),
            Hidden::Dense(units, Some(activation)) => model.layer(Dense::new(units).activation(activation)),
            Hidden::Dropout(rate) => model.layer(Dropout::new(rate)),
        };
    }
    Ok(model.layer(Dense::new(features)))
}

/// What `--transform` takes.
pub const TRANSFORM_HELP: &str =
    "auto, none, or steps of log, difference:LAG, standard, minmax, minmax:LOW:HIGH";

/// A chain of transforms; `None` for `auto`, which depends on the series.
pub fn transforms(words: &[String]) -> Outcome<Option<Vec<TransformStep>>> {
    match words {
        [word] if word.trim() == "auto" => return Ok(None),
        [word] if word.trim() == "none" => return Ok(Some(Vec::new())),
        _ => {}
    }
    let step = |word: &String| {
        let bad = || Failure::usage(format!("transform {word:?} is not known; write {TRANSFORM_HELP}"));
        let parts: Vec<&str> = word.split(':').map(str::trim).collect();
        let real =
            |index: usize| parts[index].parse::<f64>().ok().filter(|value| value.is_finite()).ok_or_else(bad);
        match (parts[0].to_lowercase().as_str(), parts.len()) {
            ("log", 1) => Ok(TransformStep::Log),
            ("standard", 1) => Ok(TransformStep::Standard),
            ("minmax", 1) => Ok(TransformStep::MinMax { low: 0.0, high: 1.0 }),
            ("minmax", 3) => Ok(TransformStep::MinMax { low: real(1)?, high: real(2)? }),
            ("difference" | "diff", 2) => match parts[1].parse() {
                Ok(lag) if lag > 0 => Ok(TransformStep::Difference { lag }),
                _ => {
                    Err(Failure::usage(format!("transform {word:?}: the lag must be a whole number above 0")))
                }
            },
            _ => Err(bad()),
        }
    };
    words.iter().map(step).collect::<Outcome<_>>().map(Some)
}

/// Numbers of an optimiser that the command line sets.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Rates {
    pub learning_rate: Option<f64>,
    pub decay: f64,
    pub clip_norm: Option<f64>,
}

/// An optimiser by name.
pub fn optimizer(name: &str, rates: Rates) -> Outcome<Optimizer> {
    macro_rules! with {
        ($optimizer:expr) => {{
            let mut optimizer = $optimizer.decay(rates.decay);
            if let Some(rate) = rates.learning_rate {
                optimizer = optimizer.learning_rate(rate);
            }
            if let Some(norm) = rates.clip_norm {
                optimizer = optimizer.global_clipnorm(norm as f32);
            }
            Ok(optimizer.into())
        }};
    }
    match name.to_lowercase().as_str() {
        "adam" => with!(Adam::new()),
        "adamw" => with!(AdamW::new()),
        "rmsprop" => with!(RmsProp::new()),
        "sgd" => with!(Sgd::new()),
        "nadam" => with!(Nadam::new()),
        "adamax" => with!(Adamax::new()),
        "adagrad" => with!(Adagrad::new()),
        "adadelta" => with!(Adadelta::new()),
        "adafactor" => with!(Adafactor::new()),
        "ftrl" => with!(Ftrl::new()),
        "lamb" => with!(Lamb::new()),
        "lion" => with!(Lion::new()),
        _ => Err(Failure::usage(format!(
            "optimizer {name:?} is not known; there are adam, adamw, rmsprop, sgd, nadam, adamax, adagrad, adadelta, \
             adafactor, ftrl, lamb and lion"
        ))),
    }
}

/// A loss for numbers by name.
pub fn loss(name: &str) -> Outcome<Loss> {
    match name.to_lowercase().as_str() {
        "mse" | "mean_squared_error" => Ok(Loss::MeanSquaredError),
        "mae" | "mean_absolute_error" => Ok(Loss::MeanAbsoluteError),
        "huber" => Ok(Loss::Huber { delta: 1.0 }),
        _ => Err(Failure::usage(format!("loss {name:?} is not known; there are mse, mae and huber"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::USAGE;

    fn words(text: &str) -> Vec<String> {
        text.split(',').map(str::to_owned).collect()
    }

    #[test]
    fn layers_become_a_model() {
        let model = sequential(&words("lstm:8,dropout:0.1,gru:4,dense:3:relu"), 5, 2, 1).unwrap();
        let model = model.build(&rnn_model::Device::cpu()).unwrap();
        let summary = model.summary();
        for part in ["[None, 5, 8]", "[None, 4]", "[None, 3]", "[None, 2]"] {
            assert!(summary.contains(part), "{part} in\n{summary}");
        }
    }

    #[test]
    fn wrong_layers_are_usage_errors() {
        for text in [
            "",
            "lstm",
            "lstm:0",
            "lstm:-1",
            "lstm:1e9",
            "lstm:8:tanh:x",
            "conv:3",
            "dense:8",
            "lstm:8,dropout:1",
            "lstm:8,dense:3:rel",
        ] {
            assert_eq!(sequential(&words(text), 5, 1, 0).unwrap_err().code, USAGE, "{text}");
        }
    }

    #[test]
    fn transforms_are_read() {
        let steps = transforms(&words("log,difference:12, minmax:-1:1,standard")).unwrap().unwrap();
        assert_eq!(steps.len(), 4);
        assert_eq!(steps[1], TransformStep::Difference { lag: 12 });
        assert_eq!(transforms(&words("none")).unwrap(), Some(Vec::new()));
        assert_eq!(transforms(&words("auto")).unwrap(), None);
        for text in [
            "",
            "sqrt",
            "difference",
            "difference:0",
            "difference:x",
            "minmax:1",
            "minmax:a:b",
            "log:2",
            "log,none",
        ] {
            assert_eq!(transforms(&words(text)).unwrap_err().code, USAGE, "{text}");
        }
    }

    #[test]
    fn optimizers_and_losses_have_names() {
        let rates = Rates { learning_rate: Some(0.1), decay: 0.5, clip_norm: Some(1.0) };
        for name in ["adam", "AdamW", "rmsprop", "sgd", "lion"] {
            assert!(optimizer(name, rates).is_ok(), "{name}");
        }
        assert_eq!(optimizer("lyon", rates).unwrap_err().code, USAGE);
        assert!(loss("mse").is_ok() && loss("hinge").is_err());
    }
}
