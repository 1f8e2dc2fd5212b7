//! Event files as TensorBoard reads them: records framed as TensorFlow's `TFRecord`, each an `Event` message of Protocol
//! Buffers. The few fields that a scalar and a histogram need are written by hand; numbers of fields are those of TensorFlow's `event.proto`,
//! `summary.proto` and `tensor.proto`.

use std::fs::File;
use std::io::{Result, Write};
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// A new event file in a folder.
#[derive(Debug)]
pub(super) struct EventFile {
    file: File,
}

/// Files made by this process; their names must differ.
static FILES: AtomicU32 = AtomicU32::new(0);

impl EventFile {
    /// Makes the folder too where it is missing.
    pub fn create(folder: &Path) -> Result<Self> {
        std::fs::create_dir_all(folder)?;
        let seconds = wall_time() as u64;
        let number = FILES.fetch_add(1, Ordering::Relaxed);
        let name = format!("events.out.tfevents.{seconds:010}.{}.{}.{number}.v2", host(), std::process::id());
        let file = File::options().write(true).create_new(true).open(folder.join(name))?;
        let mut events = EventFile { file };
        let mut event = Message::default();
        event.double(1, wall_time());
        event.bytes(3, b"brain.Event:2");
        events.record(&event.0)?;
        Ok(events)
    }

    /// Numbers of one step, with the names that TensorBoard shows.
    pub fn scalars<'a>(&mut self, step: u64, values: impl Iterator<Item = (&'a str, f64)>) -> Result<()> {
        self.summaries(step, values.map(|(tag, value)| scalar(tag, value as f32)))
    }

    /// Histograms of one step: rows of left edge, right edge and count.
    pub fn histograms<'a>(
        &mut self,
        step: u64,
        histograms: impl Iterator<Item = (&'a str, Vec<[f64; 3]>)>,
    ) -> Result<()> {
        self.summaries(step, histograms.map(|(tag, rows)| histogram(tag, &rows)))
    }

    fn summaries(&mut self, step: u64, values: impl Iterator<Item = Message>) -> Result<()> {
        let mut summary = Message::default();
        for value in values {
            summary.message(1, value);
        }
        let mut event = Message::default();
        event.double(1, wall_time());
        event.varint(2, step);
        event.message(5, summary);
        self.record(&event.0)
    }

    /// Length, its checksum, data, its checksum; in one call, so that a reader finds whole records.
    fn record(&mut self, data: &[u8]) -> Result<()> {
        let length = (data.len() as u64).to_le_bytes();
        let mut record = Vec::with_capacity(data.len() + 16);
        record.extend(length);
        record.extend(masked_crc(&length).to_le_bytes());
        record.extend(data);
        record.extend(masked_crc(data).to_le_bytes());
        self.file.write_all(&record)
    }
}

/// `Summary.Value` as TensorBoard's `summary_v2` makes a scalar: a tensor without axes, and the plugin that shows it.
fn scalar(tag: &str, value: f32) -> Message {
    let mut tensor = Message::default();
    tensor.varint(1, 1); // DT_FLOAT
    tensor.message(2, Message::default());
    tensor.bytes(5, &value.to_le_bytes()); // packed float_val
    value_of(tag, tensor, b"scalars")
}

/// `Summary.Value` as TensorBoard's `histogram_pb` makes it: a tensor `[rows, 3]`.
fn histogram(tag: &str, rows: &[[f64; 3]]) -> Message {
    let mut shape = Message::default();
    for size in [rows.len() as u64, 3] {
        let mut axis = Message::default();
        axis.varint(1, size);
        shape.message(2, axis);
    }
    let mut tensor = Message::default();
    tensor.varint(1, 2); // DT_DOUBLE
    tensor.message(2, shape);
    let content: Vec<u8> = rows.iter().flatten().flat_map(|x| x.to_le_bytes()).collect();
    tensor.bytes(4, &content); // tensor_content
    value_of(tag, tensor, b"histograms")
}

/// `Summary.Value`: a tensor under a name, and the plugin that shows it.
fn value_of(tag: &str, tensor: Message, plugin_name: &[u8]) -> Message {
    let mut plugin = Message::default();
    plugin.bytes(1, plugin_name);
    let mut metadata = Message::default();
    metadata.message(1, plugin);
    let mut value = Message::default();
    value.bytes(1, tag.as_bytes());
    value.message(8, tensor);
    value.message(9, metadata);
    value
}

/// Fields of a Protocol Buffers message.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn raw_varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push((value as u8) | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    fn varint(&mut self, field: u64, value: u64) {
        self.raw_varint(field << 3);
        self.raw_varint(value);
    }

    fn double(&mut self, field: u64, value: f64) {
        self.raw_varint((field << 3) | 1);
        self.0.extend(value.to_le_bytes());
    }

    fn bytes(&mut self, field: u64, value: &[u8]) {
        self.raw_varint((field << 3) | 2);
        self.raw_varint(value.len() as u64);
        self.0.extend(value);
    }

    fn message(&mut self, field: u64, value: Message) {
        self.bytes(field, &value.0);
    }
}

fn wall_time() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |t| t.as_secs_f64())
}

/// The machine's name, as far as a file's name can hold it.
fn host() -> String {
    let name = std::fs::read_to_string("/etc/hostname").ok().or_else(|| std::env::var("COMPUTERNAME").ok());
    let name: String =
        name.unwrap_or_default().trim().chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').collect();
    if name.is_empty() { "localhost".into() } else { name }
}

/// CRC-32C (Castagnoli), reflected, by a table.
const TABLE: [u32; 256] = {
    let (mut table, mut i) = ([0; 256], 0);
    while i < 256 {
        let (mut crc, mut bit) = (i as u32, 0);
        while bit < 8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0x82F6_3B78 } else { crc >> 1 };
            bit += 1;
        }
        table[i] = crc;
        i += 1;
    }
    table
};

fn crc32c(data: &[u8]) -> u32 {
    !data.iter().fold(!0, |crc: u32, &byte| TABLE[usize::from(crc as u8 ^ byte)] ^ (crc >> 8))
}

/// TFRecord's mask: a checksum of data that holds checksums would be weak.
fn masked_crc(data: &[u8]) -> u32 {
    crc32c(data).rotate_right(15).wrapping_add(0xA282_EAD8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums() {
        // RFC 3720, B.4.
        assert_eq!(crc32c(b"123456789"), 0xE306_9283);
        assert_eq!(crc32c(&[0; 32]), 0x8A91_36AA);
        assert_eq!(crc32c(&[0xFF; 32]), 0x62A8_AB43);
    }

    /// The bytes of `tensorboard.plugins.scalar.summary_v2.scalar_pb("epoch_loss", 0.5)`.
    #[test]
    fn a_scalar_as_tensorboard_writes_it() {
        let value = scalar("epoch_loss", 0.5);
        let want = b"\n\nepoch_lossB\n\x08\x01\x12\x00*\x04\x00\x00\x00?J\x0b\n\t\n\x07scalars";
        assert_eq!(value.0, want);
        let mut long = Message::default();
        long.varint(2, 300);
        assert_eq!(long.0, [0x10, 0xAC, 0x02]);
    }
}
