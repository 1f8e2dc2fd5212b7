//! JSON of a file, strictly: no key twice in an object, bounded size, depth and number of values.
//!
//! Readers that take the first and readers that take the last of two equal keys see two models in one file; so a second one
//! is refused.

use crate::{Error, Limits, Result};
use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use std::cell::Cell;
use std::fmt;

/// A value takes 32 bytes in memory and may take 2 in the text, so their number is limited beside the text's size.
const MOST_VALUES: u64 = 2_000_000;

/// Parses a JSON text; `place` names it in errors.
///
/// # Errors
/// What is not JSON, a key that stands twice in an object, and a text that is too long, too deep, or of too many values.
pub(crate) fn parse(place: &str, text: &[u8], limits: &Limits) -> Result<Value> {
    Limits::at_most(place, "the number of bytes of JSON", text.len() as u64, limits.json_bytes)?;
    let left = Cell::new(MOST_VALUES);
    let mut parser = serde_json::Deserializer::from_slice(text);
    // The parser itself stops at 128.
    let depth = limits.depth.min(127);
    let value = Strict { depth, limit: depth, left: &left }.deserialize(&mut parser);
    let value = value.and_then(|value| parser.end().map(|()| value));
    value.map_err(|error| Error::damaged(place, format!("not the JSON it should be: {error}")))
}

#[derive(Clone, Copy)]
struct Strict<'a> {
    /// levels that may follow
    depth: u64,
    limit: u64,
    left: &'a Cell<u64>,
}

impl Strict<'_> {
    fn count<E: serde::de::Error>(&self) -> Result<(), E> {
        match self.left.get().checked_sub(1) {
            Some(left) => {
                self.left.set(left);
                Ok(())
            }
            None => Err(E::custom(format!("more than {MOST_VALUES} values"))),
        }
    }

    fn deeper<E: serde::de::Error>(self) -> Result<Self, E> {
        match self.depth.checked_sub(1) {
            Some(depth) => Ok(Strict { depth, ..self }),
            None => Err(E::custom(format!("nested more than {} deep", self.limit))),
        }
    }
}

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        self.count()?;
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("a number that is not finite"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut values = Vec::new();
        while let Some(value) = items.next_element_seed(inner)? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut object = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            if object.contains_key(&key) {
                return Err(A::Error::custom(format!("the key {key:?} stands twice in one object")));
            }
            let value = entries.next_value_seed(inner)?;
            object.insert(key, value);
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(text: &str) -> Result<Value> {
        parse("config.json", text.as_bytes(), &Limits::default())
    }

    #[test]
    fn values_come_as_they_are() {
        let text =
            r#" {"a": [1, -2, 2.5, 18446744073709551615, true, null, "\u00fc"], "b": {"a": {}}, "c": []} "#;
        let expected = json!({"a": [1, -2, 2.5, u64::MAX, true, null, "ü"], "b": {"a": {}}, "c": []});
        assert_eq!(read(text).unwrap(), expected);
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place() {
        let deep = "[".repeat(33) + &"]".repeat(33);
        let cases = [
            (r#"{"a": 1, "b": {"units": 2, "units": 3}}"#, "the key \"units\" stands twice in one object"),
            (r#"{"a": 1, "\u0061": 2}"#, "the key \"a\" stands twice"),
            (deep.as_str(), "nested more than 32 deep"),
            ("{\"a\": 1} {}", "trailing characters"),
            ("{\"a\": 1", "EOF while parsing"),
            ("{'a': 1}", "key must be a string"),
            ("[NaN]", "expected value"),
            ("[1e999]", "number out of range"),
            ("", "EOF"),
        ];
        for (text, expected) in cases {
            let message = read(text).unwrap_err().to_string();
            assert!(message.starts_with("config.json: not the JSON it should be"), "{message}");
            assert!(message.contains(expected), "{text}: {message}");
        }
        assert!(read(&("[".repeat(32) + &"]".repeat(32))).is_ok());
        assert!(parse("x", b"\"\xff\"", &Limits::default()).is_err());
    }

    #[test]
    fn size_and_number_of_values_are_limited() {
        let limits = Limits { json_bytes: 5, ..Limits::default() };
        assert!(matches!(parse("x", b"[1, 2]", &limits), Err(Error::Limit { got: 6, limit: 5, .. })));
        let many = format!("[{}0]", "0,".repeat(MOST_VALUES as usize));
        assert!(read(&many).unwrap_err().to_string().contains("more than 2000000 values"));
    }
}
