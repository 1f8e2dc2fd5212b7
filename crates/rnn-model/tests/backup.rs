//! A training that is killed and goes on ends with the bits of one that was left alone.

mod devices;

use devices::on_each;
use ndarray::{Array2, Array3, ArrayD};
use rnn_model::data::{Prefetch, StatefulBatches, TimeseriesDataset};
use rnn_model::layer::{Dense, Dropout, Lstm};
use rnn_model::{
    Adam, BackupAndRestore, Callback, CsvLogger, Device, EarlyStopping, Error, FitOptions, Flow, History,
    Input, LambdaCallback, LearningRateScheduler, Loss, Metric, Model, ModelCheckpoint, Progress,
    ReduceLrOnPlateau, Result, SaveFreq, Sequential,
};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

#[derive(Clone, Copy, Debug)]
enum Task {
    /// shuffled arrays, dropout, validation, callbacks that remember
    Arrays,
    /// a stateful model on a source that is read ahead
    Stateful,
    /// a shuffled source, epochs that end in the middle of a pass
    Steps,
}

const TASKS: [Task; 3] = [Task::Arrays, Task::Stateful, Task::Steps];

fn series(rows: usize) -> Array2<f32> {
    Array2::from_shape_fn((rows, 1), |(t, _)| (t as f32 * 0.3).sin() + 0.2 * (t as f32 * 0.071).cos())
}

fn model(device: &Device, task: Task) -> Model {
    let stateful = matches!(task, Task::Stateful);
    let mut model = Sequential::new(Input::sequence(5, 1))
        .layer(Lstm::new(6).stateful(stateful))
        .layer(Dropout::new(0.3))
        .layer(Dense::new(1))
        .seed(11)
        .build(device)
        .unwrap();
    model
        .compile(Adam::new().learning_rate(0.01), Loss::MeanSquaredError, &[Metric::MeanAbsoluteError])
        .unwrap();
    model
}

/// Trains with a backup every two batches; `watch` is called along.
fn train(model: &mut Model, task: Task, folder: &Path, watch: &mut dyn Callback) -> Result<History> {
    let backup = BackupAndRestore::new(folder.join("backup")).save_freq(SaveFreq::Batches(2));
    let options = FitOptions::new().backup(backup);
    match task {
        Task::Arrays => {
            let x = Array3::from_shape_fn((52, 5, 1), |(i, t, _)| ((i + t) as f32 * 0.3).sin());
            let y = Array2::from_shape_fn((52, 1), |(i, _)| ((i + 5) as f32 * 0.3).sin());
            let mut stopping = EarlyStopping::new().patience(1).min_delta(0.02).restore_best_weights(true);
            let mut reduce = ReduceLrOnPlateau::new().factor(0.5).patience(1).min_delta(0.05);
            let mut schedule = LearningRateScheduler::new(|_, rate| rate * 0.97);
            let mut csv = CsvLogger::new(folder.join("log.csv"));
            let path = folder.join("{epoch}-{batch}.safetensors");
            let mut checkpoint = ModelCheckpoint::new(path).save_freq(SaveFreq::Batches(7));
            let options = options.epochs(12).batch_size(5).validation_split(0.2);
            let options = options.callback(watch).callback(&mut stopping).callback(&mut reduce);
            let options = options.callback(&mut schedule).callback(&mut csv).callback(&mut checkpoint);
            model.fit(&x, &y, options)
        }
        Task::Stateful => {
            let (all, next) = (series(360), series(361).slice_move(ndarray::s![1.., ..]));
            let mut source = Prefetch::new(StatefulBatches::new(all, 4, 5).last_targets(next), 3);
            model.fit_source(&mut source, options.epochs(4).reset_states_after_epoch(true).callback(watch))
        }
        Task::Steps => {
            let (all, next) = (series(100), series(105).slice_move(ndarray::s![5.., ..]));
            let mut source = TimeseriesDataset::new(all, 5).targets(next).batch_size(8).shuffle(true).seed(4);
            model.fit_source(&mut source, options.epochs(6).steps_per_epoch(9).callback(watch))
        }
    }
}

/// Everything that must be the same: weights, history, the learning rate, and files.
fn outcome(model: &mut Model, history: &History, folder: &Path) -> String {
    let weights: Vec<ArrayD<f32>> = model.get_weights().unwrap();
    let bits: Vec<u32> = weights.iter().flat_map(|w| w.iter().map(|x| x.to_bits())).collect();
    let logs: Vec<(String, u64)> =
        history.logs.iter().flat_map(|l| l.iter().map(|(n, v)| (n.to_owned(), v.to_bits()))).collect();
    let log = std::fs::read_to_string(folder.join("log.csv")).unwrap_or_default();
    let mut files: Vec<String> =
        std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    files.retain(|name| name.ends_with(".safetensors"));
    files.sort();
    let saved: Vec<u64> =
        files.iter().map(|f| Model::load(folder.join(f), &Device::cpu()).unwrap().iterations()).collect();
    let (epochs, stopped, iterations) = (&history.epochs, history.stopped, model.iterations());
    let rate = model.learning_rate().unwrap().to_bits();
    format!("{epochs:?} {stopped} {iterations} {rate}\n{logs:?}\n{bits:?}\n{files:?} {saved:?}\n{log}")
}

/// Fails after so many batches, as a program that is broken off there.
struct BreakOff(u64);

impl Callback for BreakOff {
    fn every_batches(&self) -> Option<usize> {
        Some(1)
    }

