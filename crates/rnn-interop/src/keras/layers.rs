//! The table of layers: each class of Keras that this engine has, how it starts, and the options in which the two differ.
//! Options that stand nowhere here have the same name and meaning on both sides.

use super::fields::{Config, check_sizes, given, option, shown, wrong};
use super::objects::{
    activation, activation_written, check_dtype, constraint, constraint_written, initializer,
    initializer_written, regularizer, regularizer_written, tidy, written,
};
use super::version::Version;
use crate::{Error, Result};
use rnn_model::layer::{
    ActivationLayer, ActivityRegularization, Add, AlphaDropout, Average, Bidirectional, Concatenate, Dense,
    Dot, Dropout, Elu, Embedding, Flatten, GaussianDropout, GaussianNoise, GlobalAveragePooling1D,
    GlobalMaxPooling1D, Gru, GruCell, Layer, LayerNormalization, LeakyRelu, Lstm, LstmCell, Masking, Maximum,
    Minimum, Multiply, PRelu, Permute, Regularizer, Relu, RepeatVector, Rescaling, Reshape, Rnn, SimpleRnn,
    SimpleRnnCell, SoftmaxLayer, SpatialDropout1D, StackedCells, Subtract, TimeDistributed,
};
use rnn_model::{Activation, cell::AnyCell};
use serde_json::{Map, Value, json};

/// A class of Keras that this engine has.
struct Class {
    name: &'static str,
    /// ours with Keras's defaults, as data
    start: fn() -> Value,
    /// weights that may have a regularizer and a constraint
    held: &'static [&'static str],
    differs: &'static [Differs],
}

/// An option that only Keras has, or that has another name here.
struct Differs {
    key: &'static str,
    how: How,
    /// Keras 3 has it, so it is written
    keras_3: bool,
}

