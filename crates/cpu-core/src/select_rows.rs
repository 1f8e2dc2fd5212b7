//! Rows from one array or another, as a flag says.

use crate::error::{check_len, volume};
use crate::{Real, Result, parallel};

/// `y[r, :] = a[r, :]` where `flags[r]` has `bit`, else `b[r, :]`; zeros stand for an array that is not there. The same call
/// on `dy` as `a` alone gives the gradient by `a`, as `b` alone that by `b`. `flags [rows]`, the others `[rows, cols]`.
///
/// # Errors
/// [`crate::Error::Length`].
pub fn select_rows<T: Real>(
    rows: usize,
    cols: usize,
    bit: u32,
    flags: &[u32],
    a: Option<&[T]>,
    b: Option<&[T]>,
    y: &mut [T],
) -> Result<()> {
    const OP: &str = "select_rows";
    check_len(OP, "flags", rows, flags.len())?;
    check_len(OP, "y", volume(OP, &[rows, cols])?, y.len())?;
    check_len(OP, "a", y.len(), a.map_or(y.len(), <[T]>::len))?;
    check_len(OP, "b", y.len(), b.map_or(y.len(), <[T]>::len))?;
    if y.is_empty() {
        return Ok(());
    }
    let chunk = parallel::MEMORY.chunk(y.len(), cols);
    parallel::share_out(y.chunks_mut(chunk).enumerate(), |(piece, y)| {
        let first = piece * chunk;
        for (i, y) in y.chunks_exact_mut(cols).enumerate() {
            let at = first + i * cols;
            match if flags[at / cols] & bit != 0 { a } else { b } {
                Some(from) => y.copy_from_slice(&from[at..at + cols]),
                None => y.fill(T::ZERO),
            }
        }
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::select_rows;

    #[test]
    fn rows_come_from_where_the_bit_says() {
        let (a, b) = ([1.0, 2.0, 3.0, f64::NAN, 5.0, 6.0], [-1.0, f64::NAN, -3.0, -4.0, -5.0, -6.0]);
        let mut y = [9.0; 6];
        select_rows(3, 2, 2, &[3, 1, 2], Some(&a), Some(&b), &mut y).unwrap();
        assert_eq!(y, [1.0, 2.0, -3.0, -4.0, 5.0, 6.0]);
        select_rows(3, 2, 2, &[3, 1, 2], None, Some(&b), &mut y).unwrap();
        assert_eq!(y, [0.0, 0.0, -3.0, -4.0, 0.0, 0.0]);
        select_rows(3, 2, 1, &[2, 1, 2], Some(&b), None, &mut y).unwrap();
        assert_eq!(y, [0.0, 0.0, -3.0, -4.0, 0.0, 0.0]);
    }

    #[test]
    fn lengths_are_checked() {
        let mut y = [0.0; 6];
        let error = select_rows(3, 2, 1, &[1, 1], None, None, &mut y).unwrap_err();
        assert!(error.to_string().contains("flags"), "{error}");
        let error = select_rows(3, 2, 1, &[1; 3], Some(&[0.0; 5]), None, &mut y).unwrap_err();
        assert!(error.to_string().contains('a'), "{error}");
    }
}