    fn on_batches_end(&mut self, model: &mut Model, _: Progress) -> Result<Flow> {
        match self.0 {
            after if model.iterations() == after => {
                Err(Error::Invalid { what: "test".into(), problem: "broken".into() })
            }
            _ => Ok(Flow::Continue),
        }
    }
}

#[test]
fn broken_off_anywhere_it_goes_on_with_the_same_bits() {
    on_each(|device| {
        for task in TASKS {
            let folder = tempfile::tempdir().unwrap();
            let mut alone = model(device, task);
            let history = train(&mut alone, task, folder.path(), &mut BreakOff(u64::MAX)).unwrap();
            assert!(!folder.path().join("backup").exists());
            let want = outcome(&mut alone, &history, folder.path());
            let batches =
                history.epochs.len() as u64 * if matches!(task, Task::Steps | Task::Arrays) { 9 } else { 18 };
            assert!(batches > 20, "{task:?}: {history:?}");
            // Within epochs, at their ends, more than once, and right behind a backup and one batch later.
            for breaks in [vec![1], vec![3, 10], vec![9, 18], vec![7, 8, 14, 15, 20], vec![batches - 1]] {
                let folder = tempfile::tempdir().unwrap();
                for &at in &breaks {
                    let error = train(&mut model(device, task), task, folder.path(), &mut BreakOff(at));
                    assert!(error.is_err(), "{task:?} {breaks:?} at {at}");
                }
                let mut last = model(device, task);
                let history = train(&mut last, task, folder.path(), &mut BreakOff(u64::MAX)).unwrap();
                assert_eq!(
                    outcome(&mut last, &history, folder.path()),
                    want,
                    "{task:?} {breaks:?} on {device:?}"
                );
            }
        }
    });
}

#[test]
fn a_backup_of_another_training_is_refused() {
    let device = Device::cpu();
    let folder = tempfile::tempdir().unwrap();
    let broken = || train(&mut model(&device, Task::Steps), Task::Steps, folder.path(), &mut BreakOff(5));
    assert!(broken().is_err());
    let go_on = |model: &mut Model, task| train(model, task, folder.path(), &mut BreakOff(u64::MAX));
    let error = |result: Result<History>| result.unwrap_err().to_string();
    let other_options = error(go_on(&mut model(&device, Task::Arrays), Task::Arrays));
    assert!(other_options.contains("belongs to another training"), "{other_options}");
    let mut other = model(&device, Task::Steps);
    other.compile(Adam::new().beta_1(0.8), Loss::MeanSquaredError, &[Metric::MeanAbsoluteError]).unwrap();
    let compiled = error(go_on(&mut other, Task::Steps));
    assert!(compiled.contains("another optimizer"), "{compiled}");
    let mut other = Sequential::new(Input::sequence(5, 1))
        .layer(Lstm::new(7))
        .layer(Dense::new(1))
        .build(&device)
        .unwrap();
    other.compile(Adam::new(), Loss::MeanSquaredError, &[Metric::MeanAbsoluteError]).unwrap();
    let shaped = error(go_on(&mut other, Task::Steps));
    assert!(shaped.contains("weights are not those"), "{shaped}");
    // The backup is still there and good.
    assert!(go_on(&mut model(&device, Task::Steps), Task::Steps).is_ok());
}

/// What the test below starts and kills.
#[test]
#[ignore = "started by killed_for_real"]
fn child() {
    let folder = std::env::var("TIDEGATE_BACKUP_CHILD").expect("set by the parent");
    let folder = Path::new(&folder);
    // Slow enough to be killed at work.
    let mut slow = LambdaCallback::new().on_batch_end(|_, _| {
        std::thread::sleep(Duration::from_millis(2));
        Ok(Flow::Continue)
    });
    let mut model = model(&Device::cpu(), Task::Arrays);
    let history = train(&mut model, Task::Arrays, folder, &mut slow).unwrap();
    let text = outcome(&mut model, &history, folder);
    rnn_model::write_atomically(folder.join("done"), text.as_bytes()).unwrap();
}

#[test]
fn killed_for_real() {
    let start = |folder: &Path| {
        Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child", "--ignored"])
            .env("TIDEGATE_BACKUP_CHILD", folder)
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap()
    };
    let alone = tempfile::tempdir().unwrap();
    assert!(start(alone.path()).wait().unwrap().success());

    let folder = tempfile::tempdir().unwrap();
    let backup = folder.path().join("backup").join("backup.safetensors");
    let mut kills = 0u64;
    while !folder.path().join("done").exists() {
        let before = std::fs::read(&backup).ok();
        let mut child = start(folder.path());
        // Each run saves at least once, so that this ends; then it dies at another moment each time, within writing too.
        while std::fs::read(&backup).ok() == before && child.try_wait().unwrap().is_none() {
            std::thread::sleep(Duration::from_millis(1));
        }
        std::thread::sleep(Duration::from_micros(kills * 3700 % 23_000));
        match child.try_wait().unwrap() {
            Some(status) => assert!(status.success()),
            None => {
                // SIGKILL: nothing of the child runs any more.
                child.kill().unwrap();
                child.wait().unwrap();
                kills += 1;
            }
        }
        assert!(kills < 500, "the training does not come to its end");
    }
    assert!(kills >= 3, "only {kills} kills");
    let read = |folder: &Path| std::fs::read_to_string(folder.join("done")).unwrap();
    assert_eq!(read(folder.path()), read(alone.path()), "after {kills} kills");
}
