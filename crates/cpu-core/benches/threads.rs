//! From which size on threads pay: the same operation on one thread and on all cores. The thresholds in `parallel.rs` stand
//! where the second becomes the faster; below them both are the same.

use cpu_core::{
    Activation, RowActivation, StepParams, activation_forward, add, dropout, row_activation_forward,
    softmax_forward, sum_rows, with_threads,
};
use criterion::{Criterion, criterion_group, criterion_main};
use std::hint::black_box;

type Operation = fn(&[f32], &mut [f32]);

const OPERATIONS: [(&str, Operation); 6] = [
    ("add", |x, y| add(x, x, y).unwrap()),
    ("tanh", |x, y| activation_forward(Activation::Tanh, x, y).unwrap()),
    ("softmax of 128", |x, y| softmax_forward(x.len() / 128, 128, x, y).unwrap()),
    ("sparsemax of 128", |x, y| {
        row_activation_forward(RowActivation::Sparsemax, x.len() / 128, 128, x, y).unwrap();
    }),
    ("sum_rows of 512", |x, y| sum_rows(x.len() / 512, 512, x, &mut y[..512], false).unwrap()),
    ("dropout", |x, y| dropout(0.5, 1, 2, &StepParams::default(), x, y).unwrap()),
];

fn sizes(c: &mut Criterion) {
    for log in [15, 16, 17, 18, 20] {
        let n: usize = 1 << log;
        let x: Vec<f32> = (0..n).map(|i| (i % 997) as f32 * 0.01 - 5.0).collect();
        let mut y = vec![0.0; n];
        let mut group = c.benchmark_group(format!("threads/2^{log}"));
        for (name, operation) in OPERATIONS {
            for (label, threads) in [("one", 1), ("all", usize::MAX)] {
                group.bench_function(format!("{name}, {label}"), |b| {
                    with_threads(threads, || b.iter(|| operation(black_box(&x), &mut y)));
                });
            }
        }
        group.finish();
    }
}

criterion_group!(benches, sizes);
criterion_main!(benches);
