//! Large products in the processor's matrix unit.
//!
//! Numbers in parts take more room than they came in, so both matrices are packed a block at a time: all threads pack, meet, and
//! multiply, each its own part of `c`. A block's rows and a panel of 32 columns stay in the second-level cache meanwhile. An element's sum is made in the same order whatever the threads or the matrix around it.

use std::cell::RefCell;
use std::ops::Range;

use super::{Matmul, finish};
use crate::AlignedVec;
use crate::amx::{COLUMNS, Call, DEPTH, LINE, Lines, PARTS, ROWS, Setup, fetch};
use crate::team::{self, Member};
use crate::view::View;

/// `f32`s whose room a tile takes.
const TILE: usize = ROWS * LINE / size_of::<f32>();
/// Rows of `c` that a call of the unit makes.
const GROUP: usize = 2 * ROWS;
/// Vectors of a panel.
const VECTORS: usize = 2;
/// Columns of a panel.
const PANEL: usize = VECTORS * COLUMNS;
/// Numbers of each sum in a block.
const BLOCK_DEPTH: usize = 16 * DEPTH;
/// Rows of a block.
const BLOCK_ROWS: usize = 8 * GROUP;
/// Columns of a block.
const BLOCK_COLUMNS: usize = 64 * PANEL;

/// Whether the product pays for packing: each number of `a` serves `n` sums and each of `b` `m` of them, and each sum is read and
/// written once for up to `BLOCK_DEPTH` products. All three count, as their harmonic mean does.
pub(super) fn pays(&Matmul { m, n, k, .. }: &Matmul) -> bool {
    const LEAST_MEAN: usize = 288;
    let shares = m.saturating_mul(n).saturating_add(n.saturating_mul(k)).saturating_add(k.saturating_mul(m));
    m.saturating_mul(n).saturating_mul(k) >= shares.saturating_mul(LEAST_MEAN / 3)
}

thread_local! {
    /// packed blocks, kept from call to call
    static PACKED: RefCell<AlignedVec<f32>> = RefCell::default();
}

/// `c (+)= act(a b + bias)`, where `a` has the rows of the first matrix and `b` the columns of the second.
pub(super) fn product(
    spec: &Matmul,
    a: Lines<'_>,
    b: Lines<'_>,
    bias: Option<&[f32]>,
    c: &mut [f32],
    threads: usize,
) {
    let Matmul { m, n, k, .. } = *spec;
    let depth = k.min(BLOCK_DEPTH);
    let rows_len = m.min(BLOCK_ROWS).div_ceil(GROUP) * group_len(depth);
    let panels_len = n.min(BLOCK_COLUMNS).div_ceil(PANEL) * panel_len(depth);
    let mut packed = PACKED.take();
    if packed.len() < rows_len + panels_len {
        packed = AlignedVec::new(rows_len + panels_len);
    }
    let (panels, rows) = packed.split_at_mut(panels_len);
    let (c, rows, panels) = (View::new(c), View::new(rows), View::new(panels));
    let work = Work { spec, a, b, bias, c, rows, panels };
    team::run(threads, |member| work.run(&member));
    PACKED.set(packed);
}

/// One product, as all members of the team see it.
struct Work<'a> {
    spec: &'a Matmul,
    a: Lines<'a>,
    b: Lines<'a>,
    bias: Option<&'a [f32]>,
    c: View<'a>,
    /// a block's rows, tile by tile: `[group][k / 32][part][2][16][32]`
    rows: View<'a>,
    /// a block's panels
    panels: View<'a>,
}

