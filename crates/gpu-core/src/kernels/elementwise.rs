//! Sums, products, quotients and extremes of whole arrays.
use super::operands::{ELEMENT_GROUP, apart, size};
use crate::buffer::expect_len;
use crate::{Call, Groups, Recorder, Result, Slice};
use rnn_shaders::elementwise::{KERNEL, Params};
use rnn_shaders::maximum_backward;

/// The codes of the kernel's `OP`.
#[derive(Clone, Copy)]
enum Op {
    Add = 0,
    Scale = 1,
    AddAssign = 2,
    Sub = 3,
    Mul = 4,
    Div = 5,
    Max = 6,
    Min = 7,
}

/// `y = a + b`, element by element.
///
/// # Errors
/// [`ShapeMismatch`](crate::Error::ShapeMismatch) where the lengths differ.
pub fn add(rec: &mut Recorder, a: &Slice, b: &Slice, y: &Slice) -> Result<()> {
    expect_len("add", "a", a, y.len())?;
    expect_len("add", "b", b, y.len())?;
    record(rec, "add", Op::Add, 0.0, a, b, y)
}

/// `y = a - b`, element by element.
///
/// # Errors
/// [`ShapeMismatch`](crate::Error::ShapeMismatch) where the lengths differ.
pub fn sub(rec: &mut Recorder, a: &Slice, b: &Slice, y: &Slice) -> Result<()> {
    expect_len("sub", "a", a, y.len())?;
    expect_len("sub", "b", b, y.len())?;
    record(rec, "sub", Op::Sub, 0.0, a, b, y)
}

/// `y = a * b`, element by element.
///
/// # Errors
/// [`ShapeMismatch`](crate::Error::ShapeMismatch) where the lengths differ.
pub fn mul(rec: &mut Recorder, a: &Slice, b: &Slice, y: &Slice) -> Result<()> {
    expect_len("mul", "a", a, y.len())?;
    expect_len("mul", "b", b, y.len())?;
    record(rec, "mul", Op::Mul, 0.0, a, b, y)
}

/// `y = a / b`, element by element.
///
/// # Errors
/// [`ShapeMismatch`](crate::Error::ShapeMismatch) where the lengths differ.
pub fn div(rec: &mut Recorder, a: &Slice, b: &Slice, y: &Slice) -> Result<()> {
    expect_len("div", "a", a, y.len())?;
    expect_len("div", "b", b, y.len())?;
    record(rec, "div", Op::Div, 0.0, a, b, y)
}

/// `y = max(a, b)`, NaN where either is, element by element.
///
/// # Errors
/// [`ShapeMismatch`](crate::Error::ShapeMismatch) where the lengths differ.
pub fn maximum(rec: &mut Recorder, a: &Slice, b: &Slice, y: &Slice) -> Result<()> {
    expect_len("maximum", "a", a, y.len())?;
    expect_len("maximum", "b", b, y.len())?;
    record(rec, "maximum", Op::Max, 0.0, a, b, y)
}

/// `y = min(a, b)`, NaN where either is, element by element.
///
/// # Errors
/// [`ShapeMismatch`](crate::Error::ShapeMismatch) where the lengths differ.
pub fn minimum(rec: &mut Recorder, a: &Slice, b: &Slice, y: &Slice) -> Result<()> {
    expect_len("minimum", "a", a, y.len())?;
    expect_len("minimum", "b", b, y.len())?;
    record(rec, "minimum", Op::Min, 0.0, a, b, y)
}

/// `da = dy` where `a > b`, half of it where they are equal, else 0: the gradient of [`maximum`] by `a`. That by `b` is the same
/// with the two exchanged, and so is that of [`minimum`] by `a`.
///
/// # Errors
/// [`ShapeMismatch`](crate::Error::ShapeMismatch) where the lengths differ.
pub fn maximum_backward(rec: &mut Recorder, a: &Slice, b: &Slice, dy: &Slice, da: &Slice) -> Result<()> {
    const NAME: &str = "maximum_backward";
    for (what, slice) in [("a", a), ("b", b), ("dy", dy)] {
        expect_len(NAME, what, slice, da.len())?;
    }
    if da.is_empty() {
        return Ok(());
    }
    let (a, b, dy) = (apart(rec, a, &[da])?, apart(rec, b, &[da])?, apart(rec, dy, &[da])?);
    rec.call(Call {
        kernel: &maximum_backward::KERNEL,
        overrides: &[],
        buffers: &[&a, &b, &dy, da],
        params: bytemuck::bytes_of(&maximum_backward::Params {
            n: size(NAME, da.len())?,
            ..Default::default()
        }),
        groups: Groups::linear(da.len(), ELEMENT_GROUP),
        flops: da.len() as f64,
    })
}

/// `y = factor * x`.
///
/// # Errors
/// [`ShapeMismatch`](crate::Error::ShapeMismatch) where the lengths differ.
pub fn scale(rec: &mut Recorder, factor: f32, x: &Slice, y: &Slice) -> Result<()> {
    expect_len("scale", "x", x, y.len())?;
    record(rec, "scale", Op::Scale, factor, x, x, y)
}

/// `y += x`.
///
/// # Errors
/// [`ShapeMismatch`](crate::Error::ShapeMismatch) where the lengths differ.
pub fn add_assign(rec: &mut Recorder, x: &Slice, y: &Slice) -> Result<()> {
    expect_len("add_assign", "x", x, y.len())?;
    record(rec, "add_assign", Op::AddAssign, 0.0, x, x, y)
}

fn record(
    rec: &mut Recorder,
    operation: &'static str,
    op: Op,
    factor: f32,
    a: &Slice,
    b: &Slice,
    y: &Slice,
) -> Result<()> {
    if y.is_empty() {
        return Ok(());
    }
    let a = apart(rec, a, &[y])?;
    let b = if matches!(op, Op::Scale | Op::AddAssign) { a.clone() } else { apart(rec, b, &[y])? };
    rec.call(Call {
        kernel: &KERNEL,
        overrides: &[("OP", op as u32 as f64)],
        buffers: &[&a, &b, y],
        params: bytemuck::bytes_of(&Params { n: size(operation, y.len())?, factor, ..Default::default() }),
        groups: Groups::linear(y.len(), ELEMENT_GROUP),
        flops: y.len() as f64,
    })
}