enum How {
    /// It makes no difference to numbers. Written as null.
    Free,
    /// It must have one of these values, of which the first is written.
    Fixed(&'static [&'static str]),
    /// Ours is called so.
    Named(&'static str),
    /// Only this engine has it, and only this value of it is Keras's.
    Ours(&'static str),
}

const fn free(key: &'static str) -> Differs {
    Differs { key, how: How::Free, keras_3: true }
}

const fn fixed(key: &'static str, values: &'static [&'static str]) -> Differs {
    Differs { key, how: How::Fixed(values), keras_3: true }
}

const fn named(key: &'static str, ours: &'static str) -> Differs {
    Differs { key, how: How::Named(ours), keras_3: true }
}

const fn ours(key: &'static str, value: &'static str) -> Differs {
    Differs { key, how: How::Ours(value), keras_3: false }
}

/// Of Keras 2 alone.
const fn of_2(differs: Differs) -> Differs {
    Differs { keras_3: false, ..differs }
}

/// `implementation` chooses between ways to the same numbers.
const RECURRENT: &[Differs] = &[
    free("seed"),
    of_2(free("implementation")),
    of_2(fixed("time_major", &["false"])),
    ours("output_activation", "null"),
    ours("peepholes", "false"),
    ours("input_forget", "false"),
    ours("clip", "null"),
];
const CELL: &[Differs] = &[
    free("seed"),
    of_2(free("implementation")),
    ours("output_activation", "null"),
    ours("peepholes", "false"),
    ours("input_forget", "false"),
    ours("clip", "null"),
];
const WITH_SEED: &[Differs] = &[free("seed")];
const POOLING: &[Differs] = &[fixed("data_format", &["\"channels_last\""])];
/// Weights that are not of float32, or have more than one part.
const PLAIN_WEIGHTS: &[Differs] = &[
    of_2(fixed("quantization_config", &["null"])),
    of_2(fixed("lora_rank", &["null"])),
    of_2(fixed("lora_alpha", &["null"])),
];
const EMBEDDING: &[Differs] = &[
    of_2(fixed("quantization_config", &["null"])),
    of_2(fixed("lora_rank", &["null"])),
    of_2(fixed("lora_alpha", &["null"])),
    of_2(free("input_length")),
    of_2(fixed("sparse", &["false"])),
];
const RECURRENT_WEIGHTS: &[&str] = &["kernel", "recurrent", "bias"];
const NONE: &[Differs] = &[];

fn layer(layer: impl Into<Layer>) -> Value {
    serde_json::to_value(layer.into()).unwrap_or_default()
}

fn cell(cell: impl Into<AnyCell>) -> Value {
    serde_json::to_value(cell.into()).unwrap_or_default()
}

macro_rules! classes {
    ($($name:literal $start:expr, $held:expr, $differs:expr;)*) => {
        const CLASSES: &[Class] = &[$(Class { name: $name, start: || $start, held: $held, differs: $differs }),*];
    };
}

classes! {
    "LSTM" layer(Lstm::new(1)), RECURRENT_WEIGHTS, RECURRENT;
    "GRU" layer(Gru::new(1)), RECURRENT_WEIGHTS, RECURRENT;
    "SimpleRNN" layer(SimpleRnn::new(1)), RECURRENT_WEIGHTS, RECURRENT;
    "RNN" layer(Rnn::new(GruCell::new(1))), &[], &[of_2(fixed("time_major", &["false"]))];
    "LSTMCell" cell(LstmCell::new(1)), RECURRENT_WEIGHTS, CELL;
    "GRUCell" cell(GruCell::new(1)), RECURRENT_WEIGHTS, CELL;
    "SimpleRNNCell" cell(SimpleRnnCell::new(1)), RECURRENT_WEIGHTS, CELL;
    "StackedRNNCells" cell(StackedCells::new()), &[], NONE;
    "Dense" layer(Dense::new(1)), &["kernel", "bias"], PLAIN_WEIGHTS;
    "Bidirectional" layer(Bidirectional::new(Gru::new(1))), &[], NONE;
    "TimeDistributed" layer(TimeDistributed::new(Dense::new(1))), &[], NONE;
    "RepeatVector" layer(RepeatVector::new(1)), &[], NONE;
    "Activation" layer(ActivationLayer::new(Activation::Linear)), &[], NONE;
    "LeakyReLU" layer(LeakyRelu::new(0.3)), &[], &[of_2(named("alpha", "negative_slope"))];
    "ELU" layer(Elu::new(1.0)), &[], NONE;
    "ReLU" layer(Relu::new()), &[], NONE;
    "PReLU" layer(PRelu::new()), &["alpha"], NONE;
    "Softmax" layer(SoftmaxLayer::new()), &[], NONE;
    "ActivityRegularization" layer(ActivityRegularization::new(Regularizer::default())), &[], NONE;
    "Dropout" layer(Dropout::new(0.0)), &[], WITH_SEED;
    "SpatialDropout1D" layer(SpatialDropout1D::new(0.0)), &[], &[free("seed"), of_2(fixed("noise_shape", &["null"]))];
    "GaussianNoise" layer(GaussianNoise::new(0.0)), &[], WITH_SEED;
    "GaussianDropout" layer(GaussianDropout::new(0.0)), &[], WITH_SEED;
    "AlphaDropout" layer(AlphaDropout::new(0.0)), &[], &[free("seed"), fixed("noise_shape", &["null"])];
    "Flatten" layer(Flatten::new()), &[], &[fixed("data_format", &["\"channels_last\"", "null"])];
    "Reshape" layer(Reshape::new([1])), &[], &[named("target_shape", "target")];
    "Permute" layer(Permute::new([1])), &[], NONE;
    "Add" layer(Add::new()), &[], NONE;
    "Subtract" layer(Subtract::new()), &[], NONE;
    "Multiply" layer(Multiply::new()), &[], NONE;
    "Average" layer(Average::new()), &[], NONE;
    "Maximum" layer(Maximum::new()), &[], NONE;
    "Minimum" layer(Minimum::new()), &[], NONE;
    "Concatenate" layer(Concatenate::new()), &[], NONE;
    "Dot" layer(Dot::new([-1, -1])), &[], NONE;
    "Embedding" layer(Embedding::new(1, 1)), &["embeddings"], EMBEDDING;
    "Masking" layer(Masking::new(0.0)), &[], NONE;
    "LayerNormalization" layer(LayerNormalization::new()), &["gamma", "beta"], NONE;
    "GlobalAveragePooling1D" layer(GlobalAveragePooling1D::new()), &[], POOLING;
    "GlobalMaxPooling1D" layer(GlobalMaxPooling1D::new()), &[],
        &[fixed("data_format", &["\"channels_last\""]), ours("masked", "false")];
    "Rescaling" layer(Rescaling::new(1.0, 0.0)), &[], NONE;
}

/// Options of every layer that are read elsewhere or say nothing of numbers.
const COMMON: [&str; 8] = [
    "name",
    "trainable",
    "dtype",
    "batch_input_shape",
    "batch_shape",
    "input_shape",
    "build_input_shape",
    "activity_regularizer",
];

/// Cells, which are no layers here but by way of `RNN` or [`CellLayer`](rnn_model::layer::CellLayer).
pub(super) fn is_cell(class: &str) -> bool {
    matches!(class, "LSTMCell" | "GRUCell" | "SimpleRNNCell" | "StackedRNNCells")
}

fn find(class: &str) -> Option<&'static Class> {
    CLASSES.iter().find(|c| c.name == class)
}

/// What a layer is made in.
pub(super) struct Context<'a> {
    pub version: Version,
    /// as errors name the layer: `layer dense`
    pub place: &'a str,
    /// axes of its input with the batch, for options that count them; 0 where there is none
    pub rank: usize,
    /// sentences for a person
    pub notes: &'a mut Vec<String>,
}

