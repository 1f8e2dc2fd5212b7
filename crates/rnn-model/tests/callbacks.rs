//! Callbacks in a training: what they see, do, and write.

mod devices;

use devices::on_each;
use ndarray::{Array, Array3, ArrayD};
use rnn_model::layer::{Dense, Lstm};
use rnn_model::{
    Adam, Callback, CsvLogger, Device, EarlyStopping, Error, FitOptions, Flow, Input, LambdaCallback,
    LearningRateScheduler, Logs, Loss, Metric, Mode, Model, ModelCheckpoint, Progress, ProgressBar,
    ReduceLrOnPlateau, Result, SaveFreq, Sequential, Sgd, TensorBoard, TerminateOnNan,
};
use std::path::Path;

fn model(device: &Device) -> Model {
    let input = Input::sequence(5, 1);
    let mut model =
        Sequential::new(input).layer(Lstm::new(4)).layer(Dense::new(1)).seed(3).build(device).unwrap();
    let metrics = [Metric::MeanAbsoluteError];
    model.compile(Adam::new().learning_rate(0.01), Loss::MeanSquaredError, &metrics).unwrap();
    model
}

/// 40 windows of a sine: 5 batches of 8.
fn sine() -> (Array3<f32>, ArrayD<f32>) {
    let x = Array::from_shape_fn((40, 5, 1), |(i, t, _)| ((i + t) as f32 * 0.3).sin());
    let y = Array::from_shape_fn((40, 1), |(i, _)| ((i + 5) as f32 * 0.3).sin());
    (x, y.into_dyn())
}

/// Puts a number of the test's own into each epoch's report.
struct Script<'a>(&'a [f64]);

impl Callback for Script<'_> {
    fn on_logs(&mut self, _: &mut Model, progress: Progress, logs: &mut Logs) -> Result<()> {
        logs.insert("val_score", self.0[progress.epoch as usize - 1]);
        Ok(())
    }
}

/// Epochs run, and the learning rate in each, with a scripted `val_score`.
fn scripted(values: &[f64], callback: &mut dyn Callback) -> Result<(Vec<u64>, Vec<f64>)> {
    let mut model = model(&Device::cpu());
    let (x, y) = sine();
    let mut rates = Vec::new();
    let mut watch = LambdaCallback::new().on_epoch_begin(|model, _| {
        rates.push(model.learning_rate().unwrap());
        Ok(())
    });
    let options = FitOptions::new().epochs(values.len() as u64).callback(&mut watch);
    let mut script = Script(values);
    let history = model.fit(&x, &y, options.callback(&mut script).callback(callback))?;
    drop(watch);
    Ok((history.epochs, rates))
}

const NAN: f64 = f64::NAN;

/// The epochs that Keras 3.15's `EarlyStopping` runs on the same values, unless NaN is among them.
#[test]
fn early_stopping_stops_where_keras_does() {
    let new = || EarlyStopping::new().monitor("val_score").mode(Mode::Min);
    let cases: [(EarlyStopping, &[f64], usize, Option<u64>); 13] = [
        (new(), &[1.0, 0.9, 0.95, 0.5], 3, Some(2)),
        (new().patience(2), &[1.0, 0.9, 0.95, 0.91, 0.5], 4, Some(2)),
        (new().patience(2), &[1.0, 0.9, 0.95, 0.8, 0.9, 0.9, 0.1], 6, Some(4)),
        (new().mode(Mode::Max), &[1.0, 0.9], 2, Some(1)),
        (new().min_delta(0.1), &[1.0, 0.95, 0.5], 2, Some(1)),
        (new().min_delta(-0.1), &[1.0, 0.95, 0.5], 2, Some(1)),
        (new().baseline(0.5).patience(2), &[1.0, 0.9, 0.8, 0.7], 4, Some(4)),
        (new().baseline(0.5).patience(2), &[1.0, 0.9, 0.95, 0.4], 3, Some(2)),
        (new().baseline(0.95).patience(2), &[1.0, 0.9, 0.91, 0.91, 0.1], 4, Some(2)),
        (new().start_from_epoch(2), &[1.0, 1.1, 1.2, 1.1, 1.15, 0.0], 5, Some(4)),
        (new().patience(0), &[1.0, 1.0], 2, Some(1)),
        // NaN waits, and does not become the best (in Keras nothing would ever be better than it).
        (new().patience(2), &[NAN, 0.9, 0.8, 0.7, 0.6], 5, Some(5)),
        (new().patience(2), &[1.0, NAN, NAN, 0.1], 3, Some(1)),
    ];
    for (i, (mut stopping, values, run, best)) in cases.into_iter().enumerate() {
        let (epochs, _) = scripted(values, &mut stopping).unwrap();
        assert_eq!((epochs.len(), stopping.best_epoch()), (run, best), "case {i}: {values:?}");
        assert_eq!(
            stopping.stopped_epoch().is_some(),
            stopping.stopped_epoch() == Some(run as u64),
            "case {i}"
        );
    }
}

