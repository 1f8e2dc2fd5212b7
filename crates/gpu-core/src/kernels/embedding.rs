//! Rows of a table by their numbers, and the gradient of the table.
use super::operands::{ELEMENT_GROUP, apart, elements, size};
use super::sum_rows;
use crate::buffer::expect_len;
use crate::{Call, Error, Groups, Recorder, Result, Slice};
use rnn_shaders::shape::Steps;
use rnn_shaders::{embedding, embedding_backward};

/// Rows of the table that an f32 tells apart.
const MOST_ROWS: usize = 1 << 24;

fn check(operation: &'static str, steps: Steps, vocab: usize, ids: &Slice) -> Result<()> {
    if vocab > MOST_ROWS {
        let reason = format!("a table of {vocab} rows passes {MOST_ROWS}, what an f32 counts exactly");
        return Err(Error::InvalidArgument { operation, reason });
    }
    let expected = steps.span(1);
    if ids.len() < expected {
        return Err(Error::ShapeMismatch { operation, what: "ids", expected, got: ids.len() });
    }
    Ok(())
}

/// `out[t, b, :] = table[id, :]` with `id` the whole part of `ids[t * time_stride + b * batch_stride]`: `table
/// [vocab, width]`, `out [time, batch, width]`. A row of zeros where the table has no such row.
///
/// # Errors
/// [`ShapeMismatch`](Error::ShapeMismatch); [`InvalidArgument`](Error::InvalidArgument) past 2^24 rows.
pub fn embedding(
    rec: &mut Recorder,
    steps: Steps,
    vocab: usize,
    width: usize,
    table: &Slice,
    ids: &Slice,
    out: &Slice,
) -> Result<()> {
    const NAME: &str = "embedding";
    expect_len(NAME, "table", table, elements(&[vocab, width]))?;
    expect_len(NAME, "out", out, elements(&[steps.time, steps.batch, width]))?;
    check(NAME, steps, vocab, ids)?;
    if out.is_empty() {
        return Ok(());
    }
    let table = apart(rec, table, &[out])?;
    let ids = apart(rec, ids, &[out])?;
    rec.call(Call {
        kernel: &embedding::KERNEL,
        overrides: &[],
        buffers: &[&table, &ids, out],
        params: bytemuck::bytes_of(&embedding::Params {
            n: size(NAME, out.len())?,
            batch: size(NAME, steps.batch)?,
            vocab: size(NAME, vocab)?,
            width: size(NAME, width)?,
            time_stride: size(NAME, steps.time_stride)?,
            batch_stride: size(NAME, steps.batch_stride)?,
            ..Default::default()
        }),
        groups: Groups::linear(out.len(), ELEMENT_GROUP),
        flops: out.len() as f64,
    })
}

/// As in the kernel: rows and columns of the table that a workgroup owns, and positions it looks at together.
const TILE: usize = 32;
const COLUMNS: usize = 64;
const TOGETHER: usize = 64;
/// Workgroups that keep an adapter busy.
const ENOUGH_GROUPS: usize = 256;
/// Positions of a chunk at most: what is added one by one, and well below the loop limit of software adapters.
const LONGEST: usize = 4096;

/// `dtable[id, :] += sum of dy[t, b, :]` over the places of `id` in `ids` ([`embedding()`]), in an order that depends on the
/// shape alone.
///
/// A workgroup owns a tile of the table and looks at all ids of a chunk. Tables of few tiles take several chunks at a time,
/// whose sums are then added; large tables take them one after the other, into the gradient itself.
///
/// # Errors
/// As [`embedding()`].
pub fn embedding_backward(
    rec: &mut Recorder,
    steps: Steps,
    vocab: usize,
    width: usize,
    ids: &Slice,
    dy: &Slice,
    dtable: &Slice,
) -> Result<()> {
    const NAME: &str = "embedding_backward";
    expect_len(NAME, "dtable", dtable, elements(&[vocab, width]))?;
    expect_len(NAME, "dy", dy, elements(&[steps.time, steps.batch, width]))?;
    check(NAME, steps, vocab, ids)?;
    if dy.is_empty() || dtable.is_empty() {
        return Ok(());
    }
    let ids = apart(rec, ids, &[dtable])?;
    let dy = apart(rec, dy, &[dtable])?;
    let positions = steps.len();
    let (tiles, blocks) = (vocab.div_ceil(TILE), width.div_ceil(COLUMNS));
    let side_by_side = (ENOUGH_GROUPS / (tiles * blocks)).clamp(1, positions.div_ceil(TOGETHER));
    let chunk = positions.div_ceil(side_by_side).min(LONGEST).next_multiple_of(TOGETHER);
    let chunks = if side_by_side == 1 { 1 } else { positions.div_ceil(chunk) };
    let partial = if chunks > 1 { Some(rec.scratch(chunks * dtable.len())?) } else { None };
    for first in (0..positions).step_by(chunk * chunks) {
        let end = positions.min(first + chunk * chunks);
        rec.call(Call {
            kernel: &embedding_backward::KERNEL,
            overrides: &[("ACCUMULATE", f64::from(u8::from(partial.is_none())))],
            buffers: &[&ids, &dy, partial.as_ref().unwrap_or(dtable)],
            params: bytemuck::bytes_of(&embedding_backward::Params {
                batch: size(NAME, steps.batch)?,
                vocab: size(NAME, vocab)?,
                width: size(NAME, width)?,
                time_stride: size(NAME, steps.time_stride)?,
                batch_stride: size(NAME, steps.batch_stride)?,
                first: size(NAME, first)?,
                chunk: size(NAME, chunk)?,
                end: size(NAME, end)?,
                ..Default::default()
            }),
            groups: Groups::xyz(tiles, blocks, chunks),
            flops: (end - first) as f64 * (tiles * blocks) as f64 + ((end - first) * width) as f64,
        })?;
    }
    match partial {
        Some(partial) => sum_rows(rec, chunks, dtable.len(), &partial, dtable, true),
        None => Ok(()),
    }
}
