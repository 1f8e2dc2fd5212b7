//! Training, prediction, states and files on the CPU device and, where there is an adapter, on the GPU.

mod devices;

use devices::on_each;
use ndarray::{Array, Array2, Array3, ArrayD, Axis, s};
use rnn_model::layer::{Dense, Dropout, Flatten, Gru, Lstm, RepeatVector, SimpleRnn, TimeDistributed};
use rnn_model::{Adam, Device, Error, FitOptions, Input, Loss, Metric, Model, Sequential, Sgd, Tensor};

fn sine(samples: usize, time: usize) -> (Array3<f32>, ArrayD<f32>) {
    let x = Array::from_shape_fn((samples, time, 1), |(i, t, _)| ((i + t) as f32 * 0.3).sin());
    let y = Array::from_shape_fn((samples, 1), |(i, _)| ((i + time) as f32 * 0.3).sin());
    (x, y.into_dyn())
}

fn small(device: &Device) -> Model {
    let mut model = Sequential::new(Input::sequence(None, 1))
        .layer(Lstm::new(6).return_sequences(true))
        .layer(Dropout::new(0.1))
        .layer(Gru::new(5))
        .layer(Dense::new(1))
        .seed(3)
        .build(device)
        .unwrap();
    model
        .compile(Adam::new().learning_rate(0.01), Loss::MeanSquaredError, &[Metric::MeanAbsoluteError])
        .unwrap();
    model
}

fn bits(weights: &[ArrayD<f32>]) -> Vec<u32> {
    weights.iter().flat_map(|w| w.iter().map(|x| x.to_bits())).collect()
}

#[test]
fn training_learns_a_sine() {
    on_each(|device| {
        let mut model = small(device);
        let (x, y) = sine(70, 8);
        let history = model.fit(&x, &y, FitOptions::new().epochs(15).batch_size(16)).unwrap();
        let loss = history.get("loss");
        assert!(loss[14] < 0.3 * loss[0], "{loss:?}");
        let scores = model.evaluate(&x, &y).unwrap();
        let predicted = model.predict(&x).unwrap();
        let mse = (&predicted - &y).mapv(|e| e * e).mean().unwrap();
        // f32 sums of 70 squares
        assert!((scores.loss() - f64::from(mse)).abs() < 1e-5 * f64::from(mse), "{scores:?} {mse}");
    });
}

#[test]
fn same_seed_gives_bit_identical_weights_after_200_steps() {
    on_each(|device| {
        let (x, y) = sine(100, 6);
        let train = || {
            let mut model = small(device);
            model.fit(&x, &y, FitOptions::new().epochs(40).batch_size(20)).unwrap();
            assert_eq!(model.iterations(), 200);
            bits(&model.get_weights().unwrap())
        };
        assert_eq!(train(), train());
    });
}

#[test]
fn a_sequence_in_parts_equals_the_sequence_at_once() {
    on_each(|device| {
        let build = |stateful| {
            Sequential::new(Input::sequence(None, 2))
                .layer(Lstm::new(5).return_sequences(true).stateful(stateful))
                .layer(Gru::new(4).return_sequences(true).stateful(stateful))
                .layer(SimpleRnn::new(3).return_sequences(true).stateful(stateful))
                .seed(5)
                .build(device)
                .unwrap()
        };
        let x = Array::from_shape_fn((3, 11, 2), |(i, t, f)| ((i * 7 + t * 3 + f) as f32).sin());
        let whole = build(false).predict(&x).unwrap();
        let mut stateful = build(true);
        for round in 0..2 {
            let mut parts = Vec::new();
            for (from, to) in [(0, 1), (1, 6), (6, 8), (8, 11)] {
                parts.push(stateful.predict(&x.slice(s![.., from..to, ..])).unwrap());
            }
            let views: Vec<_> = parts.iter().map(|p| p.view()).collect();
            let joined = ndarray::concatenate(Axis(1), &views).unwrap();
            let worst = (&joined - &whole)
                .mapv(f32::abs)
                .fold(0.0f32, |a, &b| if b > a || b.is_nan() { b } else { a });
            // different batch shapes may use different kernels: a few roundings per step over 11 steps
            assert!(worst < 1e-5, "round {round}: {worst}");
            stateful.reset_states().unwrap();
        }
    });
}

