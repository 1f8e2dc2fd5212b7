//! What all operators need while a graph is read: sizes of axes, layers with their weights and names, and values brought
//! into the order that a layer wants.

use super::algebra::Algebra;
use super::drawn::{Forms, Zeroed};
use super::number::{Atom, Number, text};
use super::parts::Part;
use super::value::{BATCH, Device, Group, Kind, Known, MaskOf, Stack, Value};
use crate::{Error, Limits, Result};
use ndarray::ArrayD;
use rnn_model::layer::{Layer, SharedLayer};
use rnn_model::{GraphLayer, Symbol, apply};
use std::collections::{HashMap, HashSet};
use std::rc::Rc;

/// A model while it is read.
pub(super) struct Builder<'a> {
    pub limits: &'a Limits,
    /// the node that is read, for errors
    pub place: String,
    /// its name, for layers
    pub name: String,
    /// sizes of the atoms, where they are known
    sizes: Vec<Option<usize>>,
    /// the batch size that the file declares
    pub batch: Option<usize>,
    /// of each layer by its name
    weights: HashMap<String, Vec<ArrayD<f32>>>,
    names: HashSet<String>,
    /// layers whose weights other nodes may share, by what identifies the weights
    shared: HashMap<String, SharedLayer>,
    /// sentences for a person
    pub notes: Vec<String>,
    symbols: u64,
    /// symbols of inputs that are whole numbers
    whole: HashSet<u64>,
    /// row numbers that the file compares with 0, which masks are made of
    masking: HashSet<u64>,
    /// formulas of values
    pub algebra: Algebra,
    formulas: HashMap<u64, Rc<Part>>,
    /// sequences in the opposite order, and what they were
    reversed: HashMap<u64, Device>,
    /// a symbol that has each mask
    carriers: HashMap<MaskOf, Symbol>,
    /// masks of which either counts
    either: Vec<(MaskOf, MaskOf)>,
    /// the lengths that a mask is of
    lengths: HashMap<MaskOf, Device>,
    /// names of shared layers, by what identifies them
    layers: HashMap<String, String>,
    /// layers of which one stands for the other
    alternatives: Vec<(String, String)>,
    /// layers behind masks, by what they gave
    forms: HashMap<u64, Forms>,
    keys: usize,
    keyed: HashMap<String, usize>,
    /// elements of constants computed so far, which are bounded for the whole model
    folded: u64,
    /// and how many there may be
    budget: u64,
}

impl<'a> Builder<'a> {
    /// `constants` is the number of values that the file itself holds: what is computed from them may be some times that.
    pub fn new(limits: &'a Limits, batch: Option<usize>, constants: u64) -> Self {
        Builder {
            limits,
            place: "graph".to_owned(),
            name: String::new(),
            sizes: vec![None],
            batch,
            weights: HashMap::new(),
            names: HashSet::new(),
            shared: HashMap::new(),
            notes: Vec::new(),
            symbols: 0,
            whole: HashSet::new(),
            masking: HashSet::new(),
            algebra: Algebra::default(),
            formulas: HashMap::new(),
            reversed: HashMap::new(),
            carriers: HashMap::new(),
            either: Vec::new(),
            lengths: HashMap::new(),
            layers: HashMap::new(),
            alternatives: Vec::new(),
            forms: HashMap::new(),
            keys: 0,
            keyed: HashMap::new(),
            folded: 0,
            budget: constants.saturating_mul(16).saturating_add(4 << 20),
        }
    }

    /// The node can not be read as layers.
    pub fn unsupported(&self, problem: impl Into<String>) -> Error {
        Error::unsupported(self.place.clone(), problem)
    }

    /// The node contradicts itself.
    pub fn damaged(&self, problem: impl Into<String>) -> Error {
        Error::damaged(self.place.clone(), problem)
    }

    /// Refuses constants that come to more elements than a model may have.
    pub fn count(&mut self, elements: usize) -> Result<()> {
        self.folded = self.folded.saturating_add(elements as u64);
        Limits::at_most(&self.place, "the number of values of constants", self.folded, self.budget)
    }

