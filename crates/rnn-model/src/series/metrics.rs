//! Error measures on the host, in the series' own units. NaN in either array gives NaN.

use ndarray::{ArrayRef, Dimension};

use super::{SeriesError, Value};

/// Root mean squared error, `sqrt(mean((actual - predicted)^2))` over all elements of two arrays of one shape.
///
/// ```
/// use ndarray::array;
/// let error = rnn_model::series::rmse(&array![1.0_f32, 2.0, 3.0], &array![1.0, 2.0, 6.0])?;
/// assert!((error - 3.0_f64.sqrt()).abs() < 1e-12);
/// # Ok::<(), rnn_model::series::SeriesError>(())
/// ```
///
/// # Errors
/// When the shapes differ or the arrays are empty.
pub fn rmse<T: Value, D: Dimension>(
    actual: &ArrayRef<T, D>,
    predicted: &ArrayRef<T, D>,
) -> Result<f64, SeriesError> {
    Ok(mean("rmse", actual, predicted, |a, p| (a - p) * (a - p))?.sqrt())
}

/// Mean absolute error, `mean(|actual - predicted|)` over all elements of two arrays of one shape.
///
/// # Errors
/// When the shapes differ or the arrays are empty.
pub fn mae<T: Value, D: Dimension>(
    actual: &ArrayRef<T, D>,
    predicted: &ArrayRef<T, D>,
) -> Result<f64, SeriesError> {
    mean("mae", actual, predicted, |a, p| (a - p).abs())
}

/// Mean absolute percentage error, `100 mean(|actual - predicted| / |actual|)`; infinite where an actual value is 0.
///
/// # Errors
/// When the shapes differ or the arrays are empty.
pub fn mape<T: Value, D: Dimension>(
    actual: &ArrayRef<T, D>,
    predicted: &ArrayRef<T, D>,
) -> Result<f64, SeriesError> {
    mean("mape", actual, predicted, |a, p| 100.0 * ((a - p) / a).abs())
}

fn mean<T: Value, D: Dimension>(
    operation: &'static str,
    actual: &ArrayRef<T, D>,
    predicted: &ArrayRef<T, D>,
    term: impl Fn(f64, f64) -> f64,
) -> Result<f64, SeriesError> {
    if actual.shape() != predicted.shape() {
        return Err(SeriesError::ShapesDiffer {
            operation,
            left: actual.shape().to_vec(),
            right: predicted.shape().to_vec(),
        });
    }
    if actual.is_empty() {
        return Err(SeriesError::TooShort { operation: operation.into(), needed: 1, rows: 0 });
    }
    let sum: f64 = actual.iter().zip(predicted.iter()).map(|(a, p)| term(a.wide(), p.wide())).sum();
    Ok(sum / actual.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::{Array1, array};

    #[test]
    fn known_values() {
        let (actual, predicted) = (array![[2.0_f64], [4.0], [-8.0]], array![[1.0], [4.0], [-6.0]]);
        assert_eq!(mae(&actual, &predicted).unwrap(), 1.0);
        assert_eq!(rmse(&actual, &predicted).unwrap(), (5.0_f64 / 3.0).sqrt());
        assert_eq!(mape(&actual, &predicted).unwrap(), 25.0);
    }

    #[test]
    fn nan_is_not_hidden() {
        assert!(rmse(&array![1.0_f32, f32::NAN], &array![1.0, 1.0]).unwrap().is_nan());
    }

    #[test]
    fn empty_or_unequal_is_an_error() {
        assert!(matches!(
            mae(&array![1.0_f32, 2.0], &array![1.0]),
            Err(SeriesError::ShapesDiffer { left, right, .. }) if left == [2] && right == [1]
        ));
        let none = Array1::<f32>::zeros(0);
        assert!(matches!(rmse(&none, &none), Err(SeriesError::TooShort { .. })));
    }
}
