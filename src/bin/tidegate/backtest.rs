//! A model's forecasts of rows whose true values are known, in the series' own units, beside the naive ones.

use std::ops::Range;

use ndarray::{Array2, Array3, Axis, Ix2, Ix3, s, stack};
use rnn_model::Model;
use rnn_model::series::{SeriesTransform, Windows, naive_last, naive_seasonal, rmse};
use serde::Serialize;

use crate::failure::{Failure, Outcome};

/// A trained forecaster: windows of the transformed series in, the next row out.
pub struct Forecaster<'a> {
    pub model: &'a mut Model,
    pub transform: &'a SeriesTransform,
    pub look_back: usize,
}

/// Root mean square errors over the same rows, in the series' own units.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Scores {
    /// rows ahead
    pub horizon: usize,
    /// rows compared
    pub rows: usize,
    pub model: f64,
    pub naive_last: f64,
    /// same phase of the last season known; `None` without a season
    pub naive_seasonal: Option<f64>,
}

impl Forecaster<'_> {
    /// The first row that has a whole window before it.
    pub fn first(&self) -> usize {
        self.transform.lost() + self.look_back
    }

    /// The forecast of each row from `first` on, knowing all rows before it: `[rows - first, features]`.
    pub fn one_step(&mut self, series: &Array2<f64>, first: usize) -> Outcome<Array2<f64>> {
        let known = self.transform.apply(series)?.mapv(|value| value as f32);
        let (x, _) = Windows::new(self.look_back).pairs(&known)?;
        let wanted = x.slice(s![first - self.first().., .., ..]);
        let y = self.model.predict_with_batch_size(&wanted, 256)?;
        let y = y.into_dimensionality::<Ix2>().map_err(Failure::other)?.mapv(f64::from);
        Ok(self.transform.invert_each(series, first, &y)?)
    }

    /// The forecast of each row from `first` on that was made `horizon` rows before it, by feeding the model's outputs
    /// back: `[rows - first, features]`.
    pub fn ahead(&mut self, series: &Array2<f64>, first: usize, horizon: usize) -> Outcome<Array2<f64>> {
        let origins = first + 1 - horizon..series.nrows() + 1 - horizon;
        Ok(self.paths(series, origins, horizon)?.index_axis_move(Axis(1), horizon - 1))
    }

    /// The `horizon` rows from each origin on, knowing all rows before it: `[origins, horizon, features]`.
    pub fn paths(
        &mut self,
        series: &Array2<f64>,
        origins: Range<usize>,
        horizon: usize,
    ) -> Outcome<Array3<f64>> {
        let known = self.transform.apply(series)?.mapv(|value| value as f32);
        let lost = self.transform.lost();
        let windows: Vec<_> = origins
            .clone()
            .map(|origin| known.slice(s![origin - lost - self.look_back..origin - lost, ..]))
            .collect();
        let x = stack(Axis(0), &windows).map_err(Failure::other)?;
        let y = self.model.forecast_window(&x, horizon)?;
        let mut y = y.into_dimensionality::<Ix3>().map_err(Failure::other)?.mapv(f64::from);
        for (origin, mut path) in origins.zip(y.outer_iter_mut()) {
            let raw = self.transform.invert(&series.slice(s![..origin, ..]), &path)?;
            path.assign(&raw);
        }
        Ok(y)
    }

    /// The rows after the end: `[steps, features]`.
    pub fn future(&mut self, series: &Array2<f64>, steps: usize) -> Outcome<Array2<f64>> {
        let end = series.nrows();
        Ok(self.paths(series, end..end + 1, steps)?.index_axis_move(Axis(0), 0))
    }
}

/// A forecast of the rows from `first` on, against the truth and beside the naive ones.
pub fn scores(
    series: &Array2<f64>,
    first: usize,
    horizon: usize,
    season: Option<usize>,
    forecast: &Array2<f64>,
) -> Outcome<Scores> {
    let actual = series.slice(s![first.., ..]).to_owned();
    let seasonal = season.map(|period| naive_seasonal(series, first, period, horizon)).transpose()?;
    Ok(Scores {
        horizon,
        rows: actual.nrows(),
        model: rmse(&actual, forecast)?,
        naive_last: rmse(&actual, &naive_last(series, first, horizon)?)?,
        naive_seasonal: seasonal.map(|forecast| rmse(&actual, &forecast)).transpose()?,
    })
}
