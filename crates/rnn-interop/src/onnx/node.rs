//! A node of the graph with its inputs and attributes, as operators read it.

use super::number::Number;
use super::proto::{self, attribute};
use super::tensor::Tensor;
use super::value::{Known, Value};
use crate::{Error, Limits, Result};
use std::cell::RefCell;
use std::collections::{HashMap, HashSet};

/// A node whose inputs have been read.
pub(super) struct Node<'a> {
    /// for errors: name, operator and domain
    pub place: String,
    pub op: &'a str,
    /// the version of the operators
    pub opset: i64,
    inputs: Vec<Option<Value>>,
    attributes: HashMap<&'a str, &'a proto::Attribute>,
    read: RefCell<HashSet<&'a str>>,
    /// for each output, whether anything uses it
    pub wanted: Vec<bool>,
    /// values from outside that the node's graphs use
    pub captured: HashMap<&'a str, Value>,
}

impl<'a> Node<'a> {
    pub fn new(
        node: &'a proto::Node,
        place: String,
        opset: i64,
        inputs: Vec<Option<Value>>,
        wanted: Vec<bool>,
    ) -> Result<Self> {
        let mut attributes = HashMap::new();
        for attribute in &node.attribute {
            if attributes.insert(attribute.name.as_str(), attribute).is_some() {
                return Err(Error::damaged(place, format!("attribute {} is given twice", attribute.name)));
            }
        }
        let read = RefCell::default();
        Ok(Node {
            place,
            op: &node.op_type,
            opset,
            inputs,
            attributes,
            read,
            wanted,
            captured: HashMap::new(),
        })
    }

    /// The inputs that are there.
    pub fn inputs(&self) -> impl Iterator<Item = &Value> {
        self.inputs.iter().flatten()
    }

    /// Input `i`, which must be there.
    pub fn input(&self, i: usize) -> Result<&Value> {
        self.optional(i).ok_or_else(|| Error::damaged(self.place.clone(), format!("input {i} is missing")))
    }

    /// Input `i`, if it is there.
    pub fn optional(&self, i: usize) -> Option<&Value> {
        self.inputs.get(i).and_then(Option::as_ref)
    }

    /// How many inputs there are, those that are missing too.
    pub fn count(&self) -> usize {
        self.inputs.len()
    }

    /// All inputs, none of which may be missing.
    pub fn all(&self) -> Result<Vec<&Value>> {
        (0..self.inputs.len()).map(|i| self.input(i)).collect()
    }

    /// Input `i`, a constant, if it is there.
    pub fn constant(&self, i: usize, what: &str) -> Result<Option<&Known>> {
        match self.optional(i) {
            None => Ok(None),
            Some(Value::Known(known)) => Ok(Some(known)),
            Some(_) => Err(Error::unsupported(
                self.place.clone(),
                format!(
                    "{what} is computed or an input of the model; a constant is expected, or bind() it to one"
                ),
            )),
        }
    }

    /// Whole numbers from input `i`, if it is there.
    pub fn numbers(&self, i: usize, what: &str) -> Result<Option<Vec<Number>>> {
        let Some(known) = self.constant(i, what)? else { return Ok(None) };
        let numbers = known.numbers().ok_or_else(|| {
            Error::unsupported(
                self.place.clone(),
                format!("{what} must be a list of whole numbers that are known"),
            )
        })?;
        Ok(Some(numbers))
    }

    /// The same, all of which must be known.
    pub fn ints(&self, i: usize, what: &str) -> Result<Option<Vec<i64>>> {
        let Some(numbers) = self.numbers(i, what)? else { return Ok(None) };
        let ints: Option<Vec<i64>> = numbers.iter().map(Number::known).collect();
        let problem = || format!("{what} depends on the size of the data");
        ints.map(Some).ok_or_else(|| Error::unsupported(self.place.clone(), problem()))
    }