#[test]
fn the_best_weights_come_back() {
    on_each(|device| {
        let (x, y) = sine();
        for values in [&[1.0, 0.5, 0.7, 0.8, 0.0][..], &[1.0, 0.5, 0.7][..]] {
            let mut model = model(device);
            let mut after = Vec::new();
            let mut watch = LambdaCallback::new().on_epoch_end(|model, _, _| {
                after.push(model.get_weights()?);
                Ok(Flow::Continue)
            });
            let mut script = Script(values);
            let mut stopping = EarlyStopping::new()
                .monitor("val_score")
                .mode(Mode::Min)
                .patience(2)
                .restore_best_weights(true);
            let options = FitOptions::new().epochs(values.len() as u64).batch_size(8).callback(&mut script);
            model.fit(&x, &y, options.callback(&mut watch).callback(&mut stopping)).unwrap();
            drop(watch);
            assert_eq!(stopping.best(), Some(0.5));
            // Stopped after the fourth epoch, or at the end of three: the second one's weights.
            assert_eq!(model.get_weights().unwrap(), after[1]);
            assert_ne!(after[1], *after.last().unwrap());
        }
    });
}

/// Rates at the beginning of each epoch, as Keras 3.15 has them on the same values.
#[test]
fn plateaus_lower_the_rate_as_in_keras() {
    let new = || {
        ReduceLrOnPlateau::new().monitor("val_score").mode(Mode::Min).factor(0.5).patience(2).min_delta(0.0)
    };
    let flat = [1.0; 8];
    let cases: [(ReduceLrOnPlateau, &[f64], &[f64]); 5] = [
        (new(), &flat, &[1., 1., 1., 0.5, 0.5, 0.25, 0.25, 0.125]),
        (new().cooldown(2), &flat, &[1., 1., 1., 0.5, 0.5, 0.5, 0.25, 0.25]),
        (new().min_lr(0.004), &flat, &[1., 1., 1., 0.5, 0.5, 0.4, 0.4, 0.4]),
        (new().min_delta(0.1), &[1.0, 0.95, 0.92, 0.85, 0.8], &[1., 1., 1., 0.5, 0.5]),
        (new(), &[1.0, NAN, NAN, 0.5], &[1., 1., 1., 0.5]),
    ];
    for (i, (mut reduce, values, want)) in cases.into_iter().enumerate() {
        let (_, rates) = scripted(values, &mut reduce).unwrap();
        let rates: Vec<f64> = rates.iter().map(|rate| rate / 0.01).collect();
        assert_eq!(rates, want, "case {i}");
    }
    for bad in [new().factor(1.0), new().factor(NAN), new().min_lr(-1.0), new().min_delta(NAN)] {
        assert!(matches!(scripted(&flat, &mut bad.clone()), Err(Error::Invalid { .. })));
    }
}

#[test]
fn a_schedule_sets_each_epochs_rate_and_reports_it() {
    let mut model = model(&Device::cpu());
    let (x, y) = sine();
    let mut seen = Vec::new();
    let mut schedule = LearningRateScheduler::new(|epoch, rate| {
        seen.push(epoch);
        if epoch < 2 { rate } else { rate * 0.5 }
    });
    let options = FitOptions::new().epochs(4).callback(&mut schedule);
    let history = model.fit(&x, &y, options).unwrap();
    drop(schedule);
    assert_eq!(seen, [0, 1, 2, 3]);
    assert_eq!(history.get("learning_rate"), [0.01, 0.01, 0.005, 0.0025]);
    let mut wrong = LearningRateScheduler::new(|_, _| NAN);
    assert!(model.fit(&x, &y, FitOptions::new().callback(&mut wrong)).is_err());
}

