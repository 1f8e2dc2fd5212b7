//! `y[i] = value`.
use crate::{Call, Groups, Recorder, Result, Slice};
use rnn_shaders::fill::{KERNEL, Params};

/// Writes `value` to every element of `y`.
///
/// # Errors
/// Those of [`Recorder::call`].
pub fn fill(rec: &mut Recorder, value: f32, y: &Slice) -> Result<()> {
    if y.is_empty() {
        return Ok(());
    }
    rec.call(Call {
        kernel: &KERNEL,
        overrides: &[],
        buffers: &[y],
        params: bytemuck::bytes_of(&Params { n: y.len() as u32, value, ..Default::default() }),
        groups: Groups::linear(y.len(), 64),
        flops: y.len() as f64,
    })
}