    /// A new axis: no atom where its size is 1.
    pub fn axis(&mut self, size: Option<usize>) -> Group {
        if size == Some(1) {
            return Vec::new();
        }
        self.sizes.push(size);
        vec![(self.sizes.len() - 1) as Atom]
    }

    pub fn atom_size(&self, atom: Atom) -> Option<usize> {
        self.sizes.get(atom as usize).copied().flatten()
    }

    /// The size of an axis, where it is known. That of the batch never is.
    pub fn known_size(&self, group: &[Atom]) -> Option<usize> {
        group.iter().try_fold(1usize, |n, &atom| n.checked_mul(self.atom_size(atom)?))
    }

    /// The size of an axis as a number.
    pub fn size(&self, group: &[Atom]) -> Number {
        group.iter().fold(Number::Known(1), |n, &atom| {
            n.mul(&match self.atom_size(atom) {
                Some(size) => Number::Known(size as i64),
                None => Number::axis(atom),
            })
        })
    }

    /// The shape that ONNX sees.
    pub fn shape(&self, x: &Device) -> Vec<Number> {
        x.axes.iter().map(|group| self.size(group)).collect()
    }

    /// A number with the declared batch size for the batch.
    pub fn declared(&self, n: &Number) -> Number {
        match (n, self.batch) {
            (Number::Open { factor, axes, offset }, Some(size)) if axes.as_slice() == [BATCH] => {
                let n = factor.checked_mul(size as i64).and_then(|n| n.checked_add(*offset));
                n.map_or(Number::Unknown, Number::Known)
            }
            _ => n.clone(),
        }
    }

    /// Whether two numbers are the same; the declared batch size is the batch.
    pub fn same(&self, a: &Number, b: &Number) -> bool {
        !matches!(a, Number::Unknown | Number::Place | Number::Step) && self.declared(a) == self.declared(b)
    }

    fn fresh_name(&mut self, class: &str) -> String {
        let clean = |text: &str| {
            let mut name: String = text
                .chars()
                .map(|c| if c.is_alphanumeric() || "_.-".contains(c) { c } else { '_' })
                .collect();
            name = name.trim_matches(|c| c == '_' || c == '.').to_owned();
            name.chars().take(120).collect::<String>()
        };
        let base = match clean(&self.name) {
            name if name.is_empty() => clean(class).to_lowercase(),
            name => name,
        };
        let mut name = base.clone();
        let mut number = 1;
        while !self.names.insert(name.clone()) {
            name = format!("{base}_{number}");
            number += 1;
        }
        name
    }

    /// Keeps a name from being given to a layer.
    pub fn reserve(&mut self, name: &str) {
        self.names.insert(name.to_owned());
    }

    /// Applies a layer with weights of its own.
    pub fn apply(
        &mut self,
        layer: impl Into<Layer>,
        weights: Vec<ArrayD<f32>>,
        inputs: &[&Symbol],
    ) -> Result<Vec<Symbol>> {
        let layer = layer.into();
        let name = self.fresh_name(layer.class());
        let outputs = self.applied(&SharedLayer::new(layer).name(name.clone()), inputs)?;
        self.weights.insert(name, weights);
        Ok(outputs)
    }

    /// The same of a layer of one output.
    pub fn layer(
        &mut self,
        layer: impl Into<Layer>,
        weights: Vec<ArrayD<f32>>,
        input: &Symbol,
    ) -> Result<Symbol> {
        Ok(self.apply(layer, weights, &[input])?.swap_remove(0))
    }

    /// Applies the layer that `key` stands for, made by the first node that has this key.
    pub fn shared(
        &mut self,
        key: String,
        layer: impl Into<Layer>,
        weights: impl FnOnce() -> Vec<ArrayD<f32>>,
        inputs: &[&Symbol],
    ) -> Result<Vec<Symbol>> {
        if let Some(layer) = self.shared.get(&key).cloned() {
            return self.applied(&layer, inputs);
        }
        let layer = layer.into();
        let name = self.fresh_name(layer.class());
        let layer = SharedLayer::new(layer).name(name.clone());
        let outputs = self.applied(&layer, inputs)?;
        self.weights.insert(name.clone(), weights());
        self.layers.insert(key.clone(), name);
        self.shared.insert(key, layer);
        Ok(outputs)
    }

