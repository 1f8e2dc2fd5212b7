//! What people do with states: training that carries them, sequences in unequal parts, states handed on by hand.

mod devices;

use devices::on_each;
use ndarray::{Array, Array3, ArrayD, Axis, concatenate, s};
use rnn_model::layer::{Dense, Dropout, Gru, Lstm};
use rnn_model::{Adam, Device, Error, FitOptions, Input, Loss, Model, Sequential};

fn stateful(device: &Device, input: Input) -> Model {
    let mut model = Sequential::new(input)
        .layer(Lstm::new(5).return_sequences(true).stateful(true))
        .layer(Dropout::new(0.2))
        .layer(Gru::new(4).return_sequences(true).stateful(true))
        .layer(Dense::new(1))
        .seed(11)
        .build(device)
        .unwrap();
    model.compile(Adam::new().learning_rate(0.01), Loss::MeanSquaredError, &[]).unwrap();
    model
}

fn waves(batch: usize, time: usize) -> Array3<f32> {
    Array::from_shape_fn((batch, time, 1), |(i, t, _)| ((0.3 + 0.1 * i as f32) * t as f32).sin())
}

fn bits(arrays: &[ArrayD<f32>]) -> Vec<u32> {
    arrays.iter().flat_map(|a| a.iter().map(|x| x.to_bits())).collect()
}

fn worst(a: &ArrayD<f32>, b: &ArrayD<f32>) -> f32 {
    (a - b).iter().fold(0.0, |worst, d| if d.abs() > worst || d.is_nan() { d.abs() } else { worst })
}

/// The data set of many series that share a network: all series' step 0, then all series' step 1, ...
#[test]
fn fit_carries_states_from_batch_to_batch_as_batches_by_hand_do() {
    on_each(|device| {
        let (series, time) = (6, 9);
        let waves = waves(series, time + 1);
        let step = |t: usize| waves.slice(s![.., t..t + 1, ..]).to_owned();
        let all = |from: usize| {
            let steps: Vec<_> = (from..from + time).map(step).collect();
            let views: Vec<_> = steps.iter().map(|a| a.view()).collect();
            concatenate(Axis(0), &views).unwrap()
        };
        let mut by_fit = stateful(device, Input::sequence(1, 1).batch(series));
        let options = FitOptions::new().epochs(3).reset_states_after_epoch(true);
        by_fit.fit(&all(0), &all(1), options).unwrap();

        let mut by_hand = stateful(device, Input::sequence(1, 1).batch(series));
        for _ in 0..3 {
            for t in 0..time {
                by_hand.train_on_batch(&step(t), &step(t + 1)).unwrap();
            }
            by_hand.reset_states().unwrap();
        }
        assert_eq!(bits(&by_fit.get_weights().unwrap()), bits(&by_hand.get_weights().unwrap()));

        let mut forgets = stateful(device, Input::sequence(1, 1).batch(series));
        for t in 0..3 * time {
            forgets.train_on_batch(&step(t % time), &step(t % time + 1)).unwrap();
            forgets.reset_states().unwrap();
        }
        assert_ne!(bits(&by_fit.get_weights().unwrap()), bits(&forgets.get_weights().unwrap()));
    });
}

#[test]
fn training_on_unequal_parts_leaves_the_states_of_the_whole() {
    on_each(|device| {
        // Without dropout, which training alone applies.
        let build = || {
            Sequential::new(Input::sequence(None, 1))
                .layer(Lstm::new(5).return_sequences(true).stateful(true))
                .layer(Gru::new(4).return_sequences(true).stateful(true))
                .layer(Dense::new(1))
                .build(device)
                .unwrap()
        };
        let (mut parts, mut whole) = (build(), build());
        // A learning rate of 0 keeps the weights, so that what training does to the states can be compared.
        parts.compile(Adam::new().learning_rate(0.0), Loss::MeanSquaredError, &[]).unwrap();
        let x = waves(3, 14);
        whole.predict_on_batch(&x).unwrap();
        for (from, to) in [(0, 4), (4, 5), (5, 11), (11, 14)] {
            let part = x.slice(s![.., from..to, ..]);
            parts.train_on_batch(&part, &part).unwrap();
        }
        for (a, b) in parts.get_states().unwrap().iter().zip(&whole.get_states().unwrap()) {
            // other lengths may run on other kernels: a few roundings per step over 14 steps
            assert_eq!(a.states.len(), b.states.len());
            assert!(a.states.iter().zip(&b.states).all(|(a, b)| worst(a, b) < 1e-5), "{}", a.layer);
        }
        assert_eq!(bits(&parts.get_weights().unwrap()), bits(&whole.get_weights().unwrap()));
    });
}

