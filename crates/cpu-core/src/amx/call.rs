//! The instructions: sums of one or two tiles of rows by a panel.

use std::arch::asm;

use super::setup::Setup;
use super::{LINE, ROWS, TILE};

/// Sums of tiles that are begun already: `sums[v][row] += operand[row] * panel[v]`.
#[derive(Clone, Copy)]
pub(crate) struct Call {
    /// of `DEPTH` numbers
    pub blocks: usize,
    pub operand: *const f32,
    /// bytes from row to row of a tile
    pub operand_row: usize,
    /// bytes from part to part
    pub operand_part: usize,
    /// bytes from the first tile of rows to the second
    pub operand_below: usize,
    pub panel: *const f32,
    pub sums: *mut f32,
    /// bytes from vector to vector
    pub sums_step: usize,
    /// bytes from row to row
    pub sums_row: usize,
}

/// Tile 4 times each vector of part `$part` of the weights, of `$vectors` vectors, into the vector's sums; each through a tile.
macro_rules! times_part {
    ($part:literal, $vectors:literal, $(($sums:literal, $weights:literal))*) => {
        concat!($(
            "tileloadd tmm", $weights, ", [{panel} + {line} + (", $part, "*", $vectors, "+", $sums, ")*1024]\n",
            "tdpbf16ps tmm", $sums, ", tmm4, tmm", $weights, "\n",
        )*)
    };
}

/// An instruction for the sums of each vector in turn.
macro_rules! each_sums {
    ($before:literal, $behind:literal, $(($sums:literal, $weights:literal))*) => {
        concat!($($before, $sums, $behind, "\nadd {at}, {sums_step}\n",)*)
    };
}

/// One tile of rows by all vectors of a panel. Tile `$sums` has sums, 4 a part of the operand, the others weights. The order of
/// the products is that of [`Call::two_by_two`], so that a row's sums are the same from both.
macro_rules! one_by {
    ($name:ident, $vectors:literal, $($tile:tt)*) => {
        /// # Safety
        /// See [`Call::run`]; tiles are set up for the rows.
        unsafe fn $name(self) {
            // SAFETY: the caller's; nothing is written but the sums.
            unsafe {
                asm!(
                    "mov {at}, {sums}",
                    each_sums!("tileloadd tmm", ", [{at} + {sums_row}]", $($tile)*),
                    "2:",
                    "tileloadd tmm4, [{operand} + {row}]",
                    times_part!(2, $vectors, $($tile)*),
                    times_part!(1, $vectors, $($tile)*),
                    "add {operand}, {part}",
                    "tileloadd tmm4, [{operand} + {row}]",
                    times_part!(1, $vectors, $($tile)*),
                    times_part!(0, $vectors, $($tile)*),
                    "add {operand}, {part}",
                    "tileloadd tmm4, [{operand} + {row}]",
                    times_part!(0, $vectors, $($tile)*),
                    "sub {operand}, {part}",
                    "sub {operand}, {part}",
                    "tileloadd tmm4, [{operand} + {row}]",
                    times_part!(0, $vectors, $($tile)*),
                    "add {operand}, {part}",
                    "add {operand}, {part}",
                    "add {operand}, {part}",
                    concat!("add {panel}, ", $vectors, "*3072"),
                    "dec {blocks}",
                    "jnz 2b",
                    "mov {at}, {sums}",
                    each_sums!("tilestored [{at} + {sums_row}], tmm", "", $($tile)*),
                    at = out(reg) _,
                    sums = in(reg) self.sums,
                    sums_step = in(reg) self.sums_step,
                    sums_row = in(reg) self.sums_row,
                    line = in(reg) LINE,
                    operand = inout(reg) self.operand => _,
                    row = in(reg) self.operand_row,
                    part = in(reg) self.operand_part,
                    panel = inout(reg) self.panel => _,
                    blocks = inout(reg) self.blocks => _,
                    out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                    out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                    options(nostack),
                );
            }
        }
    };
}

/// A part of two tiles of rows, 4 and 5, by a part of two vectors, 6 and 7.
macro_rules! two_by_two_parts {
    () => {
        "tdpbf16ps tmm0, tmm4, tmm6
        tdpbf16ps tmm1, tmm4, tmm7
        tdpbf16ps tmm2, tmm5, tmm6
        tdpbf16ps tmm3, tmm5, tmm7"
    };
}

