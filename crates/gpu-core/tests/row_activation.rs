//! Log softmax and sparsemax and their gradients against the f64 twin, with extremes.
mod common;
use common::{Guarded, assert_all_nan, assert_close, numbers, run, wide};
use gpu_core::vocabulary::RowActivation;
use gpu_core::{Context, kernels, testing};

const KINDS: [RowActivation; 2] = [RowActivation::LogSoftmax, RowActivation::Sparsemax];

fn forward(ctx: &Context, kind: RowActivation, rows: usize, cols: usize, x: &[f32]) -> Vec<f32> {
    let (dx, y) = (Guarded::new(ctx, x), Guarded::out(ctx, x.len()));
    run(ctx, |rec| kernels::row_activation_forward(rec, kind, rows, cols, &dx.slice, &y.slice));
    y.read(ctx)
}

fn check(ctx: &Context, kind: RowActivation, rows: usize, cols: usize, spread: f32) {
    let x = numbers(51, rows * cols, -spread, spread);
    let y = forward(ctx, kind, rows, cols, &x);
    let mut want = vec![0.0; x.len()];
    cpu_core::row_activation_forward(kind, rows, cols, &wide(&x), &mut want).unwrap();
    // Roundings of differences up to twice the spread, of a logarithm and of a threshold.
    let atol = f64::from(spread) * 4.0 * 1.2e-7 + 2e-6;
    assert_close(&format!("{kind:?} {rows} {cols}"), &y, &want, 1e-5, atol);

    let dy = numbers(52, x.len(), -1.0, 1.0);
    let (dev_y, dev_dy, dx) = (Guarded::new(ctx, &y), Guarded::new(ctx, &dy), Guarded::out(ctx, x.len()));
    run(ctx, |rec| {
        kernels::row_activation_backward(rec, kind, rows, cols, &dev_y.slice, &dev_dy.slice, &dx.slice)
    });
    cpu_core::row_activation_backward(kind, rows, cols, &wide(&y), &wide(&dy), &mut want).unwrap();
    // The sum of a row of numbers up to 1 is off by a rounding of each partial sum.
    let atol = 2e-6 + 1e-7 * (cols as f64).sqrt();
    assert_close(&format!("{kind:?}' {rows} {cols}"), &dx.read(ctx), &want, 1e-5, atol);
}

#[test]
fn edges() {
    let Some(ctx) = testing::context() else { return };
    for kind in KINDS {
        for (rows, cols) in [(1, 1), (1, 4), (257, 3), (33, 5), (31, 64), (9, 65), (3, 1025), (70_000, 5)] {
            check(&ctx, kind, rows, cols, 5.0);
        }
        check(&ctx, kind, 5, 40, 100.0);
        check(&ctx, kind, 5, 40, 0.01);
    }
}

#[test]
fn nan_fills_its_row() {
    let Some(ctx) = testing::context() else { return };
    for kind in KINDS {
        let y = forward(&ctx, kind, 2, 3, &[1.0, 2.0, 3.0, 1.0, f32::NAN, 100.0]);
        assert!(y[..3].iter().all(|y| y.is_finite()), "{y:?}");
        assert_all_nan(&format!("{kind:?}"), &y[3..]);
    }
}
