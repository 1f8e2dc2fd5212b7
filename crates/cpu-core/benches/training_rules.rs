//! What do the rules around an update cost, and the sums of the metrics? Shapes as in gpu-core's bench of this name.

use cpu_core::{
    Bound, ColumnTerms, Factored, Limit, Matrix, Penalty, StepParams, Trust, VALID, column_terms, constrain,
    factored_step, gather_gradients, keep_largest, row_weights, segment_norms, threshold_counts, trust_step,
    weight_average, weight_penalty,
};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;

/// A matrix of weights, about as many as an LSTM of 256 units has.
const SHAPE: [usize; 2] = [512, 1024];

fn weights(c: &mut Criterion) {
    let [rows, cols] = SHAPE;
    let n = rows * cols;
    let mut group = c.benchmark_group("training_rules");
    group.sample_size(20);
    let step = StepParams { lr: 1e-3, alpha: 1e-3, beta: 0.9, ..StepParams::default() };
    let g: Vec<f32> = (0..n).map(|i| (i % 997) as f32 * 1e-3 - 0.5).collect();
    let [mut w, mut m, mut v, mut x] = [0.1, 0.1, 0.1, 0.1].map(|value| vec![value; n]);
    group.throughput(Throughput::Elements(n as u64));

    let segments = [0, n as u32];
    let [mut of_weights, mut of_direction] = [[0.0]; 2];
    segment_norms(&segments, &w, &mut of_weights).unwrap();
    segment_norms(&segments, &g, &mut of_direction).unwrap();
    group.bench_function("trust_step", |b| {
        b.iter(|| {
            let (of_weights, of_direction) = (&of_weights, &of_direction);
            trust_step(Trust::Lamb, &step, &segments, of_weights, of_direction, black_box(&g), &mut w)
                .unwrap();
        });
    });
    let matrix = [Matrix { offset: 0, rows: rows as u32, cols: cols as u32 }];
    let spec = Factored { epsilon_1: 1e-30, weight_decay: 0.0, clip_value: f32::INFINITY };
    group.bench_function("factored_step", |b| {
        b.iter(|| {
            factored_step(&spec, &step, &matrix, &mut w, black_box(&g), &mut m, &mut v, &mut x).unwrap();
        });
    });
    group.bench_function("gather_gradients", |b| {
        b.iter(|| gather_gradients(4, &step, black_box(&mut m), &mut v).unwrap());
    });
    group.bench_function("weight_average", |b| {
        b.iter(|| weight_average(0.99, &step, black_box(&mut w), &mut x).unwrap());
    });
    let penalty = [Penalty { offset: 0, len: n as u32, l1: 1e-4, l2: 1e-4 }];
    group.bench_function("weight_penalty and its gradient", |b| {
        let mut sum = [0.0; 2];
        b.iter(|| weight_penalty(&penalty, black_box(&w), Some(&mut m), 1.0, &mut sum).unwrap());
    });
    for (what, limit) in [
        ("constrain to no negatives", Limit::NonNegative),
        ("constrain norms", Limit::Norm { low: 0.0, high: 1.0, rate: 1.0 }),
    ] {
        let bound = [Bound { offset: 0, rows: rows as u32, cols: cols as u32, limit }];
        group.bench_function(what, |b| b.iter(|| constrain(&bound, black_box(&mut w)).unwrap()));
    }
    group.finish();
}

fn sums(c: &mut Criterion) {
    let (rows, cols) = (64 * 32, 128);
    let n = rows * cols;
    let mut group = c.benchmark_group("metric_sums");
    group.sample_size(20);
    let (flags, sample_weights) = (vec![VALID; rows], vec![0.5f32; 32]);
    let mut weights = vec![0.0; rows];
    group.throughput(Throughput::Elements(rows as u64));
    group.bench_function("row_weights", |b| {
        let valid = [rows as f32];
        b.iter(|| {
            let given = Some(black_box(&sample_weights[..]));
            row_weights(given, Some(&flags), Some(&valid), &mut weights).unwrap();
        });
    });
    let pred: Vec<f32> = (0..n).map(|i| (i % 997) as f32 / 997.0).collect();
    let target: Vec<f32> = (0..n).map(|i| (i % 7 == 0).into()).collect();
    group.throughput(Throughput::Elements(n as u64));
    for count in [2, 200] {
        let thresholds: Vec<f32> = (0..count).map(|i| i as f32 / count as f32).collect();
        let mut sums = vec![0.0; 4 * count];
        group.bench_function(format!("threshold_counts of {count}"), |b| {
            b.iter(|| {
                let weights = Some(&weights[..]);
                let pred = black_box(&pred);
                threshold_counts(&thresholds, None, rows, cols, pred, &target, weights, &mut sums).unwrap();
            });
        });
    }
    let mut kept = vec![0.0; n];
    group.bench_function("keep_largest 5", |b| {
        b.iter(|| keep_largest(5, f32::MIN, rows, cols, black_box(&pred), &mut kept).unwrap());
    });
    let mut sums = vec![0.0; 6 * cols];
    for terms in [ColumnTerms::Squares, ColumnTerms::Hits { threshold: None }] {
        group.bench_function(format!("column_terms {terms:?}"), |b| {
            b.iter(|| {
                let weights = Some(&weights[..]);
                column_terms(terms, rows, cols, black_box(&pred), &target, weights, &mut sums).unwrap();
            });
        });
    }
    group.finish();
}

criterion_group!(benches, weights, sums);
criterion_main!(benches);