#[test]
fn a_name_that_is_not_there_is_an_error_with_those_that_are() {
    let (x, y) = sine();
    let mut stopping = EarlyStopping::new();
    let mut reduce = ReduceLrOnPlateau::new().monitor("val_mse").mode(Mode::Min);
    let mut checkpoint = ModelCheckpoint::new("never-written").save_best_only(true);
    let callbacks: [&mut dyn Callback; 3] = [&mut stopping, &mut reduce, &mut checkpoint];
    for callback in callbacks {
        let error =
            model(&Device::cpu()).fit(&x, &y, FitOptions::new().callback(callback)).unwrap_err().to_string();
        assert!(error.contains("there are: loss, mae") && error.contains("validation"), "{error}");
    }
    let mut unclear = EarlyStopping::new().monitor("val_score");
    let error = scripted(&[1.0], &mut unclear).unwrap_err().to_string();
    assert!(error.contains("Mode::Max"), "{error}");
    assert!(!Path::new("never-written").exists());
}

fn files(folder: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut names: Vec<String> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn checkpoints_by_epoch_by_batches_and_of_the_best() {
    on_each(|device| {
        let (x, y) = sine();
        let folder = tempfile::tempdir().unwrap();
        let fit = |model: &mut Model, values: &[f64], callback: &mut dyn Callback| {
            let mut script = Script(values);
            let options = FitOptions::new().epochs(values.len() as u64).batch_size(8);
            model.fit(&x, &y, options.callback(&mut script).callback(callback))
        };
        // By epoch, in a folder that is not there yet; the last file is the model as it is.
        let at = folder.path().join("epochs");
        let mut checkpoint = ModelCheckpoint::new(at.join("m-{epoch:02d}-{val_score:.1f}.safetensors"));
        let mut trained = model(device);
        fit(&mut trained, &[0.3, 0.26], &mut checkpoint).unwrap();
        assert_eq!(files(&at), ["m-01-0.3.safetensors", "m-02-0.3.safetensors"]);
        let loaded = Model::load(checkpoint.last_path().unwrap(), device).unwrap();
        assert_eq!(loaded.get_weights().unwrap(), trained.get_weights().unwrap());
        assert_eq!((loaded.epochs(), loaded.iterations()), (2, 10));

        // The best only, over the same file, from a threshold on.
        let best = folder.path().join("best.safetensors");
        let mut checkpoint =
            ModelCheckpoint::new(&best).monitor("val_score").mode(Mode::Min).save_best_only(true);
        checkpoint = checkpoint.initial_value_threshold(0.9);
        fit(&mut model(device), &[1.0, NAN], &mut checkpoint).unwrap();
        assert!(!best.exists());
        fit(&mut model(device), &[0.8, 0.85, NAN, 0.7, 0.75], &mut checkpoint).unwrap();
        assert_eq!((Model::load(&best, device).unwrap().epochs(), checkpoint.best()), (4, Some(0.7)));

        // Every 3 batches of 5 per epoch, counted on from epoch to epoch.
        let at = folder.path().join("batches");
        let path = at.join("{epoch}-{batch}-{loss:.4f}.safetensors");
        let mut checkpoint = ModelCheckpoint::new(path).save_freq(SaveFreq::Batches(3));
        fit(&mut model(device), &[1.0; 3], &mut checkpoint).unwrap();
        let names: Vec<String> =
            files(&at).iter().map(|n| n.rsplit_once('-').unwrap().0.to_owned()).collect();
        assert_eq!(names, ["1-3", "2-1", "2-4", "3-2", "3-5"]);
        for name in files(&at) {
            let (epoch, batch) = (name[..1].parse::<u64>().unwrap(), name[2..3].parse::<u64>().unwrap());
            let iterations = Model::load(at.join(&name), device).unwrap().iterations();
            assert_eq!(iterations, (epoch - 1) * 5 + batch, "{name}");
        }

        // Fields that are not there, or not understood.
        for (path, problem) in
            [("{nope:.2f}.x", "\"nope\""), ("{batch}.x", "\"batch\""), ("{epoch", "{name}")]
        {
            let mut checkpoint = ModelCheckpoint::new(folder.path().join(path));
            let error = fit(&mut model(device), &[1.0], &mut checkpoint).unwrap_err().to_string();
            assert!(error.contains(problem), "{path}: {error}");
        }
    });
}

#[test]
fn the_csv_log_is_that_of_keras() {
    let (x, y) = sine();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log.csv");
    std::fs::write(&path, "something else").unwrap();
    let read = || std::fs::read_to_string(&path).unwrap();
    let mut model = model(&Device::cpu());
    let mut fit = |logger: &mut CsvLogger, validation: bool| {
        let options = FitOptions::new().epochs(2).callback(logger);
        model.fit(&x, &y, if validation { options.validation_split(0.2) } else { options })
    };
    let history = fit(&mut CsvLogger::new(&path), false).unwrap();
    let text = read();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "epoch,loss,mae,val_loss,val_mae");
    let want = |i: usize| format!("{i},{:?},{:?},NA,NA", history.get("loss")[i], history.get("mae")[i]);
    assert_eq!(lines[1..], [want(0), want(1)]);

    // Gone on with, even where the last line has no end.
    std::fs::write(&path, text.trim_end()).unwrap();
    fit(&mut CsvLogger::new(&path).append(true), true).unwrap();
    let more = read();
    assert!(more.starts_with(&text));
    let added: Vec<&str> = more[text.len()..].lines().collect();
    assert_eq!(added.len(), 2);
    assert!(added[0].starts_with("2,") && !added[0].contains("NA"), "{added:?}");

    // Other columns do not go into the same file, and it is left as it was.
    let error = fit(&mut CsvLogger::new(&path).append(true).separator(';'), true).unwrap_err().to_string();
    assert!(error.contains("epoch,loss") && error.contains("epoch;loss"), "{error}");
    assert_eq!(read(), more);
    assert!(fit(&mut CsvLogger::new(&path).separator('é'), true).is_err());
    fit(&mut CsvLogger::new(&path).separator('\t'), true).unwrap();
    assert!(read().starts_with("epoch\tloss\tmae\tval_loss\tval_mae\n"));
}

