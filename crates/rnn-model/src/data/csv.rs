//! Samples from the lines of a CSV file, read as they are needed.

use super::SampleStream;
use crate::{Error, Result};
use std::collections::VecDeque;
use std::fs::File;
use std::path::{Path, PathBuf};

/// Samples from a CSV file with a header line, read from front to back: each row is a sample, or each window of rows.
/// Columns are chosen by name. A cell that is empty or no finite number is an error that names line and column.
///
/// ```
/// use rnn_model::data::{BatchSource, CsvSamples, SampleBatches};
/// # let folder = tempfile::tempdir().unwrap();
/// # let path = folder.path().join("weather.csv");
/// # std::fs::write(&path, "hour,temperature,wind\n0,10.5,3\n1,11,2.5\n2,11.5,2\n3,12.5,4\n").unwrap();
/// // Two hours of two columns, and the temperature one hour later.
/// let samples = CsvSamples::open(&path)?.inputs(&["temperature", "wind"])?.targets(&["temperature"])?.windows(2, 1)?;
/// let all = SampleBatches::new(samples).collect()?;
/// assert_eq!(all.inputs[0], ndarray::array![[[10.5, 3.], [11., 2.5]], [[11., 2.5], [11.5, 2.]]].into_dyn());
/// assert_eq!(all.targets[0], ndarray::array![[11.5], [12.5]].into_dyn());
/// # Ok::<(), rnn_model::Error>(())
/// ```
pub struct CsvSamples {
    path: PathBuf,
    delimiter: u8,
    names: Vec<String>,
    inputs: Vec<usize>,
    targets: Vec<usize>,
    /// shape of an input where it is not the window or the row
    shape: Option<Vec<usize>>,
    /// rows of a window, and how far behind its last row the target is
    windows: Option<(usize, usize)>,
    reader: csv::Reader<File>,
    record: csv::StringRecord,
    /// the rows that the next window may need: inputs and targets of each
    recent: VecDeque<(Vec<f32>, Vec<f32>)>,
}

impl CsvSamples {
    /// Opens a file whose cells are separated by commas and whose first line names the columns. All columns are inputs.
    ///
    /// # Errors
    /// When the file can not be read.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::open_with_delimiter(path, b',')
    }

    /// As [`open`](Self::open), with another separator.
    ///
    /// # Errors
    /// As `open`.
    pub fn open_with_delimiter(path: impl AsRef<Path>, delimiter: u8) -> Result<Self> {
        let path = path.as_ref().to_owned();
        let mut reader = reader(&path, delimiter)?;
        let header = reader.headers().map_err(|error| failed(&path, error))?;
        let names: Vec<String> = header.iter().map(|name| name.trim().to_owned()).collect();
        if names.is_empty() {
            return Err(Error::file(&path, "it has no header line"));
        }
        Ok(CsvSamples {
            inputs: (0..names.len()).collect(),
            path,
            delimiter,
            names,
            targets: Vec::new(),
            shape: None,
            windows: None,
            reader,
            record: csv::StringRecord::new(),
            recent: VecDeque::new(),
        })
    }

    /// Names of the columns.
    pub fn columns(&self) -> &[String] {
        &self.names
    }

    /// The columns that make up an input, in this order.
    ///
    /// # Errors
    /// When there is no such column; the message lists those there are.
    pub fn inputs(mut self, columns: &[&str]) -> Result<Self> {
        self.inputs = self.find(columns)?;
        Ok(self)
    }

    /// The columns that make up a target, in this order; none.
    ///
    /// # Errors
    /// When there is no such column; the message lists those there are.
    pub fn targets(mut self, columns: &[&str]) -> Result<Self> {
        self.targets = self.find(columns)?;
        Ok(self)
    }

    /// The shape of each row's input, `[time, features]` for rows that hold a whole sequence.
    ///
    /// # Errors
    /// When it has another number of values than there are input columns.
    pub fn sample_shape(mut self, shape: &[usize]) -> Result<Self> {
        let values = shape.iter().try_fold(1usize, |a, &b| a.checked_mul(b));
        if values != Some(self.inputs.len()) {
            let expected = format!("{} values, as many as input columns", self.inputs.len());
            return Err(Error::shape("sample_shape", expected, shape));
        }
        self.shape = Some(shape.to_vec());
        Ok(self)
    }

    /// Makes each `length` rows in sequence a sample `[length, columns]`, whose target stands `horizon` rows behind the
    /// window's last one (0: in that row).
    ///
    /// # Errors
    /// When `length` is 0, or a [`sample_shape`](Self::sample_shape) is set.
    pub fn windows(mut self, length: usize, horizon: usize) -> Result<Self> {
        if length == 0 || self.shape.is_some() {
            let problem = "need at least 1 row, and the shape is theirs: leave out sample_shape";
            return Err(Error::invalid("windows", problem));
        }
        self.windows = Some((length, horizon));
        Ok(self)
    }

    fn find(&self, columns: &[&str]) -> Result<Vec<usize>> {
        let place = |column: &&str| {
            self.names.iter().position(|name| name == column).ok_or_else(|| {
                Error::file(&self.path, format!("no column {column:?}; there are: {}", self.names.join(", ")))
            })
        };
        columns.iter().map(place).collect()
    }

    /// The next line's inputs and targets.
    fn row(&mut self) -> Result<Option<(Vec<f32>, Vec<f32>)>> {
        if !self.reader.read_record(&mut self.record).map_err(|error| failed(&self.path, error))? {
            return Ok(None);
        }
        let line = self.record.position().map_or(0, csv::Position::line);
        let number = |&column: &usize| {
            let cell = self.record.get(column).unwrap_or("").trim();
            cell.parse().ok().filter(|value: &f32| value.is_finite()).ok_or_else(|| {
                let name = &self.names[column];
                Error::file(&self.path, format!("line {line}, column {name:?}: {cell:?} is no finite number"))
            })
        };
        let numbers = |columns: &[usize]| columns.iter().map(number).collect::<Result<Vec<f32>>>();
        Ok(Some((numbers(&self.inputs)?, numbers(&self.targets)?)))
    }
}

