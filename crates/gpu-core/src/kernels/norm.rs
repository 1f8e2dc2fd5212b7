//! Norms of segments of one array (the gradients of each variable) and clipping by them.
use super::operands::{apart, size};
use super::sum_all;
use crate::buffer::expect_len;
use crate::{Call, Error, Groups, Recorder, Result, Slice};
use rnn_shaders::{clip_by_norm as clip, segment_sum};

/// Values that one workgroup takes.
const BLOCK: u32 = 4096;

/// `out[s]` = sum of the squares of `x[offset .. offset + length]` for segment `s`; `segments` has the pairs offset,
/// length one after the other, `out` one element per pair. The square root is left to [`clip_by_norm`]. Segments may overlap.
///
/// Blocks of 4096 values are summed as 16 per invocation and a tree, then the blocks likewise.
///
/// # Errors
/// [`ShapeMismatch`](Error::ShapeMismatch) where `out` has another length or a segment reaches past `x`.
pub fn segment_norms(rec: &mut Recorder, segments: &[u32], x: &Slice, out: &Slice) -> Result<()> {
    const NAME: &str = "segment_norms";
    let segments = pairs(NAME, segments, x)?;
    expect_len(NAME, "out", out, segments.len())?;
    if segments.is_empty() {
        return Ok(());
    }
    let mut x = apart(rec, x, &[out])?;
    let mut current = segments;
    let mut square = true;
    loop {
        // Each segment's blocks, and which of them belong together in the next round.
        let (mut blocks, mut next) = (Vec::new(), Vec::with_capacity(current.len()));
        for &(offset, len) in &current {
            let first = blocks.len() as u32;
            blocks.extend(cut(offset, len));
            next.push((first, blocks.len() as u32 - first));
        }
        let last = blocks.len() == current.len();
        let target = if last { out.clone() } else { rec.scratch(blocks.len())? };
        let words: Vec<u32> = blocks.iter().flat_map(|&(offset, len)| [offset, len]).collect();
        let table = upload(rec, &words)?;
        rec.call(Call {
            kernel: &segment_sum::KERNEL,
            overrides: &[("SQUARE", f64::from(u8::from(square)))],
            buffers: &[&table, &x, &target],
            params: bytemuck::bytes_of(&segment_sum::Params {
                segments: size(NAME, blocks.len())?,
                ..Default::default()
            }),
            groups: Groups::linear(blocks.len(), 1),
            flops: 2.0 * x.len() as f64,
        })?;
        if last {
            return Ok(());
        }
        (x, current, square) = (target, next, false);
    }
}

/// Scales every segment of `x` by `max_norm / norm` where its norm is larger than `max_norm`: Keras's `clipnorm`. With
/// `global` the norm is that of all segments together (`global_clipnorm`). `sumsq` is what [`segment_norms`] wrote.
///
/// A norm of NaN makes its segment NaN; an infinite one makes it 0, and NaN where `x` is infinite.
///
/// # Errors
/// [`ShapeMismatch`](Error::ShapeMismatch) where `sumsq` has another length or a segment reaches past `x`;
/// [`InvalidArgument`](Error::InvalidArgument) where `max_norm` is not positive, or segments overlap.
pub fn clip_by_norm(
    rec: &mut Recorder,
    segments: &[u32],
    sumsq: &Slice,
    max_norm: f32,
    global: bool,
    x: &Slice,
) -> Result<()> {
    const NAME: &str = "clip_by_norm";
    let invalid = |reason: String| Err(Error::InvalidArgument { operation: NAME, reason });
    let segments = pairs(NAME, segments, x)?;
    expect_len(NAME, "sumsq", sumsq, segments.len())?;
    if max_norm.is_nan() || max_norm <= 0.0 {
        return invalid(format!("a largest norm of {max_norm} is not positive"));
    }
    let mut sorted: Vec<_> = segments.iter().filter(|s| s.1 > 0).collect();
    sorted.sort();
    if let Some(pair) = sorted.windows(2).find(|pair| pair[0].0 + pair[0].1 > pair[1].0) {
        return invalid(format!("segments {:?} and {:?} overlap", pair[0], pair[1]));
    }
    let mut words = Vec::new();
    for (index, &(offset, len)) in (0u32..).zip(&segments) {
        let which = if global { 0 } else { index };
        words.extend(cut(offset, len).filter(|b| b.1 > 0).flat_map(|(offset, len)| [offset, len, which]));
    }
    if words.is_empty() {
        return Ok(());
    }
    let norms = if global {
        let total = rec.scratch(1)?;
        sum_all(rec, sumsq, &total, false)?;
        total
    } else {
        apart(rec, sumsq, &[x])?
    };
    let table = upload(rec, &words)?;
    let blocks = words.len() / 3;
    rec.call(Call {
        kernel: &clip::KERNEL,
        overrides: &[],
        buffers: &[&table, &norms, x],
        params: bytemuck::bytes_of(&clip::Params {
            blocks: size(NAME, blocks)?,
            max_norm,
            ..Default::default()
        }),
        groups: Groups::linear(blocks, 1),
        flops: x.len() as f64,
    })
}

/// A segment as blocks; an empty one as one empty block.
pub(super) fn cut(offset: u32, len: u32) -> impl Iterator<Item = (u32, u32)> {
    (0..len.div_ceil(BLOCK).max(1)).map(move |i| (offset + i * BLOCK, BLOCK.min(len - i * BLOCK)))
}

/// The list as pairs of offset and length within `x`.
pub(super) fn pairs(operation: &'static str, segments: &[u32], x: &Slice) -> Result<Vec<(u32, u32)>> {
    let (pairs, rest) = segments.as_chunks::<2>();
    if !rest.is_empty() {
        return Err(Error::InvalidArgument {
            operation,
            reason: format!("{} numbers are no pairs of offset and length", segments.len()),
        });
    }
    let end = pairs.iter().map(|&[offset, len]| offset as usize + len as usize).max().unwrap_or(0);
    if end > x.len() {
        return Err(Error::ShapeMismatch { operation, what: "x", expected: end, got: x.len() });
    }
    Ok(pairs.iter().map(|&[offset, len]| (offset, len)).collect())
}

/// A table for one recorded call.
pub(super) fn upload(rec: &mut Recorder, words: &[u32]) -> Result<Slice> {
    let table = rec.table(words.len())?;
    rec.context().write(&table, bytemuck::cast_slice(words))?;
    Ok(table)
}