#[test]
fn batches_are_counted_and_the_loss_so_far_is_the_mean() {
    on_each(|device| {
        let (x, y) = sine();
        let mut model = model(device);
        let mut seen = Vec::new();
        let mut each = LambdaCallback::new().on_batch_end(|model, progress| {
            seen.push((progress.epoch, progress.batch, progress.batches, model.running_logs()?.loss()));
            Ok(Flow::Continue)
        });
        let history =
            model.fit(&x, &y, FitOptions::new().epochs(2).batch_size(8).callback(&mut each)).unwrap();
        drop(each);
        let places: Vec<_> = seen.iter().map(|s| (s.0, s.1, s.2)).collect();
        let want: Vec<_> = (1..=2).flat_map(|e| (1..=5).map(move |b| (e, b, 5))).collect();
        assert_eq!(places, want);
        assert_eq!(seen[4].3, history.get("loss")[0]);
        assert_eq!(seen[9].3, history.get("loss")[1]);
        assert!(seen.iter().all(|s| s.3.is_finite() && s.3 > 0.0));
    });
}

#[test]
fn a_lost_loss_ends_training_at_its_batches() {
    on_each(|device| {
        let (mut x, y) = sine();
        x[[20, 0, 0]] = f32::NAN;
        let run = |callback: &mut dyn Callback| {
            let mut model = model(device);
            let options = FitOptions::new().epochs(3).batch_size(8).shuffle(false).callback(callback);
            (model.fit(&x, &y, options), model.iterations())
        };
        let mut graceful = TerminateOnNan::new().every_batches(1);
        let (history, iterations) = run(&mut graceful);
        let history = history.unwrap();
        assert!(history.stopped && history.logs.is_empty());
        assert_eq!(iterations, 3);
        let found = graceful.found().unwrap();
        assert!(found.starts_with("epoch 1, batch 3: the loss (NaN), and weight lstm"), "{found}");

        // In groups, which may reach the epoch's end: still in order.
        let mut groups = TerminateOnNan::new();
        assert!(run(&mut groups).0.unwrap().stopped && groups.found().is_some());

        let mut strict = TerminateOnNan::new().raise_error(true);
        let error = run(&mut strict).0.unwrap_err();
        assert!(matches!(&error, Error::Diverged { epoch: 1, what } if what.contains("lstm")), "{error}");

        // Too large a rate, not the data.
        let mut model = model(device);
        model.compile(Sgd::new().learning_rate(1e30), Loss::MeanSquaredError, &[]).unwrap();
        let (x, y) = sine();
        let mut watch = TerminateOnNan::new();
        assert!(model.fit(&x, &y, FitOptions::new().epochs(5).callback(&mut watch)).unwrap().stopped);
        // A healthy training is left alone.
        let mut model = self::model(device);
        let mut watch = TerminateOnNan::new();
        assert!(!model.fit(&x, &y, FitOptions::new().epochs(2).callback(&mut watch)).unwrap().stopped);
        assert_eq!(watch.found(), None);
    });
}

