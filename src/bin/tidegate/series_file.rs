//! Series from CSV and `.npy` files.

use std::path::{Path, PathBuf};

use ndarray::{Array2, Axis, Ix1, Ix2};
use rnn_model::series::SeriesError;

use crate::failure::{Failure, Outcome};
use crate::files;
use crate::timeline::Timeline;

/// Columns of numbers, one row per time step, oldest first.
#[derive(Clone, Debug)]
pub struct Series {
    pub names: Vec<String>,
    /// `[rows, columns]`
    pub values: Array2<f64>,
    pub timeline: Timeline,
    /// Columns that were not asked for and hold numbers but for a cell, each with what that says.
    pub left_out: Vec<String>,
}

/// What of a file is read.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// Names or numbers (from 1) of the columns; empty: all columns of numbers.
    pub columns: Vec<String>,
    /// Name or number of the column with dates or labels; without it, a column of dates is looked for.
    pub time: Option<String>,
    /// Between the columns; without it the first line decides between comma, semicolon and tab.
    pub delimiter: Option<char>,
    /// Rows are samples of their own, not steps of a series.
    pub any_order: bool,
}

impl Series {
    /// Reads a file by its ending, `.csv` (also `.tsv`, `.txt`) or `.npy`.
    pub fn load(path: &Path, selection: &Selection) -> Outcome<Series> {
        let ending = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
        match ending.as_str() {
            "npy" => Self::from_npy(path, selection),
            "csv" | "tsv" | "txt" | "" => {
                let bytes = std::fs::read(path).map_err(|error| Failure::reading(path, error))?;
                let text = String::from_utf8(bytes).map_err(|_| {
                    Failure::reading(path, "it is not UTF-8 text; save the CSV file as UTF-8")
                })?;
                Self::from_csv(&text, selection).map_err(|failure| failure.within(path.display()))
            }
            "parquet" => Self::from_parquet(path, selection),
            other => Err(Failure::usage(format!(
                "{}: files ending in .{other} are not read; give a .csv, .npy or .parquet file",
                path.display()
            ))),
        }
    }

    #[cfg(not(feature = "parquet"))]
    fn from_parquet(path: &Path, _: &Selection) -> Outcome<Series> {
        let problem =
            "this program was built without Parquet (cargo build --features parquet); save the table as .csv";
        Err(Failure::usage(format!("{}: {problem}", path.display())))
    }

    /// The columns of numbers.
    #[cfg(feature = "parquet")]
    fn from_parquet(path: &Path, selection: &Selection) -> Outcome<Series> {
        let limits = rnn_interop::Limits::default();
        let table = rnn_interop::tables::read_parquet(&rnn_interop::read_file(path, &limits)?, &limits)
            .map_err(|error| error.in_file(path))?;
        Self::of_columns(path, &table.names, &table.values, selection)
    }

    /// `[rows]` or `[rows, columns]`.
    fn from_npy(path: &Path, selection: &Selection) -> Outcome<Series> {
        let array = files::read_npy(path)?;
        let shape = array.shape().to_vec();
        let values = match array.ndim() {
            1 => array.into_dimensionality::<Ix1>().map(|values| values.insert_axis(Axis(1))),
            _ => array.into_dimensionality::<Ix2>(),
        };
        let values = values.map_err(|_| {
            Failure::reading(
                path,
                format!("a series has shape [rows] or [rows, columns], this has {shape:?}"),
            )
        })?;
        let names = (1..=values.ncols()).map(|number| format!("column_{number}")).collect::<Vec<_>>();
        Self::of_columns(path, &names, &values, selection)
    }

    /// The chosen columns of a table of numbers, whose values must be finite.
    fn of_columns(
        path: &Path,
        names: &[String],
        values: &Array2<f64>,
        selection: &Selection,
    ) -> Outcome<Series> {
        let chosen = choose(names, &selection.columns).map_err(|failure| failure.within(path.display()))?;
        let chosen = if chosen.is_empty() { (0..names.len()).collect() } else { chosen };
        let series = Series {
            names: chosen.iter().map(|column| names[*column].clone()).collect(),
            values: values.select(Axis(1), &chosen),
            timeline: Timeline::Rows,
            left_out: Vec::new(),
        };
        if let Some(((row, column), value)) =
            series.values.indexed_iter().find(|(_, value)| !value.is_finite())
        {
            let problem =
                format!("row {row}, {} is {value}; fill or drop missing values first", series.names[column]);
            return Err(Failure::reading(path, problem));
        }
        series.not_empty().map_err(|failure| failure.within(path.display()))
    }

