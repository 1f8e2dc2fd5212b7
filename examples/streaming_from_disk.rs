//! Training from a file that is never in memory as a whole.
//!
//! A series of 600,000 rows and 3 features is written to a `.npy` file, a block at a time, as another program would leave it
//! behind. Windows of 40 rows are drawn from it in random order, read by a thread of their own two batches ahead, and
//! uploaded one by one; as arrays, those windows would be 288 MB. The model learns the next row of the first feature, and is
//! measured on the file's last rows. A stateful model then goes through the same file in 64 streams, each batch going on
//! where the last one ended.
//!
//! The training saves a backup every 50 batches: kill this program and start it again with the same folder
//! (`TIDEGATE_STREAM_FOLDER`), and it goes on in the middle of the epoch.
#![allow(clippy::print_stdout, reason = "an example shows its result")]

mod common;

use common::{Outcome, check, random};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use tidegate::data::{NpyFile, Prefetch, Rows, StatefulBatches, TimeseriesDataset};
use tidegate::layer::{Dense, Gru};
use tidegate::{Adam, BackupAndRestore, Device, FitOptions, Input, Loss, ProgressBar, SaveFreq, Sequential};

const ROWS: usize = 600_000;
const FEATURES: usize = 3;
const WINDOW: usize = 40;
/// the first rows train, the rest test
const TRAIN: usize = 500_000;

fn main() -> std::process::ExitCode {
    common::run(example)
}

fn example(device: &Device) -> Outcome {
    let temporary = tempfile::tempdir()?;
    let folder =
        std::env::var_os("TIDEGATE_STREAM_FOLDER").map_or(temporary.path().to_owned(), PathBuf::from);
    std::fs::create_dir_all(&folder)?;
    let (series, targets) = (folder.join("series.npy"), folder.join("targets.npy"));
    write_series(&series, &targets)?;

    // Windows of the rows `from..to` of the file, each with the target of the row after it.
    let windows = |from: usize, to: usize| -> Outcome<TimeseriesDataset<'static>> {
        let inputs = NpyFile::open(&series)?.range(from, to)?;
        let next = NpyFile::open(&targets)?.range(from + WINDOW, to)?;
        Ok(TimeseriesDataset::new(inputs, WINDOW).targets(next).batch_size(128))
    };
    // Every 50th window, each epoch the same ones in another order.
    let training = windows(0, TRAIN)?.sequence_stride(50).shuffle(true).seed(1);
    let mut training = Prefetch::new(training, 2);
    let mut test = windows(TRAIN, ROWS)?.sequence_stride(100);

    let mut model = Sequential::new(Input::sequence(WINDOW, FEATURES))
        .layer(Gru::new(16))
        .layer(Dense::new(1))
        .seed(3)
        .build(device)?;
    model.compile(Adam::new().learning_rate(0.005), Loss::MeanSquaredError, &[])?;
    let before = model.evaluate_source(&mut test)?.loss();
    let mut bar = ProgressBar::new();
    let backup = BackupAndRestore::new(folder.join("backup")).save_freq(SaveFreq::Batches(50));
    let options = FitOptions::new().epochs(4).backup(backup).validation_source(&mut test).callback(&mut bar);
    let history = model.fit_source(&mut training, options)?;
    let after = history.get("val_loss").last().copied().unwrap_or(f64::NAN);
    println!("mean squared error on the last {} rows: {before:.4} before, {after:.4} after", ROWS - TRAIN);
    // The noise that no model can know has a variance of 0.01.
    check("the error comes near the noise's variance of 0.01", after < 0.02)?;

    // The same file in 64 streams: batch k holds rows k*100..(k+1)*100 of each, states are carried from batch to batch.
    let mut stateful = Sequential::new(Input::sequence(100, FEATURES).batch(64))
        .layer(Gru::new(16).stateful(true).return_sequences(true))
        .layer(Dense::new(1))
        .seed(3)
        .build(device)?;
    stateful.compile(Adam::new().learning_rate(0.01), Loss::MeanSquaredError, &[])?;
    let inputs = NpyFile::open(&series)?.range(0, 192_000)?;
    let next = NpyFile::open(&targets)?.range(1, 192_001)?;
    let mut streams = Prefetch::new(StatefulBatches::new(inputs, 64, 100).targets(next), 2);
    let options = FitOptions::new().epochs(6).reset_states_after_epoch(true);
    let losses = stateful.fit_source(&mut streams, options)?.get("loss");
    println!("64 stateful streams, loss by epoch: {losses:.4?}");
    check("the streams are learned", losses[losses.len() - 1] < 0.3 * losses[0])
}

/// Writes the inputs `[rows, 3]` and, of the same rows, the targets `[rows, 1]`, if they are not there yet.
fn write_series(series: &Path, targets: &Path) -> Outcome {
    if series.exists() && targets.exists() {
        return Ok(());
    }
    let (mut x, mut y) = (npy(series, FEATURES)?, npy(targets, 1)?);
    let mut random = random(7);
    for row in 0..ROWS {
        let t = row as f32;
        let wave = (t * 0.21).sin() + 0.5 * (t * 0.034).cos();
        // Uniform in -0.1732..0.1732: variance 0.01.
        let noisy = wave + (random() - 0.5) * 0.3464;
        for value in [noisy, (t * 0.034).sin(), random() - 0.5] {
            x.write_all(&value.to_le_bytes())?;
        }
        y.write_all(&noisy.to_le_bytes())?;
    }
    // A name that stands for a whole file comes last.
    for (mut file, path) in [(x, series), (y, targets)] {
        file.flush()?;
        std::fs::rename(path.with_extension("part"), path)?;
    }
    Ok(())
}

/// A new `.npy` file of `f4` values, open behind its header.
fn npy(path: &Path, columns: usize) -> Outcome<BufWriter<File>> {
    let mut header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({ROWS}, {columns}), }}");
    // The data begin at a multiple of 64 bytes.
    let padded = (header.len() + 11).next_multiple_of(64) - 11;
    header = format!("{header:padded$}\n");
    let mut file = BufWriter::new(File::create(path.with_extension("part"))?);
    file.write_all(b"\x93NUMPY\x01\x00")?;
    file.write_all(&(header.len() as u16).to_le_bytes())?;
    file.write_all(header.as_bytes())?;
    Ok(file)
}
