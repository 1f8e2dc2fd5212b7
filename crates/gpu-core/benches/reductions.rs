//! What do sums, norms, softmax and losses cost at the shapes of a train step? (T 40, B 32, 4 x 128 gates,
//! 10 classes; T 64, B 32, 128 classes.)
mod support;
use criterion::{Criterion, criterion_group, criterion_main};
use gpu_core::kernels;
use gpu_core::vocabulary::{RowActivation, Score};
use support::{context, filled, time};

fn reductions(c: &mut Criterion) {
    let Some(ctx) = context() else { return };
    let mut group = c.benchmark_group(format!("reductions/{}", ctx.info().backend));
    group.sample_size(10);

    let (rows, cols) = (40 * 32, 512);
    let (x, out) = (filled(&ctx, rows * cols, 0.5), filled(&ctx, cols, 0.0));
    time(&ctx, &mut group, "sum_rows [1280, 512]", 4 * rows * cols, |rec| {
        kernels::sum_rows(rec, rows, cols, &x, &out, true)
    });
    let total = filled(&ctx, 1, 0.0);
    time(&ctx, &mut group, "sum_all [655360]", 4 * rows * cols, |rec| {
        kernels::sum_all(rec, &x, &total, false)
    });
    // An LSTM(128) and a Dense layer on 64 features.
    let segments = [0, 64 * 512, 32_768, 128 * 512, 98_304, 512, 98_816, 1280, 100_096, 10];
    let (grads, norms) = (filled(&ctx, 100_160, 0.01), filled(&ctx, 5, 0.0));
    time(&ctx, &mut group, "global norm and clip [100106]", 12 * 100_106, |rec| {
        kernels::segment_norms(rec, &segments, &grads, &norms)?;
        kernels::clip_by_norm(rec, &segments, &norms, 1e3, true, &grads)
    });
    let [logits, target, gradient] = [0.3, 0.1, 0.0].map(|value| filled(&ctx, rows * 10, value));
    let scores = filled(&ctx, rows, 0.0);
    time(&ctx, &mut group, "softmax [1280, 10]", 8 * rows * 10, |rec| {
        kernels::softmax_forward(rec, rows, 10, &logits, &gradient)
    });
    time(&ctx, &mut group, "sparsemax [1280, 10]", 8 * rows * 10, |rec| {
        kernels::row_activation_forward(rec, RowActivation::Sparsemax, rows, 10, &logits, &gradient)
    });
    let loss = Score::CategoricalCrossentropy { from_logits: true, label_smoothing: 0.0 };
    time(&ctx, &mut group, "cross-entropy and gradient [1280, 10]", 20 * rows * 10, |rec| {
        kernels::score_forward(rec, loss, rows, 10, &logits, &target, None, &scores)?;
        kernels::score_backward(rec, loss, rows, 10, &logits, &target, None, 1.0, &gradient)
    });
    let (steps, classes) = (64 * 32, 128);
    let [logits, target, gradient] = [0.3, 0.1, 0.0].map(|value| filled(&ctx, steps * classes, value));
    let scores = filled(&ctx, steps, 0.0);
    time(&ctx, &mut group, "cross-entropy and gradient [2048, 128]", 20 * steps * classes, |rec| {
        kernels::score_forward(rec, loss, steps, classes, &logits, &target, None, &scores)?;
        kernels::score_backward(rec, loss, steps, classes, &logits, &target, None, 1.0, &gradient)
    });
    let [vocabulary, wide] = [0.3, 0.0].map(|value| filled(&ctx, 32 * 10_000, value));
    time(&ctx, &mut group, "softmax [32, 10000]", 8 * 32 * 10_000, |rec| {
        kernels::softmax_forward(rec, 32, 10_000, &vocabulary, &wide)
    });
}

criterion_group!(benches, reductions);
criterion_main!(benches);
