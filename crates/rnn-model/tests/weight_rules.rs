//! Penalties and constraints on weights in training: with inputs and targets of 0 nothing but them moves a weight.

mod common;

use common::gpu;
use ndarray::{Array2, ArrayD, array};
use rnn_model::layer::{Constraint, Dense, Regularizer};
use rnn_model::{Device, Input, Loss, Model, Sequential, Sgd};

fn model(device: &Device, layer: Dense, start: &ArrayD<f32>) -> Model {
    let chain = Sequential::new(Input::vector(3)).layer(layer.use_bias(false));
    let mut model = chain.build(device).expect("a model");
    model.set_weights([start]).expect("a kernel");
    model.compile(Sgd::new().learning_rate(0.5), Loss::MeanSquaredError, &[]).expect("settings that work");
    model
}

fn close(what: &str, got: impl IntoIterator<Item = f32>, want: impl IntoIterator<Item = f32>) {
    for (got, want) in got.into_iter().zip(want) {
        // Keras's epsilon of 1e-7 in a norm, and a few roundings of numbers around 1.
        assert!((got - want).abs() <= 1e-6, "{what}: {got}, must be {want}");
    }
}

fn check(device: &Device) {
    let start = array![[0.5f32, -2.0], [0.0, 1.0], [-1.0, 2.0]].into_dyn();
    let (x, y) = (Array2::<f32>::zeros((4, 3)), Array2::<f32>::zeros((4, 2)));
    let (l1, l2) = (0.1f32, 0.2f32);
    let penalty: f32 = start.iter().map(|w| l1 * w.abs() + l2 * w * w).sum();

    let mut held = model(device, Dense::new(2).kernel_regularizer(Regularizer::l1_l2(l1, l2)), &start);
    let logs = held.evaluate_with_batch_size(&x, &y, 3).expect("a score");
    close("loss of an evaluation in two batches", [logs.loss() as f32], [penalty]);
    let logs = held.train_on_batch(&x, &y).expect("a step");
    close("loss of a step", [logs.loss() as f32], [penalty]);
    let sign = |w: f32| if w == 0.0 { 0.0 } else { w.signum() };
    let want = start.map(|&w| w - 0.5 * (l1 * sign(w) + 2.0 * l2 * w));
    close("kernel", held.get_weights().expect("weights")[0].iter().copied(), want);

    // Columns have norms sqrt(1.25) and 3.
    let norms = [1.25f32.sqrt(), 3.0];
    let constraints: [(Constraint, [f32; 2]); 3] = [
        (Constraint::max_norm(2.0), [1.0, 2.0 / 3.0]),
        (Constraint::UnitNorm, norms.map(|norm| 1.0 / norm)),
        (
            Constraint::MinMaxNorm { min_value: 2.0, max_value: 2.5, rate: 0.5 },
            [(0.5 * 2.0 + 0.5 * norms[0]) / norms[0], (0.5 * 2.5 + 0.5 * norms[1]) / norms[1]],
        ),
    ];
    for (constraint, factors) in constraints {
        let mut held = model(device, Dense::new(2).kernel_constraint(constraint), &start);
        held.train_on_batch(&x, &y).expect("a step");
        let factors = ndarray::arr1(&factors);
        let want = &start * &factors;
        close(&format!("{constraint:?}"), held.get_weights().expect("weights")[0].iter().copied(), want);
    }
    let mut held = model(device, Dense::new(2).kernel_constraint(Constraint::NonNeg), &start);
    held.train_on_batch(&x, &y).expect("a step");
    close("NonNeg", held.get_weights().expect("weights")[0].iter().copied(), start.map(|w| w.max(0.0)));

    // What is not trained is neither penalised nor held.
    let mut frozen = model(device, Dense::new(2).kernel_regularizer(Regularizer::l2(0.3)), &start);
    let name = frozen.weight_names()[0].split('/').next().expect("a layer").to_owned();
    frozen.set_trainable(&name, false).expect("a layer");
    assert_eq!(frozen.evaluate(&x, &y).expect("a score").loss(), 0.0);
}

#[test]
fn on_the_cpu() {
    check(&Device::cpu());
}

#[test]
fn on_the_reference() {
    check(&Device::reference());
}

#[test]
fn on_the_gpu() {
    if let Some(device) = gpu() {
        check(&device);
    }
}

#[test]
fn wrong_settings_are_refused() {
    let chain = |layer: Dense| Sequential::new(Input::vector(3)).layer(layer).build(&Device::cpu());
    let message = chain(Dense::new(2).kernel_regularizer(Regularizer::l1(-1.0))).err().map(|e| e.to_string());
    assert!(message.is_some_and(|m| m.contains("l1 and l2")));
    let message = chain(Dense::new(2).bias_constraint(Constraint::min_max_norm(2.0, 1.0))).err();
    assert!(message.map(|e| e.to_string()).is_some_and(|m| m.contains("norms from 2 to 1")));
}
