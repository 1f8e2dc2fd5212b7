//! States of single samples, runs beside the kept states, and sequences in chunks: each equals what it is short for.

mod devices;

use devices::on_each;
use ndarray::{Array, Array3, ArrayD, Axis, concatenate, s};
use rnn_model::layer::{Dense, Flatten, Gru, Lstm};
use rnn_model::{
    Adam, Device, Error, FitOptions, Graph, Input, LayerState, Loss, Model, PredictOptions, Sequential,
    StateUse,
};

fn chain(stateful: bool) -> Sequential {
    Sequential::new(Input::sequence(None, 2))
        .layer(Lstm::new(5).return_sequences(true).stateful(stateful))
        .layer(Gru::new(4).return_sequences(true).stateful(stateful))
        .layer(Dense::new(2))
        .seed(3)
}

fn waves(batch: usize, time: usize) -> Array3<f32> {
    Array::from_shape_fn((batch, time, 2), |(i, t, k)| ((0.3 + 0.1 * i as f32) * t as f32 + k as f32).sin())
}

/// Other batch sizes and lengths may run on other kernels, which sum in another order: a few roundings (6e-8) of each
/// of at most 40 steps.
const CLOSE: f32 = 1e-5;

#[track_caller]
fn close(a: &ArrayD<f32>, b: &ArrayD<f32>) {
    assert_eq!(a.shape(), b.shape());
    let worst =
        (a - b).iter().fold(0.0, |worst: f32, d| if d.is_nan() { f32::NAN } else { worst.max(d.abs()) });
    assert!(worst < CLOSE, "{worst}");
}

#[track_caller]
fn states_close(a: &[LayerState], b: &[LayerState]) {
    assert_eq!(a.len(), b.len());
    for (a, b) in a.iter().zip(b) {
        assert_eq!((&a.layer, a.states.len()), (&b.layer, b.states.len()));
        a.states.iter().zip(&b.states).for_each(|(a, b)| close(a, b));
    }
}

fn pick(x: &Array3<f32>, samples: &[usize]) -> Array3<f32> {
    x.select(Axis(0), samples)
}

fn warm(device: &Device, batch: usize) -> Model {
    let mut model = chain(true).build(device).unwrap();
    model.predict_on_batch(&waves(batch, 6)).unwrap();
    model
}

#[test]
fn a_sample_that_is_reset_starts_anew_and_the_others_go_on() {
    on_each(|device| {
        let (mut model, mut untouched, mut new) =
            (warm(device, 5), warm(device, 5), chain(true).build(device).unwrap());
        let next = waves(5, 9);
        model.reset_states_of(&[1, 3]).unwrap();
        let got = model.predict_on_batch(&next).unwrap();
        let on = untouched.predict_on_batch(&next).unwrap();
        let anew = new.predict_on_batch(&next).unwrap();
        for i in 0..5 {
            let want = if i == 1 || i == 3 { &anew } else { &on };
            let row = |y: &ArrayD<f32>| y.index_axis(Axis(0), i).to_owned();
            close(&row(&got), &row(want));
        }
        assert_ne!(anew, on);
    });
}

#[test]
fn states_of_samples_are_read_and_set_alone() {
    on_each(|device| {
        let mut model = warm(device, 6);
        let all = model.get_states().unwrap();
        let two = model.get_states_of(&[4, 1]).unwrap();
        let want: Vec<LayerState> = all.iter().map(|s| s.select(&[4, 1]).unwrap()).collect();
        assert_eq!(two, want);
        model.set_states_of(&[0, 5], &two).unwrap();
        let want: Vec<LayerState> = all.iter().map(|s| s.select(&[4, 1, 2, 3, 4, 1]).unwrap()).collect();
        assert_eq!(model.get_states().unwrap(), want);
        // What does not fit changes nothing.
        for error in [
            model.set_states_of(&[0], &two).unwrap_err(),
            model.set_states_of(&[0, 6], &two).unwrap_err(),
            model.set_states_of(&[0, 1], &two[..1]).unwrap_err(),
            model.reset_states_of(&[6]).unwrap_err(),
            model.get_states_of(&[9]).unwrap_err(),
            model.keep_states(&[]).unwrap_err(),
        ] {
            assert!(matches!(error, Error::Invalid { .. } | Error::Shape { .. }), "{error}");
        }
        assert_eq!(model.get_states().unwrap(), want);
        let stateless = chain(false).build(device).unwrap();
        assert!(stateless.get_states_of(&[0]).unwrap_err().to_string().contains("stateful(true)"));
    });
}

