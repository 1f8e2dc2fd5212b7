//! The forecasts that cost nothing. A model that does not beat them is not worth its training.

use ndarray::{Array2, ArrayRef2, ArrayView2, s};

use super::SeriesError;

/// "It stays as it is": for every row from `first` on, the value known `horizon` rows before it. Returns
/// `[rows - first, features]`.
///
/// ```
/// use ndarray::array;
/// let series = array![[1.0_f32], [2.0], [4.0], [8.0]];
/// assert_eq!(rnn_model::series::naive_last(&series, 2, 1)?, array![[2.0], [4.0]]);
/// # Ok::<(), rnn_model::series::SeriesError>(())
/// ```
///
/// # Errors
/// When `horizon` is 0, `first` is past the end, or there are not `horizon` rows before `first`.
pub fn naive_last<T: Clone>(
    series: &ArrayRef2<T>,
    first: usize,
    horizon: usize,
) -> Result<Array2<T>, SeriesError> {
    shifted(series, first, horizon, horizon, "naive_last")
}

/// "As a season ago": for every row from `first` on, the value of the same phase in the last season that is known
/// `horizon` rows before it, that is `period * ceil(horizon / period)` rows earlier. Returns `[rows - first, features]`.
///
/// # Errors
/// When `period` or `horizon` is 0, `first` is past the end, or there are too few rows before `first`.
pub fn naive_seasonal<T: Clone>(
    series: &ArrayRef2<T>,
    first: usize,
    period: usize,
    horizon: usize,
) -> Result<Array2<T>, SeriesError> {
    if period == 0 {
        return Err(SeriesError::argument("period", period, "a season has at least 1 row"));
    }
    shifted(series, first, period * horizon.div_ceil(period), horizon, "naive_seasonal")
}

/// The next `steps` rows after `history` as the last `period` rows repeated; `period` 1 repeats the last row. Returns
/// `[steps, features]`.
///
/// # Errors
/// When `period` is 0 or longer than the history.
pub fn seasonal_continuation<T: Clone>(
    history: &ArrayRef2<T>,
    period: usize,
    steps: usize,
) -> Result<Array2<T>, SeriesError> {
    if period == 0 {
        return Err(SeriesError::argument("period", period, "a season has at least 1 row"));
    }
    let season = tail(history, period, "seasonal_continuation")?;
    Ok(Array2::from_shape_fn((steps, history.ncols()), |(step, feature)| {
        season[[step % period, feature]].clone()
    }))
}

fn tail<'a, T>(
    history: &'a ArrayRef2<T>,
    rows: usize,
    operation: &str,
) -> Result<ArrayView2<'a, T>, SeriesError> {
    let start = history.nrows().checked_sub(rows).ok_or_else(|| SeriesError::TooShort {
        operation: operation.into(),
        needed: rows,
        rows: history.nrows(),
    })?;
    Ok(history.slice(s![start.., ..]))
}

fn shifted<T: Clone>(
    series: &ArrayRef2<T>,
    first: usize,
    back: usize,
    horizon: usize,
    operation: &str,
) -> Result<Array2<T>, SeriesError> {
    if horizon == 0 {
        return Err(SeriesError::argument("horizon", horizon, "a forecast looks at least 1 row ahead"));
    }
    if first >= series.nrows() || first < back {
        let operation = format!("{operation} of the rows from {first} on, {back} rows back");
        return Err(SeriesError::TooShort {
            operation,
            needed: if first < back { back + 1 } else { first + 1 },
            rows: if first < back { first } else { series.nrows() },
        });
    }
    Ok(series.slice(s![first - back..series.nrows() - back, ..]).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    fn ramp() -> Array2<f64> {
        Array2::from_shape_fn((8, 2), |(t, f)| (10 * t + f) as f64)
    }

    #[test]
    fn seasonal_uses_the_last_known_season() {
        // Period 3 and 4 rows ahead: a season ago is not known yet, two seasons ago is.
        let forecast = naive_seasonal(&ramp(), 6, 3, 4).unwrap();
        assert_eq!(forecast, array![[0.0, 1.0], [10.0, 11.0]]);
        assert_eq!(naive_seasonal(&ramp(), 6, 3, 3).unwrap(), array![[30.0, 31.0], [40.0, 41.0]]);
    }

    #[test]
    fn continuation_repeats_the_season() {
        let next = seasonal_continuation(&ramp(), 2, 3).unwrap();
        assert_eq!(next, array![[60.0, 61.0], [70.0, 71.0], [60.0, 61.0]]);
        assert!(matches!(
            seasonal_continuation(&ramp(), 9, 1),
            Err(SeriesError::TooShort { needed: 9, rows: 8, .. })
        ));
        assert!(seasonal_continuation(&ramp(), 0, 1).is_err());
    }

    #[test]
    fn what_is_not_known_is_an_error() {
        assert!(naive_last(&ramp(), 0, 1).is_err());
        assert!(naive_last(&ramp(), 8, 1).is_err());
        assert!(naive_last(&ramp(), 4, 0).is_err());
        assert!(naive_seasonal(&ramp(), 2, 3, 1).is_err());
        assert!(naive_seasonal(&ramp(), 2, 0, 1).is_err());
    }
}
