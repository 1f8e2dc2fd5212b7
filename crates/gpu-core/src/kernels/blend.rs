//! A mixture of two arrays.
use super::operands::{ELEMENT_GROUP, apart, size};
use crate::buffer::expect_len;
use crate::{Call, Error, Groups, Recorder, Result, Slice};
use rnn_shaders::blend::{KERNEL, Params};
use rnn_shaders::vocabulary::Draw;

/// The codes of the kernel's `SIDE`.
#[derive(Clone, Copy)]
enum Side {
    Both = 0,
    A = 1,
    B = 2,
}

/// `y = m a + (1 - m) b`. With `draw`, `m[i]` is 1 where the random number of element `i` is below `rate`, else 0; without,
/// `m` is `rate` everywhere, what is to be expected.
///
/// # Errors
/// [`ShapeMismatch`](Error::ShapeMismatch), [`InvalidArgument`](Error::InvalidArgument) where `rate` is not in `[0, 1]`.
pub fn blend(
    rec: &mut Recorder,
    rate: f32,
    draw: Option<Draw>,
    a: &Slice,
    b: &Slice,
    y: &Slice,
) -> Result<()> {
    expect_len("blend", "a", a, y.len())?;
    expect_len("blend", "b", b, y.len())?;
    record(rec, "blend", rate, draw, Side::Both, a, b, y)
}

/// The gradient of [`blend`] by `a` (`d = m dy`), or, where not `of_a`, by `b` (`d = (1 - m) dy`).
///
/// # Errors
/// As [`blend`].
pub fn blend_backward(
    rec: &mut Recorder,
    rate: f32,
    draw: Option<Draw>,
    of_a: bool,
    dy: &Slice,
    d: &Slice,
) -> Result<()> {
    expect_len("blend_backward", "dy", dy, d.len())?;
    record(rec, "blend_backward", rate, draw, if of_a { Side::A } else { Side::B }, dy, dy, d)
}

#[allow(clippy::too_many_arguments)]
fn record(
    rec: &mut Recorder,
    operation: &'static str,
    rate: f32,
    draw: Option<Draw>,
    side: Side,
    a: &Slice,
    b: &Slice,
    y: &Slice,
) -> Result<()> {
    if !(0.0..=1.0).contains(&rate) {
        let reason = format!("a rate of {rate} is not at least 0 and at most 1");
        return Err(Error::InvalidArgument { operation, reason });
    }
    if y.is_empty() {
        return Ok(());
    }
    let a = apart(rec, a, &[y])?;
    let b = if matches!(side, Side::Both) { apart(rec, b, &[y])? } else { a.clone() };
    let Draw { seed, stream, part } = draw.unwrap_or_default();
    rec.call(Call {
        kernel: &KERNEL,
        overrides: &[("DRAWN", f64::from(u8::from(draw.is_some()))), ("SIDE", side as u32 as f64)],
        buffers: &[&a, &b, y],
        params: bytemuck::bytes_of(&Params {
            n: size(operation, y.len())?,
            seed_lo: seed as u32,
            seed_hi: (seed >> 32) as u32,
            stream,
            part,
            rate,
            ..Default::default()
        }),
        groups: Groups::linear(y.len().div_ceil(4), ELEMENT_GROUP),
        flops: 50.0 * y.len() as f64,
    })
}