#[test]
fn the_bar_tells_how_far_it_is() {
    let (x, y) = sine();
    let fit = |redraws: bool| {
        let mut out = Vec::new();
        let mut bar = ProgressBar::on(&mut out, redraws);
        let options = FitOptions::new().epochs(2).batch_size(8).validation_split(0.2);
        let mut each = LambdaCallback::new().on_batch_end(|_, _| Ok(Flow::Continue));
        model(&Device::cpu()).fit(&x, &y, options.callback(&mut each).callback(&mut bar)).unwrap();
        drop(bar);
        String::from_utf8(out).unwrap()
    };
    let plain = fit(false);
    let lines: Vec<&str> = plain.lines().collect();
    assert_eq!(lines.len(), 2);
    for (i, line) in lines.iter().enumerate() {
        assert!(line.starts_with(&format!("Epoch {}/2 - ", i + 1)), "{line}");
        for part in [" samples/s - ", " steps/s - loss: ", " - val_mae: "] {
            assert!(line.contains(part), "{line}");
        }
    }
    let drawn = fit(true);
    assert!(
        drawn.contains("\rEpoch 1/2 [=====>              ] 1/4 - ") && drawn.contains(" - eta "),
        "{drawn}"
    );
    // A shorter line leaves nothing of a longer one.
    let widths: Vec<usize> = drawn.split('\n').flat_map(|l| l.split('\r').skip(1)).map(|l| l.len()).collect();
    assert!(widths.windows(2).all(|w| w[1] + 60 > w[0]), "{drawn}");
    assert_eq!(drawn.matches('\n').count(), 2);
}

#[test]
fn event_files_stand_where_keras_writes_them() {
    let (x, y) = sine();
    let folder = tempfile::tempdir().unwrap();
    // For a look at them with TensorBoard's own reader: scripts/read_events.py.
    let logs = std::env::var_os("TIDEGATE_KEEP_EVENTS").map_or(folder.path().join("logs"), Into::into);
    let mut board = TensorBoard::new(&logs).update_freq(SaveFreq::Batches(2)).write_steps_per_second(true);
    board = board.histogram_freq(2);
    let options = FitOptions::new().epochs(3).batch_size(8).validation_split(0.2).callback(&mut board);
    model(&Device::cpu()).fit(&x, &y, options).unwrap();
    for part in ["train", "validation"] {
        let names = files(&logs.join(part));
        assert_eq!(names.len(), 1);
        assert!(names[0].starts_with("events.out.tfevents.") && names[0].ends_with(".v2"), "{names:?}");
        let bytes = std::fs::read(logs.join(part).join(&names[0])).unwrap();
        let text = String::from_utf8_lossy(&bytes);
        let tags: &[&str] = match part {
            "train" => &[
                "epoch_loss",
                "epoch_mae",
                "epoch_learning_rate",
                "epoch_steps_per_second",
                "batch_loss",
                "lstm/recurrent_kernel/histogram",
                "dense/bias/histogram",
            ],
            _ => &["epoch_loss", "epoch_mae", "evaluation_loss_vs_iterations"],
        };
        for tag in tags {
            assert!(text.contains(tag), "{part}: {tag}");
        }
        // Of epochs 0 and 2.
        let histograms = text.matches("lstm/kernel/histogram").count();
        assert_eq!(histograms, if part == "train" { 2 } else { 0 });
    }
}

#[test]
fn a_checkpoint_can_hold_the_weights_alone() {
    let (x, y) = sine();
    let folder = tempfile::tempdir().unwrap();
    let mut trained = model(&Device::cpu());
    let pattern = folder.path().join("{epoch:02d}.weights.safetensors");
    let mut checkpoint = ModelCheckpoint::new(pattern).save_weights_only(true);
    trained.fit(&x, &y, FitOptions::new().epochs(2).callback(&mut checkpoint)).unwrap();
    assert_eq!(files(folder.path()), ["01.weights.safetensors", "02.weights.safetensors"]);
    let mut other = model(&Device::cpu());
    other.load_weights(checkpoint.last_path().unwrap()).unwrap();
    assert_eq!(other.get_weights().unwrap(), trained.get_weights().unwrap());
    let mut both = ModelCheckpoint::new(folder.path().join("x")).save_weights_only(true).with_states(true);
    let error = trained.fit(&x, &y, FitOptions::new().callback(&mut both)).unwrap_err().to_string();
    assert!(error.contains("states are no weights"), "{error}");
}
