//! A step along a direction, as far as the norms of each variable allow.
use super::norm::{cut, pairs, upload};
use super::operands::{apart, size};
use crate::buffer::expect_len;
use crate::{Call, Groups, Recorder, Result, Slice};
use rnn_shaders::trust_step::{KERNEL, Params};
use rnn_shaders::vocabulary::Trust;

/// `params -= rate direction` for each segment (pairs of offset and length), its rate by [`Trust`] from the sums of squares
/// that [`segment_norms`](super::segment_norms) gives for the weights and for the direction. In a step on HOLD nothing is
/// written.
///
/// # Errors
/// [`ShapeMismatch`](crate::Error::ShapeMismatch) where a length differs or a segment reaches past the end.
pub fn trust_step(
    rec: &mut Recorder,
    trust: Trust,
    segments: &[u32],
    weight_sumsq: &Slice,
    direction_sumsq: &Slice,
    direction: &Slice,
    params: &Slice,
) -> Result<()> {
    const NAME: &str = "trust_step";
    let segments = pairs(NAME, segments, params)?;
    expect_len(NAME, "direction", direction, params.len())?;
    expect_len(NAME, "weight_sumsq", weight_sumsq, segments.len())?;
    expect_len(NAME, "direction_sumsq", direction_sumsq, segments.len())?;
    let mut words = Vec::new();
    for (index, &(offset, len)) in (0u32..).zip(&segments) {
        let blocks = cut(offset, len).filter(|block| block.1 > 0);
        words.extend(blocks.flat_map(|(at, part)| [at, part, index, len]));
    }
    if words.is_empty() {
        return Ok(());
    }
    let table = upload(rec, &words)?;
    let direction = apart(rec, direction, &[params])?;
    let (lamb, epsilon_2, clip_threshold) = match trust {
        Trust::Lamb => (1.0, 0.0, 1.0),
        Trust::Adafactor { epsilon_2, clip_threshold } => (0.0, epsilon_2 as f32, clip_threshold as f32),
    };
    rec.call(Call {
        kernel: &KERNEL,
        overrides: &[("LAMB", lamb)],
        buffers: &[&table, weight_sumsq, direction_sumsq, &direction, params],
        params: bytemuck::bytes_of(&Params {
            blocks: size(NAME, words.len() / 4)?,
            epsilon_2,
            clip_threshold,
            ..Default::default()
        }),
        groups: Groups::linear(words.len() / 4, 1),
        flops: 2.0 * params.len() as f64,
    })
}
