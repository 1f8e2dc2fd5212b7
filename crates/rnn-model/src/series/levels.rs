//! The series at every level of a chain, from raw to just before its last step: what inverting a difference needs.

use ndarray::{Array1, Array2, ArrayView1, Axis, s};

use super::SeriesError;
use super::transform::Fitted;

impl Fitted {
    pub(super) fn difference(lag: usize) -> Result<Fitted, SeriesError> {
        if lag == 0 {
            return Err(SeriesError::argument("lag", lag, "a difference looks at least 1 row back"));
        }
        Ok(Fitted::Difference { lag })
    }

    /// Rows that the step uses up.
    pub(super) fn lost(&self) -> usize {
        if let Fitted::Difference { lag } = self { *lag } else { 0 }
    }

    /// The step on a level that begins at row `first` of the raw series (for error messages).
    pub(super) fn apply(&self, x: &Array2<f64>, first: usize) -> Result<Array2<f64>, SeriesError> {
        match self {
            Fitted::Log => {
                if let Some(((row, feature), value)) = x.indexed_iter().find(|(_, value)| **value <= 0.0) {
                    return Err(SeriesError::NotPositive { row: row + first, feature, value: *value });
                }
                Ok(x.mapv(f64::ln))
            }
            // Rows are enough: checked for the whole chain before it is applied.
            Fitted::Difference { lag } => {
                Ok(&x.slice(s![*lag.min(&x.nrows()).., ..])
                    - &x.slice(s![..x.nrows().saturating_sub(*lag), ..]))
            }
            Fitted::MinMax(scaler) => scaler.transform(x),
            Fitted::Standard(scaler) => scaler.transform(x),
        }
    }
}

/// A stretch of the series at every level. Level `l` is the input of step `l`; its row 0 belongs to row `lost(l)` of the
/// stretch, the sum of the lags before it.
pub(super) struct Levels<'a> {
    steps: &'a [Fitted],
    inputs: Vec<Array2<f64>>,
}

impl<'a> Levels<'a> {
    /// The levels of a raw stretch that begins at row `first` of its series.
    pub(super) fn new(steps: &'a [Fitted], raw: &Array2<f64>, first: usize) -> Result<Self, SeriesError> {
        let mut inputs = Vec::with_capacity(steps.len());
        let mut level = raw.clone();
        let mut lost = 0;
        for step in steps {
            let next = step.apply(&level, first + lost)?;
            lost += step.lost();
            inputs.push(level);
            level = next;
        }
        Ok(Levels { steps, inputs })
    }

    /// The raw value of row `row` of the stretch (it may be the row after its end) from its transformed value. Rows
    /// before it must be there.
    pub(super) fn value_at(&self, row: usize, transformed: &Array1<f64>) -> Array1<f64> {
        self.invert(row, transformed, |_, _| ())
    }

    /// As [`value_at`](Self::value_at) of the row after the end, which then belongs to the stretch.
    pub(super) fn append(&mut self, transformed: &Array1<f64>) -> Array1<f64> {
        let Some(raw) = self.inputs.first() else { return transformed.clone() };
        let mut values = Vec::with_capacity(self.steps.len());
        let value = self.invert(raw.nrows(), transformed, |_, value| values.push(value.clone()));
        for (input, value) in self.inputs.iter_mut().zip(values.into_iter().rev()) {
            let fits = input.push(Axis(0), ArrayView1::from(&value));
            debug_assert!(fits.is_ok(), "one width at every level");
        }
        value
    }

    /// Walks the chain from its end; `seen(level, value)` hears the value at each level's input.
    fn invert(
        &self,
        row: usize,
        transformed: &Array1<f64>,
        mut seen: impl FnMut(usize, &Array1<f64>),
    ) -> Array1<f64> {
        let mut before: usize = self.steps.iter().map(Fitted::lost).sum();
        let mut value = transformed.clone();
        for (level, (step, input)) in self.steps.iter().zip(&self.inputs).enumerate().rev() {
            before -= step.lost();
            value = match step {
                Fitted::Log => value.mapv(f64::exp),
                Fitted::Difference { lag } => value + input.row(row - before - lag),
                Fitted::MinMax(scaler) => inverted(scaler.inverse_transform(&value), value),
                Fitted::Standard(scaler) => inverted(scaler.inverse_transform(&value), value),
            };
            seen(level, &value);
        }
        value
    }
}

/// Widths are checked before a chain is inverted, so that a scaler can not refuse one.
fn inverted(result: Result<Array1<f64>, SeriesError>, fallback: Array1<f64>) -> Array1<f64> {
    debug_assert!(result.is_ok(), "one width at every level");
    result.unwrap_or(fallback)
}
