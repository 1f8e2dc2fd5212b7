//! Sliding windows over a series: the samples that a recurrent network learns from.

use ndarray::{Array2, Array3, ArrayRef2, Axis, s};

use super::SeriesError;

/// Windows of `look_back` rows, each with the row that follows it: `x [samples, look_back, features]` and
/// `y [samples, features]`, with `rows - look_back` samples.
///
/// (The `create_dataset` of the well-known airline tutorial stops one sample early; this one uses every row.)
///
/// ```
/// use ndarray::array;
/// let series = array![[1.0_f32], [2.0], [3.0], [4.0]];
/// let (x, y) = rnn_model::series::create_dataset(&series, 2)?;
/// assert_eq!(x, array![[[1.0], [2.0]], [[2.0], [3.0]]]);
/// assert_eq!(y, array![[3.0], [4.0]]);
/// # Ok::<(), rnn_model::series::SeriesError>(())
/// ```
///
/// # Errors
/// When `look_back` is 0 or the series has no row after its first window.
pub fn create_dataset<T: Clone>(
    series: &ArrayRef2<T>,
    look_back: usize,
) -> Result<(Array3<T>, Array2<T>), SeriesError> {
    Windows::new(look_back).pairs(series)
}

/// The last `look_back` rows as a batch of one, `[1, look_back, features]`: what a forecast goes on from.
///
/// # Errors
/// When `look_back` is 0 or longer than the series.
pub fn last_window<T: Clone>(series: &ArrayRef2<T>, look_back: usize) -> Result<Array3<T>, SeriesError> {
    let windows = Windows::new(look_back).horizon(0);
    let start = series.nrows().checked_sub(look_back).ok_or_else(|| windows.too_short(series.nrows()))?;
    windows.check()?;
    Ok(series.slice(s![start.., ..]).to_owned().insert_axis(Axis(0)))
}

/// How a series is cut into samples.
///
/// ```
/// use ndarray::Array2;
/// use rnn_model::series::Windows;
/// let series = Array2::<f32>::zeros((100, 3));
/// // The row 6 steps after each window; windows start at every second row.
/// let (x, y) = Windows::new(24).horizon(6).stride(2).pairs(&series)?;
/// assert_eq!((x.dim(), y.dim()), ((36, 24, 3), (36, 3)));
/// // All 6 rows after each window: a target for an encoder-decoder.
/// let (x, y) = Windows::new(24).horizon(6).sequences(&series)?;
/// assert_eq!((x.dim(), y.dim()), ((71, 24, 3), (71, 6, 3)));
/// # Ok::<(), rnn_model::series::SeriesError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Windows {
    look_back: usize,
    horizon: usize,
    stride: usize,
}

impl Windows {
    /// Windows of `look_back` rows, horizon 1, one from every row.
    pub fn new(look_back: usize) -> Self {
        Windows { look_back, horizon: 1, stride: 1 }
    }

    /// How many rows after the window's last one the target lies (1: the next row).
    #[must_use]
    pub fn horizon(mut self, horizon: usize) -> Self {
        self.horizon = horizon;
        self
    }

    /// Rows from one window's start to the next one's.
    #[must_use]
    pub fn stride(mut self, stride: usize) -> Self {
        self.stride = stride;
        self
    }

    /// Samples that a series of `rows` rows gives; 0 where it is too short or an option is 0.
    pub fn count(&self, rows: usize) -> usize {
        match rows.checked_sub(self.rows_needed()) {
            Some(spare) if self.check().is_ok() && self.horizon > 0 => spare / self.stride + 1,
            _ => 0,
        }
    }

    /// The row of the series that is the target of sample `sample`.
    pub fn target_row(&self, sample: usize) -> usize {
        sample * self.stride + self.look_back + self.horizon - 1
    }

    /// Windows and the single row `horizon` after each: `x [samples, look_back, features]`, `y [samples, features]`.
    ///
    /// # Errors
    /// When an option is 0 or the series is too short for one sample.
    pub fn pairs<T: Clone>(&self, series: &ArrayRef2<T>) -> Result<(Array3<T>, Array2<T>), SeriesError> {
        let x = self.inputs(series)?;
        let y = Array2::from_shape_fn((x.len_of(Axis(0)), series.ncols()), |(sample, feature)| {
            series[[self.target_row(sample), feature]].clone()
        });
        Ok((x, y))
    }