#[test]
fn samples_that_are_kept_go_on_as_if_alone() {
    on_each(|device| {
        let mut model = warm(device, 6);
        let mut whole = warm(device, 6);
        let next = waves(6, 7);
        let all = whole.predict_on_batch(&next).unwrap();
        model.keep_states(&[4, 1, 1]).unwrap();
        let three = model.predict_on_batch(&pick(&next, &[4, 1, 1])).unwrap();
        close(&three, &all.select(Axis(0), &[4, 1, 1]));
        // Grown by new samples, which start from zero.
        model.arrange_states(&[None, Some(0), None]).unwrap();
        let mut new = chain(true).build(device).unwrap();
        let anew = new.predict_on_batch(&next).unwrap();
        let later = waves(6, 3);
        let on = whole.predict_on_batch(&later).unwrap();
        model.keep_states(&[1]).unwrap();
        close(&model.predict_on_batch(&pick(&later, &[4])).unwrap(), &on.select(Axis(0), &[4]));
        model.arrange_states(&[Some(0), None]).unwrap();
        let grown = model.predict_on_batch(&pick(&next, &[4, 2])).unwrap();
        close(&grown.select(Axis(0), &[1]), &anew.select(Axis(0), &[2]));
    });
}

#[test]
fn runs_beside_leave_the_kept_states_alone() {
    on_each(|device| {
        let (mut model, mut reference) = (warm(device, 4), warm(device, 4));
        model.compile(Adam::new(), Loss::MeanSquaredError, &[]).unwrap();
        let (kept, next) = (model.get_states().unwrap(), waves(4, 8));
        let on = reference.predict_on_batch(&next).unwrap();
        for _ in 0..2 {
            let borrowed = model.predict_with(&next, PredictOptions::new().states(StateUse::Borrow)).unwrap();
            close(&borrowed[0], &on);
            assert_eq!(model.get_states().unwrap(), kept);
            // Seven samples in batches of three.
            let x = waves(9, 8);
            let options = PredictOptions::new().states(StateUse::Fresh).batch_size(3);
            let fresh = model.predict_with(&x, options).unwrap();
            let first = chain(true).build(device).unwrap().predict_on_batch(&pick(&x, &[0, 1, 2])).unwrap();
            close(&fresh[0].select(Axis(0), &[0, 1, 2]), &first);
            assert_eq!(model.get_states().unwrap(), kept);
        }
        // Carrying on is the default, and goes on from the states that were left alone.
        close(&model.predict_on_batch(&next).unwrap(), &on);
        states_close(&model.get_states().unwrap(), &reference.get_states().unwrap());
        // Before the first batch there is nothing to borrow: zero.
        let mut new = chain(true).build(device).unwrap();
        let anew = new.predict_with(&next, PredictOptions::new().states(StateUse::Borrow)).unwrap();
        assert!(new.get_states().unwrap().is_empty());
        close(&anew[0], &new.predict_on_batch(&next).unwrap());
    });
}