impl Call {
    /// # Safety
    /// Tiles are [set up](Setup) as whole ones. There are `rows` rows of the operand with as many blocks as the panel, which has `vectors`
    /// vectors, 1 to 4; sums for each row and vector, which nobody else uses.
    pub(crate) unsafe fn run(self, rows: usize, vectors: usize) {
        // SAFETY: the caller's.
        unsafe {
            if rows > ROWS && vectors.is_multiple_of(2) {
                let _part = Setup::for_second_part(rows - ROWS);
                for first in (0..vectors).step_by(2) {
                    let call = Call {
                        panel: self.panel.wrapping_add(first * TILE / 2),
                        sums: self.sums.wrapping_byte_add(first * self.sums_step),
                        ..self
                    };
                    call.two_by_two(vectors);
                }
                return;
            }
            for first in (0..rows).step_by(ROWS) {
                let call = Call {
                    operand: self.operand.wrapping_byte_add(first / ROWS * self.operand_below),
                    sums: self.sums.wrapping_byte_add(first * self.sums_row),
                    ..self
                };
                let _part = Setup::for_part(rows - first);
                match vectors {
                    1 => call.one_by_one(),
                    2 => call.one_by_two(),
                    3 => call.one_by_three(),
                    4 => call.one_by_four(),
                    _ => unreachable!("a panel has 1 to 4 vectors"),
                }
            }
        }
    }

    one_by!(one_by_one, 1, (0, 5));
    one_by!(one_by_two, 2, (0, 5)(1, 6));
    one_by!(one_by_three, 3, (0, 5)(1, 6)(2, 7));
    one_by!(one_by_four, 4, (0, 5)(1, 6)(2, 7)(3, 5));

    /// Two tiles of rows by the first two of a panel's `vectors`: half the loads for a product.
    ///
    /// # Safety
    /// See [`Call::run`]; tiles are set up for the rows.
    unsafe fn two_by_two(self, vectors: usize) {
        // SAFETY: the caller's; nothing is written but the sums.
        unsafe {
            asm!(
                "tileloadd tmm0, [{sums} + {sums_row}]",
                "tileloadd tmm2, [{sums_below} + {sums_row}]",
                "add {sums}, {sums_step}",
                "add {sums_below}, {sums_step}",
                "tileloadd tmm1, [{sums} + {sums_row}]",
                "tileloadd tmm3, [{sums_below} + {sums_row}]",
                "2:",
                // high by low, middle
                "tileloadd tmm4, [{operand} + {row}]",
                "tileloadd tmm5, [{below} + {row}]",
                "add {panel}, {panel_part}",
                "add {panel}, {panel_part}",
                "tileloadd tmm6, [{panel} + {line}]",
                "tileloadd tmm7, [{panel} + {line} + 1024]",
                two_by_two_parts!(),
                "sub {panel}, {panel_part}",
                "tileloadd tmm6, [{panel} + {line}]",
                "tileloadd tmm7, [{panel} + {line} + 1024]",
                two_by_two_parts!(),
                // middle by middle, high
                "add {operand}, {part}",
                "add {below}, {part}",
                "tileloadd tmm4, [{operand} + {row}]",
                "tileloadd tmm5, [{below} + {row}]",
                two_by_two_parts!(),
                "sub {panel}, {panel_part}",
                "tileloadd tmm6, [{panel} + {line}]",
                "tileloadd tmm7, [{panel} + {line} + 1024]",
                two_by_two_parts!(),
                // low, high by high
                "add {operand}, {part}",
                "add {below}, {part}",
                "tileloadd tmm4, [{operand} + {row}]",
                "tileloadd tmm5, [{below} + {row}]",
                two_by_two_parts!(),
                "sub {operand}, {part}",
                "sub {below}, {part}",
                "sub {operand}, {part}",
                "sub {below}, {part}",
                "tileloadd tmm4, [{operand} + {row}]",
                "tileloadd tmm5, [{below} + {row}]",
                two_by_two_parts!(),
                "add {operand}, {part}",
                "add {below}, {part}",
                "add {operand}, {part}",
                "add {below}, {part}",
                "add {operand}, {part}",
                "add {below}, {part}",
                "add {panel}, {panel_part}",
                "add {panel}, {panel_part}",
                "add {panel}, {panel_part}",
                "dec {blocks}",
                "jnz 2b",
                "tilestored [{sums} + {sums_row}], tmm1",
                "tilestored [{sums_below} + {sums_row}], tmm3",
                "sub {sums}, {sums_step}",
                "sub {sums_below}, {sums_step}",
                "tilestored [{sums} + {sums_row}], tmm0",
                "tilestored [{sums_below} + {sums_row}], tmm2",
                sums = inout(reg) self.sums => _,
                sums_below = inout(reg) self.sums.wrapping_byte_add(ROWS * self.sums_row) => _,
                sums_step = in(reg) self.sums_step,
                sums_row = in(reg) self.sums_row,
                line = in(reg) LINE,
                operand = inout(reg) self.operand => _,
                below = inout(reg) self.operand.wrapping_byte_add(self.operand_below) => _,
                row = in(reg) self.operand_row,
                part = in(reg) self.operand_part,
                panel = inout(reg) self.panel => _,
                panel_part = in(reg) vectors * TILE * 2,
                blocks = inout(reg) self.blocks => _,
                out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                options(nostack),
            );
        }
    }
}
