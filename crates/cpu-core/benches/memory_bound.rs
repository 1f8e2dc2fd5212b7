//! Operations that move or fill memory, and the softmax backward: how close do they come to the speed of a copy? 4 MiB per
//! operand, as in gpu-core's bench of this name.

use cpu_core::{
    StepParams, copy, fill, repeat_vector, reverse_time, shift_append, softmax_backward, store_step, to_vec,
};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;

const N: usize = 1 << 20;

fn memory_bound(c: &mut Criterion) {
    let mut group = c.benchmark_group("memory_bound");
    let (x, dy, mut y) = (vec![0.5f32; N], vec![0.25f32; N], vec![0.0f32; N]);
    let mut time = |name: &str, bytes: usize, run: &mut dyn FnMut(&mut [f32])| {
        group.throughput(Throughput::Bytes(bytes as u64));
        group.bench_function(name, |b| b.iter(|| run(black_box(&mut y))));
    };
    time("copy", 8 * N, &mut |y| copy(&x, y).unwrap());
    time("to_vec", 8 * N, &mut |_| drop(black_box(to_vec(&x))));
    time("fill", 4 * N, &mut |y| fill(1.0, y).unwrap());
    time("repeat_vector [64, 16384]", 4 * N, &mut |y| repeat_vector(64, N / 64, &x[..N / 64], y).unwrap());
    time("reverse_time [64, 16384]", 8 * N, &mut |y| reverse_time(64, N / 64, &x, y).unwrap());
    time("shift_append [64, 16384]", 8 * N, &mut |y| {
        shift_append(64, N / 64, &x, &dy[..N / 64], y).unwrap();
    });
    let step = StepParams { cursor: 3, ..StepParams::default() };
    time("store_step [16384]", 8 * N / 64, &mut |y| store_step(N / 64, &step, &x[..N / 64], y).unwrap());
    for cols in [8, 128, 8192] {
        time(&format!("softmax_backward [{}, {cols}]", N / cols), 12 * N, &mut |y| {
            softmax_backward(N / cols, cols, &x, &dy, y).unwrap();
        });
    }
    group.finish();
}

criterion_group!(benches, memory_bound);
criterion_main!(benches);
