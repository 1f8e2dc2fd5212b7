//! A chain of transforms from a raw series to what a network learns well, and back from its forecasts.

use ndarray::{Array2, ArrayRef2, ArrayView2, s};
use serde::{Deserialize, Serialize};

use super::levels::Levels;
use super::scaler::check_values;
use super::{MinMaxScaler, SeriesError, StandardScaler, Value};

/// One step of a chain, before it is fitted.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum TransformStep {
    /// `y = ln x`: turns growth in percent into growth by a constant. Needs values above 0.
    Log,
    /// `y[t] = x[t] - x[t - lag]`: removes a trend (lag 1) or a season (lag = its period). The first `lag` rows are lost.
    Difference {
        /// rows back, at least 1
        lag: usize,
    },
    /// A [`MinMaxScaler`] to the range `low` to `high`.
    MinMax {
        /// start of the range
        low: f64,
        /// end of the range
        high: f64,
    },
    /// A [`StandardScaler`].
    Standard,
}

/// A fitted step: what is applied and inverted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(super) enum Fitted {
    Log,
    Difference { lag: usize },
    MinMax(MinMaxScaler),
    Standard(StandardScaler),
}

/// A fitted chain: applied to a series, inverted on forecasts. It is saved with the model.
///
/// ```
/// use ndarray::{Array2, s};
/// use rnn_model::series::{SeriesTransform, TransformStep::*};
///
/// # fn main() -> Result<(), rnn_model::series::SeriesError> {
/// // Growth of 1 % a month with a yearly season.
/// let season = |t: usize| 1.0 + 0.2 * (t as f64 * std::f64::consts::TAU / 12.0).sin();
/// let series = Array2::from_shape_fn((48, 1), |(t, _)| 100.0 * 1.01_f64.powi(t as i32) * season(t));
/// let history = series.slice(s![..36, ..]);
/// let transform = SeriesTransform::fit(&[Log, Difference { lag: 12 }], &history)?;
/// let growth = transform.apply(&history)?;                    // ln(1.01) * 12 in every row
/// assert_eq!(growth.nrows(), 36 - transform.lost());
/// // The forecast "the same growth again" meets the future.
/// let forecast = transform.invert(&history, &growth.slice(s![..12, ..]))?;
/// assert!((forecast[[11, 0]] / series[[47, 0]] - 1.0).abs() < 1e-12);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Parts")]
pub struct SeriesTransform {
    features: usize,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    names: Vec<String>,
    steps: Vec<Fitted>,
}

impl SeriesTransform {
    /// Fits the steps one after the other on the training part `[rows, features]`. No steps: values stay as they are.
    ///
    /// # Errors
    /// When the series is too short for the lags, has NaN or infinite values, or values not above 0 for a logarithm.
    pub fn fit<T: Value>(steps: &[TransformStep], train: &ArrayRef2<T>) -> Result<Self, SeriesError> {
        check_values("series transform", train)?;
        let mut chain = SeriesTransform {
            features: train.ncols(),
            names: Vec::new(),
            steps: Vec::with_capacity(steps.len()),
        };
        chain.steps = steps.iter().filter_map(|step| step.without_fit()).collect();
        chain.check_rows(train.nrows(), 1, steps)?;
        chain.steps.clear();
        let mut level = train.mapv(Value::wide);
        for step in steps {
            let fitted = match *step {
                TransformStep::Log => Fitted::Log,
                TransformStep::Difference { lag } => Fitted::difference(lag)?,
                TransformStep::MinMax { low, high } => {
                    Fitted::MinMax(MinMaxScaler::fit_range(&level, low, high)?)
                }
                TransformStep::Standard => Fitted::Standard(StandardScaler::fit(&level)?),
            };
            level = fitted.apply(&level, chain.lost())?;
            chain.steps.push(fitted);
        }
        Ok(chain)
    }

    /// Rows at the start of a series that the differences use up: the sum of their lags.
    pub fn lost(&self) -> usize {
        self.steps.iter().fold(0, |lost, step| lost.saturating_add(step.lost()))
    }

    /// Features that it was fitted on.
    pub fn features(&self) -> usize {
        self.features
    }

    /// Names the features, such as the columns of the file they came from; saved along.
    ///
    /// # Errors
    /// When there are not as many names as features.
    pub fn with_names(mut self, names: Vec<String>) -> Result<Self, SeriesError> {
        self.check_width("names", names.len())?;
        self.names = names;
        Ok(self)
    }

    /// Names of the features; none where none were given.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The steps in words, `log, difference 12, standard`; `none` where there are none.
    pub fn describe(&self) -> String {
        let words = self.steps.iter().map(|step| match step {
            Fitted::Log => "log".to_owned(),
            Fitted::Difference { lag } => format!("difference {lag}"),
            Fitted::MinMax(_) => "min-max".to_owned(),
            Fitted::Standard(_) => "standard".to_owned(),
        });
        let words = words.collect::<Vec<_>>();
        if words.is_empty() { "none".to_owned() } else { words.join(", ") }
    }

    /// The transformed series, `[rows - lost, features]`: its row `i` belongs to row `i + lost` of `series`.
    ///
    /// # Errors
    /// When the series has another number of features, is not longer than [`lost`](Self::lost), has NaN or infinite
    /// values, or values not above 0 for a logarithm.
    pub fn apply<T: Value>(&self, series: &ArrayRef2<T>) -> Result<Array2<T>, SeriesError> {
        self.check(series, 1)?;
        let mut level = series.mapv(Value::wide);
        let mut lost = 0;
        for step in &self.steps {
            level = step.apply(&level, lost)?;
            lost += step.lost();
        }
        Ok(level.mapv(T::narrow))
    }

