//! Scalers: one affine map per feature, learnt on the training part, inverted on outputs, saved with the model.

use ndarray::{Array, ArrayRef, Axis, Dimension, RemoveAxis};
use serde::{Deserialize, Serialize};

use super::{SeriesError, Value};

/// Maps each feature's `[min, max]` in the fitted data onto a range: `y = low + (x - min) (high - low) / (max - min)`
/// (scikit-learn's `MinMaxScaler`). A feature that is constant maps to `low`. The last axis is the features.
///
/// ```
/// use ndarray::array;
/// use rnn_model::series::MinMaxScaler;
/// let train = array![[0.0_f32, 10.0], [5.0, 30.0]];
/// let scaler = MinMaxScaler::fit(&train)?;
/// let scaled = scaler.transform(&array![[2.5_f32, 50.0]])?;
/// assert_eq!(scaled, array![[0.5, 2.0]]);
/// assert_eq!(scaler.inverse_transform(&scaled)?, array![[2.5, 50.0]]);
/// # Ok::<(), rnn_model::series::SeriesError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "MinMaxParts")]
pub struct MinMaxScaler {
    low: f64,
    high: f64,
    min: Vec<f64>,
    max: Vec<f64>,
}

impl MinMaxScaler {
    /// Learns minimum and maximum of each feature, for the range 0 to 1.
    ///
    /// # Errors
    /// When `x` is empty or holds NaN or an infinity.
    pub fn fit<T: Value, D: RemoveAxis>(x: &ArrayRef<T, D>) -> Result<Self, SeriesError> {
        Self::fit_range(x, 0.0, 1.0)
    }

    /// Learns minimum and maximum of each feature, for the range `low` to `high`.
    ///
    /// # Errors
    /// When `x` is empty or holds NaN or an infinity, or `low` is not below `high`.
    pub fn fit_range<T: Value, D: RemoveAxis>(
        x: &ArrayRef<T, D>,
        low: f64,
        high: f64,
    ) -> Result<Self, SeriesError> {
        check_range(low, high)?;
        check_values("min-max scaler", x)?;
        let features = x.len_of(last_axis(x));
        let (mut min, mut max) = (vec![f64::INFINITY; features], vec![f64::NEG_INFINITY; features]);
        for row in x.lanes(last_axis(x)) {
            for (feature, value) in row.iter().enumerate() {
                min[feature] = min[feature].min(value.wide());
                max[feature] = max[feature].max(value.wide());
            }
        }
        Ok(MinMaxScaler { low, high, min, max })
    }

    /// Scales the last axis.
    ///
    /// # Errors
    /// When `x` has another number of features than the scaler was fitted on.
    pub fn transform<T: Value, D: Dimension>(&self, x: &ArrayRef<T, D>) -> Result<Array<T, D>, SeriesError> {
        map("min-max scaler", x, self.features(), |feature, value| {
            self.low + (value - self.min[feature]) / self.range(feature) * (self.high - self.low)
        })
    }

    /// Undoes [`transform`](Self::transform).
    ///
    /// # Errors
    /// When `y` has another number of features than the scaler was fitted on.
    pub fn inverse_transform<T: Value, D: Dimension>(
        &self,
        y: &ArrayRef<T, D>,
    ) -> Result<Array<T, D>, SeriesError> {
        map("min-max scaler", y, self.features(), |feature, value| {
            (value - self.low) / (self.high - self.low) * self.range(feature) + self.min[feature]
        })
    }

    /// Features that it was fitted on.
    pub fn features(&self) -> usize {
        self.min.len()
    }

    fn range(&self, feature: usize) -> f64 {
        let range = self.max[feature] - self.min[feature];
        if range == 0.0 { 1.0 } else { range }
    }
}

/// The scaler as a file has it, before it is checked.
#[derive(Deserialize)]
struct MinMaxParts {
    low: f64,
    high: f64,
    min: Vec<f64>,
    max: Vec<f64>,
}

impl TryFrom<MinMaxParts> for MinMaxScaler {
    type Error = SeriesError;

    fn try_from(parts: MinMaxParts) -> Result<Self, SeriesError> {
        let MinMaxParts { low, high, min, max } = parts;
        check_range(low, high)?;
        let ordered = min.iter().zip(&max).all(|(min, max)| (max - min).is_finite() && min <= max);
        if min.is_empty() || min.len() != max.len() || !ordered {
            return Err(SeriesError::argument(
                "min-max scaler",
                format!("min {min:?}, max {max:?}"),
                "it needs one finite min and max per feature",
            ));
        }
        Ok(MinMaxScaler { low, high, min, max })
    }
}

