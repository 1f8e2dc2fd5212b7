//! Long runs, long sequences, hostile files.

mod devices;

use devices::on_each;
use ndarray::{Array, Array2, Array3, s};
use rnn_model::layer::{Dense, Gru, Layer, Lstm, SimpleRnn};
use rnn_model::{Adam, Device, Error, FitOptions, Input, Loss, Model, Sequential};

/// After its first steps a training run allocates nothing: 10,000 more steps leave the peak where it was.
#[test]
fn ten_thousand_steps_allocate_nothing() {
    on_each(|device| {
        let mut model = Sequential::new(Input::sequence(2, 1))
            .layer(Lstm::new(2))
            .layer(Dense::new(1))
            .build(device)
            .unwrap();
        model.compile(Adam::new(), Loss::MeanSquaredError, &[]).unwrap();
        let x = Array::from_shape_fn((100, 2, 1), |(i, t, _)| ((i + t) as f32).sin());
        let y = Array2::<f32>::zeros((100, 1));
        let mut fit = |epochs| model.fit(&x, &y, FitOptions::new().epochs(epochs).batch_size(1)).unwrap();
        fit(1);
        let before = device.memory();
        fit(100);
        assert_eq!(device.memory(), before);
        assert_eq!(model.iterations(), 10_100);
    });
}

/// Past 65,535 steps, where a 16-bit count somewhere would show; the state is the same as in two parts.
#[test]
fn sequences_of_70_000_steps() {
    on_each(|device| {
        let build = |stateful| {
            Sequential::new(Input::sequence(None, 1))
                .layer(SimpleRnn::new(2).stateful(stateful))
                .seed(4)
                .build(device)
                .unwrap()
        };
        let x = Array::from_shape_fn((1, 70_000, 1), |(_, t, _)| (t as f32 * 0.7).sin());
        let whole = build(false).predict_on_batch(&x).unwrap();
        let mut parts = build(true);
        parts.predict_on_batch(&x.slice(s![.., ..65_535, ..])).unwrap();
        let last = parts.predict_on_batch(&x.slice(s![.., 65_535.., ..])).unwrap();
        for (a, b) in whole.iter().zip(&last) {
            // the recurrence forgets, so roundings do not add up over the steps
            assert!((a - b).abs() < 1e-5, "{a} {b}");
        }
        assert!(whole.iter().all(|x| x.abs() > 0.0), "{whole}");
    });
}

#[test]
fn stateful_batches_may_differ_in_length_but_not_in_samples() {
    on_each(|device| {
        let mut model = Sequential::new(Input::sequence(None, 1))
            .layer(Gru::new(3).stateful(true))
            .layer(Dense::new(1))
            .build(device)
            .unwrap();
        model.compile(Adam::new(), Loss::MeanSquaredError, &[]).unwrap();
        for time in [3, 1, 5, 1, 3] {
            let x = Array3::<f32>::ones((4, time, 1));
            model.train_on_batch(&x, &Array2::<f32>::zeros((4, 1))).unwrap();
        }
        let error =
            model.train_on_batch(&Array3::<f32>::ones((3, 2, 1)), &Array2::<f32>::zeros((3, 1))).unwrap_err();
        assert!(matches!(error, Error::BatchSize { expected: 4, got: 3, .. }), "{error}");
        let error = model
            .fit(
                &Array3::<f32>::ones((10, 2, 1)),
                &Array2::<f32>::zeros((10, 1)),
                FitOptions::new().batch_size(4),
            )
            .unwrap_err();
        assert!(error.to_string().contains("whole batches"), "{error}");
    });
}

/// Changed bytes give a model or an error, never a panic.
#[test]
fn damaged_files_never_panic() {
    let device = Device::cpu();
    let mut model = Sequential::new(Input::sequence(None, 2))
        .layer(Lstm::new(2).return_sequences(true).stateful(true))
        .layer(Gru::new(2))
        .layer(Dense::new(1))
        .build(&device)
        .unwrap();
    model.compile(Adam::new(), Loss::Huber { delta: 1.0 }, &[]).unwrap();
    model.predict_on_batch(&Array3::<f32>::ones((2, 3, 2))).unwrap();
    let bytes = model.to_bytes(true).unwrap();
    assert!(Model::from_bytes(&bytes, &device).is_ok());
    let mut random = 1u64;
    let mut next = |n: usize| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) as usize % n
    };
    let mut refused = 0;
    for _ in 0..3000 {
        let mut damaged = bytes.clone();
        for _ in 0..1 + next(3) {
            let at = next(damaged.len());
            damaged[at] = match next(3) {
                0 => next(256) as u8,
                1 => b'0' + next(10) as u8,
                _ => damaged[at] ^ (1 << next(8)),
            };
        }
        match Model::from_bytes(&damaged, &device) {
            Ok(mut model) => drop(model.predict_on_batch(&Array3::<f32>::ones((2, 3, 2)))),
            Err(error) => {
                assert!(!error.to_string().is_empty());
                refused += 1;
            }
        }
    }
    assert!(refused > 500, "only {refused} of 3000 were refused");
}

#[test]
fn files_that_are_something_else_say_so() {
    let device = Device::cpu();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.safetensors");
    let message = |path: &std::path::Path| Model::load(path, &device).unwrap_err().to_string();
    assert!(message(&path).contains("x.safetensors"));
    std::fs::write(&path, "version https://git-lfs.github.com/spec/v1\noid sha256:0\n").unwrap();
    assert!(message(&path).contains("not a complete .safetensors file"));
    std::fs::write(&path, [&2u64.to_le_bytes()[..], b"{}"].concat()).unwrap();
    assert!(message(&path).contains("not a model that tidegate saved"), "{}", message(&path));
}

/// What the way back needs of the way forth is the input, the states of each step and the gates; beside it a training step
/// holds the weights, gradients and slots, and no more than a fifth of all that in addition: gradients of gates and outputs for a part of
/// the steps, and what the pool rounds up. The gradients of the last layer's outputs are a product that is made part by part, those of
/// a layer's inputs stand where its outputs were. Scratch of kernels on the GPU is counted; the CPU's kernels keep a small part of the
/// gradients to themselves. A SimpleRNN saves nothing but its outputs, in slots that its input products wait in, so one more array
/// like these would be 0.3 here.
#[test]
fn a_training_step_needs_little_more_than_what_it_saves() {
    let (batch, time, features, units) = (32, 512, 16, 64);
    // h, c and four gates; h and four gates; h.
    let layers: [(Layer, usize); 3] = [
        (Lstm::new(units).return_sequences(true).into(), 6),
        (Gru::new(units).return_sequences(true).into(), 5),
        (SimpleRnn::new(units).return_sequences(true).into(), 1),
    ];
    on_each(|device| {
        for (layer, blocks) in &layers {
            let before = device.memory().live;
            let mut model = Sequential::new(Input::sequence(time, features));
            for _ in 0..3 {
                model = model.layer(layer.clone());
            }
            let mut model = model.layer(Dense::new(1)).build(device).unwrap();
            model.compile(Adam::new(), Loss::MeanSquaredError, &[]).unwrap();
            let (x, y) =
                (Array3::<f32>::ones((batch, time, features)), Array3::<f32>::ones((batch, time, 1)));
            model.train_on_batch(&x, &y).unwrap();
            let saved = batch * time * (features + 3 * blocks * units + 1) * 4;
            let kept = model.count_params() * 4 * 4;
            let ratio = (device.memory().live - before) as f64 / (saved + kept) as f64;
            assert!(ratio <= 1.2, "{} on {}: {ratio}", layer.class(), device.name());
        }
    });
}
