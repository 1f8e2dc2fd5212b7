//! What may look like a mistake and is accepted, as in Keras 3 (PARITY.md has the list).

mod devices;

use devices::on_each;
use ndarray::{Array, Array2, Array3};
use rnn_model::layer::{Dense, Gru, Softmax};
use rnn_model::{Adam, Device, FitOptions, Graph, Input, Loss, Model, Sequential};

fn classifier(device: &Device) -> Model {
    let mut model = Sequential::new(Input::sequence(3, 2))
        .layer(Gru::new(4))
        .layer(Dense::new(3).activation(Softmax))
        .seed(5)
        .build(device)
        .unwrap();
    model.compile(Adam::new(), Loss::SparseCategoricalCrossentropy { from_logits: false }, &[]).unwrap();
    model
}

fn samples() -> (Array3<f32>, Array2<f32>) {
    let x = Array::from_shape_fn((4, 3, 2), |(i, t, f)| ((7 * i + 3 * t + f) as f32).sin());
    (x, Array::from_shape_vec((4, 1), vec![0.0, 1.0, 2.0, 1.0]).unwrap())
}

/// The loss of the first step, on all samples at once, from the same weights each time.
fn first_loss(device: &Device, options: FitOptions<'_>) -> f32 {
    let (x, y) = samples();
    let history = classifier(device).fit(&x, &y, options.batch_size(4)).unwrap();
    history.last().unwrap().loss() as f32
}

#[test]
fn negative_sample_weights_count_as_they_are() {
    on_each(|device| {
        let loss = |weights: [f32; 4]| {
            let weights = Array::from_vec(weights.to_vec());
            first_loss(device, FitOptions::new().sample_weight(&weights))
        };
        let (all, second) = (loss([1.0; 4]), loss([0.0, 1.0, 0.0, 0.0]));
        // A mean over four terms of order 1 in f32.
        assert!((loss([1.0, -1.0, 1.0, 1.0]) - (all - 2.0 * second)).abs() < 1e-6);
    });
}

#[test]
fn weights_of_classes_that_are_not_there_do_nothing() {
    on_each(|device| {
        let with = |classes: &[(usize, f32)]| first_loss(device, FitOptions::new().class_weight(classes));
        assert_eq!(with(&[(7, 3.0), (1, 2.0)]), with(&[(1, 2.0)]));
        assert_ne!(with(&[(1, 2.0)]), with(&[]));
    });
}

#[test]
fn a_sample_with_nan_gives_nan_and_leaves_the_others_alone() {
    on_each(|device| {
        let (mut x, _) = samples();
        let mut model = classifier(device);
        let want = model.predict(&x).unwrap();
        x[[1, 0, 1]] = f32::NAN;
        let got = model.predict(&x).unwrap();
        for (i, (got, want)) in got.outer_iter().zip(want.outer_iter()).enumerate() {
            assert!(if i == 1 { got.iter().all(|x| x.is_nan()) } else { got == want }, "sample {i}: {got}");
        }
    });
}

#[test]
fn an_input_that_nothing_reads_may_hold_anything() {
    on_each(|device| {
        let (x, unused) = (Input::sequence(3, 2).symbol(), Input::vector(5).symbol());
        let y = x.layer(Gru::new(4)).unwrap().layer(Dense::new(1)).unwrap();
        let mut model = Graph::new(&[&x, &unused], &[&y]).unwrap().build(device).unwrap();
        model.compile(Adam::new(), Loss::MeanSquaredError, &[]).unwrap();
        let (x, _) = samples();
        let mut predict = |other: f32| {
            model
                .predict([x.clone().into_dyn(), Array2::from_elem((4, 5), other).into_dyn()].as_slice())
                .unwrap()
        };
        assert_eq!(predict(0.0), predict(1e30));
        let both = [x.clone().into_dyn(), Array2::zeros((4, 5)).into_dyn()];
        assert!(
            model.train_on_batch(both.as_slice(), &Array2::<f32>::zeros((4, 1))).unwrap().loss().is_finite()
        );
        let alone = model.predict(&x).unwrap_err().to_string();
        assert!(alone.contains("x: expected 2 arrays (") && alone.ends_with("got 1"), "{alone}");
    });
}
