//! Products in the processor's matrix unit (Intel AMX), with the accuracy of `f32`.
//!
//! The unit multiplies numbers of 8 significant bits (bfloat16) and adds up in `f32`, sixteen times as fast as AVX-512 multiplies
//! `f32`. A number of 24 bits is the sum of three such parts, high, middle and low; a product of two is taken as the six
//! products of parts that matter. Those left out, and what rounds away of the low parts, are at most 2^-22 of the whole and mostly
//! far less. So a sum is as good as one of `f32` (a test holds it against `f64`), in 6/16 of the time. What differs: numbers
//! below 2^-126 count as zero, and what an infinity takes part in is NaN.
//!
//! A tile of the unit is 16 rows of 64 bytes. Of an operand it has 16 rows and 32 numbers of each: a staged row is
//! `[k / 32][3 parts][32]`. Of weights it has 16 pairs of rows and the pair's numbers next to each other: a panel is
//! `[k / 32][3 parts][vectors][16 pairs][16 columns][2]`.

mod call;
mod parts;
mod setup;

use std::arch::x86_64::{__cpuid, __cpuid_count};
use std::sync::OnceLock;

pub(crate) use call::Call;
pub(crate) use parts::{Lines, fetch, stage};
pub(crate) use setup::Setup;

/// Numbers of a row that a tile of an operand holds; what is multiplied is filled up with zeros to a multiple.
pub(crate) const DEPTH: usize = 32;
/// Rows of a tile.
pub(crate) const ROWS: usize = 16;
/// Parts of a number.
pub(crate) const PARTS: usize = 3;
/// Numbers of a tile.
const TILE: usize = ROWS * DEPTH;
/// Columns of a vector of sums.
pub(crate) const COLUMNS: usize = 16;
/// Bytes of a tile's row.
pub(crate) const LINE: usize = 64;

/// Whether the processor has the unit and the system lets this process use it.
pub(crate) fn available() -> bool {
    static AVAILABLE: OnceLock<bool> = OnceLock::new();
    *AVAILABLE.get_or_init(|| {
        // Intel's manual, CPUID leaf 7: bfloat16 products and tiles.
        let has = __cpuid(0).eax >= 7 && {
            let bits = __cpuid_count(7, 0).edx;
            bits & (1 << 22) != 0 && bits & (1 << 24) != 0
        };
        has && is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bf16") && permitted()
    })
}

/// Asks Linux for the tiles' registers, which it keeps for processes that asked (`arch_prctl`, Documentation/arch/x86/xstate).
#[cfg(target_os = "linux")]
fn permitted() -> bool {
    const REQUEST: libc::c_ulong = 0x1023;
    const TILE_DATA: libc::c_ulong = 18;
    // SAFETY: the call changes nothing but which registers the threads of this process may use.
    unsafe { libc::syscall(libc::SYS_arch_prctl, REQUEST, TILE_DATA) == 0 }
}

/// Other systems grant them in other ways.
#[cfg(not(target_os = "linux"))]
fn permitted() -> bool {
    false
}
