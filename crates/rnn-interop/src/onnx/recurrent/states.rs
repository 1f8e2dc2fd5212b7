//! The steps there are, and the states to start from.

use super::Cell;
use crate::Result;
use crate::onnx::builder::Builder;
use crate::onnx::node::Node;
use crate::onnx::number::{Number, text};
use crate::onnx::slice;
use crate::onnx::tensor::Tensor;
use crate::onnx::value::{BATCH, Device, Group, Kind, MaskOf, Value};
use ndarray::{ArrayD, Ix2};
use rnn_model::layer::{ActivationLayer, Dense, GlobalMaxPooling1D, Lengths};
use rnn_model::{Parametric, Symbol};

/// The sequence with the mask that `sequence_lens` says.
pub(super) fn lengths(b: &mut Builder<'_>, node: &Node<'_>, x: Device) -> Result<Device> {
    let lens = match node.optional(4) {
        None => return b.unmasked(&x),
        Some(Value::Known(known)) => {
            let steps = b.size(&x.physical[0]);
            let all = known.tensor.uniform();
            return match (all, steps.known()) {
                (Some(all), Some(steps)) if all == steps as f32 => b.unmasked(&x),
                _ => Err(b.unsupported("constant sequence_lens that are not the number of steps")),
            };
        }
        Some(other) => b.computed(other)?,
    };
    if x.mask == Some(MaskOf::Lengths(lens.id)) {
        return Ok(x);
    }
    if lens.axes.as_slice() != [vec![BATCH]] {
        return Err(b.unsupported(format!("sequence_lens of shape {}", text(&b.shape(&lens)))));
    }
    behind_lengths(b, &x, &lens)
}

/// A sequence of which the first steps are there, as many as the lengths `[batch]` say.
pub(in crate::onnx) fn behind_lengths(b: &mut Builder<'_>, x: &Device, lens: &Device) -> Result<Device> {
    let x = b.unmasked(x)?;
    let arranged = b.arrange(lens, &[Group::new()])?;
    let symbol = b.apply(Lengths::new(), Vec::new(), &[&x.symbol, &arranged.symbol])?.swap_remove(0);
    let mut y = b.like(&x, symbol);
    y.mask = Some(MaskOf::Lengths(lens.id));
    Ok(y)
}

/// The states to start from, in the order of the layer's inputs; none where all are zero.
pub(super) fn initial_states(
    b: &mut Builder<'_>,
    node: &Node<'_>,
    cell: Cell,
    directions: usize,
    units: usize,
    by_sample: bool,
    x: &Device,
) -> Result<Vec<Symbol>> {
    let axis = usize::from(by_sample);
    let mut given: Vec<Option<Vec<Symbol>>> = Vec::new();
    for i in 5..if cell == Cell::Lstm { 7 } else { 6 } {
        let Some(value) = node.optional(i) else {
            given.push(None);
            continue;
        };
        if let Value::Known(known) = value
            && known.uniform() == Some(0.0)
        {
            given.push(None);
            continue;
        }
        if b.shape_of(value).len() != 3 {
            let problem = format!("an initial state of shape {}", text(&b.shape_of(value)));
            return Err(b.damaged(problem));
        }
        let mut symbols = Vec::new();
        for part in slice::elements(b, value, axis, directions)? {
            symbols.push(state(b, &part, units, x)?);
        }
        given.push(Some(symbols));
    }
    completed(b, &given, directions)
}

/// The states of each direction; zeros for those that are not given, and none where no state is.
fn completed(b: &mut Builder<'_>, given: &[Option<Vec<Symbol>>], directions: usize) -> Result<Vec<Symbol>> {
    let Some(some) = given.iter().flatten().next().cloned() else { return Ok(Vec::new()) };
    let mut states = Vec::new();
    for direction in 0..directions {
        for state in given {
            states.push(match state {
                Some(symbols) => symbols[direction].clone(),
                // The other state starts from zero.
                None => zero(b, &some[direction])?,
            });
        }
    }
    Ok(states)
}

/// The states `[batch, units]` of a cell to start from; none where all are zero.
pub(in crate::onnx) fn given(
    b: &mut Builder<'_>,
    firsts: &[&Value],
    units: usize,
    x: &Device,
) -> Result<Vec<Symbol>> {
    let mut given = Vec::new();
    for first in firsts {
        given.push(match first {
            Value::Known(known) if known.uniform() == Some(0.0) => None,
            other => Some(vec![state(b, other, units, x)?]),
        });
    }
    completed(b, &given, 1)
}

/// Zeros of the shape of a symbol.
fn zero(b: &mut Builder<'_>, like: &Symbol) -> Result<Symbol> {
    let layer = ActivationLayer::new(Parametric::Affine { alpha: 0.0, beta: 0.0 });
    b.layer(layer, Vec::new(), like)
}

/// A state `[batch, units]` of one direction as `[units]` of each sample.
fn state(b: &mut Builder<'_>, value: &Value, units: usize, x: &Device) -> Result<Symbol> {
    let known = match value {
        Value::Known(known) => known,
        other => {
            let h = b.computed(other)?;
            let refuse = |b: &Builder<'_>, h: &Device| {
                b.unsupported(format!("an initial state of shape {}", text(&b.shape(h))))
            };
            if h.batch_axis() != Some(0) || h.axes.len() != 2 || h.kind != Kind::Float {
                return Err(refuse(b, &h));
            }
            if b.known_size(&h.axes[1]) != Some(units) {
                return Err(refuse(b, &h));
            }
            let group = h.axes[1].clone();
            return Ok(b.arrange(&h, &[group])?.symbol);
        }
    };
    // A constant: the same for all samples, and so the bias of a layer that is given zeros.
    let rows = match known.tensor.as_ref() {
        Tensor::Float(values) => values.clone(),
        _ => return Err(b.damaged("an initial state of whole numbers")),
    };
    let rows = rows.into_dimensionality::<Ix2>().map_err(|e| b.damaged(e.to_string()))?;
    let Some(first) = rows.outer_iter().next() else { return Err(b.damaged("an empty initial state")) };
    if rows.outer_iter().any(|row| row != first) {
        return Err(b.unsupported("a constant initial state that differs from sample to sample"));
    }
    if known.shape[1] != Number::Known(units as i64) {
        return Err(b.damaged(format!("an initial state of shape {}", text(&known.shape))));
    }
    let first =
        first.broadcast(units).ok_or_else(|| b.damaged("an initial state of another size"))?.to_owned();
    let pooled = b.layer(GlobalMaxPooling1D::new(), Vec::new(), &x.symbol)?;
    let zeros = zero(b, &pooled)?;
    let features = b.known_size(&x.physical[1]).unwrap_or(0);
    b.count(features.saturating_mul(units))?;
    let kernel = ArrayD::zeros(vec![features, units]);
    b.layer(Dense::new(units), vec![kernel, first.into_dyn()], &zeros)
}
