//! Training, evaluating and predicting on batches from sources.

mod devices;

use devices::on_each;
use ndarray::{Array, Array1, Array2, Array3, ArrayD, Axis, s};
use rnn_model::data::{Batch, BatchSource, Prefetch, RowBatches, StatefulBatches, TimeseriesDataset};
use rnn_model::layer::{Dense, Gru, Lstm, Softmax, concatenate};
use rnn_model::{
    Adam, Device, Error, FitOptions, Flow, Graph, Input, LambdaCallback, Loss, Metric, Model, Result,
    Sequential,
};

fn bits(model: &Model) -> Vec<u32> {
    model.get_weights().unwrap().iter().flat_map(|w| w.iter().map(|x| x.to_bits())).collect()
}

/// Two classes.
fn classifier(device: &Device) -> Model {
    let mut model = Sequential::new(Input::sequence(4, 2))
        .layer(Gru::new(5))
        .layer(Dense::new(2).activation(Softmax))
        .seed(2)
        .build(device)
        .unwrap();
    let loss = Loss::SparseCategoricalCrossentropy { from_logits: false };
    model.compile(Adam::new().learning_rate(0.02), loss, &[Metric::Accuracy]).unwrap();
    model
}

/// 45 samples: 5 batches of 8 and a rest of 5.
fn samples() -> (Array3<f32>, Array1<f32>, Array1<f32>) {
    let x = Array::from_shape_fn((45, 4, 2), |(i, t, f)| ((i * 5 + t * 3 + f) as f32 * 0.7).sin());
    let y = Array::from_shape_fn(45, |i| if x[[i, 0, 0]] + x[[i, 3, 1]] > 0.0 { 1.0 } else { 0.0 });
    let w = Array::from_shape_fn(45, |i| 0.5 + (i % 4) as f32);
    (x, y, w)
}

#[test]
fn a_source_trains_as_the_arrays_do() {
    on_each(|device| {
        let (x, y, w) = samples();
        let (vx, vy) = (x.slice(s![..20, .., ..]).to_owned(), y.slice(s![..20]).to_owned());
        for weighted in [false, true] {
            let options = || {
                let options = FitOptions::new().epochs(3);
                if weighted { options.class_weight(&[(1, 3.0)]) } else { options }
            };
            let mut arrays = classifier(device);
            let given = options().batch_size(8).shuffle(false).validation_data(&vx, &vy);
            let given = if weighted { given.sample_weight(&w) } else { given };
            let want = arrays.fit(&x, &y, given).unwrap();

            let source = |x: Array3<f32>, y: Array1<f32>| RowBatches::new(x).target(y).batch_size(8);
            let train = || {
                let source = source(x.clone(), y.clone());
                if weighted { source.weight(w.clone()) } else { source }
            };
            let mut validation = source(vx.clone(), vy.clone());
            let mut plain = classifier(device);
            let got = plain.fit_source(&mut train(), options().validation_source(&mut validation)).unwrap();
            assert_eq!(bits(&plain), bits(&arrays), "weighted: {weighted}");
            assert_eq!(got, want);

            let mut ahead = classifier(device);
            ahead.fit_source(&mut Prefetch::new(train(), 2), options().validation_data(&vx, &vy)).unwrap();
            assert_eq!(bits(&ahead), bits(&arrays));

            // Loss and metrics over the same batches; sums in f32 of the same numbers in the same order.
            let scores = plain.evaluate_source(&mut validation).unwrap();
            assert_eq!(scores, arrays.evaluate_with_batch_size(&vx, &vy, 8).unwrap());
            let predicted = plain.predict_source(&mut train()).unwrap();
            assert_eq!(predicted, arrays.predict_with_batch_size(&x, 8).unwrap());
            let mut rows = 0;
            plain
                .predict_source_each(&mut train(), |outputs| {
                    rows += outputs[0].shape()[0];
                    Ok(())
                })
                .unwrap();
            assert_eq!(rows, 45);
        }
    });
}

/// With the model's seed a source draws the same orders as `fit` on arrays.
#[test]
fn a_shuffled_source_trains_as_the_shuffled_arrays_do() {
    on_each(|device| {
        let (x, y, _) = samples();
        let options = || FitOptions::new().epochs(3);
        let (mut arrays, mut in_order) = (classifier(device), classifier(device));
        let want = arrays.fit(&x, &y, options().batch_size(8).shuffle(true)).unwrap();
        in_order.fit(&x, &y, options().batch_size(8).shuffle(false)).unwrap();
        let mut source = RowBatches::new(x).target(y).batch_size(8).shuffle(2);
        let mut model = classifier(device);
        assert_eq!(model.fit_source(&mut source, options()).unwrap(), want);
        assert_eq!(bits(&model), bits(&arrays));
        assert_ne!(bits(&model), bits(&in_order));
    });
}

