//! What does one call of a tiny kernel cost inside a recorded program, and what a whole tiny program? The floor under
//! every train step of a small model.
mod support;
use criterion::{Criterion, criterion_group, criterion_main};
use gpu_core::kernels;
use support::{context, filled};

fn small_calls(c: &mut Criterion) {
    let Some(ctx) = context() else { return };
    let mut group = c.benchmark_group(format!("small_calls/{}", ctx.info().backend));
    let (x, y) = (filled(&ctx, 32, 0.5), filled(&ctx, 32, 0.0));
    for calls in [1, 10, 100] {
        let mut rec = ctx.recorder();
        for _ in 0..calls {
            kernels::add_assign(&mut rec, &x, &y).unwrap();
        }
        let program = rec.finish().unwrap();
        group.bench_function(format!("run and wait, {calls} calls"), |b| {
            b.iter(|| {
                ctx.run(&program, &[Default::default()]).unwrap();
                ctx.synchronize().unwrap();
            });
        });
    }
    group.bench_function("record 100 calls", |b| {
        b.iter(|| {
            let mut rec = ctx.recorder();
            for _ in 0..100 {
                kernels::add_assign(&mut rec, &x, &y).unwrap();
            }
            rec.finish().unwrap()
        });
    });
}

criterion_group!(benches, small_calls);
criterion_main!(benches);
