//! What is applied to what in a configuration: the tensors of a call, in the forms of Keras 2 and 3.

use super::fields::{Config, get, given, list, object, shown, size, text, wrong};
use crate::{Error, Result};
use serde_json::Value;

/// A tensor of a configuration.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Tensor {
    pub layer: String,
    /// which call of the layer, counted as in the configuration
    pub call: usize,
    /// which output of it
    pub output: usize,
}

/// A layer applied.
#[derive(Clone, Debug, Default)]
pub(super) struct Call {
    /// the tensors of the first argument
    pub inputs: Vec<Tensor>,
    /// initial states
    pub states: Vec<Tensor>,
    /// masks that the configuration names
    pub masks: Vec<Tensor>,
    /// of an operation, what it is called with: so many of the inputs for each argument that has tensors
    pub arguments: Vec<Argument>,
    /// in the form of Keras 2
    pub of_2: bool,
}

/// An argument of an operation.
#[derive(Clone, Debug)]
pub(super) enum Argument {
    /// so many tensors
    Tensors(usize),
    /// what is no tensor: the 0 in `not_equal(x, 0)`
    Constant(Value),
}

impl Call {
    /// Everything that must be there before the call.
    pub fn needs(&self) -> impl Iterator<Item = &Tensor> {
        self.inputs.iter().chain(&self.states).chain(&self.masks)
    }
}

/// One entry of `inbound_nodes`.
pub(super) fn call(node: &Value, place: &str) -> Result<Call> {
    match node {
        Value::Array(tensors) => call_of_2(tensors, place),
        Value::Object(node) => call_of_3(node, place),
        other => Err(wrong(place, "a call of the layer", other)),
    }
}

/// One entry of `inbound_nodes` of an operation: all of its tensors are inputs.
pub(super) fn operation(node: &Value, place: &str) -> Result<Call> {
    let node = object(node, place)?;
    let mut call = Call::default();
    for argument in list(get(node, "args", place)?, place)? {
        let before = call.inputs.len();
        // An index has objects of its own in it.
        let constant = match collect(argument, place, &mut call.inputs, &mut Vec::new()) {
            Ok(()) => call.inputs.len() == before,
            Err(_) if call.inputs.len() == before => true,
            Err(error) => return Err(error),
        };
        call.arguments.push(match constant {
            true => Argument::Constant(argument.clone()),
            false => Argument::Tensors(call.inputs.len() - before),
        });
    }
    let named = object(get(node, "kwargs", place)?, place)?;
    match named.iter().find(|(_, value)| !value.is_null()) {
        Some((key, value)) => {
            let problem = format!("called with {key}={}, which can not be here", shown(value));
            Err(Error::unsupported(place, problem))
        }
        None => Ok(call),
    }
}

/// `{"args": [...], "kwargs": {...}}` with tensors as `__keras_tensor__`.
fn call_of_3(node: &Config, place: &str) -> Result<Call> {
    let mut call = Call::default();
    let args = list(get(node, "args", place)?, place)?;
    let named = object(get(node, "kwargs", place)?, place)?;
    let mut constants = Vec::new();
    if let Some(first) = args.first() {
        collect(first, place, &mut call.inputs, &mut constants)?;
    }
    if let Some(second) = args.get(1) {
        // States of a recurrent layer.
        collect(second, place, &mut call.states, &mut constants)?;
    }
    for more in args.iter().skip(2).filter(|value| !value.is_null()) {
        let mut tensors = Vec::new();
        collect(more, place, &mut tensors, &mut constants)?;
        if !tensors.is_empty() {
            return Err(Error::unsupported(
                place,
                "called with a third tensor; pass masks by mask=".to_owned(),
            ));
        }
    }
    for (key, value) in named.iter().filter(|(_, value)| !value.is_null()) {
        match (key.as_str(), value) {
            // Keras decides by itself whether it trains.
            ("training", Value::Bool(false)) => {}
            ("mask", masks) => {
                let before = constants.len();
                collect(masks, place, &mut call.masks, &mut constants)?;
                if constants.len() > before {
                    return Err(Error::unsupported(place, format!("called with mask={}", shown(value))));
                }
            }
            ("initial_state" | "states", states) => collect(states, place, &mut call.states, &mut constants)?,
            ("inputs" | "sequences" | "sequence" | "x", inputs) => {
                collect(inputs, place, &mut call.inputs, &mut constants)?;
            }
            (key, value) => {
                let problem = format!("called with {key}={}, which can not be here", shown(value));
                return Err(Error::unsupported(place, problem));
            }
        }
    }
    Ok(call)
}

