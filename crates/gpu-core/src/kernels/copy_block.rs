//! Copies between arrays with strides.
use super::operands::{ELEMENT_GROUP, apart, size};
use crate::{Call, Error, Groups, Recorder, Result, Slice};
use rnn_shaders::copy_block::{KERNEL, Params};
use rnn_shaders::shape::Block;

/// `y[i . to] (+)= x[i . from]` for every index `i` of the [`Block`]; what it does not name in `y` stays as it is. Without
/// `accumulate` bits are copied, so it serves flags as well.
///
/// # Errors
/// [`ShapeMismatch`](Error::ShapeMismatch) where `x` or `y` is shorter than the block reaches,
/// [`InvalidArgument`](Error::InvalidArgument) where two indices share a place in `y`.
pub fn copy_block(rec: &mut Recorder, block: Block, x: &Slice, y: &Slice) -> Result<()> {
    const NAME: &str = "copy_block";
    let (from, to) = block.spans();
    for (what, slice, expected) in [("x", x, from), ("y", y, to)] {
        if slice.len() < expected {
            return Err(Error::ShapeMismatch { operation: NAME, what, expected, got: slice.len() });
        }
    }
    if block.is_empty() {
        return Ok(());
    }
    let Some(block) = block.ordered() else {
        let reason =
            format!("two indices share a place in y: shape {:?}, strides {:?}", block.shape, block.to);
        return Err(Error::InvalidArgument { operation: NAME, reason });
    };
    let x = apart(rec, x, &[y])?;
    let [n0, n1, n2] = block.shape;
    let ([x0, x1, x2], [y0, y1, y2]) = (block.from, block.to);
    // The stride of an axis of one element is never used, and may be anything.
    let stride = |side: usize, stride: usize| size(NAME, if side > 1 { stride } else { 0 });
    rec.call(Call {
        kernel: &KERNEL,
        overrides: &[("ACCUMULATE", f64::from(u8::from(block.accumulate)))],
        buffers: &[&x, y],
        params: bytemuck::bytes_of(&Params {
            n0: size(NAME, n0)?,
            n1: size(NAME, n1)?,
            n2: size(NAME, n2)?,
            x0: stride(n0, x0)?,
            x1: stride(n1, x1)?,
            x2: stride(n2, x2)?,
            y0: stride(n0, y0)?,
            y1: stride(n1, y1)?,
            y2: stride(n2, y2)?,
            ..Default::default()
        }),
        groups: Groups::linear(block.len(), ELEMENT_GROUP),
        flops: block.len() as f64,
    })
}
