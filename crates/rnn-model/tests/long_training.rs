//! Training on parts of the time axis under a memory budget, and gradients that go back through several batches: both
//! against what they stand for.

mod devices;

use devices::on_each;
use ndarray::{Array, Array3, ArrayD, Axis, concatenate, s};
use rnn_model::layer::{ActivationLayer, Dense, Dropout, Gru, Lstm, SimpleRnn, Softmax};
use rnn_model::{Adam, Device, Error, FitOptions, Input, Loss, Model, Sequential, Sgd};

fn waves(batch: usize, time: usize) -> Array3<f32> {
    Array::from_shape_fn((batch, time, 2), |(i, t, k)| ((0.3 + 0.1 * i as f32) * t as f32 + k as f32).sin())
}

/// Largest difference of any element, relative to the largest magnitude; NaN where there is one.
fn apart(a: &[ArrayD<f32>], b: &[ArrayD<f32>]) -> f32 {
    assert_eq!(a.len(), b.len());
    let mut worst = 0.0f32;
    for (a, b) in a.iter().zip(b) {
        assert_eq!(a.shape(), b.shape());
        let scale = b.iter().fold(1e-3f32, |m, x| m.max(x.abs()));
        for d in (a - b).iter() {
            worst = if d.is_nan() || worst.is_nan() { f32::NAN } else { worst.max(d.abs() / scale) };
        }
    }
    worst
}

/// An SGD step of rate 1 on one batch moves the weights by the gradient itself.
fn step_of(mut model: Model, x: &Array3<f32>, y: &ArrayD<f32>, loss: Loss) -> Vec<ArrayD<f32>> {
    model.compile(Sgd::new().learning_rate(1.0), loss, &[]).unwrap();
    let before = model.get_weights().unwrap();
    model.train_on_batch(x, y).unwrap();
    before.iter().zip(model.get_weights().unwrap()).map(|(a, b)| a - b).collect()
}

/// Bytes of the plain training, and of the one with the most segments.
fn ends(model: &Model, x: &Array3<f32>) -> (u64, u64) {
    let need = model.memory_need(x.shape()[0], x.shape()[1]).unwrap();
    assert!(need.smallest() < need.total(), "{need}");
    (need.total(), need.smallest())
}

fn models(stateful: bool, dropout: f32) -> Vec<(Sequential, Loss, bool)> {
    let input = || Sequential::new(Input::sequence(None, 2)).seed(5);
    vec![
        (
            input()
                .layer(Lstm::new(6).return_sequences(true).stateful(stateful))
                .layer(Dropout::new(dropout))
                .layer(Gru::new(5).return_sequences(true).stateful(stateful))
                .layer(Dense::new(2)),
            Loss::MeanSquaredError,
            true,
        ),
        (
            input()
                .layer(SimpleRnn::new(4).return_sequences(true).stateful(stateful))
                .layer(Lstm::new(5).stateful(stateful))
                .layer(Dropout::new(dropout))
                .layer(Dense::new(2)),
            Loss::MeanSquaredError,
            false,
        ),
        (
            input()
                .layer(Gru::new(5).return_sequences(true).reset_after(false).stateful(stateful))
                .layer(Dense::new(3))
                .layer(ActivationLayer::new(Softmax)),
            Loss::categorical_crossentropy(),
            true,
        ),
        (
            // step by step from plain operations
            input()
                .layer(Lstm::new(3).activation(Softmax).return_sequences(true).stateful(stateful))
                .layer(Dense::new(2)),
            Loss::MeanSquaredError,
            true,
        ),
    ]
}

fn targets(x: &Array3<f32>, loss: Loss, in_time: bool) -> ArrayD<f32> {
    let y = match loss {
        Loss::CategoricalCrossentropy { .. } => {
            let (b, t) = (x.shape()[0], x.shape()[1]);
            let y = Array3::from_shape_fn((b, t, 3), |(i, t, k)| if (i + t) % 3 == k { 1.0 } else { 0.0 });
            return y.into_dyn();
        }
        _ => x.mapv(|v| 0.5 * v),
    };
    if in_time { y.into_dyn() } else { y.index_axis(Axis(1), x.shape()[1] - 1).to_owned().into_dyn() }
}