    fn applied(&self, layer: &SharedLayer, inputs: &[&Symbol]) -> Result<Vec<Symbol>> {
        apply(layer, inputs).map_err(|e| self.unsupported(e.to_string()))
    }

    /// A layer with options of other values, by Keras's names.
    pub fn configured(
        &self,
        layer: impl Into<Layer>,
        options: &[(&str, serde_json::Value)],
    ) -> Result<Layer> {
        let layer = layer.into();
        let mut data = serde_json::to_value(&layer).map_err(|e| self.damaged(e.to_string()))?;
        for (name, value) in options {
            match data.pointer_mut("/config").and_then(|config| config.get_mut(*name)) {
                Some(option) => *option = value.clone(),
                None => return Err(self.unsupported(format!("option {name} of {}", layer.class()))),
            }
        }
        serde_json::from_value(data).map_err(|e| self.unsupported(e.to_string()))
    }

    /// Says something once.
    pub fn note_once(&mut self, note: &str) {
        if !self.notes.iter().any(|n| n == note) {
            self.notes.push(note.to_owned());
        }
    }

    /// A number that nothing else has.
    pub fn key(&mut self) -> usize {
        self.keys += 1;
        self.keys
    }

    /// The number that stands for a text.
    pub fn keyed(&mut self, text: String) -> usize {
        let next = self.keys + 1;
        let key = *self.keyed.entry(text).or_insert(next);
        self.keys = self.keys.max(key);
        key
    }

    /// The weights of a layer.
    pub fn weights_of(&mut self, layer: &str) -> Vec<ArrayD<f32>> {
        self.weights.remove(layer).unwrap_or_default()
    }

    /// A symbol with its axes.
    pub fn device(&mut self, symbol: Symbol, physical: Vec<Group>, axes: Vec<Group>) -> Device {
        self.symbols += 1;
        Device {
            symbol,
            id: self.symbols,
            physical,
            axes,
            mask: None,
            flags: None,
            part: None,
            kind: Kind::Float,
            drawn: None,
            order: None,
            origin: None,
        }
    }

    /// Remembers that a value is of whole numbers, whatever it is cast to.
    pub fn mark_whole(&mut self, x: &Device) {
        self.whole.insert(x.id);
    }

    /// Remembers that masks are made of a value.
    pub fn mark_masking(&mut self, x: &Device) {
        self.masking.insert(x.id);
    }

    /// Whether masks are made of a value.
    pub fn is_masking(&self, x: &Device) -> bool {
        self.masking.contains(&x.id)
    }

    /// Remembers what a value is of another.
    pub fn set_formula(&mut self, x: &Device, part: Rc<Part>) {
        self.formulas.insert(x.id, part);
    }

    /// What is remembered of a value.
    pub fn formula_of(&self, x: &Device) -> Option<Rc<Part>> {
        self.formulas.get(&x.id).cloned()
    }

    /// Remembers that `y` has the steps of `x` in the opposite order.
    pub fn mark_reversed(&mut self, y: &Device, x: Device) {
        self.reversed.insert(y.id, x);
    }

    /// What a value was before its steps were put in the opposite order, with the axes that it has now.
    pub fn reversed(&self, y: &Device) -> Option<Device> {
        let x = self.reversed.get(&y.id)?;
        (x.axes == y.axes || x.axes.len() == y.axes.len())
            .then(|| Device { axes: y.axes.clone(), ..x.clone() })
    }

    /// Remembers a symbol that has a mask.
    pub fn carry(&mut self, mask: MaskOf, symbol: &Symbol) {
        self.carriers.insert(mask, symbol.clone());
    }

    /// A symbol that has this mask.
    pub fn carrier(&self, mask: MaskOf) -> Option<Symbol> {
        self.carriers.get(&mask).cloned()
    }