impl Work<'_> {
    fn run(&self, member: &Member<'_>) {
        let Matmul { m, n, k, ldc, accumulate, activation, .. } = *self.spec;
        let _tiles = Setup::new();
        // SAFETY: each row has one member, before the first meeting and after the last.
        let row = |row: usize| unsafe { self.c.get_mut(row * ldc, n) };
        if !accumulate {
            member.share(m).for_each(|r| row(r).fill(0.0));
        }
        for columns in blocks(n, BLOCK_COLUMNS) {
            for numbers in blocks(k, BLOCK_DEPTH) {
                self.pack(member, columns.clone(), numbers.clone());
                for rows in blocks(m, BLOCK_ROWS) {
                    self.stage(member, rows.clone(), numbers.clone());
                    member.wait();
                    self.multiply(member, rows, columns.clone(), numbers.len());
                    member.wait();
                }
            }
        }
        member.share(m).for_each(|r| finish(activation, self.bias, row(r)));
    }

    /// Packs the panels of a block.
    fn pack(&self, member: &Member<'_>, columns: Range<usize>, numbers: Range<usize>) {
        let len = panel_len(numbers.len());
        let mine = member.share(columns.len().div_ceil(PANEL));
        let vectors = mine.start * VECTORS..mine.end * VECTORS;
        self.b.each_block(columns, numbers, vectors, |vector, at, lines, numbers| {
            // SAFETY: each panel has one member, before the meeting after which they are read.
            let panel = unsafe { self.panels.get_mut(vector / VECTORS * len, len) };
            self.b.pack(lines, numbers, at, (vector % VECTORS, VECTORS), panel);
        });
    }

    /// Stages the rows of a block.
    fn stage(&self, member: &Member<'_>, rows: Range<usize>, numbers: Range<usize>) {
        let len = group_len(numbers.len());
        let mine = member.share(rows.len().div_ceil(ROWS));
        self.a.each_block(rows, numbers, mine, |tile, at, lines, numbers| {
            let first = tile / 2 * len + (at * PARTS * 2 + tile % 2) * TILE;
            // SAFETY: as in `pack`.
            let to = unsafe { self.rows.get_mut(first, (PARTS - 1) * 2 * TILE + TILE) };
            self.a.stage(lines, numbers, 2 * TILE, to);
        });
    }

    /// Adds a block's products to this member's part of `c`.
    fn multiply(&self, member: &Member<'_>, rows: Range<usize>, columns: Range<usize>, depth: usize) {
        let (groups, panels) = (rows.len().div_ceil(GROUP), columns.len().div_ceil(PANEL));
        let (groups, panels) = if panels >= groups {
            (0..groups, member.share(panels))
        } else {
            (member.share(groups), 0..panels)
        };
        let (rows_len, len) = (group_len(depth), panel_len(depth));
        for panel in panels {
            let column = columns.start + panel * PANEL;
            let width = PANEL.min(columns.end - column);
            for group in groups.clone() {
                let row = rows.start + group * GROUP;
                let height = GROUP.min(rows.end - row);
                let call = Call {
                    blocks: depth.div_ceil(DEPTH),
                    operand: self.rows.at(group * rows_len, rows_len),
                    operand_row: LINE,
                    operand_part: 2 * TILE * size_of::<f32>(),
                    operand_below: TILE * size_of::<f32>(),
                    panel: self.panels.at(panel * len, len),
                    sums: std::ptr::null_mut(),
                    sums_step: LINE,
                    sums_row: 0,
                };
                self.fetch_sums(row + GROUP..rows.end.min(row + 2 * GROUP), column);
                // SAFETY: rows and panel are packed; this part of `c` is this member's, until the next meeting.
                unsafe { self.add(call, row, height, column, width) };
            }
        }
    }

    /// Asks for a part of `c` ahead of its turn.
    fn fetch_sums(&self, rows: Range<usize>, column: usize) {
        for row in rows {
            let line = self.c.at(row * self.spec.ldc + column, 0);
            fetch(line);
            fetch(line.wrapping_byte_add(LINE));
        }
    }

    /// # Safety
    /// As [`Call::run`]; nobody else uses this part of `c`.
    unsafe fn add(&self, call: Call, row: usize, height: usize, column: usize, width: usize) {
        let ldc = self.spec.ldc;
        let at = |r: usize| (row + r) * ldc + column;
        if width == PANEL {
            let sums = self.c.at(at(0), (height - 1) * ldc + width);
            // SAFETY: the caller's.
            unsafe { Call { sums, sums_row: ldc * size_of::<f32>(), ..call }.run(height, VECTORS) };
            return;
        }
        let mut sums = [0.0; GROUP * PANEL];
        let line = |r: usize| r * PANEL..r * PANEL + width;
        for r in 0..height {
            // SAFETY: the caller's.
            sums[line(r)].copy_from_slice(unsafe { self.c.get(at(r), width) });
        }
        let whole = Call { sums: sums.as_mut_ptr(), sums_row: PANEL * size_of::<f32>(), ..call };
        // SAFETY: the caller's.
        unsafe { whole.run(height, VECTORS) };
        for r in 0..height {
            // SAFETY: the caller's.
            unsafe { self.c.get_mut(at(r), width) }.copy_from_slice(&sums[line(r)]);
        }
    }
}

/// `f32`s that a group of rows takes.
fn group_len(depth: usize) -> usize {
    depth.div_ceil(DEPTH) * PARTS * GROUP / ROWS * TILE
}

/// `f32`s that a panel takes.
fn panel_len(depth: usize) -> usize {
    depth.div_ceil(DEPTH) * PARTS * VECTORS * TILE
}

/// `0..n` in pieces of at most `most`.
fn blocks(n: usize, most: usize) -> impl Iterator<Item = Range<usize>> {
    (0..n).step_by(most).map(move |first| first..n.min(first + most))
}