#[test]
fn a_step_within_a_budget_equals_the_plain_one() {
    on_each(|device| {
        let x = waves(3, 50);
        for (at, (architecture, loss, in_time)) in models(false, 0.3).into_iter().enumerate() {
            let y = targets(&x, loss, in_time);
            let plain = step_of(architecture.build(device).unwrap(), &x, &y, loss);
            let mut model = architecture.build(device).unwrap();
            model.compile(Sgd::new(), loss, &[]).unwrap();
            let (most, least) = ends(&model, &x);
            for budget in [most, (most + least) / 2, least] {
                let mut model = architecture.build(device).unwrap();
                model.set_memory_budget(Some(budget));
                let got = step_of(model, &x, &y, loss);
                // Sums over the steps are taken in another order: roundings of 150 terms.
                assert!(apart(&got, &plain) < 1e-4, "model {at}, {budget} bytes: {}", apart(&got, &plain));
            }
            let mut model = architecture.build(device).unwrap();
            model.compile(Sgd::new(), loss, &[]).unwrap();
            model.set_memory_budget(Some(least - 1));
            let error = model.train_on_batch(&x, &y).unwrap_err();
            assert!(matches!(error, Error::Invalid { .. }), "{error}");
            assert!(error.to_string().contains("smaller batches"), "{error}");
        }
    });
}

#[test]
fn a_step_within_a_budget_is_the_plain_one_in_double_precision() {
    let device = Device::reference();
    let x = waves(2, 41);
    for (architecture, loss, in_time) in models(false, 0.3) {
        let y = targets(&x, loss, in_time);
        let plain = step_of(architecture.build(&device).unwrap(), &x, &y, loss);
        let mut model = architecture.build(&device).unwrap();
        model.compile(Sgd::new(), loss, &[]).unwrap();
        let least = ends(&model, &x).1;
        model.set_memory_budget(Some(least));
        let got = step_of(model, &x, &y, loss);
        // Only the way through f32 rounds: weights are read before and after, gradients are their difference.
        assert!(apart(&got, &plain) < 1e-5, "{}", apart(&got, &plain));
    }
}

#[test]
fn fit_within_a_budget_carries_states_and_takes_what_it_said() {
    on_each(|device| {
        let x = waves(6, 48);
        let (architecture, loss, _) = models(true, 0.0).swap_remove(0);
        let train = |budget: Option<u64>| {
            let mut model = architecture.build(device).unwrap();
            model.compile(Adam::new().learning_rate(0.01), loss, &[]).unwrap();
            let options = FitOptions::new().epochs(2).batch_size(3);
            let options = match budget {
                Some(bytes) => options.memory_budget(bytes),
                None => options,
            };
            let history = model.fit(&x, &x, options).unwrap();
            (model.get_weights().unwrap(), model.get_states().unwrap(), history.get("loss"))
        };
        let mut model = architecture.build(device).unwrap();
        model.compile(Adam::new(), loss, &[]).unwrap();
        let least = ends(&model, &waves(3, 48)).1;
        let (weights, states, losses) = train(None);
        let (got, kept, segmented) = train(Some(least));
        // Adam divides by the root of squares: four steps of 0.01 turn roundings of small gradients into 1e-4 at most.
        assert!(apart(&got, &weights) < 1e-3, "{}", apart(&got, &weights));
        for (a, b) in kept.iter().zip(&states) {
            assert!(apart(&a.states, &b.states) < 1e-3);
        }
        for (a, b) in segmented.iter().zip(&losses) {
            assert!((a - b).abs() < 1e-4 * b.abs().max(1.0), "{a} {b}");
        }
    });
}

#[test]
fn memory_of_a_budgeted_step_grows_with_the_root_of_time_at_most() {
    let device = Device::cpu();
    let need = |time: usize| {
        let mut model = Sequential::new(Input::sequence(None, 1))
            .layer(Lstm::new(32).return_sequences(true))
            .layer(Lstm::new(32))
            .layer(Dense::new(1))
            .build(&device)
            .unwrap();
        model.compile(Adam::new(), Loss::MeanSquaredError, &[]).unwrap();
        model.memory_need(8, time).unwrap()
    };
    let (short, long) = (need(256), need(4096));
    let ratio = |a: u64, b: u64| a as f64 / b as f64;
    let fixed = short.weights + short.gradients + short.optimizer;
    // 16 times but for the gradients of the gates, which a long sequence has for a part of its steps at a time.
    assert!(ratio(long.step, short.step) > 12.0);
    // 16 times the steps: 4 times the memory, and the input's one value per step.
    assert!(ratio(long.smallest() - fixed, short.smallest() - fixed) < 6.0, "{short}; {long}");
    assert_eq!(need(256).segments(short.total()), Some(1));
    assert_eq!(need(256).segments(fixed), None);
}