#[test]
fn validation_does_not_disturb_the_training() {
    on_each(|device| {
        let (x, v) = (waves(8, 5), waves(4, 5).mapv(|v| 0.5 * v));
        let train = |validate: bool| {
            let mut model = chain(true).build(device).unwrap();
            model.compile(Adam::new().learning_rate(0.01), Loss::MeanSquaredError, &[]).unwrap();
            let options = FitOptions::new().epochs(3).batch_size(4);
            let options = if validate { options.validation_data(&v, &v) } else { options };
            let history = model.fit(&x, &x, options).unwrap();
            (model.get_weights().unwrap(), model.get_states().unwrap(), history)
        };
        let (weights, states, _) = train(false);
        let (validated, kept, history) = train(true);
        assert_eq!(history.get("val_loss").len(), 3);
        assert_eq!((weights, states), (validated, kept));
    });
}

#[test]
fn chunks_of_a_long_sequence_equal_the_whole() {
    on_each(|device| {
        let x = waves(3, 37);
        for last_only in [false, true] {
            let build = |stateful: bool| {
                Sequential::new(Input::sequence(None, 2))
                    .layer(Lstm::new(5).return_sequences(true).stateful(stateful))
                    .layer(Gru::new(4).return_sequences(!last_only))
                    .layer(Dense::new(2))
                    .seed(3)
                    .build(device)
                    .unwrap()
            };
            let mut model = build(false);
            let whole = model.predict_on_batch(&x).unwrap();
            for chunk in [1, 5, 36, 37, 100] {
                close(&model.predict_long(&x, chunk).unwrap(), &whole);
            }
            // Kept states are gone on from, and kept.
            let (mut long, mut short) = (build(true), build(true));
            for _ in 0..2 {
                close(&long.predict_long(&x, 8).unwrap(), &short.predict_on_batch(&x).unwrap());
                states_close(&long.get_states().unwrap(), &short.get_states().unwrap());
            }
        }
        // As a stream of unequal chunks.
        let mut model = chain(false).build(device).unwrap();
        let whole = model.predict_on_batch(&x).unwrap();
        let bounds = [0, 10, 11, 30, 37];
        let chunks: Vec<Array3<f32>> =
            bounds.windows(2).map(|w| x.slice(s![.., w[0]..w[1], ..]).to_owned()).collect();
        let mut parts = Vec::new();
        model
            .predict_chunks(chunks.iter().map(|c| Ok(c.into())), |mut y| {
                parts.push(y.swap_remove(0));
                Ok(())
            })
            .unwrap();
        let views: Vec<_> = parts.iter().map(|p| p.view()).collect();
        close(&concatenate(Axis(1), &views).unwrap(), &whole);
    });
}

#[test]
fn a_long_inference_takes_the_memory_of_a_chunk() {
    on_each(|device| {
        let mut model = chain(false).build(device).unwrap();
        model.predict_long(&waves(1, 64), 32).unwrap();
        let before = device.memory().peak;
        model.predict_long(&waves(1, 20_000), 32).unwrap();
        assert_eq!(device.memory().peak, before);
    });
}

#[test]
fn what_can_not_go_in_chunks_is_refused_by_name() {
    let mut model = Sequential::new(Input::sequence(6, 2))
        .layer(Lstm::new(3).return_sequences(true))
        .layer(Flatten::new())
        .layer(Dense::new(1))
        .build(&Device::cpu())
        .unwrap();
    let error = model.predict_long(&waves(1, 6), 2).unwrap_err().to_string();
    assert!(error.contains("flatten") && error.contains("whole sequences"), "{error}");
}

