//! Softmax over rows.
use super::operands::{ROW_GROUP, apart, elements, lanes, size};
use crate::buffer::expect_len;
use crate::{Call, Groups, Recorder, Result, Slice};
use rnn_shaders::softmax::{KERNEL, Params};

/// `y[r, :] = softmax(x[r, :])`: `x`, `y [rows, cols]`. A row with a NaN becomes NaN.
///
/// # Errors
/// [`ShapeMismatch`](crate::Error::ShapeMismatch); [`InvalidArgument`](crate::Error::InvalidArgument) where a row is too
/// long for a software adapter.
pub fn softmax_forward(rec: &mut Recorder, rows: usize, cols: usize, x: &Slice, y: &Slice) -> Result<()> {
    expect_len("softmax_forward", "x", x, elements(&[rows, cols]))?;
    expect_len("softmax_forward", "y", y, elements(&[rows, cols]))?;
    let x = apart(rec, x, &[y])?;
    record(rec, "softmax_forward", (rows, cols), false, &x, &x, y)
}

/// `dx[r, :] = y[r, :] * (dy[r, :] - sum(y[r, :] dy[r, :]))`, with `y` the output of the forward pass; all `[rows, cols]`.
///
/// # Errors
/// As [`softmax_forward`].
pub fn softmax_backward(
    rec: &mut Recorder,
    rows: usize,
    cols: usize,
    y: &Slice,
    dy: &Slice,
    dx: &Slice,
) -> Result<()> {
    expect_len("softmax_backward", "y", y, elements(&[rows, cols]))?;
    expect_len("softmax_backward", "dy", dy, elements(&[rows, cols]))?;
    expect_len("softmax_backward", "dx", dx, elements(&[rows, cols]))?;
    let y = apart(rec, y, &[dx])?;
    let dy = apart(rec, dy, &[dx])?;
    record(rec, "softmax_backward", (rows, cols), true, &y, &dy, dx)
}

fn record(
    rec: &mut Recorder,
    operation: &'static str,
    (rows, cols): (usize, usize),
    backward: bool,
    x: &Slice,
    dy: &Slice,
    y: &Slice,
) -> Result<()> {
    if y.is_empty() {
        return Ok(());
    }
    let lanes = lanes(rec, operation, cols, 3)?;
    rec.call(Call {
        kernel: &KERNEL,
        overrides: &[("LANES", lanes as f64), ("BACKWARD", f64::from(u8::from(backward)))],
        buffers: &[x, dy, y],
        params: bytemuck::bytes_of(&Params {
            rows: size(operation, rows)?,
            cols: size(operation, cols)?,
            ..Default::default()
        }),
        groups: Groups::linear(rows, ROW_GROUP / lanes),
        flops: 20.0 * y.len() as f64,
    })
}