    /// Reads CSV text.
    pub fn from_csv(text: &str, selection: &Selection) -> Outcome<Series> {
        let text = text.trim_start_matches('\u{feff}');
        let delimiter = match selection.delimiter {
            Some(delimiter) => u8::try_from(delimiter)
                .map_err(|_| Failure::usage("the delimiter must be one ASCII character"))?,
            None => guess_delimiter(text),
        };
        let mut reader = csv::ReaderBuilder::new()
            .has_headers(false)
            .delimiter(delimiter)
            .trim(csv::Trim::All)
            .from_reader(text.as_bytes());
        let mut records: Vec<csv::StringRecord> =
            reader.records().collect::<Result<_, _>>().map_err(|error| Failure::data(error.to_string()))?;
        if delimiter == b';' {
            records.iter_mut().for_each(decimal_points);
        }
        let Some(first) = records.first() else { return Err(Failure::data("the file is empty")) };
        let has_header =
            first.iter().all(|cell| number(cell).is_none() && crate::calendar::parse(cell).is_none());
        let names: Vec<String> = match has_header {
            true => first.iter().map(str::to_owned).collect(),
            false => (1..=first.len()).map(|number| format!("column_{number}")).collect(),
        };
        let rows = &records[usize::from(has_header)..];
        let line = |row: usize| rows[row].position().map_or(row as u64 + 1, csv::Position::line);
        let time = match &selection.time {
            Some(name) => Some(choose(&names, std::slice::from_ref(name))?[0]),
            None => find_time_column(&names, rows),
        };
        let mut chosen = choose(&names, &selection.columns)?;
        let mut left_out = Vec::new();
        if chosen.is_empty() {
            let others = (0..names.len()).filter(|column| Some(*column) != time);
            let (numeric, text): (Vec<usize>, Vec<usize>) =
                others.partition(|column| is_numeric(rows, *column));
            chosen = numeric;
            // Where a column has numbers too, the text among them may be a slip.
            for column in
                text.into_iter().filter(|column| rows.iter().any(|row| number(&row[*column]).is_some()))
            {
                let is_text =
                    |row: &&csv::StringRecord| number(&row[column]).is_none() && !is_missing(&row[column]);
                let Some((row, cell)) = rows.iter().enumerate().find(|(_, row)| is_text(row)) else {
                    continue;
                };
                left_out.push(format!(
                    "{} (line {}: {:?} is not a number)",
                    names[column],
                    line(row),
                    &cell[column]
                ));
            }
        }
        if chosen.is_empty() {
            let columns = if left_out.is_empty() { &names } else { &left_out };
            return Err(Failure::data(format!("no column holds numbers (columns: {})", columns.join(", "))));
        }
        let mut values = Array2::zeros((rows.len(), chosen.len()));
        for (row, record) in rows.iter().enumerate() {
            for (place, column) in chosen.iter().enumerate() {
                let cell = &record[*column];
                values[[row, place]] = match number(cell) {
                    Some(value) if value.is_finite() => value,
                    _ if is_missing(cell) => {
                        let problem = format!(
                            "line {}, column {}: the value is missing; fill or drop it first",
                            line(row),
                            names[*column]
                        );
                        return Err(Failure::data(problem));
                    }
                    _ => {
                        let problem = format!(
                            "line {}, column {}: {cell:?} is not a number",
                            line(row),
                            names[*column]
                        );
                        return Err(Failure::data(problem));
                    }
                };
            }
        }
        let timeline = match time {
            Some(column) => Timeline::read(rows.iter().map(|record| record[column].to_owned()).collect()),
            None => Timeline::Rows,
        };
        if let Some(row) = timeline.out_of_order().filter(|_| !selection.any_order) {
            let (now, before) = (timeline.label(row), timeline.label(row - 1));
            let problem = format!(
                "line {}: {now} does not come after {before}; sort the rows, oldest first",
                line(row)
            );
            return Err(Failure::data(problem));
        }
        let names = chosen.iter().map(|column| names[*column].clone()).collect();
        Series { names, values, timeline, left_out }.not_empty()
    }