/// `[[layer, call, output, {arguments}], ...]`
fn call_of_2(tensors: &[Value], place: &str) -> Result<Call> {
    let mut call = Call { of_2: true, ..Call::default() };
    for (at, value) in tensors.iter().enumerate() {
        let entry = list(value, place)?;
        let (reference, named) = entry.split_at(entry.len().min(3));
        let tensor = tensor(reference, place)?;
        if at == 0 {
            call.inputs.push(tensor);
        } else {
            // Of a recurrent layer these are states, of a merging layer inputs: it takes all in order.
            call.states.push(tensor);
        }
        let Some(named) = named.first() else { continue };
        for (key, value) in object(named, place)?.iter().filter(|(_, value)| !value.is_null()) {
            match (key.as_str(), value) {
                ("training", Value::Bool(false)) => {}
                ("initial_state", states) => collect_of_2(states, place, &mut call.states)?,
                (key, value) => {
                    let problem = format!("called with {key}={}, which can not be here", shown(value));
                    return Err(Error::unsupported(place, problem));
                }
            }
        }
    }
    Ok(call)
}

/// `[layer, call, output]`
pub(super) fn tensor(reference: &[Value], place: &str) -> Result<Tensor> {
    let [layer, call, output] = reference else {
        return Err(wrong(place, "[layer, call, output]", &Value::Array(reference.to_vec())));
    };
    let layer = text(layer, place)?;
    if layer == "_CONSTANT_VALUE" {
        return Err(Error::unsupported(place, "called with a constant; only tensors can be passed"));
    }
    Ok(Tensor { layer: layer.to_owned(), call: size(call, place)?, output: size(output, place)? })
}

/// The tensors in lists of lists, in the order in which Keras flattens them.
fn collect(value: &Value, place: &str, tensors: &mut Vec<Tensor>, constants: &mut Vec<Value>) -> Result<()> {
    match value {
        Value::Array(values) => values.iter().try_for_each(|value| collect(value, place, tensors, constants)),
        Value::Object(map) => match map.get("class_name").and_then(Value::as_str) {
            Some("__keras_tensor__") => {
                let config = object(get(map, "config", place)?, place)?;
                tensors.push(tensor(list(get(config, "keras_history", place)?, place)?, place)?);
                Ok(())
            }
            Some(other) => {
                Err(Error::unsupported(place, format!("called with a {other}; only tensors can be passed")))
            }
            // By name, in the order of the names.
            None => map.values().try_for_each(|value| collect(value, place, tensors, constants)),
        },
        Value::Null => Ok(()),
        other => {
            constants.push(other.clone());
            Ok(())
        }
    }
}

fn collect_of_2(value: &Value, place: &str, tensors: &mut Vec<Tensor>) -> Result<()> {
    let entries = list(value, place)?;
    if entries.first().is_some_and(Value::is_string) {
        tensors.push(tensor(entries.get(..3).unwrap_or(entries), place)?);
        return Ok(());
    }
    entries.iter().try_for_each(|value| collect_of_2(value, place, tensors))
}

/// `input_layers` or `output_layers`: one tensor, lists, or tensors by name, which come with their names.
pub(super) fn ends(config: &Config, key: &str, place: &str) -> Result<Vec<(Option<String>, Tensor)>> {
    fn gather(
        value: &Value,
        name: Option<&str>,
        place: &str,
        all: &mut Vec<(Option<String>, Tensor)>,
    ) -> Result<()> {
        match value {
            Value::Array(entries) if entries.first().is_some_and(Value::is_string) => {
                all.push((name.map(str::to_owned), tensor(entries, place)?));
                Ok(())
            }
            Value::Array(entries) => entries.iter().try_for_each(|entry| gather(entry, name, place, all)),
            Value::Object(map) => {
                map.iter().try_for_each(|(name, value)| gather(value, Some(name), place, all))
            }
            other => Err(wrong(place, "tensors", other)),
        }
    }
    let mut all = Vec::new();
    let value = given(config, key).ok_or_else(|| Error::damaged(place, format!("there is no {key:?}")))?;
    gather(value, None, place, &mut all)?;
    match all.is_empty() {
        true => Err(Error::damaged(place, format!("{key:?} is empty"))),
        false => Ok(all),
    }
}
