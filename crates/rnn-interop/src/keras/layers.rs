//! Layers from Keras's configurations and back, by the table of [classes](super::classes).

use super::classes::{CLASSES, Differs, How, find};
use super::fields::{Config, check_sizes, given, option, shown, wrong};
use super::objects::{
    activation, activation_written, check_dtype, constraint, constraint_written, initializer,
    initializer_written, regularizer, regularizer_written, tidy, written,
};
use super::version::Version;
use crate::{Error, Result};
use rnn_model::layer::Layer;
use serde_json::{Map, Value, json};

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
            let note = check_dtype(value, context.place)?;
            if let Some(note) = note.filter(|note| !context.notes.contains(note)) {
                context.notes.push(note);
            }
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

/// Keras's class of a layer.
pub(super) fn class(layer: &Layer) -> String {
    let value = serde_json::to_value(layer).unwrap_or_default();
    let cell = value.pointer("/config/cell/class_name").and_then(Value::as_str);
    match layer {
        Layer::Cell(_) => cell.unwrap_or_default().to_owned(),
        layer => layer.class().to_owned(),
    }
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
