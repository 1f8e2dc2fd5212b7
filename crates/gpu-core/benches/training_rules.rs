//! What do the rules around an update cost, for a matrix of as many weights as an LSTM of 256 units has, and the sums of the
//! metrics for T 64, B 32 and 128 classes?
mod support;
use criterion::{Criterion, criterion_group, criterion_main};
use gpu_core::kernels;
use gpu_core::vocabulary::{Bound, ColumnTerms, Factored, Limit, Matrix, Penalty, Trust, VALID};
use support::{context, filled, time};

fn weights(c: &mut Criterion) {
    let Some(ctx) = context() else { return };
    let mut group = c.benchmark_group(format!("training_rules/{}", ctx.info().backend));
    group.sample_size(10);
    let (rows, cols) = (512, 1024);
    let n = rows * cols;
    let [w, g, m, v, x] = [0.1, 0.01, 0.1, 0.1, 0.1].map(|value| filled(&ctx, n, value));
    let [of_weights, of_direction, sum] = [1, 1, 2].map(|n| filled(&ctx, n, 1.0));

    time(&ctx, &mut group, "trust_step", 12 * n, |rec| {
        kernels::trust_step(rec, Trust::Lamb, &[0, n as u32], &of_weights, &of_direction, &g, &w)
    });
    let matrix = [Matrix { offset: 0, rows: rows as u32, cols: cols as u32 }];
    let spec = Factored { epsilon_1: 1e-30, weight_decay: 0.0, clip_value: f32::INFINITY };
    time(&ctx, &mut group, "factored_step", 16 * n, |rec| {
        kernels::factored_step(rec, spec, &matrix, &w, &g, &m, &v, &x)
    });
    time(&ctx, &mut group, "gather_gradients", 16 * n, |rec| kernels::gather_gradients(rec, 4, &m, &v));
    time(&ctx, &mut group, "weight_average", 16 * n, |rec| kernels::weight_average(rec, 0.99, &w, &x));
    let penalty = [Penalty { offset: 0, len: n as u32, l1: 1e-4, l2: 1e-4 }];
    time(&ctx, &mut group, "weight_penalty and its gradient", 12 * n, |rec| {
        kernels::weight_penalty(rec, &penalty, &w, Some(&m), 1.0, &sum)
    });
    for (what, limit) in [
        ("constrain to no negatives", Limit::NonNegative),
        ("constrain norms", Limit::Norm { low: 0.0, high: 1.0, rate: 1.0 }),
    ] {
        let bound = [Bound { offset: 0, rows: rows as u32, cols: cols as u32, limit }];
        time(&ctx, &mut group, what, 8 * n, |rec| kernels::constrain(rec, &bound, &w));
    }
    group.finish();
}

fn sums(c: &mut Criterion) {
    let Some(ctx) = context() else { return };
    let mut group = c.benchmark_group(format!("metric_sums/{}", ctx.info().backend));
    group.sample_size(10);
    let (rows, cols) = (64 * 32, 128);
    let n = rows * cols;
    let flags = ctx.alloc(rows).unwrap().all();
    ctx.write(&flags, bytemuck::cast_slice(&vec![VALID; rows])).unwrap();
    let (given, valid, weights) =
        (filled(&ctx, 32, 0.5), filled(&ctx, 1, rows as f32), filled(&ctx, rows, 0.0));
    time(&ctx, &mut group, "row_weights", 8 * rows, |rec| {
        kernels::row_weights(rec, Some(&given), Some(&flags), Some(&valid), &weights)
    });
    let pred: Vec<f32> = (0..n).map(|i| (i % 997) as f32 / 997.0).collect();
    let target: Vec<f32> = (0..n).map(|i| (i % 7 == 0).into()).collect();
    let [pred, target] = [pred, target].map(|values| ctx.alloc_from(&values).unwrap().all());
    for count in [2, 200] {
        let thresholds: Vec<f32> = (0..count).map(|i| i as f32 / count as f32).collect();
        let sums = filled(&ctx, 4 * count, 0.0);
        time(&ctx, &mut group, &format!("threshold_counts of {count}"), 8 * n, |rec| {
            let weights = Some(&weights);
            kernels::threshold_counts(rec, &thresholds, None, rows, cols, &pred, &target, weights, &sums)
        });
    }
    let kept = filled(&ctx, n, 0.0);
    time(&ctx, &mut group, "keep_largest 5", 8 * n, |rec| {
        kernels::keep_largest(rec, 5, f32::MIN, rows, cols, &pred, &kept)
    });
    let sums = filled(&ctx, 6 * cols, 0.0);
    for terms in [ColumnTerms::Squares, ColumnTerms::Hits { threshold: None }] {
        time(&ctx, &mut group, &format!("column_terms {terms:?}"), 8 * n, |rec| {
            kernels::column_terms(rec, terms, rows, cols, &pred, &target, Some(&weights), &sums)
        });
    }
    group.finish();
}

criterion_group!(benches, weights, sums);
criterion_main!(benches);