/// Keras's FAQ on stateful networks: what is fed in pieces, row i on stream i, is the whole series per stream.
#[test]
fn stateful_batches_give_what_whole_streams_give() {
    on_each(|device| {
        let (streams, rows, window) = (3, 24, 4);
        let series = Array2::from_shape_fn((streams * rows, 1), |(t, _)| (t as f32 * 0.37).sin());
        let build = |stateful: bool| {
            Sequential::new(Input::sequence(None, 1))
                .layer(Lstm::new(4).return_sequences(true).stateful(stateful))
                .layer(Dense::new(1))
                .seed(8)
                .build(device)
                .unwrap()
        };
        let whole = series.to_shape((streams, rows, 1)).unwrap().to_owned();
        let want = build(false).predict(&whole).unwrap();
        let mut model = build(true);
        let mut source = StatefulBatches::new(series.view(), streams, window);
        let mut at = 0;
        model
            .predict_source_each(&mut source, |outputs| {
                let want = want.slice_axis(Axis(1), (at..at + window).into());
                // The same sums in the same order, but tiles of another size: one rounding, 6e-8 of values below 1.
                let apart = (&outputs[0] - &want).iter().fold(0.0f32, |m, d| m.max(d.abs()));
                assert!(apart <= 1e-6, "window at {at}: {apart}");
                at += window;
                Ok(())
            })
            .unwrap();
        assert_eq!(at, rows);
    });
}

#[test]
fn steps_per_epoch_goes_on_in_the_data_and_initial_epoch_counts_on() {
    let (x, y, _) = samples();
    let device = Device::cpu();
    // Six batches a pass: epochs of 4 end in the middle of passes.
    let mut seen = Vec::new();
    struct Watched<'a>(RowBatches<'a>, &'a mut Vec<(u64, usize)>, (u64, usize));
    impl BatchSource for Watched<'_> {
        fn begin(&mut self, epoch: u64) -> Result<()> {
            self.2 = (epoch, 0);
            self.0.begin(epoch)
        }

        fn next_batch(&mut self) -> Result<Option<Batch>> {
            let batch = self.0.next_batch()?;
            if batch.is_some() {
                self.2.1 += 1;
                self.1.push(self.2);
            }
            Ok(batch)
        }
    }
    let rows = RowBatches::new(x.view()).target(y.view()).batch_size(8);
    let mut model = classifier(&device);
    let mut progress = Vec::new();
    let mut each = LambdaCallback::new().on_batch_end(|_, p| {
        progress.push((p.epoch, p.batch, p.batches));
        Ok(Flow::Continue)
    });
    let options = FitOptions::new().epochs(3).steps_per_epoch(4).callback(&mut each);
    let history = model.fit_source(&mut Watched(rows, &mut seen, (0, 0)), options).unwrap();
    drop(each);
    assert_eq!(history.epochs, [1, 2, 3]);
    let places: Vec<(u64, usize)> =
        (1..=2).flat_map(|pass| (1..=6).map(move |batch| (pass, batch))).collect();
    assert_eq!(seen, places);
    let want: Vec<_> = (1..=3).flat_map(|epoch| (1..=4).map(move |batch| (epoch, batch, 4))).collect();
    assert_eq!(progress, want);

    // Two epochs of arrays in one go, and with a break and another numbering between them.
    let mut whole = classifier(&device);
    whole.fit(&x, &y, FitOptions::new().epochs(5)).unwrap();
    let mut parts = classifier(&device);
    assert_eq!(parts.fit(&x, &y, FitOptions::new().epochs(2)).unwrap().epochs, [1, 2]);
    assert_eq!(parts.fit(&x, &y, FitOptions::new().initial_epoch(2).epochs(5)).unwrap().epochs, [3, 4, 5]);
    assert_eq!((bits(&parts), parts.epochs()), (bits(&whole), 5));
    assert!(parts.fit(&x, &y, FitOptions::new().initial_epoch(5).epochs(5)).unwrap().epochs.is_empty());
    assert_eq!(bits(&parts), bits(&whole));
    assert!(parts.fit(&x, &y, FitOptions::new().steps_per_epoch(0)).is_err());
}

/// Gives some batches, then fails or ends.
struct Short(usize, bool);

impl BatchSource for Short {
    fn begin(&mut self, _: u64) -> Result<()> {
        Ok(())
    }

    fn next_batch(&mut self) -> Result<Option<Batch>> {
        if self.0 == 0 {
            let gone = Error::Invalid { what: "disk".into(), problem: "gone".into() };
            return if self.1 { Err(gone) } else { Ok(None) };
        }
        self.0 -= 1;
        let (inputs, targets) = (vec![ArrayD::zeros(vec![3, 4, 2])], vec![ArrayD::zeros(vec![3])]);
        Ok(Some(Batch { inputs, targets, weights: Vec::new() }))
    }
}

