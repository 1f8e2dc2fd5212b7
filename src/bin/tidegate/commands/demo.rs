//! `tidegate demo`: the airline-passengers series, learnt and forecast.
//!
//! The settings below were chosen on the first 96 months alone, by the mean error one and twelve months ahead over three
//! folds (train on 60, 72 and 84 months, validate on the next 12, 16 seeds each); the last 48 months were not looked at.
//! `scripts/airline_settings.py` repeats it: look-backs of 1 to 24 months, LSTM and GRU of 4 to 32 units, growth by year,
//! by month and both, learning rates of 0.003 to 0.02 with and without decay, 20 to 160 epochs. Yearly growth of the
//! logarithm with a window of 1 to 4 months is best on both horizons, and the decay halves the spread between seeds.

use std::path::Path;

use ndarray::{Array2, Array3, Axis, s};
use rnn_model::layer::{Dense, Lstm};
use rnn_model::series::{SeriesTransform, TransformStep, create_dataset, naive_last, naive_seasonal, rmse};
use rnn_model::{Adam, Device, Input, Loss, Model, Sequential};
use serde_json::json;

use crate::args::{Demo, Global};
use crate::backtest::{Forecaster, Scores, scores};
use crate::console::{Console, duration};
use crate::failure::{Failure, Outcome};
use crate::learning::{Plan, Resume, Samples, Validation, learn};
use crate::picture::{Band, Chart, Line, Look};
use crate::series_file::{Selection, Series};
use crate::table::{Align, render};
use crate::{devices, files};

/// Monthly totals of international airline passengers in thousands, 1949 to 1960 (Box and Jenkins 1976).
const AIRLINE: &str = include_str!("../../../../data/airline-passengers.csv");
const HELD_BACK: usize = 48;
const SEASON: usize = 12;
const TRANSFORM: [TransformStep; 3] =
    [TransformStep::Log, TransformStep::Difference { lag: SEASON }, TransformStep::Standard];
const LOOK_BACK: usize = 3;
const UNITS: usize = 16;
const LEARNING_RATE: f64 = 0.01;
const DECAY: f64 = 0.02;
const EPOCHS: u64 = 60;
const BATCH_SIZE: usize = 16;

pub fn run(args: &Demo, global: &Global, console: &Console) -> Outcome {
    let series = Series::from_csv(AIRLINE, &Selection::default())?;
    let path = |name: &str| args.out.join(name);
    files::check_output(&path("airline.safetensors"), &[])?;
    let device = devices::open(global, console)?;
    let first_test = series.rows() - HELD_BACK;
    let train = series.values.slice(s![..first_test, ..]).to_owned();
    let transform = SeriesTransform::fit(&TRANSFORM, &train)?.with_names(series.names.clone())?;
    let (x, y) = create_dataset(&transform.apply(&train)?.mapv(|value| value as f32), LOOK_BACK)?;
    let samples = Samples { x: vec![x.into_dyn()], y: vec![y.into_dyn()], validation: Validation::None };
    let mut model = build(&device, global.seed.unwrap_or(0))?;
    model.set_transform(Some(transform.clone()));
    let plan = Plan {
        epochs: EPOCHS,
        batch_size: Some(BATCH_SIZE),
        shuffle: Some(true),
        patience: None,
        checkpoint: path("airline.checkpoint.safetensors"),
        resume: Resume::Checkpoint,
    };
    let learnt = learn(&mut model, &samples, &plan, console)?;

    let mut forecaster = Forecaster { model: &mut model, transform: &transform, look_back: LOOK_BACK };
    let first = forecaster.first();
    let fit = forecaster.one_step(&train, first)?;
    let train_rmse = rmse(&train.slice(s![first.., ..]).to_owned(), &fit)?;
    let one = forecaster.one_step(&series.values, first_test)?;
    let year = forecaster.ahead(&series.values, first_test, SEASON)?;
    let one_scores = scores(&series.values, first_test, 1, Some(SEASON), &one)?;
    let year_scores = scores(&series.values, first_test, SEASON, Some(SEASON), &year)?;
    let future = forecaster.future(&series.values, SEASON)?;
    let paths = forecaster.paths(&series.values, first_test..series.rows() + 1 - SEASON, SEASON)?;
    let spread = relative_errors(&series.values, first_test, &paths);

    let results = Results { series: &series, first, first_test, fit, one, year, future, spread };
    let (model_path, csv_path, plot_path) =
        (path("airline.safetensors"), path("airline.csv"), path("airline.png"));
    files::make_folder(&model_path)?;
    model.save(&model_path).map_err(|error| Failure::writing(&model_path, error))?;
    files::write(&csv_path, results.csv()?.as_bytes())?;
    results.chart(one_scores, year_scores).save(&plot_path)?;

    let shown = |path: &Path| path.display().to_string();
    console.object(&json!({
        "device": device.name(),
        "train_rmse": train_rmse,
        "test_rmse": one_scores.model,
        "naive_last_rmse": one_scores.naive_last,
        "naive_seasonal_rmse": one_scores.naive_seasonal,
        "test_rmse_12_months_ahead": year_scores.model,
        "naive_last_rmse_12_months_ahead": year_scores.naive_last,
        "naive_seasonal_rmse_12_months_ahead": year_scores.naive_seasonal,
        "train_seconds": learnt.seconds,
        "model": shown(&model_path),
        "plot": shown(&plot_path),
        "csv": shown(&csv_path),
    }))?;
    console.text(report(train_rmse, one_scores, year_scores))?;
    console.text(format!(
        "\n{EPOCHS} epochs in {} on {}\nmodel  {}\nplot   {}\ncsv    {}",
        duration(learnt.seconds),
        device.name(),
        shown(&model_path),
        shown(&plot_path),
        shown(&csv_path)
    ))
}

