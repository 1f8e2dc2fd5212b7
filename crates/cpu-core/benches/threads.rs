//! From which size on threads pay: the same operation in a pool of one thread and in one of all cores. The thresholds in
//! `parallel.rs` stand where the second becomes the faster.

use cpu_core::{Activation, StepParams, activation_forward, add, dropout, softmax_forward, sum_rows};
use criterion::{Criterion, criterion_group, criterion_main};
use std::hint::black_box;

fn sizes(c: &mut Criterion) {
    let cores = std::thread::available_parallelism().map_or(2, |n| n.get());
    let pools = [1, cores].map(|n| rayon::ThreadPoolBuilder::new().num_threads(n).build().unwrap());
    for log in [15, 16, 17, 18, 20] {
        let n: usize = 1 << log;
        let x: Vec<f32> = (0..n).map(|i| (i % 997) as f32 * 0.01 - 5.0).collect();
        let (mut y, mut sums) = (vec![0.0; n], vec![0.0; 512]);
        let mut group = c.benchmark_group(format!("threads/2^{log}"));
        for pool in &pools {
            let threads = pool.current_num_threads();
            pool.install(|| {
                group.bench_function(format!("add, {threads}"), |b| {
                    b.iter(|| add(black_box(&x), &x, &mut y).unwrap());
                });
                group.bench_function(format!("tanh, {threads}"), |b| {
                    b.iter(|| activation_forward(Activation::Tanh, black_box(&x), &mut y).unwrap());
                });
                group.bench_function(format!("softmax of 128, {threads}"), |b| {
                    b.iter(|| softmax_forward(n / 128, 128, black_box(&x), &mut y).unwrap());
                });
                group.bench_function(format!("sum_rows of 512, {threads}"), |b| {
                    b.iter(|| sum_rows(n / 512, 512, black_box(&x), &mut sums, false).unwrap());
                });
                group.bench_function(format!("dropout, {threads}"), |b| {
                    b.iter(|| dropout(0.5, 1, 2, &StepParams::default(), black_box(&x), &mut y).unwrap());
                });
            });
        }
        group.finish();
    }
}

criterion_group!(benches, sizes);
criterion_main!(benches);
