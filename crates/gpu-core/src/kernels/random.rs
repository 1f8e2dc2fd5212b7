//! Streams of Philox4x32-10 as they are: the test face of what dropout draws.
use super::operands::{ELEMENT_GROUP, size};
use crate::{Call, Groups, Recorder, Result, Slice};
use rnn_shaders::random::{KERNEL, Params};

/// `out[i]` = element `i` of the stream, uniform in `[0, 1)` with 24 bits. Key: the seed's low and high word; counter:
/// `(i / 4, stream, rng_step of the step record, 0)`, lane `i % 4`.
///
/// # Errors
/// Those of [`Recorder::call`].
pub fn random_uniform(rec: &mut Recorder, seed: u64, stream: u32, out: &Slice) -> Result<()> {
    record(rec, "random_uniform", false, seed, [0, stream, 0], out)
}

/// The raw words of the generator as u32: block `j` of four words has the counter
/// `(counter[0] + j, counter[1], rng_step of the step record, counter[2])`. For tests against known answers.
///
/// # Errors
/// Those of [`Recorder::call`].
pub fn random_bits(rec: &mut Recorder, seed: u64, counter: [u32; 3], out: &Slice) -> Result<()> {
    record(rec, "random_bits", true, seed, counter, out)
}

fn record(
    rec: &mut Recorder,
    operation: &'static str,
    bits: bool,
    seed: u64,
    [block, stream, word3]: [u32; 3],
    out: &Slice,
) -> Result<()> {
    if out.is_empty() {
        return Ok(());
    }
    rec.call(Call {
        kernel: &KERNEL,
        overrides: &[("BITS", f64::from(u8::from(bits)))],
        buffers: &[out],
        params: bytemuck::bytes_of(&Params {
            n: size(operation, out.len())?,
            seed_lo: seed as u32,
            seed_hi: (seed >> 32) as u32,
            block,
            stream,
            word3,
            ..Default::default()
        }),
        groups: Groups::linear(out.len().div_ceil(4), ELEMENT_GROUP),
        flops: 50.0 * out.len() as f64,
    })
}