/// Shifts and scales each feature to mean 0 and standard deviation 1: `y = (x - mean) / std`, with the population's
/// `std` (scikit-learn's `StandardScaler`). A feature that is constant maps to 0. The last axis is the features.
///
/// ```
/// use ndarray::array;
/// use rnn_model::series::StandardScaler;
/// let scaler = StandardScaler::fit(&array![[1.0_f64], [3.0]])?;
/// assert_eq!(scaler.transform(&array![[4.0_f64]])?, array![[2.0]]);
/// # Ok::<(), rnn_model::series::SeriesError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "StandardParts")]
pub struct StandardScaler {
    mean: Vec<f64>,
    std: Vec<f64>,
}

impl StandardScaler {
    /// Learns mean and standard deviation of each feature (two passes, in `f64`).
    ///
    /// # Errors
    /// When `x` is empty or holds NaN or an infinity.
    pub fn fit<T: Value, D: RemoveAxis>(x: &ArrayRef<T, D>) -> Result<Self, SeriesError> {
        check_values("standard scaler", x)?;
        let axis = last_axis(x);
        let features = x.len_of(axis);
        let rows = (x.len() / features) as f64;
        let mut mean = vec![0.0; features];
        for row in x.lanes(axis) {
            for (mean, value) in mean.iter_mut().zip(row) {
                *mean += value.wide() / rows;
            }
        }
        let mut variance = vec![0.0; features];
        for row in x.lanes(axis) {
            for ((variance, mean), value) in variance.iter_mut().zip(&mean).zip(row) {
                *variance += (value.wide() - mean).powi(2) / rows;
            }
        }
        // A constant feature leaves rounding noise of the mean, which must not be scaled up to 1.
        let std = mean.iter().zip(&variance).map(|(mean, variance)| {
            let std = f64::sqrt(*variance);
            if std <= 10.0 * f64::EPSILON * mean.abs() { 1.0 } else { std }
        });
        let std = std.collect();
        Ok(StandardScaler { mean, std })
    }

    /// Scales the last axis.
    ///
    /// # Errors
    /// When `x` has another number of features than the scaler was fitted on.
    pub fn transform<T: Value, D: Dimension>(&self, x: &ArrayRef<T, D>) -> Result<Array<T, D>, SeriesError> {
        map("standard scaler", x, self.features(), |feature, value| {
            (value - self.mean[feature]) / self.std[feature]
        })
    }

    /// Undoes [`transform`](Self::transform).
    ///
    /// # Errors
    /// When `y` has another number of features than the scaler was fitted on.
    pub fn inverse_transform<T: Value, D: Dimension>(
        &self,
        y: &ArrayRef<T, D>,
    ) -> Result<Array<T, D>, SeriesError> {
        map("standard scaler", y, self.features(), |feature, value| {
            value * self.std[feature] + self.mean[feature]
        })
    }

    /// Features that it was fitted on.
    pub fn features(&self) -> usize {
        self.mean.len()
    }
}

/// The scaler as a file has it, before it is checked.
#[derive(Deserialize)]
struct StandardParts {
    mean: Vec<f64>,
    std: Vec<f64>,
}

impl TryFrom<StandardParts> for StandardScaler {
    type Error = SeriesError;

    fn try_from(parts: StandardParts) -> Result<Self, SeriesError> {
        let StandardParts { mean, std } = parts;
        let usable =
            mean.iter().all(|mean| mean.is_finite()) && std.iter().all(|std| std.is_normal() && *std > 0.0);
        if mean.is_empty() || mean.len() != std.len() || !usable {
            return Err(SeriesError::argument(
                "standard scaler",
                format!("mean {mean:?}, std {std:?}"),
                "it needs one finite mean and positive std per feature",
            ));
        }
        Ok(StandardScaler { mean, std })
    }
}

fn check_range(low: f64, high: f64) -> Result<(), SeriesError> {
    if (high - low).is_finite() && low < high {
        return Ok(());
    }
    Err(SeriesError::argument("range", format!("{low} to {high}"), "its start must be below its end"))
}

fn last_axis<T, D: Dimension>(x: &ArrayRef<T, D>) -> Axis {
    Axis(x.ndim().saturating_sub(1))
}

/// At least one row and feature, every value finite.
pub(super) fn check_values<T: Value, D: RemoveAxis>(
    operation: &'static str,
    x: &ArrayRef<T, D>,
) -> Result<(), SeriesError> {
    if x.is_empty() || x.ndim() == 0 {
        return Err(SeriesError::TooShort { operation: operation.into(), needed: 1, rows: 0 });
    }
    for (row, lane) in x.lanes(last_axis(x)).into_iter().enumerate() {
        for (feature, value) in lane.iter().enumerate() {
            if !value.is_finite() {
                return Err(SeriesError::NotFinite { operation, row, feature, value: value.wide() });
            }
        }
    }
    Ok(())
}