/// Refuses a class that the engine does not have, in words.
fn no_such_class(class: &str, place: &str) -> Error {
    let problem = match class {
        "Lambda" => {
            "a Lambda layer holds Python code, which is never run here; put layers that say the same in its place"
                .to_owned()
        }
        "CuDNNLSTM" | "CuDNNGRU" => {
            format!("the class {class} is of Keras before 2; load it there into a model with the layer of the plain name")
        }
        _ => {
            let known: Vec<&str> = CLASSES.iter().map(|c| c.name).collect();
            format!("there is no class {class:?} here; there are {}", known.join(", "))
        }
    };
    Error::unsupported(place, problem)
}

/// A layer from its class and configuration in Keras's form.
pub(super) fn read(class: &str, config: &Config, context: &mut Context<'_>) -> Result<Layer> {
    let value = read_value(class, config, context)?;
    let value = match is_cell(class) {
        true => json!({ "class_name": "Cell", "config": { "cell": value } }),
        false => value,
    };
    serde_json::from_value(value).map_err(|e| Error::damaged(context.place, format!("{class} with {e}")))
}

/// The same as data of ours.
fn read_value(class: &str, config: &Config, context: &mut Context<'_>) -> Result<Value> {
    let place = context.place;
    let row = find(class).ok_or_else(|| no_such_class(class, place))?;
    let mut ours = (row.start)();
    let options = ours.get_mut("config").and_then(Value::as_object_mut);
    let options = options.ok_or_else(|| Error::damaged(place, format!("{class} has no options")))?;
    for (key, value) in config {
        let place = option(place, key);
        check_sizes(value, &place)?;
        if key == "dtype" {
            check_dtype(value, context.place)?;
        }
        if COMMON.contains(&key.as_str()) {
            continue;
        }
        if key.ends_with("_held") {
            return Err(Error::unsupported(place, format!("{class} has no such option")));
        }
        if let Some((weight, kind @ ("regularizer" | "constraint"))) = key.rsplit_once('_') {
            if value.is_null() {
                continue;
            }
            if !row.held.contains(&weight) {
                return Err(Error::unsupported(place, format!("{class} can not have one here; remove it")));
            }
            let read = if kind == "regularizer" { regularizer } else { constraint };
            let held = options.entry(format!("{weight}_held")).or_insert_with(|| json!({}));
            held[kind] = read(value, &place)?;
            continue;
        }
        if (class, key.as_str()) == ("LayerNormalization", "axis") {
            // Ours has no other, so no option.
            read_option(class, key, value, &place, context)?;
            continue;
        }
        let name = match row.differs.iter().find(|differs| differs.key == key) {
            Some(Differs { how: How::Free, .. }) => continue,
            Some(Differs { how: How::Fixed(values), .. }) => {
                if value.is_null() || values.iter().any(|text| parsed(text) == *value) {
                    continue;
                }
                let problem = format!("must be {} here, got {}", values.join(" or "), shown(value));
                return Err(Error::unsupported(place, problem));
            }
            Some(Differs { how: How::Named(ours), .. }) => ours,
            Some(Differs { how: How::Ours(_), .. }) => "",
            None => key.as_str(),
        };
        let known = options.contains_key(name) || (class == "Dropout" && name == "noise_shape");
        if !known && value.is_null() {
            continue;
        }
        if !known {
            let problem = format!("{class} has no such option here, and it is {}", shown(value));
            return Err(Error::unsupported(place, problem));
        }
        let value = read_option(class, name, value, &place, context)?;
        options.insert(name.to_owned(), value);
    }
    defaults_of_the_version(class, config, options, context.version);
    if class == "Bidirectional" {
        turn_backward_layer(config, options);
    }
    Ok(ours)
}

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_default()
}

