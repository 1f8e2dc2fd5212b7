//! `seq[cursor * stride ..] = x`.
use super::operands::{ELEMENT_GROUP, apart, size};
use crate::{Call, Groups, Recorder, Result, Slice};
use rnn_shaders::store_step::{KERNEL, Params};

/// Writes `x` to `seq` from element `cursor * stride` on; the cursor is that of the step record. What would stand past the
/// end of `seq` is not written. Bit for bit.
///
/// # Errors
/// [`InvalidArgument`](crate::Error::InvalidArgument) where a size does not fit into 32 bits.
pub fn store_step(rec: &mut Recorder, stride: usize, x: &Slice, seq: &Slice) -> Result<()> {
    let n = x.len();
    if n == 0 {
        return Ok(());
    }
    let x = apart(rec, x, &[seq])?;
    rec.call(Call {
        kernel: &KERNEL,
        overrides: &[],
        buffers: &[&x, seq],
        params: bytemuck::bytes_of(&Params {
            n: size("store_step", n)?,
            stride: size("store_step", stride)?,
            len: size("store_step", seq.len())?,
            ..Default::default()
        }),
        groups: Groups::linear(n, ELEMENT_GROUP),
        flops: n as f64,
    })
}
