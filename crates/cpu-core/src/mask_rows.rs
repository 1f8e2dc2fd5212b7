//! Rows that a flag replaces.

use crate::error::{check_len, volume};
use crate::{Real, Result, VALID, parallel};

/// `y[r, :] = x[r, :]` where `flags[r]` has VALID, else `fill`, whatever `x` holds there. With 0 the same call on the
/// gradient of `y` gives that of `x`. `flags [rows]`, `x` and `y [rows, cols]`.
///
/// # Errors
/// [`crate::Error::Length`].
pub fn mask_rows<T: Real>(
    rows: usize,
    cols: usize,
    fill: T,
    flags: &[u32],
    x: &[T],
    y: &mut [T],
) -> Result<()> {
    const OP: &str = "mask_rows";
    check_len(OP, "flags", rows, flags.len())?;
    check_len(OP, "x", volume(OP, &[rows, cols])?, x.len())?;
    check_len(OP, "y", x.len(), y.len())?;
    if x.is_empty() {
        return Ok(());
    }
    let chunk = parallel::MEMORY.chunk(x.len(), cols);
    let pieces = flags.chunks(chunk / cols).zip(x.chunks(chunk).zip(y.chunks_mut(chunk)));
    parallel::share_out(pieces, |(flags, (x, y))| {
        for (&flag, (x, y)) in flags.iter().zip(x.chunks_exact(cols).zip(y.chunks_exact_mut(cols))) {
            if flag & VALID != 0 {
                y.copy_from_slice(x);
            } else {
                y.fill(fill);
            }
        }
    });
    Ok(())
}
