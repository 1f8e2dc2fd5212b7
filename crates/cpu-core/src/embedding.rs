//! Rows of a table by their numbers, and the gradient of the table.

use crate::error::{check_len, volume};
use crate::{Error, Real, Result, parallel};
use rnn_shaders::shape::Steps;

/// The row of a table of `rows` that an id kept as a float names: fractions are cut off, as Keras casts.
#[inline]
fn table_row<T: Real>(id: T, rows: usize) -> Option<usize> {
    let id = id.to_f64();
    // NaN fails both.
    (id > -1.0 && id < rows as f64).then_some(id as usize)
}

/// A checked pair of ids and table sizes.
#[derive(Clone, Copy)]
struct Ids<'a, T> {
    steps: Steps,
    vocab: usize,
    ids: &'a [T],
}

impl<'a, T: Real> Ids<'a, T> {
    fn new(op: &'static str, steps: Steps, vocab: usize, ids: &'a [T]) -> Result<Self> {
        let span = steps.span(1);
        if ids.len() < span {
            return Err(Error::Length { op, what: "ids", expected: span, got: ids.len() });
        }
        Ok(Ids { steps, vocab, ids })
    }

    /// The table's row for position `t * batch + b`.
    #[inline]
    fn row(self, position: usize) -> Option<usize> {
        let (t, b) = (position / self.steps.batch, position % self.steps.batch);
        table_row(self.ids[t * self.steps.time_stride + b * self.steps.batch_stride], self.vocab)
    }
}

/// `out[t, b, :] = table[id, :]` with `id` the whole part of `ids[t * time_stride + b * batch_stride]`: `table
/// [vocab, width]`, `out [time, batch, width]`. A row of zeros where the table has no such row.
///
/// # Errors
/// [`Error::Length`] where a slice does not have its shape's length, or there are fewer ids than `steps` reaches.
pub fn embedding<T: Real>(
    steps: Steps,
    vocab: usize,
    width: usize,
    table: &[T],
    ids: &[T],
    out: &mut [T],
) -> Result<()> {
    const OP: &str = "embedding";
    check_len(OP, "table", volume(OP, &[vocab, width])?, table.len())?;
    check_len(OP, "out", volume(OP, &[steps.time, steps.batch, width])?, out.len())?;
    let ids = Ids::new(OP, steps, vocab, ids)?;
    if out.is_empty() {
        return Ok(());
    }
    let chunk = parallel::COPY.chunk(out.len(), width);
    parallel::share_out(out.chunks_mut(chunk).enumerate(), |(piece, out)| {
        for (i, out) in out.chunks_exact_mut(width).enumerate() {
            match ids.row(piece * (chunk / width) + i) {
                Some(row) => out.copy_from_slice(&table[row * width..][..width]),
                None => out.fill(T::ZERO),
            }
        }
    });
    Ok(())
}

/// `dtable[id, :] += sum of dy[t, b, :]` over the places of `id` in `ids` ([`embedding`]), step by step and sample by
/// sample: the order of a row's sum depends on nothing else.
///
/// # Errors
/// As [`embedding`].
pub fn embedding_backward<T: Real>(
    steps: Steps,
    vocab: usize,
    width: usize,
    ids: &[T],
    dy: &[T],
    dtable: &mut [T],
) -> Result<()> {
    const OP: &str = "embedding_backward";
    check_len(OP, "dtable", volume(OP, &[vocab, width])?, dtable.len())?;
    check_len(OP, "dy", volume(OP, &[steps.time, steps.batch, width])?, dy.len())?;
    let ids = Ids::new(OP, steps, vocab, ids)?;
    if dy.is_empty() {
        return Ok(());
    }
    let chunk = parallel::MEMORY.chunk(dy.len(), width) / width;
    let pieces = ranges(ids, dy.len() / width, chunk);
    let mut rest = dtable;
    let mut owned = Vec::with_capacity(pieces.len());
    let mut first = 0;
    for end in pieces {
        let (own, more) = rest.split_at_mut((end - first) * width);
        owned.push((first, own));
        (rest, first) = (more, end);
    }
    // Each thread looks at all ids and adds those of its own rows.
    parallel::share_out(owned.into_iter(), |(first, table)| {
        let rows = table.len() / width;
        for (position, dy) in dy.chunks_exact(width).enumerate() {
            let Some(row) = ids.row(position).and_then(|row| row.checked_sub(first)) else { continue };
            if row < rows {
                let sums = &mut table[row * width..][..width];
                sums.iter_mut().zip(dy).for_each(|(sum, &dy)| *sum += dy);
            }
        }
    });
    Ok(())
}

/// Ends of ranges of the table's rows with about `chunk` of the `positions` each.
fn ranges<T: Real>(ids: Ids<'_, T>, positions: usize, chunk: usize) -> Vec<usize> {
    if positions <= chunk {
        return vec![ids.vocab];
    }
    let mut counts = vec![0usize; ids.vocab];
    (0..positions).filter_map(|p| ids.row(p)).for_each(|row| counts[row] += 1);
    let mut ends = Vec::new();
    let mut sum = 0;
    for (row, count) in counts.into_iter().enumerate() {
        sum += count;
        if sum >= chunk {
            ends.push(row + 1);
            sum = 0;
        }
    }
    if ends.last() != Some(&ids.vocab) {
        ends.push(ids.vocab);
    }
    ends
}
