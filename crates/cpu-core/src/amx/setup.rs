//! What the tiles of a thread hold.

use std::arch::asm;

use super::{LINE, ROWS};

/// What the eight tiles hold, as the processor takes it: rows, and bytes of a row.
#[repr(C, align(64))]
struct Config {
    palette: u8,
    start: u8,
    reserved: [u8; 14],
    row_bytes: [u16; 16],
    rows: [u8; 16],
}

impl Config {
    fn new(rows: [usize; 8]) -> Config {
        let mut config =
            Config { palette: 1, start: 0, reserved: [0; 14], row_bytes: [0; 16], rows: [0; 16] };
        for (tile, rows) in rows.into_iter().enumerate() {
            config.row_bytes[tile] = LINE as u16;
            config.rows[tile] = rows as u8;
        }
        config
    }

    /// Sets the tiles of this thread up.
    fn load(&self) {
        // SAFETY: the form that this belongs to is only chosen where the unit is available.
        unsafe { asm!("ldtilecfg [{}]", in(reg) &raw const *self, options(nostack, readonly)) };
    }
}

/// The tiles of this thread are set up, until it is dropped.
pub(crate) struct Setup {
    /// for whole tiles, to which this one goes back
    whole: bool,
}

impl Setup {
    /// For whole tiles.
    pub(crate) fn new() -> Setup {
        Config::new([ROWS; 8]).load();
        Setup { whole: false }
    }

    /// For fewer rows than a tile has, while whole tiles are set up.
    #[inline(always)]
    pub(super) fn for_part(rows: usize) -> Option<Setup> {
        (rows < ROWS).then(|| {
            Config::new([rows, rows, rows, rows, rows, ROWS, ROWS, ROWS]).load();
            Setup { whole: true }
        })
    }

    /// For fewer rows in the second of two tiles.
    #[inline(always)]
    pub(super) fn for_second_part(rows: usize) -> Option<Setup> {
        (rows < ROWS).then(|| {
            Config::new([ROWS, ROWS, rows, rows, ROWS, rows, ROWS, ROWS]).load();
            Setup { whole: true }
        })
    }
}

impl Drop for Setup {
    fn drop(&mut self) {
        if self.whole {
            Config::new([ROWS; 8]).load();
        } else {
            // SAFETY: the unit is available, as when this was made.
            unsafe { asm!("tilerelease", options(nostack, nomem)) };
        }
    }
}
