//! Tables of numbers from Parquet files (feature `parquet`): columns by name, a row for each sample or step.
//!
//! CSV files are read by [`rnn_model::data::CsvSamples`] and by the program.

use crate::{Error, Limits, Result};
use bytes::Bytes;
use ndarray::Array2;
use parquet::basic::{ConvertedType, LogicalType};
use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::data_type::DataType;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::schema::types::ColumnDescriptor;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Columns of numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    /// of the columns; `a.b` of a field in a group
    pub names: Vec<String>,
    /// `[rows, columns]`
    pub values: Array2<f64>,
}

/// The columns of numbers and truth values of a Parquet file; texts, dates and lists are left out. Pages may be plain or
/// compressed by Snappy, gzip or LZ4.
///
/// # Errors
/// When the file is damaged or too large, a value is missing, or no column holds numbers.
pub fn read_parquet(bytes: &[u8], limits: &Limits) -> Result<Table> {
    Limits::at_most("file", "the number of bytes", bytes.len() as u64, limits.file_bytes)?;
    let bytes = Bytes::copy_from_slice(bytes);
    // A panic of the decoder is not to end the program that reads a file.
    let read = catch_unwind(AssertUnwindSafe(|| read(bytes, limits)));
    read.unwrap_or_else(|_| Err(Error::damaged("parquet", "the file can not be decoded")))
}

fn wrong(error: parquet::errors::ParquetError) -> Error {
    Error::damaged("parquet", error.to_string())
}

fn read(bytes: Bytes, limits: &Limits) -> Result<Table> {
    let file = SerializedFileReader::new(bytes).map_err(wrong)?;
    let metadata = file.metadata();
    let schema = metadata.file_metadata().schema_descr_ptr();
    Limits::at_most("parquet", "the number of columns", schema.num_columns() as u64, limits.tensors)?;
    let columns: Vec<usize> = (0..schema.num_columns()).filter(|&at| is_number(&schema.column(at))).collect();
    if columns.is_empty() {
        return Err(Error::unsupported("parquet", "no column holds numbers"));
    }
    let rows = u64::try_from(metadata.file_metadata().num_rows()).unwrap_or(u64::MAX);
    let values = limits.elements("parquet", &[rows, columns.len() as u64])?;
    limits.bytes("parquet", values, size_of::<f64>())?;
    let names: Vec<String> = columns.iter().map(|&at| schema.column(at).path().string()).collect();
    let mut found: Vec<Vec<f64>> = vec![Vec::new(); columns.len()];
    for group in 0..file.num_row_groups() {
        let group = file.get_row_group(group).map_err(wrong)?;
        for ((place, &at), name) in found.iter_mut().zip(&columns).zip(&names) {
            let left = rows as usize - place.len();
            match group.get_column_reader(at).map_err(wrong)? {
                ColumnReader::BoolColumnReader(reader) => column(reader, name, left, place, f64::from),
                ColumnReader::Int32ColumnReader(reader) => column(reader, name, left, place, f64::from),
                ColumnReader::Int64ColumnReader(reader) => {
                    column(reader, name, left, place, |value| value as f64)
                }
                ColumnReader::FloatColumnReader(reader) => column(reader, name, left, place, f64::from),
                ColumnReader::DoubleColumnReader(reader) => column(reader, name, left, place, |value| value),
                _ => Err(Error::unsupported(format!("column {name}"), "it holds no numbers")),
            }?;
        }
    }
    if let Some((name, place)) = names.iter().zip(&found).find(|(_, place)| place.len() as u64 != rows) {
        let problem = format!("the file says {rows} rows, the column has {}", place.len());
        return Err(Error::damaged(format!("column {name}"), problem));
    }
    let values = Array2::from_shape_fn((rows as usize, columns.len()), |(row, column)| found[column][row]);
    Ok(Table { names, values })
}

/// Numbers and truth values, one for each row: no dates, times or decimals, which are stored as numbers, too.
fn is_number(column: &ColumnDescriptor) -> bool {
    use parquet::basic::Type;
    let stored = matches!(
        column.physical_type(),
        Type::BOOLEAN | Type::INT32 | Type::INT64 | Type::FLOAT | Type::DOUBLE
    );
    let logical = column.logical_type_ref().is_none_or(|kind| matches!(kind, LogicalType::Integer(_)));
    let converted = matches!(
        column.converted_type(),
        ConvertedType::NONE
            | ConvertedType::INT_8
            | ConvertedType::INT_16
            | ConvertedType::INT_32
            | ConvertedType::INT_64
            | ConvertedType::UINT_8
            | ConvertedType::UINT_16
            | ConvertedType::UINT_32
            | ConvertedType::UINT_64
    );
    stored && logical && converted && column.max_rep_level() == 0
}