    /// The steps that either of two masks has.
    pub fn either(&mut self, a: MaskOf, c: MaskOf) -> MaskOf {
        if a == c {
            return a;
        }
        let known = self.either.iter().position(|&pair| pair == (a, c) || pair == (c, a));
        let at = known.unwrap_or(self.either.len());
        if known.is_none() {
            self.either.push((a, c));
        }
        MaskOf::Either(at)
    }

    /// The two masks that such a mask is made of.
    pub fn parts_of(&self, mask: MaskOf) -> Option<(MaskOf, MaskOf)> {
        match mask {
            MaskOf::Either(at) => self.either.get(at).copied(),
            _ => None,
        }
    }

    /// Remembers the lengths that a mask is of.
    pub fn set_lengths(&mut self, mask: MaskOf, lengths: Device) {
        self.lengths.insert(mask, lengths);
    }

    /// The lengths that a mask is of.
    pub fn lengths(&self, mask: MaskOf) -> Option<&Device> {
        self.lengths.get(&mask)
    }

    /// One of two layers of the same weights may be in the model, by what identifies them.
    pub fn one_of(&mut self, a: String, b: String) {
        self.alternatives.push((a, b));
    }

    /// Refuses a model that has a layer in two forms, which would be trained apart.
    pub fn check_alternatives(&self, layers: &[GraphLayer]) -> Result<()> {
        let is_there = |key: &String| {
            let name = self.layers.get(key);
            layers.iter().find(|layer| Some(&layer.name) == name)
        };
        for (a, b) in &self.alternatives {
            if let (Some(first), Some(_)) = (is_there(a), is_there(b)) {
                let problem =
                    "its outputs are repeated behind the lengths while its last states are used too";
                return Err(Error::unsupported(format!("layer {}", first.name), problem));
            }
        }
        Ok(())
    }

    /// Remembers how else the layer behind a mask that gave `x` can be.
    pub fn set_forms(&mut self, x: &Device, forms: Forms) {
        self.forms.insert(x.id, forms);
    }

    /// How else the layer that gave `x` can be.
    pub fn forms(&self, x: &Device) -> Option<&Forms> {
        self.forms.get(&x.id)
    }

    /// The layer that gave `x` with zeros at masked steps, once.
    pub fn take_zeroed(&mut self, x: &Device) -> Option<Zeroed> {
        self.forms.get_mut(&x.id)?.zeroed.take()
    }

    /// Whether a value is of whole numbers, whatever it was cast to.
    pub fn is_whole(&self, x: &Device) -> bool {
        x.kind != Kind::Float || self.whole.contains(&x.id)
    }

    /// What a layer that treats elements or rows alike made of `x`, whose mask goes on.
    pub fn like(&mut self, x: &Device, symbol: Symbol) -> Device {
        let mut y = self.device(symbol, x.physical.clone(), x.axes.clone());
        y.mask = x.mask;
        y
    }

    /// The shape of any value.
    pub fn shape_of(&self, value: &Value) -> Vec<Number> {
        match value {
            Value::Known(known) => known.shape.clone(),
            Value::Device(x) => self.shape(x),
            Value::Stack(Stack { axis, parts }) => {
                let mut shape = parts.first().map(|part| self.shape(part)).unwrap_or_default();
                if let Some(n) = shape.get_mut(*axis) {
                    *n = Number::Known(parts.len() as i64);
                }
                shape
            }
        }
    }

    /// A constant of a shape that is known, with nothing broadcast.
    pub fn plain(&mut self, known: &Known) -> Result<Known> {
        if known.is_plain() {
            return Ok(known.clone());
        }
        let dims: Option<Vec<usize>> = known.shape.iter().map(|n| usize::try_from(n.known()?).ok()).collect();
        let Some(dims) = dims else {
            let problem = format!("a constant of shape {} must be known whole here", text(&known.shape));
            return Err(self.unsupported(problem));
        };
        let sizes: Vec<u64> = dims.iter().map(|&n| n as u64).collect();
        let count = self.limits.elements(&self.place, &sizes)?;
        self.count(count)?;
        let tensor = known.tensor.expanded(&dims);
        tensor.map(Known::plain).ok_or_else(|| self.damaged(format!("a constant does not fit {dims:?}")))
    }
}
