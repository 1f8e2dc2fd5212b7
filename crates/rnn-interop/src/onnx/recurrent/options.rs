//! The layer of a direction: activations and the other options.

use super::Cell;
use super::weights::Weights;
use crate::Result;
use crate::onnx::builder::Builder;
use crate::onnx::node::Node;
use rnn_model::layer::{Gru, Layer, Lstm, SimpleRnn};
use serde_json::{Value as Json, json};

pub(super) struct Options {
    pub return_sequences: bool,
    pub return_state: bool,
    pub go_backwards: bool,
    pub zero_output_for_mask: bool,
}

/// The layer of a direction.
pub(super) fn layer(
    b: &mut Builder<'_>,
    node: &Node<'_>,
    cell: Cell,
    direction: usize,
    directions: usize,
    weights: &Weights,
    options: Options,
) -> Result<Layer> {
    let kinds = activations(b, node, cell, direction, directions)?;
    let mut settings: Vec<(&str, Json)> = vec![
        ("use_bias", weights.bias.is_some().into()),
        ("return_sequences", options.return_sequences.into()),
        ("return_state", options.return_state.into()),
        ("go_backwards", options.go_backwards.into()),
        ("zero_output_for_mask", options.zero_output_for_mask.into()),
    ];
    if let Some(clip) = node.maybe_float("clip")?.filter(|&clip| clip != 0.0) {
        settings.push(("clip", clip.into()));
    }
    let units = weights.units;
    let layer: Layer = match (cell, kinds.as_slice()) {
        (Cell::Lstm, [gates, candidate, output]) => {
            let output = if output == candidate { Json::Null } else { output.clone() };
            settings.extend([
                ("recurrent_activation", gates.clone()),
                ("activation", candidate.clone()),
                ("output_activation", output),
                ("unit_forget_bias", false.into()),
                ("peepholes", weights.peepholes.is_some().into()),
                ("input_forget", (node.int("input_forget", 0)? != 0).into()),
            ]);
            Lstm::new(units).into()
        }
        (Cell::Gru, [gates, candidate]) => {
            settings.extend([
                ("recurrent_activation", gates.clone()),
                ("activation", candidate.clone()),
                ("reset_after", weights.both_biases.into()),
            ]);
            Gru::new(units).into()
        }
        (Cell::Rnn, [kind]) => {
            settings.push(("activation", kind.clone()));
            SimpleRnn::new(units).into()
        }
        _ => return Err(b.damaged("another number of activations")),
    };
    b.configured(layer, &settings)
}

/// The activations of a direction, as layers name them.
fn activations(
    b: &Builder<'_>,
    node: &Node<'_>,
    cell: Cell,
    direction: usize,
    directions: usize,
) -> Result<Vec<Json>> {
    let default = cell.activations();
    let names = match node.strings("activations")? {
        Some(names) if names.len() == default.len() * directions => names,
        Some(names) => {
            let expected = default.len() * directions;
            return Err(b.damaged(format!("{} activations, expected {expected}", names.len())));
        }
        None => default.repeat(directions),
    };
    // Each activation that has a number takes the next of the list.
    let mut alphas = node.floats("activation_alpha")?.iter().copied();
    let mut betas = node.floats("activation_beta")?.iter().copied();
    let mut kinds = Vec::new();
    for name in &names {
        let mut alpha = |default: f32| alphas.next().unwrap_or(default);
        let mut beta = |default: f32| betas.next().unwrap_or(default);
        let with = |class: &str, config: Json| json!({ "class_name": class, "config": config });
        kinds.push(match name.to_ascii_lowercase().as_str() {
            "tanh" => "tanh".into(),
            "sigmoid" => "sigmoid".into(),
            "relu" => "relu".into(),
            "softsign" => "softsign".into(),
            "softplus" => "softplus".into(),
            "affine" => with("affine", json!({ "alpha": alpha(1.0), "beta": beta(0.0) })),
            "leakyrelu" => with("leaky_relu", json!({ "negative_slope": alpha(0.01) })),
            "thresholdedrelu" => {
                let threshold = alpha(1.0);
                with("relu", json!({ "negative_slope": 0.0, "max_value": null, "threshold": threshold }))
            }
            "scaledtanh" => with("scaled_tanh", json!({ "alpha": alpha(1.0), "beta": beta(1.0) })),
            "hardsigmoid" => with("hard_sigmoid", json!({ "alpha": alpha(0.2), "beta": beta(0.5) })),
            "elu" => with("elu", json!({ "alpha": alpha(1.0) })),
            other => return Err(b.unsupported(format!("activation {other}"))),
        });
    }
    let each = default.len();
    Ok(kinds[direction * each..(direction + 1) * each].to_vec())
}
