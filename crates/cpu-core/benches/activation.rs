//! What an activation costs per element, forward and backward: one cache-resident array on one thread, and one that is
//! shared out to threads.

use cpu_core::{Activation, activation_backward, activation_forward, math};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;

fn activations(c: &mut Criterion) {
    for n in [16, 4096, 1 << 20] {
        let x: Vec<f32> = (0..n).map(|i| (i % 997) as f32 * 0.01 - 5.0).collect();
        let (mut y, mut dx) = (vec![0.0; n], vec![0.0; n]);
        let mut group = c.benchmark_group(format!("activation/{n}"));
        group.throughput(Throughput::Elements(n as u64));
        for kind in Activation::ALL {
            group.bench_function(format!("{kind:?} forward"), |b| {
                b.iter(|| activation_forward(kind, black_box(&x), &mut y).unwrap());
            });
            group.bench_function(format!("{kind:?} backward"), |b| {
                b.iter(|| activation_backward(kind, black_box(&x), &y, &mut dx).unwrap());
            });
        }
        group.bench_function("Tanh in place", |b| {
            b.iter(|| math::tanh_f32(black_box(&mut y)));
        });
        group.bench_function("Tanh of the standard library", |b| {
            b.iter(|| black_box(&x).iter().zip(&mut y).for_each(|(x, y)| *y = x.tanh()));
        });
        group.finish();
    }
}

criterion_group!(benches, activations);
criterion_main!(benches);