fn build(device: &Device, seed: u64) -> Outcome<Model> {
    let mut model = Sequential::new(Input::sequence(LOOK_BACK, 1))
        .layer(Lstm::new(UNITS))
        .layer(Dense::new(1))
        .seed(seed)
        .build(device)?;
    model.compile(Adam::new().learning_rate(LEARNING_RATE).decay(DECAY), Loss::MeanSquaredError, &[])?;
    Ok(model)
}

fn report(train_rmse: f64, one: Scores, year: Scores) -> String {
    let cell = |value: f64| format!("{value:.1}");
    let seasonal = |scores: Scores| scores.naive_seasonal.map_or_else(String::new, cell);
    let rows = vec![
        vec!["model, training months".into(), cell(train_rmse), String::new()],
        vec!["model, held-back months".into(), cell(one.model), cell(year.model)],
        vec!["naive: last value".into(), cell(one.naive_last), cell(year.naive_last)],
        vec!["naive: same month last year".into(), seasonal(one), seasonal(year)],
    ];
    let columns = [
        ("RMSE, thousands of passengers", Align::Left),
        ("1 month ahead", Align::Right),
        ("12 ahead", Align::Right),
    ];
    format!(
        "airline passengers: trained on 1949 to 1956, the last {HELD_BACK} months held back\n\n{}",
        render(&columns, &rows)
    )
}

/// Root mean square of `ln(forecast / actual)` at each step ahead, over the origins in the held-back part.
fn relative_errors(series: &Array2<f64>, first: usize, paths: &Array3<f64>) -> Vec<f64> {
    (0..paths.len_of(Axis(1)))
        .map(|step| {
            let errors = paths.index_axis(Axis(1), step);
            let squares = errors
                .iter()
                .enumerate()
                .map(|(i, forecast)| (forecast / series[[first + i + step, 0]]).ln().powi(2));
            (squares.sum::<f64>() / errors.len() as f64).sqrt()
        })
        .collect()
}

/// What the CSV and the plot show. Forecasts begin at the row after their name.
struct Results<'a> {
    series: &'a Series,
    first: usize,
    first_test: usize,
    fit: Array2<f64>,
    one: Array2<f64>,
    year: Array2<f64>,
    future: Array2<f64>,
    /// of the logarithm, by step ahead
    spread: Vec<f64>,
}

/// Half of the 80 % interval of a normal distribution, in standard deviations.
const EIGHTY_PERCENT: f64 = 1.2816;

