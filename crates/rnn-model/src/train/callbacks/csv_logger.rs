//! A line per epoch in a CSV file.

use crate::files::write_atomically;
use crate::train::{Callback, CallbackState, Flow, Logs, Progress};
use crate::{Error, Model, Result};
use serde::{Deserialize, Serialize};
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// Writes the epochs' numbers to a CSV file in Keras's form: a header `epoch` and the names in alphabetical order, then a
/// line per epoch, counted from 0. Where there is no validation, its columns hold `NA`, so that a later training with
/// validation can go on in the same file.
///
/// A file that stood there is replaced, in one step, when the first epoch ends; with [`append`](Self::append) it is gone on
/// with, and must have the same columns.
///
/// ```
/// use rnn_model::CsvLogger;
/// let logger = CsvLogger::new("training.csv").separator(';').append(true);
/// ```
#[derive(Debug)]
pub struct CsvLogger {
    path: PathBuf,
    separator: char,
    append: bool,
    /// open, with these columns, once a line is written
    open: Option<(File, Vec<String>)>,
    /// length of the file that a resumed training goes on with, until it does
    resumed: Option<u64>,
}

/// A backup goes on with the file as it was.
#[derive(Serialize, Deserialize)]
struct State {
    length: u64,
}

impl CsvLogger {
    /// Writes to `path`, separated by commas.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        CsvLogger { path: path.into(), separator: ',', append: false, open: None, resumed: None }
    }

    /// What separates the cells; a comma.
    #[must_use]
    pub fn separator(mut self, separator: char) -> Self {
        self.separator = separator;
        self
    }

    /// Go on with a file that is there; false.
    #[must_use]
    pub fn append(mut self, on: bool) -> Self {
        self.append = on;
        self
    }

    fn line<'a>(&self, cells: impl Iterator<Item = &'a str>) -> Result<Vec<u8>> {
        let wrong = |error: String| Error::invalid("CsvLogger", error);
        let separator = u8::try_from(self.separator)
            .ok()
            .filter(u8::is_ascii)
            .ok_or_else(|| wrong(format!("the separator must be an ASCII sign, got {:?}", self.separator)))?;
        let mut writer = csv::WriterBuilder::new().delimiter(separator).from_writer(Vec::new());
        writer.write_record(cells).map_err(|error| wrong(error.to_string()))?;
        writer.into_inner().map_err(|error| wrong(error.to_string()))
    }

    /// The file, open at its end, with the header in it.
    fn begin(&self, columns: &[String]) -> Result<File> {
        let failed = |source| Error::io(&self.path, source);
        let header = self.line(columns.iter().map(String::as_str))?;
        let kept = if self.append || self.resumed.is_some() {
            first_line(&self.path).map_err(failed)?
        } else {
            None
        };
        match kept {
            None => write_atomically(&self.path, &header)?,
            Some(line) if line.trim_ascii_end() != header.trim_ascii_end() => {
                let text = |bytes: &[u8]| String::from_utf8_lossy(bytes.trim_ascii_end()).into_owned();
                let problem =
                    format!("its columns are {}, but this training has {}", text(&line), text(&header));
                return Err(Error::file(&self.path, problem));
            }
            Some(_) => {}
        }
        let mut file = OpenOptions::new().read(true).append(true).open(&self.path).map_err(failed)?;
        end_the_last_line(&mut file).map_err(failed)?;
        Ok(file)
    }
}

/// The first line of a file that exists and is not empty.
fn first_line(path: &Path) -> std::io::Result<Option<Vec<u8>>> {
    match File::open(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
        Ok(file) => {
            let mut line = Vec::new();
            BufReader::new(file.take(1 << 20)).read_until(b'\n', &mut line)?;
            Ok((!line.is_empty()).then_some(line))
        }
    }
}

/// A program that was killed while writing may have left half a line.
fn end_the_last_line(file: &mut File) -> std::io::Result<()> {
    let length = file.seek(SeekFrom::End(0))?;
    let mut last = [0];
    if length > 0 {
        file.seek(SeekFrom::End(-1))?;
        file.read_exact(&mut last)?;
    }
    if length > 0 && last != *b"\n" { file.write_all(b"\n") } else { Ok(()) }
}

impl Callback for CsvLogger {
    fn on_train_begin(&mut self, _: &mut Model) -> Result<()> {
        (self.open, self.resumed) = (None, None);
        // A separator that can not work is known now, not after an epoch.
        self.line(["epoch"].into_iter()).map(|_| ())
    }

    fn on_epoch_end(&mut self, _: &mut Model, progress: Progress, logs: &Logs) -> Result<Flow> {
        let (mut file, columns) = match self.open.take() {
            Some(open) => open,
            None => {
                let mut columns: Vec<String> = logs.iter().map(|(name, _)| name.to_owned()).collect();
                columns.sort_unstable();
                if !columns.iter().any(|name| name.starts_with("val_")) {
                    let validation: Vec<String> = columns.iter().map(|name| format!("val_{name}")).collect();
                    columns.extend(validation);
                }
                columns.insert(0, "epoch".into());
                (self.begin(&columns)?, columns)
            }
        };
        let epoch = progress.epoch - 1;
        let cells: Vec<String> = columns[1..]
            .iter()
            .map(|name| logs.get(name).map_or_else(|| "NA".into(), |value| format!("{value:?}")))
            .collect();
        let line =
            self.line([epoch.to_string().as_str()].into_iter().chain(cells.iter().map(String::as_str)))?;
        // One call: another process sees the line whole.
        file.write_all(&line).map_err(|source| Error::io(&self.path, source))?;
        self.open = Some((file, columns));
        Ok(Flow::Continue)
    }

    fn on_train_end(&mut self, _: &mut Model) -> Result<()> {
        match self.open.take() {
            Some((file, _)) => file.sync_all().map_err(|source| Error::io(&self.path, source)),
            None => Ok(()),
        }
    }

    fn state(&self) -> Option<CallbackState> {
        let length = match &self.open {
            Some((file, _)) => file.metadata().ok()?.len(),
            None => self.resumed?,
        };
        Some(CallbackState::new("CsvLogger", &State { length }))
    }

    /// Cuts off the lines of epochs that will be run again.
    fn restore(&mut self, state: CallbackState) -> Result<()> {
        let State { length } = state.read("CsvLogger")?;
        self.resumed = Some(length);
        let failed = |source| Error::io(&self.path, source);
        match OpenOptions::new().write(true).open(&self.path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(failed(error)),
            Ok(file) if file.metadata().map_err(failed)?.len() > length => {
                file.set_len(length).map_err(failed)
            }
            Ok(_) => Ok(()),
        }
    }
}