    fn find(&self, name: &'static str, kind: i32) -> Result<Option<&'a proto::Attribute>> {
        let Some(found) = self.attributes.get(name) else { return Ok(None) };
        self.read.borrow_mut().insert(name);
        // Old files leave the kind out.
        if found.kind != kind && found.kind != 0 {
            let problem = format!("attribute {name} is of kind {}, expected {kind}", found.kind);
            return Err(Error::damaged(self.place.clone(), problem));
        }
        Ok(Some(found))
    }

    pub fn int(&self, name: &'static str, default: i64) -> Result<i64> {
        Ok(self.find(name, attribute::INT)?.map_or(default, |a| a.i))
    }

    pub fn maybe_int(&self, name: &'static str) -> Result<Option<i64>> {
        Ok(self.find(name, attribute::INT)?.map(|a| a.i))
    }

    pub fn float(&self, name: &'static str, default: f32) -> Result<f32> {
        Ok(self.maybe_float(name)?.unwrap_or(default))
    }

    pub fn maybe_float(&self, name: &'static str) -> Result<Option<f32>> {
        let Some(found) = self.find(name, attribute::FLOAT)? else { return Ok(None) };
        if !found.f.is_finite() {
            return Err(Error::damaged(self.place.clone(), format!("attribute {name} is {}", found.f)));
        }
        Ok(Some(found.f))
    }

    pub fn list(&self, name: &'static str) -> Result<Option<&'a [i64]>> {
        Ok(self.find(name, attribute::INTS)?.map(|a| a.ints.as_slice()))
    }

    pub fn floats(&self, name: &'static str) -> Result<&'a [f32]> {
        Ok(self.find(name, attribute::FLOATS)?.map_or(&[], |a| a.floats.as_slice()))
    }

    pub fn string(&self, name: &'static str, default: &'a str) -> Result<&'a str> {
        match self.find(name, attribute::STRING)? {
            Some(found) => self.utf8(name, &found.s),
            None => Ok(default),
        }
    }

    pub fn strings(&self, name: &'static str) -> Result<Option<Vec<&'a str>>> {
        let Some(found) = self.find(name, attribute::STRINGS)? else { return Ok(None) };
        found.strings.iter().map(|text| self.utf8(name, text)).collect::<Result<_>>().map(Some)
    }

    pub fn tensor(&self, name: &'static str, limits: &Limits) -> Result<Option<Tensor>> {
        let Some(found) = self.find(name, attribute::TENSOR)? else { return Ok(None) };
        let Some(tensor) = &found.t else {
            return Err(Error::damaged(self.place.clone(), format!("attribute {name} has no tensor")));
        };
        Tensor::read(&self.place, tensor, limits).map(Some)
    }

    pub fn graph(&self, name: &'static str) -> Result<Option<&'a proto::Graph>> {
        Ok(self.find(name, attribute::GRAPH)?.and_then(|a| a.g.as_deref()))
    }

    fn utf8(&self, name: &str, text: &'a [u8]) -> Result<&'a str> {
        let problem = || format!("attribute {name} is no text");
        std::str::from_utf8(text).map_err(|_| Error::damaged(self.place.clone(), problem()))
    }

    /// Marks an attribute as one that does not change the numbers.
    pub fn pass_over(&self, name: &'static str) {
        self.read.borrow_mut().insert(name);
    }

    /// Refuses attributes that the operator did not read.
    pub fn finish(&self) -> Result<()> {
        let read = self.read.borrow();
        let mut left: Vec<&str> =
            self.attributes.keys().filter(|name| !read.contains(*name)).copied().collect();
        left.sort_unstable();
        match left.first() {
            Some(name) => Err(Error::unsupported(self.place.clone(), format!("attribute {name}"))),
            None => Ok(()),
        }
    }

    /// An axis of a tensor of `rank` axes; those below 0 count from the end.
    pub fn axis(&self, axis: i64, rank: usize) -> Result<usize> {
        let from_front = if axis < 0 { axis.saturating_add(rank as i64) } else { axis };
        usize::try_from(from_front).ok().filter(|&at| at < rank).ok_or_else(|| {
            Error::damaged(self.place.clone(), format!("axis {axis} of a tensor of {rank} axes"))
        })
    }
}
