//! Arrays by name: from `.npy`, `.npz`, CSV and Parquet files to a model, and back.

use std::path::Path;

use ndarray::{Array2, ArrayD, IxDyn};
use rnn_interop::{Arrays, Limits};

use crate::failure::{Failure, Outcome};
use crate::files;
use crate::series_file::{Selection, Series};

/// Shape of one sample, `None` where any size does.
type SampleShape = Vec<Option<usize>>;

/// What a file of arrays holds.
enum Given {
    One(ArrayD<f32>),
    Named(Arrays),
    /// rows of a table, one for each sample
    Table(Array2<f64>),
}

/// The arrays of a file for the inputs or the outputs (`what`) of these names and shapes, in their order.
pub fn load(path: &Path, what: &str, names: &[String], shapes: &[SampleShape]) -> Outcome<Vec<ArrayD<f32>>> {
    let arrays = match read(path)? {
        Given::Named(arrays) => by_name(path, what, names, arrays)?,
        Given::One(array) => vec![alone(path, what, names, array)?],
        Given::Table(table) => {
            let sample = shapes.first().map_or(&[][..], Vec::as_slice);
            vec![alone(path, what, names, of_rows(path, what, &table, sample)?)?]
        }
    };
    for (name, array) in names.iter().zip(&arrays) {
        if let Some(at) = array.iter().position(|value| !value.is_finite()) {
            let value = array.iter().nth(at).copied().unwrap_or(f32::NAN);
            let problem =
                format!("{what} {name}: value number {at} is {value}; a model needs finite numbers");
            return Err(Failure::reading(path, problem));
        }
    }
    Ok(arrays)
}

/// Whether a file is a table, a row for each sample.
pub fn is_table(path: &Path) -> bool {
    let ending = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
    ["csv", "tsv", "txt", "parquet"].contains(&ending.as_str())
}

/// Refuses arrays of different numbers of samples.
pub fn same_samples(
    path: &Path,
    what: &str,
    names: &[String],
    arrays: Vec<ArrayD<f32>>,
) -> Outcome<Vec<ArrayD<f32>>> {
    let samples = |array: &ArrayD<f32>| array.shape().first().copied().unwrap_or(0);
    if let Some(other) = arrays.iter().position(|array| samples(array) != samples(&arrays[0])) {
        let problem = format!(
            "{what} {} has {} samples, {what} {} has {}",
            names[0],
            samples(&arrays[0]),
            names[other],
            samples(&arrays[other])
        );
        return Err(Failure::reading(path, problem));
    }
    Ok(arrays)
}

fn read(path: &Path) -> Outcome<Given> {
    if is_table(path) {
        let selection = Selection { any_order: true, ..Selection::default() };
        return Ok(Given::Table(Series::load(path, &selection)?.values));
    }
    let ending = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
    let bytes = || rnn_interop::read_file(path, &Limits::default());
    match ending.as_str() {
        "npy" => {
            let array =
                rnn_interop::read_npy(&bytes()?, &Limits::default()).map_err(|error| error.in_file(path))?;
            Ok(Given::One(array))
        }
        "npz" => {
            let arrays =
                rnn_interop::read_npz(&bytes()?, &Limits::default()).map_err(|error| error.in_file(path))?;
            Ok(Given::Named(arrays))
        }
        _ => Err(Failure::usage(format!(
            "{}: arrays are read from .npy, .npz, .csv and .parquet files",
            path.display()
        ))),
    }
}

fn alone(path: &Path, what: &str, names: &[String], array: ArrayD<f32>) -> Outcome<ArrayD<f32>> {
    match names.len() {
        1 => Ok(array),
        count => Err(Failure::usage(format!(
            "{}: the model has {count} {what}s ({}); give an .npz file with an array for each by its name",
            path.display(),
            names.join(", ")
        ))),
    }
}

fn by_name(path: &Path, what: &str, names: &[String], mut arrays: Arrays) -> Outcome<Vec<ArrayD<f32>>> {
    // Of one and one there is no doubt.
    if names.len() == 1 && arrays.len() == 1 {
        return Ok(arrays.into_values().collect());
    }
    let there: Vec<String> = arrays.keys().cloned().collect();
    let mut found = Vec::new();
    for name in names {
        found.push(arrays.remove(name).ok_or_else(|| {
            let problem = format!(
                "it has no array for {what} {name:?}; it has {}, the model has {}: save each by its name, as in \
                 np.savez(file, **{{{name:?}: array}})",
                there.join(", "),
                names.join(", ")
            );
            Failure::reading(path, problem)
        })?);
    }
    match arrays.keys().next() {
        None => Ok(found),
        Some(left) => {
            let problem = format!("the model has no {what} {left:?}; it has {}", names.join(", "));
            Err(Failure::reading(path, problem))
        }
    }
}

/// A row for each sample: its values in the order of the sample's axes.
fn of_rows(path: &Path, what: &str, table: &Array2<f64>, sample: &[Option<usize>]) -> Outcome<ArrayD<f32>> {
    let (rows, columns) = table.dim();
    let known: usize = sample.iter().flatten().product();
    let open = sample.iter().filter(|axis| axis.is_none()).count();
    let shape: Vec<usize> = match open {
        0 if known == columns => sample.iter().flatten().copied().collect(),
        1 if known > 0 && columns.is_multiple_of(known) => {
            sample.iter().map(|axis| axis.unwrap_or(columns / known)).collect()
        }
        // One number for each sample: a class, or a value whose axis may be left out.
        _ if what == "output" => vec![columns],
        _ => {
            let axes: Vec<String> =
                sample.iter().map(|axis| axis.map_or("any".to_owned(), |n| n.to_string())).collect();
            let problem =
                format!("rows of {columns} values do not fill samples of shape [{}]", axes.join(", "));
            return Err(Failure::reading(path, problem));
        }
    };
    let shape: Vec<usize> = std::iter::once(rows).chain(shape).collect();
    let values = table.iter().map(|value| *value as f32).collect();
    ArrayD::from_shape_vec(IxDyn(&shape), values).map_err(|error| Failure::reading(path, error))
}

/// Refuses a place that outputs can not be written to, before anything runs.
pub fn check_output(path: &Path, names: &[String]) -> Outcome {
    let ending = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
    match ending.as_str() {
        "npz" => Ok(()),
        "npy" if names.len() == 1 => Ok(()),
        "npy" => Err(Failure::usage(format!(
            "{}: the model has {} outputs ({}); write them to an .npz file",
            path.display(),
            names.len(),
            names.join(", ")
        ))),
        _ => Err(Failure::usage(format!("{}: outputs are written to .npy and .npz files", path.display()))),
    }
}

/// Writes outputs to a `.npy` or `.npz` file.
pub fn save(path: &Path, names: &[String], outputs: &[ArrayD<f32>]) -> Outcome {
    check_output(path, names)?;
    let bytes = match outputs {
        [one] if !path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("npz")) => {
            rnn_interop::write_npy(one)
        }
        _ => rnn_interop::write_npz(&names.iter().cloned().zip(outputs.iter().cloned()).collect())?,
    };
    files::write(path, &bytes)
}
