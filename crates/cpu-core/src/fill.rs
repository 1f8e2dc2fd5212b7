//! One value everywhere.

use crate::{Real, Result};

/// `y[i] = value`
///
/// # Errors
/// None; the result is there because the other operations have one.
pub fn fill<T: Real>(value: T, y: &mut [T]) -> Result<()> {
    y.fill(value);
    Ok(())
}