    /// Windows and all `horizon` rows after each: `x [samples, look_back, features]`, `y [samples, horizon, features]`.
    ///
    /// # Errors
    /// When an option is 0 or the series is too short for one sample.
    pub fn sequences<T: Clone>(&self, series: &ArrayRef2<T>) -> Result<(Array3<T>, Array3<T>), SeriesError> {
        let x = self.inputs(series)?;
        let y = Array3::from_shape_fn(
            (x.len_of(Axis(0)), self.horizon, series.ncols()),
            |(sample, step, feature)| series[[sample * self.stride + self.look_back + step, feature]].clone(),
        );
        Ok((x, y))
    }

    fn inputs<T: Clone>(&self, series: &ArrayRef2<T>) -> Result<Array3<T>, SeriesError> {
        self.check()?;
        if self.horizon == 0 {
            return Err(SeriesError::argument("horizon", 0, "a target lies at least 1 row after its window"));
        }
        let samples = self.count(series.nrows());
        if samples == 0 {
            return Err(self.too_short(series.nrows()));
        }
        Ok(Array3::from_shape_fn((samples, self.look_back, series.ncols()), |(sample, step, feature)| {
            series[[sample * self.stride + step, feature]].clone()
        }))
    }

    fn check(&self) -> Result<(), SeriesError> {
        if self.look_back == 0 {
            return Err(SeriesError::argument("look_back", 0, "a window has at least 1 row"));
        }
        if self.stride == 0 {
            return Err(SeriesError::argument("stride", 0, "windows are at least 1 row apart"));
        }
        Ok(())
    }

    fn rows_needed(&self) -> usize {
        self.look_back.saturating_add(self.horizon)
    }

    fn too_short(&self, rows: usize) -> SeriesError {
        let operation = match self.horizon {
            0 => format!("a window of {} rows", self.look_back),
            horizon => format!("windows of {} rows with a target {horizon} after them", self.look_back),
        };
        SeriesError::TooShort { operation, needed: self.rows_needed(), rows }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    fn ramp(rows: usize) -> Array2<f64> {
        Array2::from_shape_fn((rows, 2), |(t, f)| t as f64 + 100.0 * f as f64)
    }

    #[test]
    fn targets_stand_where_target_row_says() {
        for (look_back, horizon, stride) in [(1, 1, 1), (3, 1, 1), (3, 4, 2), (5, 2, 7)] {
            let windows = Windows::new(look_back).horizon(horizon).stride(stride);
            let (x, y) = windows.pairs(&ramp(23)).unwrap();
            assert_eq!(x.len_of(Axis(0)), windows.count(23));
            for sample in 0..windows.count(23) {
                assert_eq!(x[[sample, 0, 0]], (sample * stride) as f64);
                assert_eq!(x[[sample, look_back - 1, 1]], (sample * stride + look_back - 1) as f64 + 100.0);
                assert_eq!(y[[sample, 0]], windows.target_row(sample) as f64);
            }
            // No sample is left out at the end.
            assert!(windows.target_row(windows.count(23)) >= 23);
        }
    }

    #[test]
    fn sequences_end_with_the_pair_target() {
        let windows = Windows::new(4).horizon(3).stride(2);
        let (_, single) = windows.pairs(&ramp(20)).unwrap();
        let (_, all) = windows.sequences(&ramp(20)).unwrap();
        assert_eq!(all.index_axis(Axis(1), 2), single);
        assert_eq!(all[[1, 0, 0]], 6.0);
    }

    #[test]
    fn shortest_series_that_works() {
        let (x, y) = create_dataset(&ramp(4), 3).unwrap();
        assert_eq!((x.dim(), y), ((1, 3, 2), array![[3.0, 103.0]]));
        let error = create_dataset(&ramp(3), 3).unwrap_err();
        assert!(matches!(error, SeriesError::TooShort { needed: 4, rows: 3, .. }), "{error}");
        assert_eq!(last_window(&ramp(3), 3).unwrap().dim(), (1, 3, 2));
        assert!(matches!(last_window(&ramp(3), 4), Err(SeriesError::TooShort { needed: 4, rows: 3, .. })));
        assert_eq!(last_window(&ramp(5), 1).unwrap(), array![[[4.0, 104.0]]]);
    }

    #[test]
    fn zero_options_and_huge_ones_are_errors() {
        let series = ramp(9);
        for windows in [Windows::new(0), Windows::new(2).stride(0), Windows::new(usize::MAX).horizon(9)] {
            assert!(windows.pairs(&series).is_err());
            assert_eq!(windows.count(9), 0);
        }
        assert!(Windows::new(2).horizon(0).pairs(&series).is_err());
        assert!(last_window(&series, 0).is_err());
    }
}
