//! Models of one layer with a cell, weights that show errors, and numbers to run them on.

use ndarray::ArrayD;
use rnn_model::layer::Layer;
use rnn_model::{Device, Input, Model, Sequential};

/// Numbers that look random, the same for the same seed.
pub fn noise(seed: usize, shape: &[usize]) -> ArrayD<f32> {
    let len: usize = shape.iter().product();
    let number = |i: usize| {
        let x = ((i + 1) as f64 * 12.9898 + (seed + 1) as f64 * 78.233).sin() * 43_758.545_3;
        (2.0 * (x - x.floor()) - 1.0) as f32
    };
    ArrayD::from_shape_vec(shape.to_vec(), (0..len).map(number).collect()).unwrap()
}

#[track_caller]
pub fn close(what: &str, got: &ArrayD<f32>, want: &ArrayD<f32>, tolerance: f32) {
    assert_eq!(got.shape(), want.shape(), "{what}");
    for (i, (g, w)) in got.iter().zip(want).enumerate() {
        let allowed = tolerance * w.abs().max(1.0);
        assert!((g - w).abs() <= allowed, "{what}: value {i} is {g}, expected {w} (within {allowed:.1e})");
    }
}

pub fn sequence(layer: impl Into<Layer>, device: &Device) -> Model {
    Sequential::new(Input::sequence(None, 3)).layer(layer.into()).seed(5).build(device).unwrap()
}

/// Weights of size 1 in all places, so that a wrong gradient can not hide behind a small factor.
pub fn with_weights(mut model: Model, seed: usize) -> Model {
    let weights: Vec<_> = model.get_weights().unwrap();
    let weights = weights.iter().enumerate().map(|(i, w)| noise(seed + i, w.shape()).mapv(|x| 0.9 * x + 0.1));
    model.set_weights(&weights.collect::<Vec<_>>()).unwrap();
    model
}