#[test]
fn states_of_nested_models_come_by_one_call_and_pass_between_models_that_share_layers() {
    on_each(|device| {
        let x = Input::sequence(None, 2).symbol();
        let inner_x = Input::sequence(None, 2).symbol();
        let inner_y = inner_x.layer(Lstm::new(3).return_sequences(true).stateful(true)).unwrap();
        let inner = Graph::new(&[&inner_x], &[&inner_y]).unwrap();
        let y = inner.apply(&[&x]).unwrap().swap_remove(0);
        let y = y.layer(Gru::new(4).return_sequences(true).stateful(true)).unwrap();
        let mut whole = Graph::new(&[&x], &[&y]).unwrap().build(device).unwrap();
        let mut part = inner.build_sharing(&whole).unwrap();
        let (known, next) = (waves(3, 6), waves(3, 4));
        whole.predict_on_batch(&known).unwrap();
        let states = whole.get_states().unwrap();
        assert_eq!(states.len(), 2);
        // The part goes on where the whole stands, without a way through the host.
        part.copy_states_from(&whole).unwrap();
        assert_eq!(part.get_states().unwrap()[0].states, states[0].states);
        let mut alone = inner.build_sharing(&whole).unwrap();
        alone.predict_on_batch(&known).unwrap();
        close(&part.predict_on_batch(&next).unwrap(), &alone.predict_on_batch(&next).unwrap());
        assert_eq!(whole.get_states().unwrap(), states);
        let error = whole.copy_states_from(&part).unwrap_err().to_string();
        assert!(error.contains("no states of such a layer"), "{error}");
    });
}

#[test]
fn a_reset_within_a_sequence_is_a_fresh_start_of_that_sample() {
    on_each(|device| {
        let x = waves(3, 9);
        let mut resets = ndarray::Array2::from_elem((3, 9), false);
        (resets[[1, 4]], resets[[2, 0]], resets[[2, 7]]) = (true, true, true);
        let mut model = warm(device, 3);
        let mut on = warm(device, 3);
        let got = model.predict_with(&x, PredictOptions::new().resets(&resets)).unwrap().swap_remove(0);
        let whole = on.predict_on_batch(&x).unwrap();
        let anew = |i: usize, from: usize, to: usize| {
            let part = x.slice(s![i..=i, from..to, ..]).to_owned();
            chain(false).build(device).unwrap().predict_on_batch(&part).unwrap()
        };
        let part = |y: &ArrayD<f32>, i: usize, from: usize, to: usize| {
            y.slice(s![i..=i, from..to, ..]).to_owned().into_dyn()
        };
        close(&part(&got, 0, 0, 9), &part(&whole, 0, 0, 9));
        close(&part(&got, 1, 0, 4), &part(&whole, 1, 0, 4));
        close(&part(&got, 1, 4, 9), &anew(1, 4, 9));
        close(&part(&got, 2, 0, 7), &anew(2, 0, 7));
        close(&part(&got, 2, 7, 9), &anew(2, 7, 9));
        assert!(model.predict_with(&x, PredictOptions::new().resets(&resets.t())).is_err());
    });
}

#[test]
fn training_with_resets_is_training_on_the_pieces() {
    on_each(|device| {
        let x = waves(2, 8);
        let (first, second) = (x.slice(s![.., ..4, ..]), x.slice(s![.., 4.., ..]));
        let pieces = concatenate(Axis(0), &[first, second]).unwrap();
        let mut resets = ndarray::Array2::from_elem((2, 8), false);
        resets.column_mut(4).fill(true);
        let train = |budget: bool, f: &dyn Fn(&mut Model)| {
            let mut model = chain(false).build(device).unwrap();
            model.compile(rnn_model::Sgd::new().learning_rate(0.5), Loss::MeanSquaredError, &[]).unwrap();
            if budget {
                let least = model.memory_need(2, 8).unwrap().smallest();
                // Resets take some flags beside.
                model.set_memory_budget(Some(least + 4096));
            }
            f(&mut model);
            model.get_weights().unwrap()
        };
        let want = train(false, &|model| {
            model.train_on_batch(&pieces, &pieces).unwrap();
        });
        for budget in [false, true] {
            let got = train(budget, &|model| {
                model.train_on_batch_with_resets(&x, &x, &resets).unwrap();
            });
            got.iter().zip(&want).for_each(|(a, b)| close(a, b));
        }
        let by_fit = train(false, &|model| {
            model.fit(&x, &x, FitOptions::new().batch_size(2).shuffle(false).resets(&resets)).unwrap();
        });
        by_fit.iter().zip(&want).for_each(|(a, b)| close(a, b));
    });
}
