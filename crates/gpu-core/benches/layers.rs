//! What do the kernels of layers without a recurrence cost? Tables of a language model (50,000 words, 10,000 places) and of
//! characters (30, 100,000 places), sequences of T 128, B 64, F 128.
mod support;
use criterion::{Criterion, criterion_group, criterion_main};
use gpu_core::kernels;
use gpu_core::vocabulary::{Draw, Noise, Normalization, Pool};
use rnn_shaders::shape::{Block, Steps};
use support::{context, filled, time};

fn layers(c: &mut Criterion) {
    let Some(ctx) = context() else { return };
    let mut group = c.benchmark_group(format!("layers/{}", ctx.info().backend));
    group.sample_size(10);

    for (vocab, width, positions) in [(50_000, 64, 10_000), (30, 64, 100_000)] {
        let ids: Vec<f32> = (0..positions).map(|i| ((i * 7919) % vocab) as f32).collect();
        let ids = ctx.alloc_from(&ids).unwrap().all();
        let [table, places] = [vocab * width, positions * width].map(|n| filled(&ctx, n, 0.1));
        let steps = Steps::by_sample(positions / 50, 50);
        let what = format!("[{vocab}, {width}] by {positions}");
        let bytes = 8 * positions * width;
        time(&ctx, &mut group, &format!("embedding {what}"), bytes, |rec| {
            kernels::embedding(rec, steps, vocab, width, &table, &ids, &places)
        });
        time(&ctx, &mut group, &format!("embedding_backward {what}"), bytes, |rec| {
            kernels::embedding_backward(rec, steps, vocab, width, &ids, &places, &table)
        });
    }

    let (steps, batch, cols) = (128, 64, 128);
    let n = steps * batch * cols;
    let [x, dy, y] = [0.5, 0.25, 0.0].map(|value| filled(&ctx, n, value));
    let [gamma, stats, pooled, count] =
        [cols, 2 * steps * batch, batch * cols, batch * cols].map(|n| filled(&ctx, n, 1.0));
    let flags = ctx.alloc(steps * batch).unwrap().all();
    ctx.write(&flags, bytemuck::cast_slice(&vec![1u32; steps * batch])).unwrap();
    time(&ctx, &mut group, "copy_block half of the columns", 4 * n, |rec| {
        kernels::copy_block(rec, Block::rows(steps * batch, cols / 2, cols, cols), &x, &y)
    });
    time(&ctx, &mut group, "copy_block permuted", 8 * n, |rec| {
        kernels::copy_block(rec, Block::permute([steps, batch, cols], [2, 1, 0]), &x, &y)
    });
    time(&ctx, &mut group, "mask_rows", 8 * n, |rec| {
        kernels::mask_rows(rec, steps * batch, cols, 0.0, &flags, &x, &y)
    });
    time(&ctx, &mut group, "select_rows", 12 * n, |rec| {
        kernels::select_rows(rec, steps * batch, cols, 1, &flags, Some(&x), Some(&dy), &y)
    });
    time(&ctx, &mut group, "flags from values, reversed", 4 * n, |rec| {
        let rows = Steps::of_rows(steps, batch, cols);
        kernels::flags_from_values(rec, rows, cols, 0.0, &x, &flags)?;
        kernels::reverse_flags(rec, steps, batch, &flags, &flags)
    });
    let kind = Normalization::Layer { epsilon: 1e-3 };
    time(&ctx, &mut group, "layer normalisation", 8 * n, |rec| {
        kernels::normalize_forward(rec, kind, steps * batch, cols, &x, Some(&gamma), None, &stats, &y)
    });
    time(&ctx, &mut group, "layer normalisation backward", 20 * n, |rec| {
        kernels::normalize_backward(rec, kind, steps * batch, cols, &x, Some(&gamma), &stats, &dy, &y)?;
        kernels::normalize_gamma(rec, kind, steps * batch, cols, &x, &stats, &dy, &gamma)
    });
    for pool in [Pool::Average, Pool::Max] {
        time(&ctx, &mut group, &format!("{pool:?} over time and back"), 12 * n, |rec| {
            kernels::pool_time(rec, pool, steps, batch, cols, Some(&flags), &x, &count, &pooled)?;
            kernels::pool_time_backward(
                rec,
                pool,
                steps,
                batch,
                cols,
                Some(&flags),
                &x,
                &pooled,
                &count,
                &pooled,
                &y,
            )
        });
    }
    for (what, noise, repeats) in [
        ("dropout", Noise::Dropout { rate: 0.5 }, 1),
        ("dropout drawn once for all steps", Noise::Dropout { rate: 0.5 }, steps),
        ("Gaussian noise", Noise::Gaussian { stddev: 0.1 }, 1),
    ] {
        time(&ctx, &mut group, what, 8 * n, |rec| {
            kernels::noise(rec, noise, false, repeats, Draw::default(), 0, &x, &y)
        });
    }
    time(&ctx, &mut group, "blend", 12 * n, |rec| {
        kernels::blend(rec, 0.1, Some(Draw::default()), &x, &dy, &y)
    });
    time(&ctx, &mut group, "maximum and back", 28 * n, |rec| {
        kernels::maximum(rec, &x, &dy, &y)?;
        kernels::maximum_backward(rec, &x, &dy, &dy, &y)
    });
    let total = filled(&ctx, 1, 0.0);
    time(&ctx, &mut group, "penalty and back", 12 * n, |rec| {
        kernels::penalty(rec, 0.1, 0.1, &x, &total)?;
        kernels::penalty_backward(rec, 0.1, 0.1, 1.0, &x, &y)
    });
}

criterion_group!(benches, layers);
criterion_main!(benches);