#[test]
fn a_wrong_batch_size_names_both_and_leaves_the_states() {
    let device = Device::cpu();
    let mut model =
        Sequential::new(Input::sequence(None, 1)).layer(Lstm::new(3).stateful(true)).build(&device).unwrap();
    let x = Array3::<f32>::ones((4, 2, 1));
    model.predict_on_batch(&x).unwrap();
    let before = model.get_states().unwrap();
    let error = model.predict_on_batch(&Array3::<f32>::ones((7, 2, 1))).unwrap_err();
    assert!(matches!(error, Error::BatchSize { expected: 4, got: 7, .. }), "{error}");
    assert!(error.to_string().contains('4') && error.to_string().contains('7'));
    assert_eq!(model.get_states().unwrap(), before);
    model.reset_states().unwrap();
    model.predict_on_batch(&Array3::<f32>::ones((7, 2, 1))).unwrap();
    assert_eq!(model.get_states().unwrap()[0].h().shape(), [7, 3]);
}

#[test]
fn a_loaded_model_predicts_and_trains_on_bit_identically() {
    on_each(|device| {
        let (x, y) = sine(48, 5);
        let mut whole = small(device);
        whole.fit(&x, &y, FitOptions::new().epochs(6).batch_size(16)).unwrap();
        let mut first = small(device);
        first.fit(&x, &y, FitOptions::new().epochs(2).batch_size(16)).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.safetensors");
        first.save(&path).unwrap();
        let mut second = Model::load(&path, device).unwrap();
        assert_eq!(first.predict(&x).unwrap(), second.predict(&x).unwrap());
        second.fit(&x, &y, FitOptions::new().epochs(4).batch_size(16)).unwrap();
        assert_eq!(bits(&whole.get_weights().unwrap()), bits(&second.get_weights().unwrap()));
        assert_eq!(second.epochs(), 6);
    });
}

/// The moving average of the weights, gradients gathered so far and the count of steps are in the file: a training that is saved
/// between two updates goes on with the same bits.
#[test]
fn a_training_saved_in_the_middle_of_gathering_goes_on_bit_identically() {
    on_each(|device| {
        let (x, y) = sine(12, 6);
        let mut model = small(device);
        let optimizer = Adam::new().learning_rate(0.02).ema(0.9).ema_overwrite_frequency(5);
        model.compile(optimizer.gradient_accumulation_steps(4), Loss::MeanSquaredError, &[]).unwrap();
        for _ in 0..6 {
            model.train_on_batch(&x, &y).unwrap();
        }
        let before = bits(&model.get_weights().unwrap());
        let mut loaded = Model::from_bytes(&model.to_bytes(false).unwrap(), device).unwrap();
        let mut steps = Vec::new();
        for _ in 0..30 {
            assert_eq!(model.train_on_batch(&x, &y).unwrap(), loaded.train_on_batch(&x, &y).unwrap());
            assert_eq!(bits(&model.get_weights().unwrap()), bits(&loaded.get_weights().unwrap()));
            steps.push(bits(&model.get_weights().unwrap()));
        }
        // Two steps after the file came the update that the gathered gradients belong to; without them it would be another.
        assert!(steps[0] == before && steps[1] != before);
        let kept = |model: &Model| model.to_bytes(false).unwrap();
        assert_eq!(kept(&model), kept(&loaded));
    });
}

#[test]
fn weights_alone_go_into_a_model_built_anew() {
    let device = Device::cpu();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("small.weights.safetensors");
    let (x, y) = sine(8, 5);
    let mut model = small(&device);
    model.train_on_batch(&x, &y).unwrap();
    model.save_weights(&path).unwrap();
    let mut other = small(&device);
    other.load_weights(&path).unwrap();
    assert_eq!(bits(&other.get_weights().unwrap()), bits(&model.get_weights().unwrap()));
    assert_eq!(other.iterations(), 0);
    // A model's file has them too.
    let whole = folder.path().join("small.safetensors");
    model.train_on_batch(&x, &y).unwrap();
    model.save(&whole).unwrap();
    other.load_weights(&whole).unwrap();
    assert_eq!(bits(&other.get_weights().unwrap()), bits(&model.get_weights().unwrap()));
    assert!(std::fs::metadata(&path).unwrap().len() < std::fs::metadata(&whole).unwrap().len() / 2);

    let error = Model::load(&path, &device).unwrap_err().to_string();
    assert!(error.contains("load_weights"), "{error}");
    let mut wide = Sequential::new(Input::sequence(None, 1)).layer(Lstm::new(9)).build(&device).unwrap();
    let before = bits(&wide.get_weights().unwrap());
    let error = wide.load_weights(&path).unwrap_err().to_string();
    assert!(error.contains("small.weights.safetensors") && error.contains("weights/lstm/kernel"), "{error}");
    assert_eq!(bits(&wide.get_weights().unwrap()), before);
    std::fs::write(&path, &std::fs::read(&path).unwrap()[..100]).unwrap();
    assert!(other.load_weights(&path).unwrap_err().to_string().contains("not a complete"));
}

