//! Embedding and the gradient of its table against the f64 twin; the same bits every time.
mod common;
use common::{Guarded, assert_close, numbers, refused, run, wide};
use gpu_core::{Context, kernels, testing};
use proptest::prelude::*;
use rnn_shaders::shape::Steps;

fn check(ctx: &Context, steps: Steps, vocab: usize, width: usize, hot: bool) {
    let n = steps.len();
    // Some ids are beyond the table on both sides, and fractions; a hot id has most of the places.
    let mut ids = numbers(1, n, -1.5, vocab as f32 + 0.5);
    if hot {
        ids.iter_mut().enumerate().filter(|(i, _)| i % 20 != 0).for_each(|(_, id)| *id = 2.0);
    }
    let (table, dy) = (numbers(2, vocab * width, -1.0, 1.0), numbers(3, n * width, -1.0, 1.0));
    let before = numbers(4, vocab * width, -1.0, 1.0);
    let (dids, dtable, ddy) = (Guarded::new(ctx, &ids), Guarded::new(ctx, &table), Guarded::new(ctx, &dy));
    let (out, grad) = (Guarded::out(ctx, n * width), Guarded::new(ctx, &before));
    run(ctx, |rec| {
        kernels::embedding(rec, steps, vocab, width, &dtable.slice, &dids.slice, &out.slice)?;
        kernels::embedding_backward(rec, steps, vocab, width, &dids.slice, &ddy.slice, &grad.slice)
    });
    let mut want = vec![0.0f32; n * width];
    cpu_core::embedding(steps, vocab, width, &table, &ids, &mut want).unwrap();
    assert_eq!(out.read(ctx), want, "{steps:?} {vocab} {width}");
    let mut want = wide(&before);
    cpu_core::embedding_backward(steps, vocab, width, &wide(&ids), &wide(&dy), &mut want).unwrap();
    // Runs of at most 4096 additions of numbers below 1, whose partial sums are a random walk: of 6e-8 each.
    let got = grad.read(ctx);
    assert_close(&format!("gradient {steps:?} {vocab} {width}"), &got, &want, 1e-6, 6e-8 * 4096.0);

    let again = Guarded::new(ctx, &before);
    run(ctx, |rec| {
        kernels::embedding_backward(rec, steps, vocab, width, &dids.slice, &ddy.slice, &again.slice)
    });
    assert_eq!(again.read(ctx), got, "not the same bits twice");
}

#[test]
fn edges() {
    let Some(ctx) = testing::context() else { return };
    for (time, batch, vocab, width, hot) in [
        (1, 1, 1, 1, false),
        (1, 64, 33, 64, false),
        (5, 13, 32, 65, false),
        (300, 33, 7, 3, true),
        (40, 20, 9000, 5, false),
        // More than one chunk one after the other, and many side by side.
        (600, 8, 8200, 64, true),
        (900, 30, 30, 16, true),
    ] {
        check(&ctx, Steps::by_sample(time, batch), vocab, width, hot);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]
    #[test]
    fn any_shape(time in 1usize..30, batch in 1usize..30, vocab in 1usize..100, width in 1usize..80) {
        if let Some(ctx) = testing::context() {
            check(&ctx, Steps::by_step(time, batch), vocab, width, false);
        }
    }
}

#[test]
fn strangers_give_zeros_and_wrong_calls_are_refused() {
    let Some(ctx) = testing::context() else { return };
    let ids = Guarded::new(&ctx, &[f32::NAN, f32::INFINITY, -1.0, 3.0, -0.5, 2.9, -f32::INFINITY]);
    let (table, out) = (Guarded::new(&ctx, &[1.0, 2.0, 3.0]), Guarded::out(&ctx, 7));
    run(&ctx, |rec| {
        kernels::embedding(rec, Steps::by_step(1, 7), 3, 1, &table.slice, &ids.slice, &out.slice)
    });
    assert_eq!(out.read(&ctx), [0.0, 0.0, 0.0, 0.0, 1.0, 3.0, 0.0]);
    let message = refused(&ctx, |rec| {
        kernels::embedding(rec, Steps::by_sample(4, 2), 3, 1, &table.slice, &ids.slice, &out.slice)
    });
    assert_eq!(message, "embedding: out needs 8 elements, got 7");
    let message = refused(&ctx, |rec| {
        kernels::embedding_backward(rec, Steps::by_step(1, 7), 1 << 25, 0, &ids.slice, &out.slice, &out.slice)
    });
    assert!(message.starts_with("embedding_backward: dtable needs 0"), "{message}");
}
