//! How many operations per second do the matmul faces reach at the products that a recurrent layer makes?
mod support;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use gpu_core::kernels::{self, Matmul};
use support::{context, filled};

fn matmul(c: &mut Criterion) {
    let Some(ctx) = context() else { return };
    let mut group = c.benchmark_group(format!("matmul/{}", ctx.info().backend));
    group.sample_size(10);
    for (name, spec) in [
        ("input product 2048 x 1024 x 128", Matmul::new(2048, 1024, 128)),
        ("weight gradient 256 x 1024 x 2048, a transposed", Matmul::new(256, 1024, 2048).trans_a()),
        ("input gradient 2048 x 128 x 1024, b transposed", Matmul::new(2048, 128, 1024).trans_b()),
        ("step 32 x 2048 x 512", Matmul::new(32, 2048, 512)),
        ("odd 333 x 65 x 127", Matmul::new(333, 65, 127)),
    ] {
        let (a, b) = (filled(&ctx, spec.m * spec.k, 0.5), filled(&ctx, spec.k * spec.n, 0.5));
        let y = filled(&ctx, spec.m * spec.n, 0.0);
        let mut rec = ctx.recorder();
        kernels::matmul(&mut rec, spec, &a, &b, None, &y).unwrap();
        let program = rec.finish().unwrap();
        // An element is a floating-point operation here.
        group.throughput(Throughput::Elements((2 * spec.m * spec.n * spec.k) as u64));
        group.bench_function(name, |bench| {
            bench.iter(|| {
                ctx.run(&program, &[Default::default()]).unwrap();
                ctx.synchronize().unwrap();
            });
        });
    }
}

criterion_group!(benches, matmul);
criterion_main!(benches);