    fn not_empty(self) -> Outcome<Series> {
        if self.values.is_empty() { Err(Failure::data("the series has no rows")) } else { Ok(self) }
    }

    /// What is wrong with this series, read from `path`: with the file, and the row by its name.
    pub fn failure(&self, path: &Path, error: SeriesError) -> Failure {
        let place = match &error {
            SeriesError::NotFinite { row, feature, .. } | SeriesError::NotPositive { row, feature, .. } => {
                let name = self.names.get(*feature).map_or("", String::as_str);
                format!(" (row {}, column {name})", self.timeline.label(*row))
            }
            _ => String::new(),
        };
        Failure::reading(path, format!("{error}{place}"))
    }

    /// Rows of the series.
    pub fn rows(&self) -> usize {
        self.values.nrows()
    }
}

/// A path's series for messages: its file name.
pub fn shown(path: &Path) -> String {
    PathBuf::from(path).file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn number(cell: &str) -> Option<f64> {
    // Rust reads "inf" and "nan" as numbers; here they are missing values.
    cell.parse::<f64>().ok().filter(|value| value.is_finite())
}

/// Where columns are separated by semicolons, a comma stands before decimals: `1,5` becomes `1.5`.
fn decimal_points(record: &mut csv::StringRecord) {
    let is_decimal = |cell: &str| {
        let parts: Vec<&str> = cell.strip_prefix('-').unwrap_or(cell).split(',').collect();
        parts.len() == 2
            && parts.iter().all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()))
    };
    if record.iter().any(is_decimal) {
        let position = record.position().cloned();
        let cells =
            record.iter().map(|cell| if is_decimal(cell) { cell.replace(',', ".") } else { cell.to_owned() });
        *record = cells.collect();
        record.set_position(position);
    }
}

fn is_missing(cell: &str) -> bool {
    matches!(
        cell.to_lowercase().as_str(),
        "" | "na" | "n/a" | "nan" | "null" | "none" | "-" | "?" | "inf" | "-inf"
    )
}

fn is_numeric(rows: &[csv::StringRecord], column: usize) -> bool {
    rows.iter().any(|row| number(&row[column]).is_some())
        && rows.iter().all(|row| number(&row[column]).is_some() || is_missing(&row[column]))
}

/// The first column of dates, or a first column of text. Plain years count where the name says so.
fn find_time_column(names: &[String], rows: &[csv::StringRecord]) -> Option<usize> {
    let is_date = |column: usize| {
        let named = ["date", "time", "year", "month", "day"]
            .iter()
            .any(|word| names[column].to_lowercase().contains(word));
        rows.iter().all(|row| crate::calendar::parse(&row[column]).is_some())
            && (named || rows.iter().any(|row| number(&row[column]).is_none()))
    };
    if rows.is_empty() {
        return None;
    }
    let text = !is_numeric(rows, 0) && rows.iter().all(|row| number(&row[0]).is_none());
    (0..names.len()).find(|column| is_date(*column)).or(text.then_some(0)).filter(|_| names.len() > 1)
}

fn guess_delimiter(text: &str) -> u8 {
    let line = text.lines().next().unwrap_or_default();
    [b',', b';', b'\t']
        .into_iter()
        .rev()
        .max_by_key(|byte| line.bytes().filter(|b| b == byte).count())
        .unwrap_or(b',')
}