/// The value of an option, in our form.
fn read_option(
    class: &str,
    name: &str,
    value: &Value,
    place: &str,
    context: &mut Context<'_>,
) -> Result<Value> {
    let last = context.rank as i64 - 1;
    let axis = |value: &Value| {
        let axis = match value {
            Value::Array(axes) if axes.len() == 1 => axes[0].as_i64(),
            other => other.as_i64(),
        };
        axis.map(|axis| if context.rank > 0 && axis == last { -1 } else { axis })
    };
    Ok(match (class, name) {
        (_, "activation" | "recurrent_activation") => activation(value, context.version, place)?,
        (_, name) if name.ends_with("_initializer") => {
            let (value, known) = initializer(value);
            if !known {
                context.notes.push(format!(
                    "{place} is none that this engine has, and stands as zeros; weights are those of the file"
                ));
            }
            value
        }
        ("Softmax", "axis") => match axis(value) {
            Some(axis) => json!(axis),
            None => {
                let problem = format!("one axis is taken, got {}", shown(value));
                return Err(Error::unsupported(place, problem));
            }
        },
        ("LayerNormalization", "axis") => match axis(value) {
            Some(-1) => json!(-1),
            _ => {
                let problem = format!("only the last axis, -1, is taken, got {}", shown(value));
                return Err(Error::unsupported(place, problem));
            }
        },
        ("Concatenate", "axis") => {
            axis(value).map(Value::from).ok_or_else(|| wrong(place, "an axis", value))?
        }
        ("Dot", "axes") if value.is_i64() => json!([value, value]),
        ("Bidirectional", "merge_mode") if value.is_null() => json!("none"),
        ("Bidirectional", "layer" | "backward_layer") if value.is_null() => Value::Null,
        ("Bidirectional", "layer" | "backward_layer") => wrapped(value, place, context, |layer| {
            // Keras does so whenever it makes one.
            if let Some(options) = layer.get_mut("config").and_then(Value::as_object_mut) {
                let sequences = options.get("return_sequences").cloned();
                if let (Some(zero), Some(on)) = (options.get_mut("zero_output_for_mask"), sequences) {
                    *zero = on;
                }
            }
        })?,
        ("TimeDistributed", "layer") => {
            context.rank = context.rank.saturating_sub(1);
            let layer = wrapped(value, place, context, |_| {});
            context.rank += 1;
            layer?
        }
        ("RNN", "cell") => one_cell(value, place, context)?,
        ("StackedRNNCells", "cells") => {
            let cells = super::fields::list(value, place)?;
            cells.iter().map(|value| one_cell(value, place, context)).collect::<Result<_>>()?
        }
        _ => value.clone(),
    })
}

/// A layer within a layer.
fn wrapped(
    value: &Value,
    place: &str,
    context: &mut Context<'_>,
    alter: impl FnOnce(&mut Value),
) -> Result<Value> {
    let (class, config) = super::objects::class_of(value, place)?;
    let config = config.ok_or_else(|| Error::damaged(place, "a layer without a config"))?;
    if is_cell(class) || matches!(class, "Functional" | "Sequential" | "Model") {
        let problem = format!("a {class} can not be within another layer here; only single layers can");
        return Err(Error::unsupported(place, problem));
    }
    if given(config, "activity_regularizer").is_some() {
        let problem = "a layer within another can not have one here; remove it";
        return Err(Error::unsupported(option(place, "activity_regularizer"), problem));
    }
    let inner = &mut Context { version: context.version, place, rank: context.rank, notes: context.notes };
    let mut layer = read_value(class, config, inner)?;
    alter(&mut layer);
    Ok(layer)
}

fn one_cell(value: &Value, place: &str, context: &mut Context<'_>) -> Result<Value> {
    let (class, config) = super::objects::class_of(value, place)?;
    if !is_cell(class) {
        let problem =
            format!("a cell {class:?}; there are LSTMCell, GRUCell, SimpleRNNCell and StackedRNNCells");
        return Err(Error::unsupported(place, problem));
    }
    let inner = &mut Context { version: context.version, place, rank: 0, notes: context.notes };
    read_value(class, config.unwrap_or(&Map::new()), inner)
}

/// Options whose defaults have changed, where a file does not have them.
fn defaults_of_the_version(class: &str, config: &Config, options: &mut Config, version: Version) {
    if matches!(class, "GRU" | "GRUCell") && version.is_2() && !config.contains_key("reset_after") {
        // Before TensorFlow 2, and written ever since it became true.
        options.insert("reset_after".to_owned(), json!(false));
    }
}

