//! Activations on their own, outside a product or a cell.
use super::operands::{ELEMENT_GROUP, apart, size};
use crate::buffer::expect_len;
use crate::{Call, Groups, Recorder, Result, Slice};
use rnn_shaders::activation::{ACT, KERNEL, Params, constants};
use rnn_shaders::vocabulary::Activation;

/// `y = kind(x)`, element by element; any length.
///
/// # Errors
/// [`ShapeMismatch`](crate::Error::ShapeMismatch) where the lengths differ.
pub fn activation_forward(rec: &mut Recorder, kind: Activation, x: &Slice, y: &Slice) -> Result<()> {
    expect_len("activation_forward", "x", x, y.len())?;
    let x = apart(rec, x, &[y])?;
    record(rec, "activation_forward", kind, false, &x, &x, y)
}

/// `dx = dy * kind'(..)`, where `saved` is the output of the forward pass if
/// [`derivative_from_output`](Activation::derivative_from_output), else its input.
///
/// # Errors
/// [`ShapeMismatch`](crate::Error::ShapeMismatch) where the lengths differ.
pub fn activation_backward(
    rec: &mut Recorder,
    kind: Activation,
    saved: &Slice,
    dy: &Slice,
    dx: &Slice,
) -> Result<()> {
    expect_len("activation_backward", "saved", saved, dx.len())?;
    expect_len("activation_backward", "dy", dy, dx.len())?;
    let saved = apart(rec, saved, &[dx])?;
    let dy = apart(rec, dy, &[dx])?;
    record(rec, "activation_backward", kind, true, &saved, &dy, dx)
}

fn record(
    rec: &mut Recorder,
    operation: &'static str,
    kind: Activation,
    backward: bool,
    x: &Slice,
    dy: &Slice,
    y: &Slice,
) -> Result<()> {
    if y.is_empty() {
        return Ok(());
    }
    let [a, b, c, d] = constants(&ACT, kind);
    rec.call(Call {
        kernel: &KERNEL,
        overrides: &[a, b, c, d, ("BACKWARD", f64::from(u8::from(backward)))],
        buffers: &[x, dy, y],
        params: bytemuck::bytes_of(&Params { n: size(operation, y.len())?, ..Default::default() }),
        groups: Groups::linear(y.len(), ELEMENT_GROUP),
        flops: 20.0 * y.len() as f64,
    })
}