#[test]
fn states_are_saved_when_asked() {
    let device = Device::cpu();
    let mut model = Sequential::new(Input::sequence(None, 1))
        .layer(Lstm::new(3).stateful(true))
        .layer(Dense::new(1))
        .build(&device)
        .unwrap();
    let x = Array::from_shape_fn((2, 4, 1), |(i, t, _)| (i + t) as f32 * 0.1);
    model.predict_on_batch(&x).unwrap();
    let mut resumed = Model::from_bytes(&model.to_bytes(true).unwrap(), &device).unwrap();
    assert_eq!(model.predict_on_batch(&x).unwrap(), resumed.predict_on_batch(&x).unwrap());
    let fresh = Model::from_bytes(&model.to_bytes(false).unwrap(), &device).unwrap();
    assert!(fresh.get_states().unwrap().is_empty());
}

#[test]
fn a_file_cut_off_anywhere_is_an_error() {
    let device = Device::cpu();
    let mut model = Sequential::new(Input::sequence(None, 1)).layer(Lstm::new(2)).build(&device).unwrap();
    model.compile(Adam::new(), Loss::MeanSquaredError, &[]).unwrap();
    let bytes = model.to_bytes(false).unwrap();
    assert!(Model::from_bytes(&bytes, &device).is_ok());
    for end in 0..bytes.len() {
        assert!(Model::from_bytes(&bytes[..end], &device).is_err(), "cut at {end}");
    }
}

#[test]
fn forecast_by_state_equals_feeding_back_by_hand() {
    on_each(|device| {
        let mut model = Sequential::new(Input::sequence(None, 1))
            .layer(Lstm::new(4).return_sequences(true))
            .layer(TimeDistributed::new(Dense::new(1)))
            .seed(2)
            .build(device)
            .unwrap();
        let (x, _) = sine(3, 7);
        let forecast = model.forecast(&x, 5).unwrap();
        assert_eq!(forecast.shape(), [3, 5, 1]);
        let mut known = x.into_dyn();
        for step in 0..5 {
            let y = model.predict_on_batch(&known).unwrap();
            let last = y.slice(s![.., -1.., ..]).to_owned().into_dyn();
            let got = forecast.slice(s![.., step..step + 1, ..]).to_owned().into_dyn();
            let worst =
                (&got - &last).mapv(f32::abs).fold(0.0f32, |a, &b| if b > a || b.is_nan() { b } else { a });
            assert!(worst < 1e-5, "step {step}: {worst}");
            known = ndarray::concatenate(Axis(1), &[known.view(), last.view()]).unwrap();
        }
    });
}

#[test]
fn forecast_by_window_equals_sliding_by_hand() {
    on_each(|device| {
        let mut model = Sequential::new(Input::sequence(4, 2))
            .layer(Flatten::new())
            .layer(Dense::new(2))
            .seed(2)
            .build(device)
            .unwrap();
        let mut window =
            Array::from_shape_fn((3, 4, 2), |(i, t, f)| ((i + 2 * t + f) as f32).cos()).into_dyn();
        let forecast = model.forecast_window(&window, 3).unwrap();
        for step in 0..3 {
            let y = model.predict_on_batch(&window).unwrap().insert_axis(Axis(1));
            let got = forecast.slice(s![.., step..step + 1, ..]).to_owned().into_dyn();
            let worst =
                (&got - &y).mapv(f32::abs).fold(0.0f32, |a, &b| if b > a || b.is_nan() { b } else { a });
            assert!(worst < 1e-5, "step {step}: {worst}");
            window =
                ndarray::concatenate(Axis(1), &[window.slice(s![.., 1.., ..]).into_dyn(), y.view()]).unwrap();
        }
    });
}

#[test]
fn tensors_go_from_model_to_model_on_the_device() {
    on_each(|device| {
        let build = |seed| {
            Sequential::new(Input::sequence(None, 2))
                .layer(Gru::new(2).return_sequences(true))
                .seed(seed)
                .build(device)
                .unwrap()
        };
        let (mut first, mut second) = (build(1), build(2));
        let x = Array::from_shape_fn((3, 4, 2), |(i, t, f)| ((i + t * 2 + f) as f32).sin());
        let tensor = Tensor::from_array(device, &x).unwrap();
        let y = second.predict_tensor(&first.predict_tensor(&tensor).unwrap()).unwrap();
        let expected = second.predict_on_batch(&first.predict_on_batch(&x).unwrap()).unwrap();
        assert_eq!(y.to_array().unwrap(), expected);
        assert!(first.predict_tensor(&Tensor::from_array(&Device::cpu(), &x).unwrap()).is_err());
    });
}

