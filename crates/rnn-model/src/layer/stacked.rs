//! Recurrent layers on top of each other.

use super::{Dropout, Layer};
use crate::{Error, Result};

/// `layers` recurrent layers of one kind (or bidirectional ones) on top of each other, with dropout between them while training: PyTorch's
/// `num_layers` and `dropout`. All but the last give their outputs at every step; the last is `layer` as it is.
///
/// Each layer keeps states and is initialized by itself. As in PyTorch nothing is dropped behind the last layer.
///
/// ```
/// use rnn_model::{Device, Input, Sequential, layer::{Dense, Lstm, stacked}};
/// let model = Sequential::new(Input::sequence(None, 8))
///     .layers(stacked(Lstm::new(64), 3, 0.2)?)
///     .layer(Dense::new(1))
///     .build(&Device::cpu())?;
/// assert_eq!(model.graph().layer_names(), ["lstm", "dropout", "lstm_1", "dropout_1", "lstm_2", "dense"]);
/// # Ok::<(), rnn_model::Error>(())
/// ```
///
/// # Errors
/// When there are no layers, the rate is not in `[0, 1)`, or `layer` is no recurrent one.
pub fn stacked(layer: impl Into<Layer>, layers: usize, dropout: f32) -> Result<Vec<Layer>> {
    let last = layer.into();
    if layers == 0 || !(0.0..1.0).contains(&dropout) {
        let problem =
            format!("needs at least one layer and a rate in [0, 1), got {layers} layers and {dropout}");
        return Err(Error::invalid("stacked", problem));
    }
    let mut inner = last.clone();
    if !give_every_step(&mut inner) {
        let problem = format!("takes a recurrent layer, got {}", last.class());
        return Err(Error::invalid("stacked", problem));
    }
    let mut all: Vec<Layer> = Vec::new();
    for _ in 1..layers {
        all.push(inner.clone());
        if dropout > 0.0 {
            all.push(Dropout::new(dropout).into());
        }
    }
    all.push(last);
    Ok(all)
}

/// Sets `return_sequences`, where there is such an option.
fn give_every_step(layer: &mut Layer) -> bool {
    if let Layer::Bidirectional(both) = layer {
        return both.layers_mut().all(give_every_step);
    }
    let Some(options) = layer.sequence_mut() else { return false };
    options.return_sequences = true;
    true
}
