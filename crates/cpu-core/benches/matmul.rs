//! How many operations per second do products reach, those that a recurrent layer makes and squares on either side of the size from
//! which the processor's matrix unit makes them, where it has one?

use cpu_core::matmul::{Matmul, matmul};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;

fn products(c: &mut Criterion) {
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get());
    let mut group = c.benchmark_group("matmul");
    group.sample_size(20);
    for (name, spec) in [
        ("input product 2048 x 1024 x 128", Matmul::new(2048, 1024, 128)),
        ("weight gradient 256 x 1024 x 2048, a transposed", Matmul::new(256, 1024, 2048).trans_a()),
        ("input gradient 2048 x 128 x 1024, b transposed", Matmul::new(2048, 128, 1024).trans_b()),
        ("step 32 x 2048 x 512", Matmul::new(32, 2048, 512)),
        ("square of 256", Matmul::new(256, 256, 256)),
        ("square of 320", Matmul::new(320, 320, 320)),
        ("square of 1024", Matmul::new(1024, 1024, 1024)),
        ("odd 333 x 65 x 127", Matmul::new(333, 65, 127)),
    ] {
        let filled = |len: usize| (0..len).map(|i| (i % 997) as f32 * 0.001 - 0.5).collect::<Vec<f32>>();
        let (a, b) = (filled(spec.m * spec.k), filled(spec.k * spec.n));
        let mut y = vec![0.0; spec.m * spec.n];
        // An element is a floating-point operation here.
        group.throughput(Throughput::Elements((2 * spec.m * spec.n * spec.k) as u64));
        group.bench_function(name, |bench| {
            bench.iter(|| matmul(spec, black_box(&a), black_box(&b), None, &mut y, threads).unwrap());
        });
    }
}

criterion_group!(benches, products);
criterion_main!(benches);