impl SampleStream for CsvSamples {
    fn shapes(&self) -> (Vec<usize>, Option<Vec<usize>>) {
        let columns = self.inputs.len();
        let input = match (self.windows, &self.shape) {
            (Some((length, _)), _) => vec![length, columns],
            (None, Some(shape)) => shape.clone(),
            (None, None) => vec![columns],
        };
        (input, (!self.targets.is_empty()).then(|| vec![self.targets.len()]))
    }

    fn restart(&mut self) -> Result<()> {
        self.reader = reader(&self.path, self.delimiter)?;
        self.recent.clear();
        Ok(())
    }

    fn next_sample(&mut self, x: &mut Vec<f32>, y: &mut Vec<f32>) -> Result<bool> {
        let (length, horizon) = self.windows.unwrap_or((1, 0));
        let needed = length.saturating_add(horizon);
        if self.recent.len() >= needed {
            self.recent.pop_front();
        }
        while self.recent.len() < needed {
            match self.row()? {
                Some(row) => self.recent.push_back(row),
                None => return Ok(false),
            }
        }
        self.recent.iter().take(length).for_each(|(inputs, _)| x.extend(inputs));
        y.extend(&self.recent[needed - 1].1);
        Ok(true)
    }
}

fn reader(path: &Path, delimiter: u8) -> Result<csv::Reader<File>> {
    let file = File::open(path).map_err(|source| Error::io(path, source))?;
    Ok(csv::ReaderBuilder::new().delimiter(delimiter).from_reader(file))
}

fn failed(path: &Path, error: csv::Error) -> Error {
    let text = error.to_string();
    match error.into_kind() {
        csv::ErrorKind::Io(source) => Error::io(path, source),
        _ => Error::file(path, text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{BatchSource, SampleBatches};
    use ndarray::array;

    fn file(text: &str) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows.csv");
        std::fs::write(&path, text).unwrap();
        (folder, path)
    }

    #[test]
    fn rows_are_samples_in_every_epoch() {
        let (_folder, path) = file("a;b;c;d\n1;2;3;4\n5; 6 ;7;8\n");
        let open = || CsvSamples::open_with_delimiter(&path, b';').unwrap();
        let samples = open().inputs(&["d", "a"]).unwrap().targets(&["b"]).unwrap();
        let mut source = SampleBatches::new(samples);
        for _ in 0..2 {
            let all = source.collect().unwrap();
            assert_eq!(all.inputs[0], array![[4., 1.], [8., 5.]].into_dyn());
            assert_eq!(all.targets[0], array![[2.], [6.]].into_dyn());
        }
        let all = SampleBatches::new(open().sample_shape(&[2, 2]).unwrap()).collect().unwrap();
        assert_eq!(all.inputs[0], array![[[1., 2.], [3., 4.]], [[5., 6.], [7., 8.]]].into_dyn());
        assert!(all.targets.is_empty());
    }

    #[test]
    fn what_is_wrong_is_named() {
        let (_folder, path) = file("a,b\n1,2\n3,\n");
        let open = || CsvSamples::open(&path).unwrap();
        let error = |r: Result<CsvSamples>| r.err().unwrap().to_string();
        assert!(error(open().inputs(&["x"])).ends_with("no column \"x\"; there are: a, b"));
        assert!(open().sample_shape(&[3]).is_err());
        assert!(open().windows(0, 1).is_err());
        let error = SampleBatches::new(open()).collect().unwrap_err().to_string();
        assert!(error.ends_with("line 3, column \"b\": \"\" is no finite number"), "{error}");
        let (_folder, uneven) = file("a,b\n1,2\n3\n");
        assert!(SampleBatches::new(CsvSamples::open(uneven).unwrap()).collect().is_err());
        assert!(CsvSamples::open("/nonexistent.csv").is_err());
        // Too few rows for a window: no samples, and no panic.
        let huge = open().inputs(&["a"]).unwrap().windows(usize::MAX, 5).unwrap();
        let mut huge = SampleBatches::new(huge);
        huge.begin(1).unwrap();
        assert_eq!(huge.next_batch().unwrap(), None);
    }
}