/// Places of the asked columns, by name or by number from 1.
fn choose(names: &[String], asked: &[String]) -> Outcome<Vec<usize>> {
    let mut chosen = Vec::new();
    for name in asked {
        let by_name: Vec<usize> = (0..names.len()).filter(|column| names[*column] == *name).collect();
        let by_number = name.parse::<usize>().ok().filter(|number| (1..=names.len()).contains(number));
        let column = match (by_name.as_slice(), by_number) {
            ([column], _) => *column,
            ([], Some(number)) => number - 1,
            ([], None) => {
                return Err(Failure::usage(format!(
                    "there is no column {name:?}; there are: {}",
                    names.join(", ")
                )));
            }
            _ => {
                return Err(Failure::usage(format!(
                    "several columns are called {name:?}; choose one by its number, from 1"
                )));
            }
        };
        if chosen.contains(&column) {
            return Err(Failure::usage(format!("column {name:?} is chosen twice")));
        }
        chosen.push(column);
    }
    Ok(chosen)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::{DATA, USAGE};

    fn read(text: &str) -> Outcome<Series> {
        Series::from_csv(text, &Selection::default())
    }

    fn pick(text: &str, columns: &[&str], time: Option<&str>) -> Outcome<Series> {
        let columns = columns.iter().map(|name| (*name).to_owned()).collect();
        Series::from_csv(
            text,
            &Selection { columns, time: time.map(Into::into), delimiter: None, any_order: false },
        )
    }

    #[test]
    fn header_dates_and_delimiters_are_found() {
        for text in [
            "month,passengers\n1949-01,112\n1949-02,118\n",
            "\u{feff}month;passengers\r\n1949-01;112\r\n1949-02; 118\r\n",
            "month\tpassengers\n1949-01\t112\n1949-02\t118",
        ] {
            let series = read(text).unwrap();
            assert_eq!(series.names, ["passengers"]);
            assert_eq!(series.values.column(0).to_vec(), [112.0, 118.0]);
            assert_eq!(series.timeline.label(2), "1949-03");
        }
        let decimals = read("month;x\n1949-01;-1,5\n1949-02;2,25\n").unwrap();
        assert_eq!(decimals.values.column(0).to_vec(), [-1.5, 2.25]);
        let bare = read("1\n2\n3\n").unwrap();
        assert_eq!(
            (bare.names, bare.values.nrows(), bare.timeline),
            (vec!["column_1".to_owned()], 3, Timeline::Rows)
        );
        let years = read("year,spots\n1700,5\n1701,11\n").unwrap();
        assert_eq!((years.names.len(), years.timeline.label(2)), (1, "1702".into()));
        let numbers = read("a,b\n1700,5\n1701,11\n").unwrap();
        assert_eq!(numbers.names, ["a", "b"]);
    }

    #[test]
    fn columns_are_chosen_by_name_or_number() {
        let text = "day,place,rain,wind\n2024-01-01,x,1,4\n2024-01-02,y,2,5\n";
        assert_eq!(read(text).unwrap().names, ["rain", "wind"]);
        assert_eq!(pick(text, &["wind", "3"], None).unwrap().values.row(1).to_vec(), [5.0, 2.0]);
        assert_eq!(pick(text, &["rain"], Some("place")).unwrap().timeline.label(0), "x");
        assert_eq!(pick(text, &["snow"], None).unwrap_err().code, USAGE);
        assert_eq!(pick(text, &["rain", "3"], None).unwrap_err().code, USAGE);
        assert_eq!(pick(text, &["place"], None).unwrap_err().code, DATA);
        assert_eq!(pick("a,a\n1,2\n", &["a"], None).unwrap_err().code, USAGE);
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        let cases = [
            ("", "empty"),
            ("a,b\n", "no column holds numbers"),
            ("a,b\n1,2\n3\n", "line: 3"),
            ("day,x\n2024-01-01,1\n2024-01-02,\n", "line 3, column x: the value is missing"),
            ("day,x\n2024-01-01,1\n2024-01-02,nan\n", "line 3, column x: the value is missing"),
            ("day,x\n2024-01-02,1\n2024-01-01,2\n", "line 3: 2024-01-01 does not come after 2024-01-02"),
            ("a\nx\ny\n", "no column holds numbers"),
        ];
        for (text, expected) in cases {
            let failure = read(text).unwrap_err();
            assert!(
                failure.code == DATA && failure.message.contains(expected),
                "{text:?}: {}",
                failure.message
            );
        }
        let slip = read("a,b,c\n1,2,u\n3,x,v\n5,6,w\n").unwrap();
        assert_eq!(
            (slip.names.len(), slip.left_out),
            (1, vec!["b (line 3: \"x\" is not a number)".to_owned()])
        );
        let failure = pick("a\n1\nx\n", &["a"], None).unwrap_err();
        assert!(failure.message.contains("line 3, column a: \"x\" is not a number"), "{}", failure.message);
    }
}
