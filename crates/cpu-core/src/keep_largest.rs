//! The largest values of each row.

use crate::error::{check_len, volume};
use crate::{Real, Result};
use std::cmp::Ordering;

/// `y = x` where it is among the `k` largest of its row, of equal ones those in front, else `fill`. A NaN stays. `x` and `y`
/// are `[rows, cols]`.
///
/// # Errors
/// [`crate::Error::Length`].
pub fn keep_largest<T: Real>(k: u32, fill: T, rows: usize, cols: usize, x: &[T], y: &mut [T]) -> Result<()> {
    const OP: &str = "keep_largest";
    check_len(OP, "x", volume(OP, &[rows, cols])?, x.len())?;
    check_len(OP, "y", x.len(), y.len())?;
    let mut order = Vec::with_capacity(cols);
    for (x, y) in x.chunks_exact(cols.max(1)).zip(y.chunks_exact_mut(cols.max(1))) {
        order.clear();
        order.extend((0..cols).filter(|&c| !x[c].is_nan()));
        let largest = order.len().min(k as usize);
        if largest < order.len() {
            let larger_first =
                |&a: &usize, &b: &usize| x[b].partial_cmp(&x[a]).unwrap_or(Ordering::Equal).then(a.cmp(&b));
            order.select_nth_unstable_by(largest, larger_first);
        }
        y.copy_from_slice(x);
        order[largest..].iter().for_each(|&c| y[c] = fill);
    }
    Ok(())
}
