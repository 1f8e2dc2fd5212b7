//! `add`, `sub`, `mul`, `scale`, `add_assign`.
use super::operands::{ELEMENT_GROUP, apart, size};
use crate::buffer::expect_len;
use crate::{Call, Groups, Recorder, Result, Slice};
use rnn_shaders::elementwise::{KERNEL, Params};

/// The codes of the kernel's `OP`.
#[derive(Clone, Copy)]
enum Op {
    Add = 0,
    Scale = 1,
    AddAssign = 2,
    Sub = 3,
    Mul = 4,
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
    let b = if matches!(op, Op::Add | Op::Sub | Op::Mul) { apart(rec, b, &[y])? } else { a.clone() };
    rec.call(Call {
        kernel: &KERNEL,
        overrides: &[("OP", op as u32 as f64)],
        buffers: &[&a, &b, y],
        params: bytemuck::bytes_of(&Params { n: size(operation, y.len())?, factor, ..Default::default() }),
        groups: Groups::linear(y.len(), ELEMENT_GROUP),
        flops: y.len() as f64,
    })
}
