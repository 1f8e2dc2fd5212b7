//! `tidegate forecast`: the rows after the end of a series.

use std::path::Path;

use ndarray::Array2;
use rnn_model::Model;
use serde_json::{Map, Value, json};

use crate::args::{Forecast, Global};
use crate::backtest::Forecaster;
use crate::commands::train::window;
use crate::console::{Console, print};
use crate::failure::{Failure, Outcome, USAGE};
use crate::picture::{Chart, Line, Look};
use crate::series_file::{Selection, Series, shown};
use crate::{devices, files};

pub fn run(args: &Forecast, global: &Global, console: &Console) -> Outcome {
    if args.steps == 0 || args.steps > 1_000_000 {
        return Err(Failure::usage("--steps must be from 1 to 1000000"));
    }
    let read: [&Path; 2] = [&args.data, &args.model];
    if let Some(path) = &args.output {
        files::check_output(path, &read)?;
    }
    if let Some(path) = &args.plot {
        files::check_picture(path, "png", &read)?;
    }
    let device = devices::open(global, console)?;
    let mut model = Model::load(&args.model, &device)?;
    let look_back = window(&model).map_err(|failure| failure.within(args.model.display()))?;
    let series = load(args, &model)?;
    let transform = match model.transform() {
        Some(transform) => transform.clone(),
        None => rnn_model::series::SeriesTransform::fit(&[], &series.values)?,
    };
    let mut forecaster = Forecaster { model: &mut model, transform: &transform, look_back };
    let needed = forecaster.first();
    if series.rows() < needed {
        return Err(Failure::data(format!(
            "{} has {} rows; the model needs {needed} to go on from ({} for its differences, {look_back} for its window)",
            shown(&args.data),
            series.rows(),
            transform.lost()
        )));
    }
    let future = forecaster.future(&series.values, args.steps)?;
    let labels: Vec<String> =
        (0..args.steps).map(|step| series.timeline.label(series.rows() + step)).collect();
    let csv = table(&series, &labels, &future)?;
    if let Some(path) = &args.output {
        files::write(path, csv.as_bytes())?;
        console.note(format!("forecast: {}", path.display()));
    }
    if let Some(path) = &args.plot {
        chart(&series, &future, &shown(&args.model)).save(path)?;
        console.note(format!("plot: {}", path.display()));
    }
    let rows: Vec<Value> = labels
        .iter()
        .zip(future.rows())
        .map(|(label, row)| {
            let values: Map<String, Value> =
                series.names.iter().zip(row).map(|(name, value)| (name.clone(), json!(value))).collect();
            json!({ "row": label, "values": values })
        })
        .collect();
    console.object(&json!({
        "device": device.name(),
        "model": args.model.display().to_string(),
        "steps": args.steps,
        "csv": args.output.as_ref().map(|path| path.display().to_string()),
        "plot": args.plot.as_ref().map(|path| path.display().to_string()),
        "forecast": rows,
    }))?;
    if args.output.is_none() && !console.json { print(&csv) } else { Ok(()) }
}

/// The columns asked for; without a word, those that the model was trained on where the file has them.
fn load(args: &Forecast, model: &Model) -> Outcome<Series> {
    let selection = args.columns.selection();
    let names = model.transform().map_or(&[][..], |transform| transform.names());
    let of_training = Selection { columns: names.to_vec(), ..selection.clone() };
    let series = match selection.columns.is_empty() && !names.is_empty() {
        true => Series::load(&args.data, &of_training).or_else(|failure| match failure.code {
            // No such columns: perhaps the same series by other names.
            USAGE => Series::load(&args.data, &selection),
            _ => Err(failure),
        })?,
        false => Series::load(&args.data, &selection)?,
    };
    let features = model.input_shape()[1].unwrap_or(0);
    if features == series.names.len() {
        return Ok(series);
    }
    let trained = if names.is_empty() { String::new() } else { format!(" ({})", names.join(", ")) };
    Err(Failure::data(format!(
        "{} was trained on {features} column(s){trained}, {} has {} ({}); choose with --columns",
        args.model.display(),
        shown(&args.data),
        series.names.len(),
        series.names.join(", ")
    )))
}

fn table(series: &Series, labels: &[String], future: &Array2<f64>) -> Outcome<String> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let header: Vec<&str> = std::iter::once("row").chain(series.names.iter().map(String::as_str)).collect();
    writer.write_record(header).map_err(Failure::other)?;
    for (label, row) in labels.iter().zip(future.rows()) {
        let values = row.iter().map(|value| format!("{value:.6}"));
        writer.write_record(std::iter::once(label.clone()).chain(values)).map_err(Failure::other)?;
    }
    let bytes = writer.into_inner().map_err(Failure::other)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The end of the history of the first column, and its forecast.
fn chart(series: &Series, future: &Array2<f64>, model: &str) -> Chart {
    let rows = series.rows();
    let history = series.values.column(0).iter().copied().enumerate().collect::<Vec<_>>();
    // The forecast begins at the last known value, so that the line has no gap.
    let mut forecast = history.last().copied().into_iter().collect::<Vec<_>>();
    forecast.extend(future.column(0).iter().enumerate().map(|(step, value)| (rows + step, *value)));
    let total = rows + future.nrows();
    // A long history is not drawn whole: the forecast would be a dot at its end.
    let from = rows.saturating_sub(300.max(4 * future.nrows()));
    Chart {
        title: format!("{}: {} rows ahead", series.names[0], future.nrows()),
        subtitle: format!(
            "{model}; history from {} to {}",
            series.timeline.label(0),
            series.timeline.label(rows - 1)
        ),
        y_label: series.names[0].clone(),
        ticks: series.timeline.ticks(from..total),
        rows: from..total,
        lines: vec![
            Line { name: "history".into(), points: history, look: Look::Actual },
            Line { name: "forecast".into(), points: forecast, look: Look::Forecast },
        ],
        ..Chart::default()
    }
}
