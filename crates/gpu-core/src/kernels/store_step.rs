//! `seq[cursor] = x`.
use super::operands::{ELEMENT_GROUP, apart, size};
use crate::buffer::expect_len;
use crate::{Call, Groups, Recorder, Result, Slice};
use rnn_shaders::store_step::{KERNEL, Params};

/// Writes `x [n]` to step `cursor` of `seq [steps, n]`; the cursor is that of the step record. A cursor outside `seq`
/// writes nothing. Bit for bit.
///
/// # Errors
/// [`ShapeMismatch`](crate::Error::ShapeMismatch) where `x` is not `n` long or `seq` is no whole number of steps.
pub fn store_step(rec: &mut Recorder, n: usize, x: &Slice, seq: &Slice) -> Result<()> {
    expect_len("store_step", "x", x, n)?;
    if n == 0 {
        return Ok(());
    }
    let steps = seq.len() / n;
    expect_len("store_step", "seq", seq, steps.max(1) * n)?;
    let x = apart(rec, x, &[seq])?;
    rec.call(Call {
        kernel: &KERNEL,
        overrides: &[],
        buffers: &[&x, seq],
        params: bytemuck::bytes_of(&Params {
            n: size("store_step", n)?,
            steps: size("store_step", steps)?,
            ..Default::default()
        }),
        groups: Groups::linear(n, ELEMENT_GROUP),
        flops: n as f64,
    })
}
