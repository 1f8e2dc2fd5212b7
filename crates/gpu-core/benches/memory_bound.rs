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
    time(&ctx, &mut group, "fill", 4 * n, |rec| kernels::fill(rec, 1.0, &y));
    let part = b.slice(0, n / 64).unwrap();
    time(&ctx, &mut group, "repeat_vector [64, 16384]", 4 * n, |rec| {
        kernels::repeat_vector(rec, 64, n / 64, &part, &y)
    });
    time(&ctx, &mut group, "reverse_time [64, 16384]", 8 * n, |rec| {
        kernels::reverse_time(rec, 64, n / 64, &a, &y)
    });
    time(&ctx, &mut group, "shift_append [64, 16384]", 8 * n, |rec| {
        kernels::shift_append(rec, 64, n / 64, &a, &part, &y)
    });
    time(&ctx, &mut group, "store_step [16384]", 8 * n / 64, |rec| {
        kernels::store_step(rec, n / 64, &part, &y)
    });
    for cols in [8, 128, 8192] {
        time(&ctx, &mut group, &format!("softmax_backward [{}, {cols}]", n / cols), 12 * n, |rec| {
            kernels::softmax_backward(rec, n / cols, cols, &a, &b, &y)
        });
    }
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
