//! Splits that keep the order: the past trains, the future tests.

use ndarray::{ArrayRef, ArrayView, Axis, RemoveAxis, Slice};

use super::SeriesError;

/// How much of a series is held back.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum TestSize {
    /// That many rows at the end.
    Rows(usize),
    /// That part of the rows, rounded to the nearest whole row.
    Fraction(f64),
}

impl From<usize> for TestSize {
    fn from(rows: usize) -> Self {
        TestSize::Rows(rows)
    }
}

impl From<f64> for TestSize {
    fn from(fraction: f64) -> Self {
        TestSize::Fraction(fraction)
    }
}

/// The part to train on and the part held back.
pub type Parts<'a, T, D> = (ArrayView<'a, T, D>, ArrayView<'a, T, D>);

/// The first rows for training, the last for the test. Rows are axis 0, so that windows `[samples, ...]` split too.
///
/// ```
/// use ndarray::Array2;
/// use rnn_model::series::train_test_split;
/// let series = Array2::<f32>::zeros((144, 1));
/// let (train, test) = train_test_split(&series, 48)?;
/// assert_eq!((train.nrows(), test.nrows()), (96, 48));
/// let (train, test) = train_test_split(&series, 0.25)?;
/// assert_eq!((train.nrows(), test.nrows()), (108, 36));
/// # Ok::<(), rnn_model::series::SeriesError>(())
/// ```
///
/// # Errors
/// When either part would be empty, or a fraction is not between 0 and 1.
pub fn train_test_split<T, D: RemoveAxis>(
    series: &ArrayRef<T, D>,
    test: impl Into<TestSize>,
) -> Result<Parts<'_, T, D>, SeriesError> {
    split_with_gap(series, test, 0)
}

/// As [`train_test_split`], with `gap` rows between the parts left out: for windows, `gap >= look_back` keeps every
/// training row out of the test windows.
///
/// # Errors
/// When either part would be empty, or a fraction is not between 0 and 1.
pub fn split_with_gap<T, D: RemoveAxis>(
    series: &ArrayRef<T, D>,
    test: impl Into<TestSize>,
    gap: usize,
) -> Result<Parts<'_, T, D>, SeriesError> {
    let rows = series.len_of(Axis(0));
    let held_back = match test.into() {
        TestSize::Rows(rows) => rows,
        TestSize::Fraction(part) if part > 0.0 && part < 1.0 => (rows as f64 * part).round() as usize,
        TestSize::Fraction(part) => {
            return Err(SeriesError::argument("test fraction", part, "it must lie between 0 and 1"));
        }
    };
    if held_back == 0 {
        return Err(SeriesError::argument("test size", held_back, "the test part needs at least 1 row"));
    }
    let needed = held_back.saturating_add(gap).saturating_add(1);
    if rows < needed {
        let operation = format!("split with {held_back} rows held back and a gap of {gap}");
        return Err(SeriesError::TooShort { operation, needed, rows });
    }
    let first_test = rows - held_back;
    Ok((
        series.slice_axis(Axis(0), Slice::from(..first_test - gap)),
        series.slice_axis(Axis(0), Slice::from(first_test..)),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::{Array1, Array3};

    #[test]
    fn order_is_kept_and_the_gap_left_out() {
        let series = Array1::from_iter(0..10);
        let (train, test) = split_with_gap(&series, 3, 2).unwrap();
        assert_eq!(train.to_vec(), [0, 1, 2, 3, 4]);
        assert_eq!(test.to_vec(), [7, 8, 9]);
        let windows = Array3::<f32>::zeros((10, 4, 2));
        assert_eq!(train_test_split(&windows, 0.2).unwrap().1.dim(), (2, 4, 2));
    }

    #[test]
    fn neither_part_may_be_empty() {
        let series = Array1::from_iter(0..10);
        for size in [TestSize::Rows(10), TestSize::Rows(usize::MAX), TestSize::Fraction(0.99)] {
            assert!(matches!(train_test_split(&series, size), Err(SeriesError::TooShort { .. })), "{size:?}");
        }
        let bad = [
            TestSize::Rows(0),
            TestSize::Fraction(0.01),
            TestSize::Fraction(0.0),
            TestSize::Fraction(1.0),
            TestSize::Fraction(f64::NAN),
        ];
        for size in bad {
            assert!(matches!(train_test_split(&series, size), Err(SeriesError::Argument { .. })), "{size:?}");
        }
    }
}