#[test]
fn the_peak_stays_within_what_was_said() {
    // The CPU's kernels keep what they need beside the buffers to themselves; the pool counts the buffers.
    check_peak(&Device::cpu(), |need| need + 4096);
    // A GPU's pool rounds what is below 1 MiB up by as much as a quarter, and counts weights packed for a kernel, tables and
    // parameters of calls too.
    if let Some(device) = devices::gpu() {
        check_peak(&device, |need| need + need / 4 + (64 << 10));
    }
}

/// The peak of a step in the smallest budget is at most as `most` has it for what was said, and far below that of a plain one.
fn check_peak(device: &Device, most: impl Fn(u64) -> u64) {
    let mut model = Sequential::new(Input::sequence(None, 1))
        .layer(Lstm::new(32).return_sequences(true))
        .layer(Lstm::new(32).return_sequences(true))
        .layer(Dense::new(1))
        .build(device)
        .unwrap();
    model.compile(Adam::new(), Loss::MeanSquaredError, &[]).unwrap();
    let (x, y) = (Array3::<f32>::ones((4, 512, 1)), Array3::<f32>::ones((4, 512, 1)));
    let need = model.memory_need(4, 512).unwrap();
    model.set_memory_budget(Some(need.smallest()));
    model.train_on_batch(&x, &y).unwrap();
    let peak = device.memory().peak;
    assert!(peak <= most(need.smallest()), "{}: {peak}, said {}", device.name(), need.smallest());
    assert!(2 * peak < need.total(), "{}: {peak}, without a budget {}", device.name(), need.total());
}

#[test]
fn a_model_that_needs_whole_sequences_says_so() {
    let mut model = Sequential::new(Input::sequence(8, 2))
        .layer(Lstm::new(4).return_sequences(true))
        .layer(rnn_model::layer::Flatten::new())
        .layer(Dense::new(1))
        .build(&Device::cpu())
        .unwrap();
    model.compile(Sgd::new(), Loss::MeanSquaredError, &[]).unwrap();
    model.set_memory_budget(Some(100));
    let y = ndarray::Array2::<f32>::zeros((2, 1));
    let error = model.train_on_batch(&waves(2, 8), &y).unwrap_err().to_string();
    assert!(error.contains("flatten") && error.contains("whole sequences"), "{error}");
}

/// The gradient of a batch's loss, of the model after all batches before it, by steps of rate 0 until then.
fn windowed(
    device: &Device,
    which: usize,
    window: usize,
    batches: usize,
) -> (Vec<ArrayD<f32>>, Vec<ArrayD<f32>>) {
    let (architecture, loss, in_time) = models(true, 0.0).swap_remove(which);
    let x = waves(2, 4 * batches);
    let part = |n: usize| x.slice(s![.., 4 * n..4 * (n + 1), ..]).to_owned();
    let mut model = architecture.build(device).unwrap();
    model.compile(Sgd::new().learning_rate(0.0), loss, &[]).unwrap();
    model.set_backprop_batches(window).unwrap();
    for n in 0..batches - 1 {
        model.train_on_batch(&part(n), &targets(&part(n), loss, in_time)).unwrap();
    }
    let before = model.get_weights().unwrap();
    model.set_learning_rate(1.0).unwrap();
    let last = part(batches - 1);
    model.train_on_batch(&last, &targets(&last, loss, in_time)).unwrap();
    let step = before.iter().zip(model.get_weights().unwrap()).map(|(a, b)| a - b).collect();

    // The same from one sequence of the last batches, started where the batch before them ended.
    let seen = window.min(batches);
    let mut whole = architecture.build(device).unwrap();
    let states = if seen < batches {
        whole.predict_on_batch(&x.slice(s![.., ..4 * (batches - seen), ..])).unwrap();
        Some(whole.get_states().unwrap())
    } else {
        None
    };
    let joined = x.slice(s![.., 4 * (batches - seen).., ..]).to_owned();
    let y = whole.predict_with_states(&joined, states.as_deref()).unwrap().0;
    let want = targets(&last, loss, in_time);
    // d/dy of the mean over the last batch's values, zero before.
    let mut dy = ArrayD::<f32>::zeros(y.shape());
    let n = want.len() as f32;
    if in_time {
        let tail = y.slice_axis(Axis(1), (4 * (seen - 1)..).into()).to_owned();
        dy.slice_axis_mut(Axis(1), (4 * (seen - 1)..).into()).assign(&((tail - &want) * (2.0 / n)));
    } else {
        dy.assign(&((y - &want) * (2.0 / n)));
    }
    let gradients = whole.gradients(&joined, &dy, states.as_deref()).unwrap();
    (step, gradients.weights)
}

