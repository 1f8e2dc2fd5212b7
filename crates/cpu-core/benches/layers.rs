//! What do the operations of layers without a recurrence cost? Shapes as in gpu-core's bench of this name.

use cpu_core::{Draw, Noise, Normalization, Pool, StepParams, VALID};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use rnn_shaders::shape::{Block, Steps};
use std::hint::black_box;

fn layers(c: &mut Criterion) {
    let mut group = c.benchmark_group("layers");
    group.sample_size(20);
    for (vocab, width, positions) in [(50_000, 64, 10_000), (30, 64, 100_000)] {
        let ids: Vec<f32> = (0..positions).map(|i| ((i * 7919) % vocab) as f32).collect();
        let (mut table, mut places) = (vec![0.1; vocab * width], vec![0.1; positions * width]);
        let steps = Steps::by_sample(positions / 50, 50);
        let what = format!("[{vocab}, {width}] by {positions}");
        group.throughput(Throughput::Bytes((8 * positions * width) as u64));
        group.bench_function(format!("embedding {what}"), |b| {
            b.iter(|| {
                cpu_core::embedding(steps, vocab, width, black_box(&table), &ids, &mut places).unwrap()
            });
        });
        group.bench_function(format!("embedding_backward {what}"), |b| {
            b.iter(|| {
                cpu_core::embedding_backward(steps, vocab, width, &ids, black_box(&places), &mut table)
                    .unwrap();
            });
        });
    }

    let (steps, batch, cols) = (128, 64, 128);
    let (rows, n) = (steps * batch, steps * batch * cols);
    let (x, dy, mut y) = (vec![0.5f32; n], vec![0.25f32; n], vec![0.0f32; n]);
    let (gamma, mut dgamma, mut stats) = (vec![1.0; cols], vec![0.0; cols], vec![0.0; 2 * rows]);
    let (mut count, mut pooled) = (vec![0.0; batch * cols], vec![0.0; batch * cols]);
    let flags = vec![VALID; rows];
    let step = StepParams::default();
    group.throughput(Throughput::Bytes(8 * n as u64));
    group.bench_function("copy_block half of the columns", |b| {
        b.iter(|| {
            cpu_core::copy_block(Block::rows(rows, cols / 2, cols, cols), black_box(&x), &mut y).unwrap()
        });
    });
    group.bench_function("copy_block permuted", |b| {
        let block = Block::permute([steps, batch, cols], [2, 1, 0]);
        b.iter(|| cpu_core::copy_block(block, black_box(&x), &mut y).unwrap());
    });
    group.bench_function("mask_rows", |b| {
        b.iter(|| cpu_core::mask_rows(rows, cols, 0.0, &flags, black_box(&x), &mut y).unwrap());
    });
    group.bench_function("select_rows", |b| {
        let (a, other) = (Some(&x[..]), Some(&dy[..]));
        b.iter(|| cpu_core::select_rows(rows, cols, 1, &flags, black_box(a), other, &mut y).unwrap());
    });
    let kind = Normalization::Layer { epsilon: 1e-3 };
    group.bench_function("layer normalisation", |b| {
        b.iter(|| {
            let gamma = Some(&gamma[..]);
            cpu_core::normalize_forward(kind, rows, cols, black_box(&x), gamma, None, &mut stats, &mut y)
                .unwrap();
        });
    });
    group.bench_function("layer normalisation backward", |b| {
        b.iter(|| {
            let gamma = Some(&gamma[..]);
            cpu_core::normalize_backward(kind, rows, cols, black_box(&x), gamma, &stats, &dy, &mut y)
                .unwrap();
            cpu_core::normalize_gamma(kind, rows, cols, &x, &stats, &dy, &mut dgamma).unwrap();
        });
    });
    for pool in [Pool::Average, Pool::Max] {
        group.bench_function(format!("{pool:?} over time"), |b| {
            b.iter(|| {
                let flags = Some(&flags[..]);
                cpu_core::pool_time(pool, steps, batch, cols, flags, black_box(&x), &mut count, &mut pooled)
                    .unwrap();
            });
        });
    }
    for (what, noise, repeats) in [
        ("dropout", Noise::Dropout { rate: 0.5 }, 1),
        ("dropout drawn once for all steps", Noise::Dropout { rate: 0.5 }, steps),
        ("Gaussian noise", Noise::Gaussian { stddev: 0.1 }, 1),
    ] {
        group.bench_function(what, |b| {
            b.iter(|| {
                cpu_core::noise(noise, false, repeats, Draw::default(), 0, &step, black_box(&x), &mut y)
                    .unwrap();
            });
        });
    }
    group.bench_function("blend", |b| {
        b.iter(|| cpu_core::blend(0.1, Some(Draw::default()), &step, black_box(&x), &dy, &mut y).unwrap());
    });
    group.bench_function("maximum", |b| {
        b.iter(|| cpu_core::maximum(black_box(&x), &dy, &mut y).unwrap());
    });
    group.finish();
}

criterion_group!(benches, layers);
criterion_main!(benches);
