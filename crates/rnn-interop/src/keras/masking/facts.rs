//! What of a layer says how it treats masks.

use rnn_model::layer::Layer;
use serde_json::Value as Json;

/// Whether a layer's output has the steps of its first input, if both are sequences of any length.
pub(super) fn keeps_steps(layer: &Layer) -> bool {
    !matches!(
        layer,
        Layer::Slice(_)
            | Layer::Concatenate(_)
            | Layer::Permute(_)
            | Layer::Reshape(_)
            | Layer::RepeatVector(_)
            | Layer::Dot(_)
            | Layer::GLU(_)
    )
}

/// Whether a layer counts steps by the masks of all of its inputs.
pub(super) fn uses_mask_of_all(layer: &Layer) -> bool {
    matches!(layer, Layer::Multiply(_) | Layer::Maximum(_) | Layer::Minimum(_) | Layer::Concatenate(_))
}

/// Whether a layer is an operation in Keras, which knows nothing of masks.
pub(super) fn is_operation(layer: &Layer) -> bool {
    super::super::write::operation(layer, "").is_some()
}

/// Options of a layer, or of the one within it.
pub(super) struct Options(Json);

impl Options {
    pub fn of(layer: &Layer) -> Options {
        Options(serde_json::to_value(layer).unwrap_or_default())
    }

    pub fn get(&self, name: &str) -> Option<&Json> {
        ["/config/", "/config/layer/config/"].iter().find_map(|at| self.0.pointer(&format!("{at}{name}")))
    }

    pub fn on(&self, name: &str) -> bool {
        self.get(name) == Some(&Json::Bool(true))
    }

    pub fn number(&self, name: &str) -> f32 {
        self.get(name).and_then(Json::as_f64).unwrap_or(0.0) as f32
    }

    /// Of Permute: nothing is moved.
    pub fn keeps_order(&self) -> bool {
        let dims = self.get("dims").and_then(Json::as_array).into_iter().flatten();
        dims.enumerate().all(|(at, dim)| dim.as_u64() == Some(at as u64 + 1))
    }
}