#[test]
fn gradients_through_a_window_are_those_of_the_joined_sequence() {
    let check = |device: &Device, tolerance: f32| {
        for which in [0, 1, 3] {
            for (window, batches) in [(1, 3), (2, 2), (3, 2), (2, 4), (3, 5)] {
                let (got, want) = windowed(device, which, window, batches);
                let apart = apart(&got, &want);
                assert!(apart < tolerance, "model {which}, {window} of {batches}: {apart}");
            }
        }
    };
    // What passes through f32 on the way to and from the host rounds: weights and their difference, outputs, states.
    check(&Device::reference(), 2e-5);
    on_each(|device| check(device, 2e-4));
}

#[test]
fn a_stateful_batch_is_the_rest_of_the_sequence_forward_and_alone_backward() {
    let device = Device::reference();
    let (cut, want) = windowed(&device, 0, 1, 3);
    assert!(apart(&cut, &want) < 2e-5);
    // And the cut is real: the gradient through both batches is another one.
    let (through, _) = windowed(&device, 0, 2, 3);
    assert!(apart(&cut, &through) > 1e-3, "{}", apart(&cut, &through));
}

#[test]
fn a_window_starts_anew_where_the_states_do() {
    on_each(|device| {
        let (architecture, loss, _) = models(true, 0.0).swap_remove(0);
        let (a, b) = (waves(2, 4), waves(2, 4).mapv(|v| -v));
        let train = |first: bool| {
            let mut model = architecture.build(device).unwrap();
            model.compile(Sgd::new().learning_rate(0.0), loss, &[]).unwrap();
            model.set_backprop_batches(3).unwrap();
            if first {
                model.train_on_batch(&b, &b).unwrap();
                model.reset_states().unwrap();
            }
            model.set_learning_rate(0.5).unwrap();
            model.train_on_batch(&a, &a).unwrap();
            model.train_on_batch(&a, &b).unwrap();
            (model.get_weights().unwrap(), model.get_states().unwrap())
        };
        assert_eq!(train(true), train(false));
        // In fit, step by step as by hand; validation beside it does not break the window.
        let (x, y) = (
            concatenate(Axis(0), &[a.view(), a.view(), b.view()]).unwrap(),
            concatenate(Axis(0), &[a.view(), b.view(), a.view()]).unwrap(),
        );
        let mut by_fit = architecture.build(device).unwrap();
        by_fit.compile(Sgd::new().learning_rate(0.5), loss, &[]).unwrap();
        let options = FitOptions::new().epochs(2).batch_size(2).backprop_batches(2);
        by_fit.fit(&x, &y, options.validation_data(&b, &b)).unwrap();
        let mut by_hand = architecture.build(device).unwrap();
        by_hand.compile(Sgd::new().learning_rate(0.5), loss, &[]).unwrap();
        by_hand.set_backprop_batches(2).unwrap();
        for _ in 0..2 {
            for (x, y) in [(&a, &a), (&a, &b), (&b, &a)] {
                by_hand.train_on_batch(x, y).unwrap();
            }
        }
        assert_eq!(by_fit.get_weights().unwrap(), by_hand.get_weights().unwrap());
        let error =
            models(false, 0.0).swap_remove(0).0.build(device).unwrap().set_backprop_batches(2).unwrap_err();
        assert!(error.to_string().contains("stateful"), "{error}");
    });
}
