//! What does a train step of a tiny model cost? The airline tutorial's network (LSTM(4), Dense(1), batch 1, 3 steps), where
//! nothing but overhead counts: 92 steps as one `fit` epoch, and one step as `train_on_batch`.

use criterion::{Criterion, criterion_group, criterion_main};
use std::hint::black_box;
use tidegate::layer::{Dense, Lstm};
use tidegate::ndarray::{Array, s};
use tidegate::{Adam, Device, FitOptions, Input, Loss, Model, Sequential};

fn model() -> tidegate::Result<Model> {
    let mut model = Sequential::new(Input::sequence(3, 1).batch(1))
        .layer(Lstm::new(4).stateful(true))
        .layer(Dense::new(1))
        .build(&Device::cpu())?;
    model.compile(Adam::new(), Loss::MeanSquaredError, &[])?;
    Ok(model)
}

fn tiny_step(c: &mut Criterion) {
    let x = Array::from_shape_fn((92, 3, 1), |(i, t, _)| ((i + t) as f32 * 0.2).sin());
    let y = Array::from_shape_fn((92, 1), |(i, _)| ((i + 3) as f32 * 0.2).sin());
    let mut fitted = model().expect("the model builds");
    c.bench_function("airline: fit, 92 steps", |b| {
        b.iter(|| fitted.fit(black_box(&x), &y, FitOptions::new()).expect("it trains"));
    });
    let mut stepped = model().expect("the model builds");
    let (x, y) = (x.slice(s![..1, .., ..]).to_owned(), y.slice(s![..1, ..]).to_owned());
    c.bench_function("airline: train_on_batch, 1 step", |b| {
        b.iter(|| stepped.train_on_batch(black_box(&x), &y).expect("it trains"));
    });
}

criterion_group!(benches, tiny_step);
criterion_main!(benches);
