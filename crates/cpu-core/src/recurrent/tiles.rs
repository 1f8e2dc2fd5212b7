//! The product of a step in the processor's matrix unit.

#[cfg(test)]
mod tests;

use super::tile::{MOST_ROWS, Product, Starting, Sums, balanced};
use crate::amx::{COLUMNS, Call, DEPTH, LINE, ROWS};
use crate::math::Lanes;

/// As [`super::tile::product`], for at most two tiles of rows.
///
/// # Safety
/// As `tile::product`, of operands and panels in tiles.
#[inline(always)]
pub(super) unsafe fn product<S: Lanes<T = f32>>(
    s: S,
    product: Product,
    n: usize,
    sums: &mut Sums,
    (item, items): (usize, usize),
    starting: impl Fn(usize, usize) -> Starting,
) {
    for (at, rows) in balanced(n, MOST_ROWS) {
        let Some((starts, step)) = starting(at, rows).pointers(COLUMNS) else { continue };
        for (r, start) in starts[..rows].iter().enumerate() {
            for v in 0..product.vectors {
                // SAFETY: the caller's.
                let from = unsafe { std::slice::from_raw_parts(start.wrapping_add(v * step), COLUMNS) };
                sums.set(s, items, v, item + at + r, s.load(from));
            }
        }
    }
    if product.k > 0 {
        let operand_row = product.operand.stride * size_of::<f32>();
        let call = Call {
            blocks: product.k / DEPTH,
            operand: product.operand.first,
            operand_row,
            operand_part: LINE,
            operand_below: ROWS * operand_row,
            panel: product.panel,
            sums: sums.vectors(s, items, 0, product.vectors)[item * COLUMNS..].as_mut_ptr(),
            sums_step: items * LINE,
            sums_row: LINE,
        };
        // SAFETY: the caller's.
        unsafe { call.run(n, product.vectors) };
    }
}