    /// Turns transformed values that follow one another, `[steps, features]`, the first of them for the row after the
    /// end of the raw `history`, into raw values. Differences build on the history first and then on the forecast itself.
    ///
    /// # Errors
    /// When a width differs from the fitted one, or the history is shorter than [`lost`](Self::lost) or has values that
    /// can not be transformed.
    pub fn invert<T: Value>(
        &self,
        history: &ArrayRef2<T>,
        forecast: &ArrayRef2<T>,
    ) -> Result<Array2<T>, SeriesError> {
        self.check(history, 0)?;
        self.check_width("invert", forecast.ncols())?;
        // Only the last `lost` rows matter.
        let start = history.nrows() - self.lost();
        let mut levels = Levels::new(&self.steps, &history.slice(s![start.., ..]).mapv(Value::wide), start)?;
        let mut raw = Array2::zeros(forecast.raw_dim());
        for (row, mut out) in forecast.rows().into_iter().zip(raw.rows_mut()) {
            for (out, value) in out.iter_mut().zip(levels.append(&row.mapv(Value::wide))) {
                *out = T::narrow(value);
            }
        }
        Ok(raw)
    }

    /// Turns one-step-ahead predictions `[count, features]` into raw values: prediction `i` is of row `first + i` of the
    /// raw `series` and was made knowing all rows before it, so that differences build on the true rows. The last one may
    /// be of the row after the end.
    ///
    /// # Errors
    /// As [`invert`](Self::invert); also when rows before `first` or up to the last prediction are missing.
    pub fn invert_each<T: Value>(
        &self,
        series: &ArrayRef2<T>,
        first: usize,
        predictions: &ArrayRef2<T>,
    ) -> Result<Array2<T>, SeriesError> {
        self.check_width("invert_each", predictions.ncols())?;
        let count = predictions.nrows();
        let needed = first.saturating_add(count).saturating_sub(1).max(first);
        if series.nrows() < needed || first < self.lost() {
            return Err(SeriesError::TooShort {
                operation: format!(
                    "invert {count} predictions from row {first} on, {} rows back",
                    self.lost()
                ),
                needed: needed.max(self.lost()),
                rows: series.nrows().min(first),
            });
        }
        let start = first - self.lost();
        let known: ArrayView2<T> = series.slice(s![start..needed, ..]);
        self.check(&known, 0)?;
        let levels = Levels::new(&self.steps, &known.mapv(Value::wide), start)?;
        let mut raw = Array2::zeros(predictions.raw_dim());
        for (index, (row, mut out)) in predictions.rows().into_iter().zip(raw.rows_mut()).enumerate() {
            for (out, value) in
                out.iter_mut().zip(levels.value_at(self.lost() + index, &row.mapv(Value::wide)))
            {
                *out = T::narrow(value);
            }
        }
        Ok(raw)
    }

    fn check<T: Value>(&self, series: &ArrayRef2<T>, beyond: usize) -> Result<(), SeriesError> {
        self.check_width("series transform", series.ncols())?;
        self.check_rows(series.nrows(), beyond, &[])?;
        if series.is_empty() { Ok(()) } else { check_values("series transform", series) }
    }

    fn check_width(&self, operation: &'static str, got: usize) -> Result<(), SeriesError> {
        if got == self.features {
            return Ok(());
        }
        Err(SeriesError::Features { operation, expected: self.features, got })
    }

    fn check_rows(&self, rows: usize, beyond: usize, steps: &[TransformStep]) -> Result<(), SeriesError> {
        for step in steps {
            if let TransformStep::Difference { lag } = step {
                Fitted::difference(*lag)?;
            }
        }
        let needed = self.lost().saturating_add(beyond);
        if rows >= needed {
            return Ok(());
        }
        let operation = format!("differences over {} rows", self.lost());
        Err(SeriesError::TooShort { operation, needed, rows })
    }
}

impl TransformStep {
    /// The steps that learn nothing from data.
    fn without_fit(&self) -> Option<Fitted> {
        match *self {
            TransformStep::Log => Some(Fitted::Log),
            TransformStep::Difference { lag } => Some(Fitted::Difference { lag }),
            TransformStep::MinMax { .. } | TransformStep::Standard => None,
        }
    }
}

/// The chain as a file has it, before it is checked.
#[derive(Deserialize)]
struct Parts {
    features: usize,
    #[serde(default)]
    names: Vec<String>,
    steps: Vec<Fitted>,
}

impl TryFrom<Parts> for SeriesTransform {
    type Error = SeriesError;

    fn try_from(parts: Parts) -> Result<Self, SeriesError> {
        let Parts { features, names, steps } = parts;
        if features == 0 {
            return Err(SeriesError::argument("features", 0, "a series has at least 1"));
        }
        if !names.is_empty() && names.len() != features {
            return Err(SeriesError::Features { operation: "names", expected: features, got: names.len() });
        }
        for step in &steps {
            let width = match step {
                Fitted::Log => features,
                Fitted::Difference { lag } => {
                    Fitted::difference(*lag)?;
                    features
                }
                Fitted::MinMax(scaler) => scaler.features(),
                Fitted::Standard(scaler) => scaler.features(),
            };
            if width != features {
                return Err(SeriesError::Features {
                    operation: "series transform",
                    expected: features,
                    got: width,
                });
            }
        }
        Ok(SeriesTransform { features, names, steps })
    }
}
