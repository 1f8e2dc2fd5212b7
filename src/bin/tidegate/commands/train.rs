//! `tidegate train`: a forecaster from a series.

use ndarray::{Array2, Axis, s};
use rnn_model::series::{SeriesError, SeriesTransform, Windows, rmse, train_test_split};
use rnn_model::{Device, Model};
use serde_json::json;

use crate::args::{Global, Train};
use crate::backtest::{Forecaster, Scores};
use crate::console::{Console, duration};
use crate::failure::{Failure, Outcome};
use crate::learning::{Plan, Resume, Samples, Validation, learn};
use crate::picture::{Chart, Line, Look};
use crate::series_file::{Series, shown};
use crate::settings::Settings;
use crate::table::{Align, render};
use crate::{automatic, devices, files, recipe};

pub fn run(args: &Train, global: &Global, console: &Console) -> Outcome {
    if let Some(model) = &args.arrays.model {
        return super::train_arrays::run(args, model, global, console);
    }
    let settings = Settings::new(args, global.seed)?;
    let series = Series::load(&settings.data, &settings.selection)?;
    if !series.left_out.is_empty() {
        console.note(format!("left out: {}", series.left_out.join(", ")));
    }
    files::check_output(&settings.output, &[&settings.data])?;
    if let Some(path) = &settings.plot {
        files::check_picture(path, "png", &[&settings.data])?;
    }
    let explain = |error| series.failure(&settings.data, error);
    let first_test = match settings.test {
        Some(size) => train_test_split(&series.values, size).map_err(explain)?.0.nrows(),
        None => series.rows(),
    };
    let train = series.values.slice(s![..first_test, ..]).to_owned();
    let season = settings.season.or(series.timeline.season());
    let steps =
        recipe::transforms(&settings.transform)?.unwrap_or_else(|| automatic::transform(&train, season));
    let transform = SeriesTransform::fit(&steps, &train)
        .and_then(|transform| transform.with_names(series.names.clone()))
        .map_err(explain)?;
    let device = devices::open(global, console)?;
    let mut model = prepare(&settings, &train, transform, &device)?;
    let transform =
        model.transform().cloned().ok_or_else(|| Failure::data("the checkpoint has no transform"))?;
    let look_back = window(&model)?;
    let samples = samples(&transform, &train, look_back, settings.validation).map_err(|error| {
        let short = matches!(error, SeriesError::TooShort { .. });
        let failure = explain(error);
        if !short {
            return failure;
        }
        let (rows, held_back, lost) = (series.rows(), series.rows() - first_test, transform.lost());
        let why = format!("of {rows} rows {held_back} are held back and differences take {lost}");
        Failure { message: format!("{} ({why})", failure.message), ..failure }
    })?;
    console.note(format!(
        "{}: {} rows of {}; {} windows of {look_back} to learn from, {} rows held back",
        shown(&settings.data),
        series.rows(),
        series.names.join(", "),
        samples.x[0].len_of(Axis(0)),
        series.rows() - first_test
    ));
    console.note(format!("transform: {}", transform.describe()));
    let plan = Plan {
        epochs: settings.epochs,
        batch_size: Some(settings.batch_size),
        shuffle: Some(true),
        patience: settings.patience,
        checkpoint: files::beside(&settings.output, ".checkpoint.safetensors"),
        resume: Resume::Checkpoint,
    };
    if let Some(budget) = settings.memory_budget {
        let need = model.memory_need(settings.batch_size.min(samples.x[0].len_of(Axis(0))), look_back)?;
        console.note(match need.segments(budget) {
            Some(1) => format!("memory: {need}"),
            Some(parts) => format!("memory: {need}; windows are computed in {parts} parts of time to fit"),
            None => format!("memory: {need}"),
        });
        model.set_memory_budget(Some(budget));
    }
    let learnt = learn(&mut model, &samples, &plan, console)?;
    if let Some(best) = learnt.best_epoch {
        console.note(format!("kept the weights of epoch {best}, the best on the validation part"));
    }
    files::make_folder(&settings.output)?;
    model.save(&settings.output).map_err(|error| Failure::writing(&settings.output, error))?;

    let params = model.count_params();
    let (epochs, loss) = (model.epochs(), learnt.history.last().map(rnn_model::Logs::loss));
    let mut forecaster = Forecaster { model: &mut model, transform: &transform, look_back };
    let first = forecaster.first();
    let fit = forecaster.one_step(&train, first)?;
    let train_rmse = rmse(&train.slice(s![first.., ..]).to_owned(), &fit)?;
    let mut test = None;
    if first_test < series.rows() {
        let known_season = season.filter(|period| *period <= first_test);
        let forecast = forecaster.one_step(&series.values, first_test)?;
        let scores = crate::backtest::scores(&series.values, first_test, 1, known_season, &forecast)?;
        test = Some((scores, forecast));
    }
    if let Some(path) = &settings.plot {
        chart(&series, first, &fit, first_test, test.as_ref().map(|(_, forecast)| forecast)).save(path)?;
    }
    let scores = test.map(|(scores, _)| scores);
    let naive = scores.map(|scores| scores.naive_last.min(scores.naive_seasonal.unwrap_or(f64::INFINITY)));
    if let (Some(scores), Some(naive)) = (scores, naive)
        && scores.model > naive
    {
        console.warn("on the held-back rows a naive forecast is better: try other --transform, --look-back or --epochs");
    }
    console.object(&json!({
        "device": device.name(),
        "rows": series.rows(),
        "columns": series.names,
        "params": params,
        "epochs": epochs,
        "loss": loss,
        "train_rmse": train_rmse,
        "test_rmse": scores.map(|scores| scores.model),
        "naive_last_rmse": scores.map(|scores| scores.naive_last),
        "naive_seasonal_rmse": scores.and_then(|scores| scores.naive_seasonal),
        "train_seconds": learnt.seconds,
        "model": settings.output.display().to_string(),
        "plot": settings.plot.as_ref().map(|path| path.display().to_string()),
    }))?;
    console.text(report(&settings, train_rmse, scores, learnt.seconds, epochs))
}

