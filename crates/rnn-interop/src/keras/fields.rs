//! Values of a configuration, asked for by name: each refusal says of which layer and option.

use crate::{Error, Result};
use serde_json::{Map, Value};

/// A JSON object.
pub(super) type Config = Map<String, Value>;

/// The largest size that an option may name. Products of a few such sizes still fit into 64 bits.
const LARGEST_SIZE: u64 = 1 << 31;

/// `value` as an object.
pub(super) fn object<'a>(value: &'a Value, place: &str) -> Result<&'a Config> {
    value.as_object().ok_or_else(|| wrong(place, "an object", value))
}

/// `value` as a list.
pub(super) fn list<'a>(value: &'a Value, place: &str) -> Result<&'a [Value]> {
    value.as_array().map(Vec::as_slice).ok_or_else(|| wrong(place, "a list", value))
}

/// `value` as a text.
pub(super) fn text<'a>(value: &'a Value, place: &str) -> Result<&'a str> {
    value.as_str().ok_or_else(|| wrong(place, "a text", value))
}

/// `value` as a whole number that may be a size or an index.
pub(super) fn size(value: &Value, place: &str) -> Result<usize> {
    let number = value.as_u64().ok_or_else(|| wrong(place, "a whole number", value))?;
    crate::Limits::at_most(place, "a size", number, LARGEST_SIZE)?;
    Ok(number as usize)
}

/// `value` as a shape with the batch in front, `null` where any size does.
pub(super) fn shape(value: &Value, place: &str) -> Result<Vec<Option<usize>>> {
    let axis = |n: &Value| if n.is_null() { Ok(None) } else { size(n, place).map(Some) };
    list(value, place)?.iter().map(axis).collect()
}

/// What `config` has under `key`.
pub(super) fn get<'a>(config: &'a Config, key: &str, place: &str) -> Result<&'a Value> {
    config.get(key).ok_or_else(|| Error::damaged(place, format!("there is no {key:?}")))
}

/// The text that `config` has under `key`.
pub(super) fn get_text<'a>(config: &'a Config, key: &str, place: &str) -> Result<&'a str> {
    text(get(config, key, place)?, &option(place, key))
}

/// `config[key]`, where it is there and not null.
pub(super) fn given<'a>(config: &'a Config, key: &str) -> Option<&'a Value> {
    config.get(key).filter(|value| !value.is_null())
}

/// Refuses sizes that no model has, before anything counts with them.
pub(super) fn check_sizes(value: &Value, place: &str) -> Result<()> {
    match value {
        Value::Number(n) => match n.as_i64() {
            Some(n) => crate::Limits::at_most(place, "a size", n.unsigned_abs(), LARGEST_SIZE),
            None if n.is_u64() => Err(wrong(place, "a smaller number", value)),
            None => Ok(()),
        },
        Value::Array(values) => values.iter().try_for_each(|value| check_sizes(value, place)),
        _ => Ok(()),
    }
}

/// An option of a layer, as errors name it.
pub(super) fn option(place: &str, key: &str) -> String {
    format!("{place}, option {key}")
}

/// `value` is not what it must be.
pub(super) fn wrong(place: &str, expected: &str, value: &Value) -> Error {
    Error::damaged(place, format!("expected {expected}, got {}", shown(value)))
}

/// A value in a message, cut where it is long.
pub(super) fn shown(value: &Value) -> String {
    const LONGEST: usize = 200;
    let text = value.to_string();
    match text.char_indices().nth(LONGEST) {
        Some((at, _)) => format!("{}...", &text[..at]),
        None => text,
    }
}
