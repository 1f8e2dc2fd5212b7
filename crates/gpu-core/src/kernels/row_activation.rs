//! Log softmax and sparsemax over rows.
use super::operands::{ROW_GROUP, apart, elements, lanes, size};
use crate::buffer::expect_len;
use crate::{Call, Groups, Recorder, Result, Slice};
use rnn_shaders::row_activation::{KERNEL, Params};
use rnn_shaders::vocabulary::RowActivation;

/// `y[r, :] = kind(x[r, :])`: `x`, `y [rows, cols]`. A row with a NaN becomes NaN.
///
/// # Errors
/// [`ShapeMismatch`](crate::Error::ShapeMismatch); [`InvalidArgument`](crate::Error::InvalidArgument) where a row is too
/// long for a software adapter.
pub fn row_activation_forward(
    rec: &mut Recorder,
    kind: RowActivation,
    rows: usize,
    cols: usize,
    x: &Slice,
    y: &Slice,
) -> Result<()> {
    let op = "row_activation_forward";
    expect_len(op, "x", x, elements(&[rows, cols]))?;
    expect_len(op, "y", y, elements(&[rows, cols]))?;
    let x = apart(rec, x, &[y])?;
    record(rec, op, kind, (rows, cols), false, &x, &x, y)
}

/// The gradient of [`row_activation_forward`] from its output `y`; all `[rows, cols]`.
///
/// # Errors
/// As [`row_activation_forward`].
pub fn row_activation_backward(
    rec: &mut Recorder,
    kind: RowActivation,
    rows: usize,
    cols: usize,
    y: &Slice,
    dy: &Slice,
    dx: &Slice,
) -> Result<()> {
    let op = "row_activation_backward";
    expect_len(op, "y", y, elements(&[rows, cols]))?;
    expect_len(op, "dy", dy, elements(&[rows, cols]))?;
    expect_len(op, "dx", dx, elements(&[rows, cols]))?;
    let y = apart(rec, y, &[dx])?;
    let dy = apart(rec, dy, &[dx])?;
    record(rec, op, kind, (rows, cols), true, &y, &dy, dx)
}

#[allow(clippy::too_many_arguments, reason = "both directions' arguments")]
fn record(
    rec: &mut Recorder,
    operation: &'static str,
    kind: RowActivation,
    (rows, cols): (usize, usize),
    backward: bool,
    x: &Slice,
    dy: &Slice,
    y: &Slice,
) -> Result<()> {
    if y.is_empty() {
        return Ok(());
    }
    // Sparsemax halves its interval 26 times; the outer loop counts too.
    let passes = if kind == RowActivation::Sparsemax && !backward { 30 } else { 3 };
    let lanes = lanes(rec, operation, cols, passes)?;
    rec.call(Call {
        kernel: &KERNEL,
        overrides: &[
            ("LANES", lanes as f64),
            ("KIND", f64::from(kind as u32)),
            ("BACKWARD", f64::from(u8::from(backward))),
        ],
        buffers: &[x, dy, y],
        params: bytemuck::bytes_of(&Params {
            rows: size(operation, rows)?,
            cols: size(operation, cols)?,
            ..Default::default()
        }),
        groups: Groups::linear(rows, ROW_GROUP / lanes),
        flops: 8.0 * passes as f64 * y.len() as f64,
    })
}