impl Results<'_> {
    /// Lower and upper end of the 80 % band of the future, from the errors on the held-back months.
    fn band(&self) -> Vec<(usize, f64, f64)> {
        let rows = self.series.rows();
        let ends = self.future.iter().zip(&self.spread).enumerate().map(|(step, (value, spread))| {
            let factor = (EIGHTY_PERCENT * spread).exp();
            (rows + step, value / factor, value * factor)
        });
        ends.collect()
    }

    fn csv(&self) -> Outcome<String> {
        let values = &self.series.values;
        let last = naive_last(values, self.first_test, 1)?;
        let seasonal = naive_seasonal(values, self.first_test, SEASON, 1)?;
        let band = self.band();
        let at = |array: &Array2<f64>, from: usize, row: usize| {
            let value = row.checked_sub(from).and_then(|index| array.get([index, 0]));
            value.map_or_else(String::new, |value| format!("{value:.3}"))
        };
        let rows = self.series.rows();
        let mut text = String::from(
            "month,part,passengers,fit,one_month_ahead,twelve_months_ahead,naive_last,naive_seasonal,forecast,low_80,high_80\n",
        );
        for row in 0..rows + self.future.nrows() {
            let part = match row {
                _ if row < self.first_test => "train",
                _ if row < rows => "held back",
                _ => "future",
            };
            let (low, high) = match row.checked_sub(rows).map(|step| band[step]) {
                Some((_, low, high)) => (format!("{low:.3}"), format!("{high:.3}")),
                None => Default::default(),
            };
            let passengers = values.get([row, 0]).map_or_else(String::new, |value| value.to_string());
            let cells = [
                self.series.timeline.label(row),
                part.to_owned(),
                passengers,
                at(&self.fit, self.first, row),
                at(&self.one, self.first_test, row),
                at(&self.year, self.first_test, row),
                at(&last, self.first_test, row),
                at(&seasonal, self.first_test, row),
                at(&self.future, rows, row),
                low,
                high,
            ];
            text.push_str(&cells.join(","));
            text.push('\n');
        }
        Ok(text)
    }

    fn chart(&self, one: Scores, year: Scores) -> Chart {
        let values = &self.series.values;
        let rows = self.series.rows();
        let points = |array: &Array2<f64>, from: usize| -> Vec<(usize, f64)> {
            array.iter().enumerate().map(|(index, value)| (from + index, *value)).collect()
        };
        let seasonal: Vec<_> = (self.first_test..rows).map(|row| (row, values[[row - SEASON, 0]])).collect();
        let mut forecast = vec![(rows - 1, values[[rows - 1, 0]])];
        forecast.extend(points(&self.future, rows));
        let mut band = vec![(rows - 1, values[[rows - 1, 0]], values[[rows - 1, 0]])];
        band.extend(self.band());
        let rmse = |value: f64| format!("RMSE {value:.1}");
        let line = |name: String, points, look| Line { name, points, look };
        let baseline = format!("same month last year, {}", rmse(one.naive_seasonal.unwrap_or(f64::NAN)));
        Chart {
            title: "Airline passengers: one LSTM of 16 units, trained on 1949 to 1956".into(),
            subtitle: format!(
                "held-back months, RMSE 12 months ahead: model {:.1}, same month last year {:.1}",
                year.model,
                year.naive_seasonal.unwrap_or(f64::NAN)
            ),
            x_label: "month".into(),
            y_label: "passengers, thousands".into(),
            ticks: self.series.timeline.ticks(0..rows + self.future.nrows()),
            rows: 0..rows + self.future.nrows(),
            held_back: Some((self.first_test, rows, "held back until the end".into())),
            band: Some(Band { name: "80 % range, by its held-back errors".into(), points: band }),
            lines: vec![
                line(baseline, seasonal, Look::Baseline),
                line("actual".into(), points(values, 0), Look::Actual),
                line("fit, one month ahead".into(), points(&self.fit, self.first), Look::Fit),
                line(
                    format!("forecast one month ahead, {}", rmse(one.model)),
                    points(&self.one, self.first_test),
                    Look::HeldBack,
                ),
                line("forecast of 1961".into(), forecast, Look::Forecast),
            ],
        }
    }
}