/// `f(feature, value)` for every element, computed in `f64`.
fn map<T: Value, D: Dimension>(
    operation: &'static str,
    x: &ArrayRef<T, D>,
    features: usize,
    f: impl Fn(usize, f64) -> f64,
) -> Result<Array<T, D>, SeriesError> {
    let got = if x.ndim() == 0 { 0 } else { x.len_of(last_axis(x)) };
    if got != features {
        return Err(SeriesError::Features { operation, expected: features, got });
    }
    let mut out = x.to_owned();
    for mut lane in out.lanes_mut(last_axis(x)) {
        for (feature, value) in lane.iter_mut().enumerate() {
            *value = T::narrow(f(feature, value.wide()));
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::{Array2, array};

    #[test]
    fn standard_scaler_has_mean_0_and_std_1() {
        let x = Array2::from_shape_fn((50, 2), |(t, f)| (t as f64).sqrt() * 7.0 - 1000.0 * f as f64);
        let y = StandardScaler::fit(&x).unwrap().transform(&x).unwrap();
        for column in y.columns() {
            let mean = column.sum() / 50.0;
            let variance = column.mapv(|v| (v - mean).powi(2)).sum() / 50.0;
            // Sums of 50 values of size 1000: rounding well below 1e-9.
            assert!(mean.abs() < 1e-9 && (variance - 1.0).abs() < 1e-9, "{mean} {variance}");
        }
    }

    #[test]
    fn both_invert_in_any_rank() {
        let x = Array2::from_shape_fn((40, 3), |(t, f)| ((t * 7 + f * 3) % 11) as f64 - 4.0 * f as f64);
        let windows = x.clone().into_shape_with_order((5, 8, 3)).unwrap();
        let (a, b) =
            (MinMaxScaler::fit_range(&x, -1.0, 1.0).unwrap(), StandardScaler::fit(&windows).unwrap());
        let scaled = a.transform(&windows).unwrap();
        assert!(scaled.iter().all(|v| (-1.0..=1.0).contains(v)));
        let close = |p: f64, q: f64| (p - q).abs() < 1e-12;
        assert!(a.inverse_transform(&scaled).unwrap().iter().zip(&windows).all(|(p, q)| close(*p, *q)));
        let back = b.inverse_transform(&b.transform(&x).unwrap()).unwrap();
        assert!(back.iter().zip(&x).all(|(p, q)| close(*p, *q)));
    }

    #[test]
    fn a_constant_feature_is_harmless() {
        let x = array![[0.1_f64, 1.0], [0.1, 2.0], [0.1, 3.0]];
        let scaled = StandardScaler::fit(&x).unwrap().transform(&x).unwrap();
        assert!(scaled.column(0).iter().all(|v| v.abs() < 1e-15), "{scaled}");
        assert_eq!(MinMaxScaler::fit(&x).unwrap().transform(&x).unwrap().column(0), array![0.0, 0.0, 0.0]);
    }

    #[test]
    fn missing_values_and_wrong_widths_are_named() {
        let x = array![[1.0_f32, 2.0], [3.0, f32::NAN]];
        let error = StandardScaler::fit(&x).unwrap_err();
        assert!(matches!(error, SeriesError::NotFinite { row: 1, feature: 1, .. }), "{error}");
        assert!(MinMaxScaler::fit(&x).is_err());
        assert!(MinMaxScaler::fit(&Array2::<f32>::zeros((0, 2))).is_err());
        assert!(StandardScaler::fit(&Array2::<f32>::zeros((3, 0))).is_err());
        let scaler = MinMaxScaler::fit(&array![[1.0_f32, 2.0]]).unwrap();
        assert!(matches!(
            scaler.transform(&array![[1.0_f32]]),
            Err(SeriesError::Features { expected: 2, got: 1, .. })
        ));
        assert!(MinMaxScaler::fit_range(&array![[1.0_f32]], 1.0, 1.0).is_err());
        assert!(MinMaxScaler::fit_range(&array![[1.0_f32]], 0.0, f64::NAN).is_err());
    }

    #[test]
    fn a_file_can_not_hold_a_broken_scaler() {
        let scaler = StandardScaler::fit(&array![[1.0_f64], [2.5]]).unwrap();
        let text = serde_json::to_string(&scaler).unwrap();
        assert_eq!(serde_json::from_str::<StandardScaler>(&text).unwrap(), scaler);
        for broken in
            [r#"{"mean":[1.0],"std":[0.0]}"#, r#"{"mean":[1.0],"std":[]}"#, r#"{"mean":[],"std":[]}"#]
        {
            assert!(serde_json::from_str::<StandardScaler>(broken).is_err(), "{broken}");
        }
        for broken in [
            r#"{"low":1.0,"high":0.0,"min":[0.0],"max":[1.0]}"#,
            r#"{"low":0.0,"high":1.0,"min":[2.0],"max":[1.0]}"#,
            r#"{"low":0.0,"high":1.0,"min":[-1e308],"max":[1e308]}"#,
        ] {
            assert!(serde_json::from_str::<MinMaxScaler>(broken).is_err(), "{broken}");
        }
    }
}