/// At most so many values are decoded at a time, so that a page that promises more than it holds takes no memory.
const STEP: usize = 1 << 16;

fn column<T: DataType>(
    mut reader: ColumnReaderImpl<T>,
    name: &str,
    mut left: usize,
    found: &mut Vec<f64>,
    number: impl Fn(T::T) -> f64,
) -> Result<()> {
    let (mut values, mut levels) = (Vec::new(), Vec::new());
    while left > 0 {
        values.clear();
        levels.clear();
        let step = left.min(STEP);
        let (records, read, _) =
            reader.read_records(step, Some(&mut levels), None, &mut values).map_err(wrong)?;
        if records == 0 {
            break;
        }
        if read != records {
            let problem = format!(
                "a value among rows {} to {} is missing; fill or drop it first",
                found.len(),
                found.len() + records
            );
            return Err(Error::damaged(format!("column {name}"), problem));
        }
        found.extend(values.drain(..).map(&number));
        left -= records.min(left);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use parquet::data_type::{ByteArray, ByteArrayType, DoubleType, Int64Type};
    use parquet::file::properties::WriterProperties;
    use parquet::file::writer::SerializedFileWriter;
    use parquet::schema::parser::parse_message_type;
    use std::sync::Arc;

    /// Columns a (double), name (text), n (whole numbers, of which some may be missing), day (a date).
    fn file(missing: bool) -> Vec<u8> {
        let schema = "message rows { required double a; required binary name (UTF8); optional int64 n; required int64 day \
                      (TIMESTAMP(MILLIS,true)); }";
        let schema = Arc::new(parse_message_type(schema).unwrap());
        let properties =
            WriterProperties::builder().set_compression(parquet::basic::Compression::SNAPPY).build();
        let mut bytes = Vec::new();
        let mut writer = SerializedFileWriter::new(&mut bytes, schema, Arc::new(properties)).unwrap();
        for group in 0..2 {
            let mut rows = writer.next_row_group().unwrap();
            let from = f64::from(group * 3);
            let mut column = rows.next_column().unwrap().unwrap();
            column.typed::<DoubleType>().write_batch(&[from, from + 1.0, from + 2.5], None, None).unwrap();
            column.close().unwrap();
            let mut column = rows.next_column().unwrap().unwrap();
            column.typed::<ByteArrayType>().write_batch(&vec![ByteArray::from("x"); 3], None, None).unwrap();
            column.close().unwrap();
            let mut column = rows.next_column().unwrap().unwrap();
            let (values, levels): (&[i64], &[i16]) =
                if missing { (&[7, 9], &[1, 0, 1]) } else { (&[7, 8, 9], &[1, 1, 1]) };
            column.typed::<Int64Type>().write_batch(values, Some(levels), None).unwrap();
            column.close().unwrap();
            let mut column = rows.next_column().unwrap().unwrap();
            column.typed::<Int64Type>().write_batch(&[1, 2, 3], None, None).unwrap();
            column.close().unwrap();
            rows.close().unwrap();
        }
        writer.close().unwrap();
        bytes
    }

    #[test]
    fn columns_of_numbers_are_read_and_others_left_out() {
        let table = read_parquet(&file(false), &Limits::default()).unwrap();
        assert_eq!(table.names, ["a", "n"]);
        let expected =
            ndarray::array![[0.0, 7.0], [1.0, 8.0], [2.5, 9.0], [3.0, 7.0], [4.0, 8.0], [5.5, 9.0]];
        assert_eq!(table.values, expected);
    }

    #[test]
    fn missing_values_and_too_many_rows_are_refused() {
        let message = read_parquet(&file(true), &Limits::default()).unwrap_err().to_string();
        assert!(message.contains("column n") && message.contains("is missing"), "{message}");
        let limits = Limits { elements: 11, ..Limits::default() };
        assert!(matches!(read_parquet(&file(false), &limits), Err(Error::Limit { .. })));
    }

    #[test]
    fn damaged_files_are_errors() {
        let whole = file(false);
        for cut in 0..whole.len() {
            assert!(read_parquet(&whole[..cut], &Limits::default()).is_err(), "{cut}");
        }
        // Every byte turned: an error or another table, and no panic.
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 0xff;
            let _ = read_parquet(&bytes, &Limits::default());
        }
    }
}