#[test]
fn states_handed_on_by_hand_equal_the_sequence_at_once() {
    on_each(|device| {
        let mut model = Sequential::new(Input::sequence(None, 1))
            .layer(Lstm::new(5).return_sequences(true).return_state(true))
            .layer(Gru::new(4).return_sequences(true).return_state(true))
            .build(device)
            .unwrap();
        let x = waves(3, 10);
        let (whole, last) = model.predict_with_states(&x, None).unwrap();
        let (first, states) = model.predict_with_states(&x.slice(s![.., ..7, ..]), None).unwrap();
        let (second, end) = model.predict_with_states(&x.slice(s![.., 7.., ..]), Some(&states)).unwrap();
        let joined = concatenate(Axis(1), &[first.view(), second.view()]).unwrap();
        assert!(worst(&joined, &whole) < 1e-5);
        for (a, b) in end.iter().zip(&last) {
            assert_eq!(a.layer, b.layer);
            assert!(worst(a.h(), b.h()) < 1e-5);
        }
        // The model is not stateful: nothing stays behind.
        assert!(model.get_states().unwrap().is_empty());
    });
}

#[test]
fn forecasts_leave_the_kept_states_alone() {
    on_each(|device| {
        let mut model = stateful(device, Input::sequence(None, 1));
        let x = waves(3, 6);
        model.predict_on_batch(&x).unwrap();
        let before = model.get_states().unwrap();
        model.forecast(&waves(2, 8), 4).unwrap();
        model.predict_with_states(&waves(5, 4), None).unwrap();
        assert_eq!(model.get_states().unwrap(), before);
    });
}

#[test]
fn states_move_to_another_batch_size_by_hand() {
    let device = Device::cpu();
    let mut model = stateful(&device, Input::sequence(None, 1));
    let x = waves(6, 8);
    let (known, next) = (x.slice(s![.., ..5, ..]), x.slice(s![.., 5.., ..]));
    model.predict_on_batch(&known).unwrap();
    let states = model.get_states().unwrap();
    let all = model.predict_on_batch(&next).unwrap();
    // Samples 1 and 4 go on alone.
    let mut kept = states;
    for state in &mut kept {
        state.states.iter_mut().for_each(|s| *s = s.select(Axis(0), &[1, 4]));
    }
    model.set_states(&kept).unwrap();
    let two = model.predict_on_batch(&next.select(Axis(0), &[1, 4])).unwrap();
    assert!(worst(&two, &all.select(Axis(0), &[1, 4])) < 1e-5);
}

#[test]
fn a_stateful_fit_wants_whole_batches_and_says_how_many_are_over() {
    let mut model = stateful(&Device::cpu(), Input::sequence(None, 1));
    let x = waves(10, 4);
    let error = model.fit(&x, &x, FitOptions::new().batch_size(4)).unwrap_err();
    assert!(matches!(error, Error::Invalid { .. }), "{error}");
    let text = error.to_string();
    assert!(text.contains("leave out 2 samples") && text.contains("batch size 4"), "{text}");
    assert_eq!(model.iterations(), 0);
    model.fit(&x, &x, FitOptions::new().batch_size(5)).unwrap();
    assert_eq!(model.iterations(), 2);
}

/// An application trains on a thread of its own and takes the model back.
#[test]
fn a_model_moves_between_threads() {
    on_each(|device| {
        let mut model = stateful(device, Input::sequence(None, 1));
        let x = waves(4, 6);
        let before = model.predict_on_batch(&x).unwrap();
        model.reset_states().unwrap();
        let mut model = std::thread::spawn(move || {
            model.train_on_batch(&waves(4, 6), &waves(4, 6)).unwrap();
            model
        })
        .join()
        .unwrap();
        model.reset_states().unwrap();
        assert!(worst(&model.predict_on_batch(&x).unwrap(), &before) > 0.0);
        assert_eq!(model.iterations(), 1);
    });
}
