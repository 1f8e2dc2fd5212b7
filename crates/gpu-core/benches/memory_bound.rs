//! How close do the kernels with one invocation per element come to the speed of a copy? 4 MiB per operand.
mod support;
use criterion::{Criterion, criterion_group, criterion_main};
use gpu_core::kernels;
use gpu_core::vocabulary::{Activation, OptimizerSpec, UpdateRule};
use support::{context, filled, time};

fn memory_bound(c: &mut Criterion) {
    let Some(ctx) = context() else { return };
    let n = 1 << 20;
    let [a, b, m, v, y] = [0.5, 0.25, 0.0, 0.0, 1.0].map(|value| filled(&ctx, n, value));
    let mut group = c.benchmark_group(format!("memory_bound/{}", ctx.info().backend));
    group.sample_size(10);
    time(&ctx, &mut group, "copy", 8 * n, |rec| kernels::copy(rec, &a, &y));
    time(&ctx, &mut group, "add", 12 * n, |rec| kernels::add(rec, &a, &b, &y));
    for kind in [Activation::Relu, Activation::Tanh, Activation::Gelu] {
        time(&ctx, &mut group, &format!("{kind:?}"), 8 * n, |rec| {
            kernels::activation_forward(rec, kind, &a, &y)
        });
        time(&ctx, &mut group, &format!("{kind:?} backward"), 12 * n, |rec| {
            kernels::activation_backward(rec, kind, &a, &b, &y)
        });
    }
    time(&ctx, &mut group, "dropout", 8 * n, |rec| kernels::dropout(rec, 0.5, 1, 2, &a, &y));
    let transposed = |rec: &mut _| kernels::transpose01(rec, 1 << 10, 1 << 8, 4, &a, &y);
    time(&ctx, &mut group, "transpose01 [1024, 256, 4]", 8 * n, transposed);
    let indices = ctx.alloc(64).unwrap().all();
    ctx.write(&indices, bytemuck::cast_slice(&(0..64u32).rev().collect::<Vec<_>>())).unwrap();
    time(&ctx, &mut group, "gather_batch [256, 64, 64]", 8 * n, |rec| {
        kernels::gather_batch(rec, 64, 256, 64, &a, &indices, &y)
    });
    let adam = UpdateRule::Adam { beta_1: 0.9, beta_2: 0.999, epsilon: 1e-7, amsgrad: false };
    let spec = OptimizerSpec { rule: adam, weight_decay: 0.0, clip_value: f32::INFINITY };
    time(&ctx, &mut group, "adam", 28 * n, |rec| {
        kernels::optimizer_step(rec, spec, n, &y, &a, Some(&m), Some(&v), None)
    });
}

criterion_group!(benches, memory_bound);
criterion_main!(benches);
