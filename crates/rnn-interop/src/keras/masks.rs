//! The step masks that Keras has for values, as far as they must be known to tell where it treats them otherwise than this
//! engine does: which values have one, and whether two have the same.

use super::graph::Data;
use rnn_model::layer::Layer;
use serde_json::Value;
use std::collections::HashMap;

/// A mask: two are equal where Keras computes the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Mask(u32);

/// How Keras computes a mask, or something on the way to one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum How {
    /// elements of a value that are not this number, by its bits
    NotEqual(u64, u32),
    /// steps with any such element
    Any(Mask),
    Or(Mask, Mask),
    /// the steps in the opposite order
    Flipped(Mask),
    /// with a last axis of 1
    Wide(Mask),
    /// 1 for each step of a value, and sums of these
    Ones(u64),
    Counts(u64),
    Steps(u64),
    /// the first steps, as many as this value says
    Lengths(u64),
    /// Another operation, on these.
    Other(String, Vec<u64>, Vec<Mask>),
}

/// All masks by how they are made.
#[derive(Default)]
pub(super) struct Masks {
    known: HashMap<How, Mask>,
    made: Vec<How>,
}

impl Masks {
    /// The mask that is made so.
    pub fn mask(&mut self, how: How) -> Mask {
        let next = Mask(self.made.len() as u32);
        let mask = *self.known.entry(how.clone()).or_insert(next);
        if mask == next {
            self.made.push(how);
        }
        mask
    }

    pub fn how(&self, mask: Mask) -> Option<&How> {
        self.made.get(mask.0 as usize)
    }

    /// Elements of value `id` that are not `value`.
    pub fn not_equal(&mut self, id: u64, value: f64) -> Mask {
        self.mask(How::NotEqual(id, (value as f32).to_bits()))
    }

    /// Where either is true.
    pub fn or(&mut self, a: Mask, b: Mask) -> Mask {
        if a == b { a } else { self.mask(How::Or(a, b)) }
    }

    /// Of an operation that is nothing else here; those with equal options on the same are equal.
    pub fn other(&mut self, class: &str, options: &[Value], values: &[u64], masks: &[Mask]) -> Mask {
        let options: Vec<String> = options.iter().map(Value::to_string).collect();
        self.mask(How::Other(format!("{class} {options:?}"), values.to_vec(), masks.to_vec()))
    }

    /// What Keras makes of the masks of values that are put together along `axis`.
    fn joined(&mut self, axis: &Value, inputs: &[Data]) -> Mask {
        let mut parts = Vec::new();
        for x in inputs {
            parts.push(match x.mask.or(x.lost) {
                None => self.mask(How::Ones(x.id)),
                Some(mask) => {
                    let wide = self.mask(How::Wide(mask));
                    let zeros = self.other("ZerosLike", &[], &[x.id], &[]);
                    self.or(wide, zeros)
                }
            });
        }
        let joined = self.other("Concatenate", std::slice::from_ref(axis), &[], &parts);
        self.mask(How::Any(joined))
    }

    /// The mask of a layer's outputs in Keras, or a sentence where this engine has another.
    pub fn of_outputs(&mut self, layer: &Layer, inputs: &[Data]) -> Result<Option<Mask>, &'static str> {
        let of = |x: &Data| x.mask.or(x.lost);
        let first = inputs.first().and_then(of);
        let options = || serde_json::to_value(layer).unwrap_or_default();
        let is_on = |name: &str| {
            let options = options();
            let value = ["/config/", "/config/layer/config/"]
                .iter()
                .find_map(|at| options.pointer(&format!("{at}{name}")));
            value == Some(&Value::Bool(true))
        };
        match layer {
            Layer::Masking(_) => {
                let value = options().pointer("/config/mask_value").and_then(Value::as_f64);
                let id = inputs.first().map_or(0, |x| x.id);
                let elements = self.not_equal(id, value.unwrap_or(0.0));
                Ok(Some(self.mask(How::Any(elements))))
            }
            Layer::Embedding(_) => {
                let id = inputs.first().map_or(0, |x| x.id);
                Ok(if is_on("mask_zero") { Some(self.not_equal(id, 0.0)) } else { None })
            }
            Layer::LSTM(_)
            | Layer::GRU(_)
            | Layer::SimpleRNN(_)
            | Layer::RNN(_)
            | Layer::Bidirectional(_) => Ok(if is_on("return_sequences") { first } else { None }),
            Layer::Flatten(_)
            | Layer::Reshape(_)
            | Layer::RepeatVector(_)
            | Layer::Permute(_)
            | Layer::Slice(_)
            | Layer::Dot(_)
            | Layer::Cell(_)
            | Layer::GlobalAveragePooling1D(_)
            | Layer::GlobalMaxPooling1D(_) => Ok(None),
            Layer::Add(_)
            | Layer::Subtract(_)
            | Layer::Divide(_)
            | Layer::Multiply(_)
            | Layer::Average(_)
            | Layer::Maximum(_)
            | Layer::Minimum(_) => {
                // Where an input has none, neither has the whole.
                let all: Option<Vec<Mask>> = inputs.iter().map(of).collect();
                Ok(all.unwrap_or_default().into_iter().reduce(|a, b| self.or(a, b)))
            }
            Layer::Concatenate(_) => {
                let axis = options().pointer("/config/axis").cloned().unwrap_or_default();
                Ok(inputs.iter().any(|x| of(x).is_some()).then(|| self.joined(&axis, inputs)))
            }
            Layer::TimeDistributed(_) if first.is_some() && counts(layer) => {
                Err("Keras hands a mask of steps to the layer within, this engine does not")
            }
            _ => Ok(first),
        }
    }
}

/// Whether it makes a difference to the layer's numbers which steps are masked.
pub(super) fn counts(layer: &Layer) -> bool {
    match layer {
        Layer::LSTM(_)
        | Layer::GRU(_)
        | Layer::SimpleRNN(_)
        | Layer::RNN(_)
        | Layer::Bidirectional(_)
        | Layer::GlobalAveragePooling1D(_)
        | Layer::Softmax(_)
        | Layer::Multiply(_)
        | Layer::Maximum(_)
        | Layer::Minimum(_)
        | Layer::Concatenate(_) => true,
        Layer::TimeDistributed(_) => {
            let layer = serde_json::to_value(layer).unwrap_or_default();
            layer.pointer("/config/layer/config/return_sequences").is_some()
        }
        _ => false,
    }
}
