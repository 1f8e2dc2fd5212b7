//! Penalties and constraints on weights (Keras's regularizers and constraints).
use super::accumulate;
use super::norm::{cut, upload};
use super::operands::{apart, size};
use crate::buffer::expect_len;
use crate::{Call, Error, Groups, Recorder, Result, Slice};
use rnn_shaders::vocabulary::{Bound, Limit, Penalty};
use rnn_shaders::{constrain as bound, weight_penalty as penalty};

/// Adds `scale` times the sum of all penalties `l1 sum |w| + l2 sum w^2` to the running sum `acc [2]` (as [`accumulate`]), and
/// their derivative `l1 sign(w) + 2 l2 w` to `grads`, which are laid out as the weights.
///
/// # Errors
/// [`ShapeMismatch`](Error::ShapeMismatch) where a length differs or a variable reaches past the end of the weights.
pub fn weight_penalty(
    rec: &mut Recorder,
    penalties: &[Penalty],
    weights: &Slice,
    grads: Option<&Slice>,
    scale: f32,
    acc: &Slice,
) -> Result<()> {
    const NAME: &str = "weight_penalty";
    expect_len(NAME, "acc", acc, 2)?;
    grads.map_or(Ok(()), |grads| expect_len(NAME, "grads", grads, weights.len()))?;
    let mut words = Vec::new();
    for p in penalties {
        reaches(NAME, weights, p.offset as usize + p.len as usize)?;
        let blocks = cut(p.offset, p.len).filter(|block| block.1 > 0);
        words.extend(blocks.flat_map(|(at, len)| [at, len, p.l1.to_bits(), p.l2.to_bits()]));
    }
    if words.is_empty() {
        return Ok(());
    }
    let blocks = words.len() / 4;
    let (table, values) = (upload(rec, &words)?, rec.scratch(blocks)?);
    // Written through its binding as far as the driver knows, so absent gradients are memory of their own.
    let (gradient, grads) = match grads {
        Some(grads) => (1.0, grads.clone()),
        None => (0.0, rec.scratch(1)?),
    };
    let weights = apart(rec, weights, &[&grads])?;
    rec.call(Call {
        kernel: &penalty::KERNEL,
        overrides: &[("GRADIENT", gradient)],
        buffers: &[&table, &weights, &grads, &values],
        params: bytemuck::bytes_of(&penalty::Params { blocks: size(NAME, blocks)?, ..Default::default() }),
        groups: Groups::linear(blocks, 1),
        flops: 8.0 * weights.len() as f64,
    })?;
    accumulate(rec, blocks, 1, &values, scale, None, acc)
}

/// Holds every variable to its bound: see [`Limit`]. Columns are those of `[rows, cols]`.
///
/// # Errors
/// [`ShapeMismatch`](Error::ShapeMismatch) where a variable reaches past the end of the weights;
/// [`InvalidArgument`](Error::InvalidArgument) where its first axis is too long for a software adapter.
pub fn constrain(rec: &mut Recorder, bounds: &[Bound], weights: &Slice) -> Result<()> {
    const NAME: &str = "constrain";
    let mut words = Vec::new();
    for b in bounds {
        reaches(NAME, weights, (b.offset as usize).saturating_add(b.rows as usize * b.cols as usize))?;
        if b.rows == 0 || b.cols == 0 {
            continue;
        }
        let tile = b.cols.next_power_of_two().min(32);
        let iterations = 2 * b.rows.div_ceil(256 / tile);
        if iterations > 10_000
            && let Some(limit) = rec.context().loop_limit()?
            && iterations > limit
        {
            return Err(Error::InvalidArgument {
                operation: NAME,
                reason: format!(
                    "a first axis of {} is too long for this adapter; use the CPU device",
                    b.rows
                ),
            });
        }
        let (non_negative, [low, high, rate]) = match b.limit {
            Limit::NonNegative => (1, [0.0, 0.0, 0.0]),
            Limit::Norm { low, high, rate } => (0, [low, high, rate]),
        };
        for first in (0..b.cols).step_by(tile as usize) {
            words.extend([b.offset, b.rows, b.cols, first, tile, non_negative]);
            words.extend([low, high, rate].map(f32::to_bits));
        }
    }
    if words.is_empty() {
        return Ok(());
    }
    let (entries, table) = (words.len() / 9, upload(rec, &words)?);
    rec.call(Call {
        kernel: &bound::KERNEL,
        overrides: &[],
        buffers: &[&table, weights],
        params: bytemuck::bytes_of(&bound::Params { entries: size(NAME, entries)?, ..Default::default() }),
        groups: Groups::linear(entries, 1),
        flops: 4.0 * weights.len() as f64,
    })
}

fn reaches(operation: &'static str, weights: &Slice, end: usize) -> Result<()> {
    if end > weights.len() {
        return Err(Error::ShapeMismatch { operation, what: "weights", expected: end, got: weights.len() });
    }
    Ok(())
}