#[test]
fn an_encoder_decoder_copies_a_sequence() {
    let mut model = Sequential::new(Input::sequence(6, 1))
        .layer(Lstm::new(24))
        .layer(RepeatVector::new(6))
        .layer(Lstm::new(24).return_sequences(true))
        .layer(TimeDistributed::new(Dense::new(1)))
        .build(&Device::cpu())
        .unwrap();
    model.compile(Adam::new().learning_rate(0.01), Loss::MeanSquaredError, &[]).unwrap();
    let x = Array::from_shape_fn((64, 6, 1), |(i, t, _)| (i as f32 * 0.37 + t as f32).sin());
    let history = model.fit(&x, &x, FitOptions::new().epochs(60).batch_size(16)).unwrap();
    let loss = history.get("loss");
    assert!(loss[59] < 0.1 * loss[0], "{} {}", loss[0], loss[59]);
}

#[test]
fn user_mistakes_are_errors_that_say_what_to_do() {
    let device = Device::cpu();
    let mut model = Sequential::new(Input::sequence(3, 1))
        .layer(Lstm::new(2))
        .layer(Dense::new(1))
        .build(&device)
        .unwrap();
    let x = Array3::<f32>::zeros((8, 3, 1));
    let y = Array2::<f32>::zeros((8, 1));
    let text = |e: Error| e.to_string();
    assert!(text(model.fit(&x, &y, FitOptions::new()).unwrap_err()).contains("compile()"));
    model.compile(Adam::new(), Loss::MeanSquaredError, &[]).unwrap();
    let wrong = Array2::<f32>::zeros((8, 3));
    let message = text(model.predict(&wrong).unwrap_err());
    assert!(message.contains("[None, 3, 1]") && message.contains("[8, 3]"), "{message}");
    let message = text(model.fit(&x, &Array2::<f32>::zeros((7, 1)), FitOptions::new()).unwrap_err());
    assert!(message.contains("[8, 1]") && message.contains("[7, 1]"), "{message}");
    assert!(model.fit(&x, &y, FitOptions::new().batch_size(0)).is_err());
    assert!(model.fit(&x, &y, FitOptions::new().validation_split(1.5)).is_err());
    assert!(model.compile(Sgd::new().momentum(1.5), Loss::MeanSquaredError, &[]).is_err());
    let no_sequences =
        Sequential::new(Input::sequence(3, 1)).layer(Lstm::new(2)).layer(Lstm::new(2)).build(&device);
    assert!(text(no_sequences.unwrap_err()).contains("return_sequences(true)"));
    let empty = Sequential::new(Input::sequence(3, 1)).build(&device);
    assert!(text(empty.unwrap_err()).contains("no layers"));
    let mut x = x;
    x[[0, 0, 0]] = f32::NAN;
    let error = model.fit(&x, &y, FitOptions::new()).unwrap_err();
    assert!(matches!(error, Error::Diverged { epoch: 1, .. }), "{error}");
}

/// A server keeps models in threads of its own.
#[test]
fn models_and_tensors_go_to_other_threads() {
    fn sent<T: Send + 'static>() {}
    sent::<Model>();
    sent::<Tensor>();
    sent::<Device>();
}

#[test]
fn a_training_that_diverged_names_the_number_that_is_no_number() {
    let device = Device::cpu();
    let build = || {
        let mut model = Sequential::new(Input::sequence(4, 2))
            .layer(Lstm::new(3))
            .layer(Dense::new(2))
            .build(&device)
            .unwrap();
        model.compile(Adam::new(), Loss::MeanSquaredError, &[]).unwrap();
        model
    };
    let (x, y) = (Array3::<f32>::zeros((5, 4, 2)), Array2::<f32>::zeros((5, 2)));
    let (mut broken_x, mut broken_y) = (x.clone(), y.clone());
    broken_x[[3, 2, 1]] = f32::NAN;
    broken_y[[4, 0]] = f32::INFINITY;
    for (x, y, place) in [
        (&broken_x, &y, "x (NaN at [3, 2, 1]), and so the loss"),
        (&x, &broken_y, "y (inf at [4, 0]), and so the loss"),
    ] {
        for error in [
            build().fit(x, y, FitOptions::new().batch_size(2)).unwrap_err(),
            build().train_on_batch(x, y).unwrap_err(),
        ] {
            assert!(error.to_string().contains(place), "{error}");
        }
    }
}