/// Leaves the backward layer out where it is the forward layer turned round, which is what an absent one means.
fn turn_backward_layer(config: &Config, options: &mut Config) {
    if given(config, "backward_layer").is_none() {
        options.insert("backward_layer".to_owned(), Value::Null);
        return;
    }
    let mut forward = options.get("layer").cloned().unwrap_or_default();
    if let Some(Value::Bool(on)) = forward.pointer_mut("/config/go_backwards") {
        *on = !*on;
    }
    if options.get("backward_layer") == Some(&forward) {
        options.insert("backward_layer".to_owned(), Value::Null);
    }
}

/// A layer of ours in Keras's form: class and configuration.
pub(super) fn write(layer: &Layer, name: &str, place: &str) -> Result<(String, Config)> {
    let value = serde_json::to_value(layer).map_err(|e| Error::damaged(place, e.to_string()))?;
    write_value(&value, name, place)
}

fn write_value(value: &Value, name: &str, place: &str) -> Result<(String, Config)> {
    let (class, options) = super::objects::class_of(value, place)?;
    let empty = Map::new();
    let options = options.unwrap_or(&empty);
    if class == "Cell" {
        return write_value(options.get("cell").unwrap_or(&Value::Null), name, place);
    }
    let row = find(class).ok_or_else(|| {
        Error::unsupported(
            place,
            format!("Keras has no {class}; save it in this program's own format, .safetensors"),
        )
    })?;
    let mut config = Map::new();
    config.insert("name".to_owned(), json!(name));
    for differs in row.differs.iter().filter(|differs| differs.keras_3) {
        match differs.how {
            How::Free => drop(config.insert(differs.key.to_owned(), Value::Null)),
            How::Fixed(values) => {
                drop(config.insert(differs.key.to_owned(), parsed(values.first().unwrap_or(&"null"))))
            }
            How::Named(_) | How::Ours(_) => {}
        }
    }
    for (key, value) in options {
        let place = option(place, key);
        if let Some(weight) = key.strip_suffix("_held") {
            if let Some(held) = given_in(value, "regularizer") {
                config.insert(format!("{weight}_regularizer"), regularizer_written(held));
            }
            if let Some(held) = given_in(value, "constraint") {
                config.insert(format!("{weight}_constraint"), constraint_written(held, &place)?);
            }
            continue;
        }
        let only_ours = row.differs.iter().find(|differs| differs.key == key).map(|differs| &differs.how);
        if let Some(How::Ours(keras)) = only_ours {
            if parsed(keras) == *value {
                continue;
            }
            return Err(Error::unsupported(
                place,
                format!("it is {}, which Keras does not have", shown(value)),
            ));
        }
        let is =
            |differs: &&Differs| matches!(differs.how, How::Named(ours) if ours == key) && differs.keras_3;
        let keras = row.differs.iter().find(is).map_or(key.as_str(), |differs| differs.key);
        let value = match (class, key.as_str()) {
            (_, "activation" | "recurrent_activation") => activation_written(value, &place)?,
            (_, key) if key.ends_with("_initializer") => initializer_written(value),
            ("Bidirectional", "merge_mode") if *value == json!("none") => Value::Null,
            ("Bidirectional", "backward_layer") if value.is_null() => continue,
            ("Bidirectional" | "TimeDistributed", "layer" | "backward_layer") => {
                let prefix = if key == "backward_layer" { "backward_" } else { "" };
                let (class, config) = write_value(value, &format!("{prefix}{name}_layer"), &place)?;
                written("keras.layers", &class, Value::Object(config))
            }
            ("RNN", "cell") => cell_written(value, &format!("{name}_cell"), &place)?,
            ("StackedRNNCells", "cells") => {
                let cells = value.as_array().into_iter().flatten().enumerate();
                cells
                    .map(|(i, cell)| cell_written(cell, &format!("{name}_{i}"), &place))
                    .collect::<Result<_>>()?
            }
            _ => tidy(value.clone()),
        };
        config.insert(keras.to_owned(), value);
    }
    Ok((class.to_owned(), config))
}

fn given_in<'a>(value: &'a Value, key: &str) -> Option<&'a Value> {
    value.get(key).filter(|value| !value.is_null())
}

fn cell_written(value: &Value, name: &str, place: &str) -> Result<Value> {
    let (class, config) = write_value(value, name, place)?;
    Ok(written("keras.layers", &class, Value::Object(config)))
}

/// Whether the layer says anew which steps are there.
pub(super) fn makes_masks(class: &str) -> bool {
    matches!(class, "Masking" | "Embedding")
}
