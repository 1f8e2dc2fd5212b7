//! The step masks that Keras has for values, as far as they must be known to tell where it treats them otherwise than this
//! engine does: which values have one, and whether two have the same.

use super::graph::Data;
use rnn_model::layer::Layer;
use std::collections::HashMap;

/// A mask: two are equal where Keras computes the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Mask(u32);

impl Mask {
    /// made of other masks
    pub const JOINED: Mask = Mask(0);
    const FIRST: u32 = 1;
}

/// All masks by how they are made.
#[derive(Default)]
pub(super) struct Masks {
    known: HashMap<(u64, u64, bool), Mask>,
    any_of: HashMap<Mask, Mask>,
}

impl Masks {
    fn mask(&mut self, key: (u64, u64, bool)) -> Mask {
        let next = Mask(Mask::FIRST + self.known.len() as u32);
        *self.known.entry(key).or_insert(next)
    }

    /// Elements of value `id` that are not `value`.
    pub fn not_equal(&mut self, id: u64, value: f64) -> Mask {
        let elements = self.mask((id, (value as f32).to_bits().into(), false));
        let steps = self.mask((id, (value as f32).to_bits().into(), true));
        self.any_of.insert(elements, steps);
        elements
    }

    /// Steps with any such element.
    pub fn any(&self, mask: Mask) -> Mask {
        self.any_of.get(&mask).copied().unwrap_or(Mask::JOINED)
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
            value == Some(&serde_json::Value::Bool(true))
        };
        match layer {
            Layer::Masking(_) => {
                let value = options().pointer("/config/mask_value").and_then(serde_json::Value::as_f64);
                let id = inputs.first().map_or(0, |x| x.id);
                let elements = self.not_equal(id, value.unwrap_or(0.0));
                Ok(Some(self.any(elements)))
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
                let all: Vec<Option<Mask>> = inputs.iter().map(of).collect();
                match first {
                    _ if all.iter().all(Option::is_none) => Ok(None),
                    Some(_) if all.iter().all(|mask| *mask == first) => Ok(first),
                    _ if all.contains(&None) => Ok(None),
                    _ => Ok(Some(Mask::JOINED)),
                }
            }
            Layer::Concatenate(_) => Ok(inputs.iter().any(|x| of(x).is_some()).then_some(Mask::JOINED)),
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
