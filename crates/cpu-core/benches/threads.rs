//! From which size on threads pay: the same operation in a pool of one thread and in one of all cores. The thresholds in
//! `parallel.rs` stand where the second becomes the faster.

use cpu_core::{Activation, StepParams, activation_forward, add, dropout, softmax_forward, sum_rows};
use criterion::{Criterion, criterion_group, criterion_main};
use std::hint::black_box;
use std::time::Instant;

type Operation = fn(&[f32], &mut [f32]);

const OPERATIONS: [(&str, Operation); 5] = [
    ("add", |x, y| add(x, x, y).unwrap()),
    ("tanh", |x, y| activation_forward(Activation::Tanh, x, y).unwrap()),
    ("softmax of 128", |x, y| softmax_forward(x.len() / 128, 128, x, y).unwrap()),
    ("sum_rows of 512", |x, y| sum_rows(x.len() / 512, 512, x, &mut y[..512], false).unwrap()),
    ("dropout", |x, y| dropout(0.5, 1, 2, &StepParams::default(), x, y).unwrap()),
];

fn sizes(c: &mut Criterion) {
    let cores = std::thread::available_parallelism().map_or(2, |n| n.get());
    let pools = [1, cores].map(|n| rayon::ThreadPoolBuilder::new().num_threads(n).build().unwrap());
    for log in [15, 16, 17, 18, 20] {
        let n: usize = 1 << log;
        let x: Vec<f32> = (0..n).map(|i| (i % 997) as f32 * 0.01 - 5.0).collect();
        let mut y = vec![0.0; n];
        let mut group = c.benchmark_group(format!("threads/2^{log}"));
        for (name, operation) in OPERATIONS {
            for pool in &pools {
                group.bench_function(format!("{name}, {}", pool.current_num_threads()), |b| {
                    b.iter_custom(|rounds| {
                        // Inside the pool, so that entering it is not counted.
                        pool.install(|| {
                            let start = Instant::now();
                            (0..rounds).for_each(|_| operation(black_box(&x), &mut y));
                            start.elapsed()
                        })
                    });
                });
            }
        }
        group.finish();
    }
}

criterion_group!(benches, sizes);
criterion_main!(benches);