/// A new model, or the one of the checkpoint.
fn prepare(
    settings: &Settings,
    train: &Array2<f64>,
    transform: SeriesTransform,
    device: &Device,
) -> Outcome<Model> {
    if let Some(path) = &settings.resume {
        let model = Model::load(path, device)?;
        if model.learning_rate().is_none() {
            return Err(Failure::reading(path, "the file holds no training to go on with"));
        }
        let features = model.input_shape().last().copied().flatten();
        if features != Some(train.ncols()) {
            let problem = format!(
                "it was trained on {} columns, the series has {}",
                features.unwrap_or(0),
                train.ncols()
            );
            return Err(Failure::reading(path, problem));
        }
        return Ok(model);
    }
    let sequential = recipe::sequential(&settings.layers, settings.look_back, train.ncols(), settings.seed)?;
    let optimizer = recipe::optimizer(&settings.optimizer, settings.rates)?;
    let loss = recipe::loss(&settings.loss)?;
    let mut model = sequential.build(device)?;
    model.compile(optimizer, loss, &[]).map_err(|error| match error {
        error @ rnn_model::Error::Invalid { .. } => Failure::usage(error),
        error => error.into(),
    })?;
    model.set_transform(Some(transform));
    Ok(model)
}

/// Rows that the model takes at a time.
pub fn window(model: &Model) -> Outcome<usize> {
    match model.input_shape() {
        [Some(look_back), Some(_)] => Ok(*look_back),
        shape => Err(Failure::data(format!(
            "the model takes samples of shape {shape:?}; a forecaster takes windows of a fixed number of rows"
        ))),
    }
}

fn samples(
    transform: &SeriesTransform,
    train: &Array2<f64>,
    look_back: usize,
    validation: f64,
) -> Result<Samples, SeriesError> {
    let known = transform.apply(train)?.mapv(|value| value as f32);
    let (x, y) = Windows::new(look_back).pairs(&known)?;
    if validation == 0.0 {
        return Ok(Samples { x: vec![x.into_dyn()], y: vec![y.into_dyn()], validation: Validation::None });
    }
    let (x_fit, x_val) = train_test_split(&x, validation)?;
    let (y_fit, y_val) = train_test_split(&y, validation)?;
    Ok(Samples {
        x: vec![x_fit.to_owned().into_dyn()],
        y: vec![y_fit.to_owned().into_dyn()],
        validation: Validation::Data(vec![x_val.to_owned().into_dyn()], vec![y_val.to_owned().into_dyn()]),
    })
}

fn report(settings: &Settings, train_rmse: f64, scores: Option<Scores>, seconds: f64, epochs: u64) -> String {
    let mut rows = vec![vec!["model, training rows".to_owned(), format!("{train_rmse:.4}")]];
    if let Some(scores) = scores {
        rows.push(vec!["model, held-back rows".to_owned(), format!("{:.4}", scores.model)]);
        rows.push(vec!["naive: last value".to_owned(), format!("{:.4}", scores.naive_last)]);
        if let Some(seasonal) = scores.naive_seasonal {
            rows.push(vec!["naive: last season".to_owned(), format!("{seasonal:.4}")]);
        }
    }
    let table = render(&[("one step ahead", Align::Left), ("RMSE", Align::Right)], &rows);
    format!("{table}\n\n{epochs} epochs in {}; model: {}", duration(seconds), settings.output.display())
}

/// The first column: history, fit, forecast of the held-back part.
fn chart(
    series: &Series,
    first: usize,
    fit: &Array2<f64>,
    first_test: usize,
    test: Option<&Array2<f64>>,
) -> Chart {
    let column = |values: &Array2<f64>, from: usize| -> Vec<(usize, f64)> {
        values.column(0).iter().enumerate().map(|(index, value)| (from + index, *value)).collect()
    };
    let line = |name: &str, points, look| Line { name: name.to_owned(), points, look };
    let mut lines = vec![
        line("actual", column(&series.values, 0), Look::Actual),
        line("fit, one step ahead", column(fit, first), Look::Fit),
    ];
    if let Some(test) = test {
        lines.push(line("held-back rows, one step ahead", column(test, first_test), Look::HeldBack));
    }
    // Of a long series the rows around the split: more would be a carpet.
    let rows = match series.rows() {
        all if all <= 600 => 0..all,
        all => first_test.min(all - 300).saturating_sub(300)..(first_test + 300).min(all),
    };
    let columns = match series.names.len() {
        1 => String::new(),
        columns => format!(", the first of {columns} columns"),
    };
    Chart {
        title: series.names[0].clone(),
        subtitle: format!(
            "{} to {}, {} of {} rows{columns}",
            series.timeline.label(rows.start),
            series.timeline.label(rows.end - 1),
            rows.len(),
            series.rows()
        ),
        x_label: String::new(),
        y_label: series.names[0].clone(),
        ticks: series.timeline.ticks(rows.clone()),
        rows,
        held_back: test.map(|_| (first_test, series.rows(), "held back".to_owned())),
        band: None,
        lines,
    }
}