#[test]
fn what_is_wrong_with_a_source_is_told() {
    let device = Device::cpu();
    let fit = |source: &mut dyn BatchSource, options: FitOptions<'_>| {
        classifier(&device).fit_source(source, options).unwrap_err().to_string()
    };
    assert_eq!(fit(&mut Short(2, true), FitOptions::new()), "disk: gone");
    assert_eq!(fit(&mut Prefetch::new(Short(2, true), 1), FitOptions::new()), "disk: gone");
    assert_eq!(fit(&mut Short(0, false), FitOptions::new()), "the batch source: it has no batches");
    // One epoch is there, the next is not.
    assert_eq!(fit(&mut Short(2, false), FitOptions::new().epochs(2)), "the batch source: it has no batches");
    assert_eq!(
        fit(&mut Short(2, false), FitOptions::new().steps_per_epoch(3)),
        "the batch source: it has no batches"
    );
    assert!(
        fit(&mut Short(2, false), FitOptions::new().batch_size(2)).contains("batches are made by the source")
    );
    assert!(fit(&mut Short(2, false), FitOptions::new().validation_split(0.5)).contains("validation_source"));
    let mut model = classifier(&device);
    assert!(model.evaluate_source(&mut Short(0, false)).is_err());
    assert!(model.predict_source(&mut Short(0, false)).is_err());
    assert!(model.predict_source(&mut Short(1, true)).is_err());
    // Targets that do not fit, and none at all.
    let (x, y, _) = samples();
    let mut wrong = RowBatches::new(x.view()).target(&y + 5.0);
    assert!(fit(&mut wrong, FitOptions::new()).contains("class indices"));
    assert!(
        fit(&mut RowBatches::new(x.view()), FitOptions::new()).contains("y: expected 1 array (dense), got 0")
    );
    let mut other = RowBatches::new(x.slice(s![.., .., ..1])).target(y.view());
    assert!(fit(&mut other, FitOptions::new()).contains("expected shape [None, 4, 2]"));
}

/// Windows from a file, shuffled, read ahead: the way of a data set larger than memory.
#[test]
fn windows_of_a_file_are_learned() {
    on_each(|device| {
        let series = Array2::from_shape_fn((300, 1), |(t, _)| (t as f32 * 0.3).sin());
        let next = series.slice(s![6.., ..]).to_owned();
        let windows = TimeseriesDataset::new(series, 6).targets(next).batch_size(16).shuffle(true);
        let mut model = Sequential::new(Input::sequence(6, 1))
            .layer(Lstm::new(8))
            .layer(Dense::new(1))
            .seed(1)
            .build(device)
            .unwrap();
        model.compile(Adam::new().learning_rate(0.01), Loss::MeanSquaredError, &[]).unwrap();
        let history = model.fit_source(&mut Prefetch::new(windows, 2), FitOptions::new().epochs(10)).unwrap();
        let loss = history.get("loss");
        assert!(loss[9] < 0.05 * loss[0], "{loss:?}");
    });
}

/// Two inputs and two outputs, with a weight for each, from sources as from arrays.
#[test]
fn a_source_of_several_inputs_and_outputs_trains_as_the_arrays_do() {
    on_each(|device| {
        let (x, y, w) = samples();
        let facts = Array::from_shape_fn((45, 3), |(i, k)| ((i + 2 * k) as f32 * 0.4).cos());
        let level = Array::from_shape_fn((45, 1), |(i, _)| (i as f32 * 0.2).sin());
        let build = || {
            let (series, about) = (Input::sequence(4, 2).symbol(), Input::vector(3).symbol());
            let read = series.layer(Gru::new(5)).unwrap();
            let both = concatenate(-1, &[&read, &about.layer(Dense::new(2)).unwrap()]).unwrap();
            let class = both.layer(Dense::new(1)).unwrap();
            let level = both.layer(Dense::new(1)).unwrap();
            let graph = Graph::new(&[&series, &about], &[&class, &level]).unwrap().seed(8);
            let mut model = graph.build(device).unwrap();
            model.compile(Adam::new().learning_rate(0.02), Loss::MeanSquaredError, &[]).unwrap();
            model
        };
        let (y, w) = (y.insert_axis(Axis(1)).into_dyn(), w.into_dyn());
        let (x, facts, level) = (x.into_dyn(), facts.into_dyn(), level.into_dyn());
        let mut arrays = build();
        let options = FitOptions::new().epochs(3).batch_size(8).shuffle(false).sample_weight([&w, &w]);
        let want = arrays.fit([&x, &facts], [&y, &level], options).unwrap();

        let source = || {
            let source =
                RowBatches::new(x.clone()).input(facts.clone()).target(y.clone()).target(level.clone());
            source.weight(w.clone()).weight(w.clone()).batch_size(8)
        };
        let mut plain = build();
        let got = plain.fit_source(&mut source(), FitOptions::new().epochs(3)).unwrap();
        assert_eq!(bits(&plain), bits(&arrays));
        assert_eq!(got.get("loss"), want.get("loss"));
        let mut ahead = build();
        ahead.fit_source(&mut Prefetch::new(source(), 2), FitOptions::new().epochs(3)).unwrap();
        assert_eq!(bits(&ahead), bits(&arrays));

        // A source that leaves an input out says which ones there are.
        let mut short = RowBatches::new(x.clone()).target(y.clone()).target(level.clone()).batch_size(8);
        let error = build().fit_source(&mut short, FitOptions::new()).unwrap_err().to_string();
        assert!(error.contains("2 arrays"), "{error}");
    });
}
