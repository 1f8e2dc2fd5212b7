//! What does it cost to advance many live streams by one step? 400 streams share an LSTM(64) whose states stay on the
//! device from call to call (workload W2), against running each stream's last 40 steps again from zero.

use criterion::{Criterion, criterion_group, criterion_main};
use std::hint::black_box;
use tidegate::layer::Lstm;
use tidegate::ndarray::Array3;
use tidegate::{Device, Input, Model, Sequential};

fn model(stateful: bool) -> tidegate::Result<Model> {
    Sequential::new(Input::sequence(None, 8)).layer(Lstm::new(64).stateful(stateful)).build(&Device::cpu())
}

fn resident_state(c: &mut Criterion) {
    let (step, history) = (Array3::<f32>::ones((400, 1, 8)), Array3::<f32>::ones((400, 40, 8)));
    let mut kept = model(true).expect("the model builds");
    c.bench_function("400 streams: one step on kept states", |b| {
        b.iter(|| kept.predict_on_batch(black_box(&step)).expect("it runs"));
    });
    let mut again = model(false).expect("the model builds");
    c.bench_function("400 streams: 40 steps from zero", |b| {
        b.iter(|| again.predict_on_batch(black_box(&history)).expect("it runs"));
    });
}

criterion_group!(benches, resident_state);
criterion_main!(benches);
