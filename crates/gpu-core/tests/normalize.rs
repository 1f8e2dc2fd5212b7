//! Normalisation and its gradients against the f64 twin, with rows of any length, extremes and NaN.
mod common;
use common::{Guarded, assert_all_nan, assert_close, numbers, run, wide};
use gpu_core::vocabulary::Normalization;
use gpu_core::{Call, Context, Groups, kernels, testing};
use proptest::prelude::*;

const KINDS: [Normalization; 3] = [
    Normalization::Layer { epsilon: 1e-3 },
    Normalization::Rms { epsilon: 1e-3 },
    Normalization::L2 { epsilon: 1e-7 },
];

fn check(ctx: &Context, kind: Normalization, rows: usize, cols: usize, affine: bool) {
    let (x, dy) = (numbers(1, rows * cols, -2.0, 3.0), numbers(2, rows * cols, -1.0, 1.0));
    let (gamma, beta, before) =
        (numbers(3, cols, -1.5, 1.5), numbers(4, cols, -1.0, 1.0), numbers(5, cols, -1.0, 1.0));
    let [dx, ddy, dgamma, dbeta, sums] = [&x, &dy, &gamma, &beta, &before].map(|v| Guarded::new(ctx, v));
    let (y, stats, out) =
        (Guarded::out(ctx, x.len()), Guarded::out(ctx, 2 * rows), Guarded::out(ctx, x.len()));
    let factors = affine.then_some(&dgamma.slice);
    run(ctx, |rec| {
        let addends = affine.then_some(&dbeta.slice);
        kernels::normalize_forward(
            rec,
            kind,
            rows,
            cols,
            &dx.slice,
            factors,
            addends,
            &stats.slice,
            &y.slice,
        )?;
        let (x, stats, dy) = (&dx.slice, &stats.slice, &ddy.slice);
        kernels::normalize_backward(rec, kind, rows, cols, x, factors, stats, dy, &out.slice)?;
        kernels::normalize_gamma(rec, kind, rows, cols, x, stats, dy, &sums.slice)
    });
    let what = format!("{kind:?} {rows} {cols} {affine}");
    let (x, dy, gamma, beta) = (wide(&x), wide(&dy), wide(&gamma), wide(&beta));
    let (gamma, beta) = (affine.then_some(&gamma[..]), affine.then_some(&beta[..]));
    let (mut want, mut want_stats) = (vec![0.0; x.len()], vec![0.0; 2 * rows]);
    cpu_core::normalize_forward(kind, rows, cols, &x, gamma, beta, &mut want_stats, &mut want).unwrap();
    // Sums of up to 2^12 terms per invocation are off by a few hundred roundings of their size; a value is |y| <= 1.5 * 60 at most
    // where its row is nearly constant. Rows of one value have no variance at all: 1/sqrt(epsilon) times a rounding of 3.
    let long = 1.0 + (cols as f64).sqrt();
    assert_close(&format!("y of {what}"), &y.read(ctx), &want, 2e-6, 1e-6 * long);
    cpu_core::normalize_backward(kind, rows, cols, &x, gamma, &want_stats, &dy, &mut want).unwrap();
    let got = out.read(ctx);
    for (r, (got, want)) in got.chunks(cols).zip(want.chunks(cols)).enumerate() {
        // A row's gradient is what is left of two terms of the order of inv and of inv^3 (x - c), where (x - c) inv is near 1.
        let inv = want_stats[2 * r + 1];
        assert_close(
            &format!("dx of row {r} of {what}"),
            got,
            want,
            1e-5,
            1e-6 * long * (1.0 + inv * inv / 4.0),
        );
    }
    let scale = if cols < 4 { 40.0 } else { 1.0 };
    let mut want = wide(&before);
    cpu_core::normalize_gamma(kind, rows, cols, &x, &want_stats, &dy, &mut want).unwrap();
    assert_close(
        &format!("dgamma of {what}"),
        &sums.read(ctx),
        &want,
        1e-5,
        1e-6 * (rows as f64).sqrt() * scale,
    );
}

#[test]
fn edges() {
    let Some(ctx) = testing::context() else { return };
    for kind in KINDS {
        for (rows, cols) in
            [(1, 1), (1, 4), (257, 3), (33, 17), (129, 64), (9, 129), (5, 1025), (2, 20_000), (40_000, 5)]
        {
            check(&ctx, kind, rows, cols, rows != 33);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]
    #[test]
    fn any_shape(kind in prop::sample::select(&KINDS), rows in 1usize..150, cols in 4usize..200, affine: bool) {
        if let Some(ctx) = testing::context() {
            check(&ctx, kind, rows, cols, affine);
        }
    }
}

#[test]
fn zeros_are_bounded_and_nan_stays_in_its_row() {
    let Some(ctx) = testing::context() else { return };
    for kind in KINDS {
        for cols in [3, 40, 5000] {
            let mut x = vec![0.0; 3 * cols];
            x[cols + cols / 2] = f32::NAN;
            (0..cols).for_each(|c| x[2 * cols + c] = (c % 2) as f32);
            let (dx, y, stats) = (Guarded::new(&ctx, &x), Guarded::out(&ctx, x.len()), Guarded::out(&ctx, 6));
            let out = Guarded::out(&ctx, x.len());
            run(&ctx, |rec| {
                let (x, stats) = (&dx.slice, &stats.slice);
                kernels::normalize_forward(rec, kind, 3, cols, x, None, None, stats, &y.slice)?;
                kernels::normalize_backward(rec, kind, 3, cols, x, None, stats, x, &out.slice)
            });
            for got in [y.read(&ctx), out.read(&ctx)] {
                assert_eq!(got[..cols], vec![0.0; cols], "{kind:?} {cols}");
                assert_all_nan("the row", &got[cols..2 * cols]);
                assert!(got[2 * cols..].iter().all(|v| v.is_finite()));
            }
        }
    }
}

/// The launcher gives a whole row to one invocation on software adapters; hardware shares rows, and so does this.
#[test]
fn every_way_to_share_a_row() {
    use rnn_shaders::normalize::{KERNEL, Params};
    let Some(ctx) = testing::context() else { return };
    let kind = KINDS[0];
    for (rows, cols) in [(9, 7), (300, 33), (5, 700)] {
        let x = numbers(6, rows * cols, -2.0, 3.0);
        let (mut want, mut stats) = (vec![0.0; x.len()], vec![0.0; 2 * rows]);
        cpu_core::normalize_forward(kind, rows, cols, &wide(&x), None, None, &mut stats, &mut want).unwrap();
        for lanes in [1, 2, 8, 32, 256] {
            let (dx, y) = (Guarded::new(&ctx, &x), Guarded::out(&ctx, x.len()));
            let saved = Guarded::out(&ctx, 2 * rows);
            run(&ctx, |rec| {
                let nothing = rec.nothing()?;
                rec.call(Call {
                    kernel: &KERNEL,
                    overrides: &[("LANES", lanes as f64)],
                    buffers: &[&dx.slice, &dx.slice, &nothing, &nothing, &saved.slice, &y.slice],
                    params: bytemuck::bytes_of(&Params {
                        rows: rows as u32,
                        cols: cols as u32,
                        epsilon: 1e-3,
                        ..Default::default()
                    }),
                    groups: Groups::linear(rows, 256 / lanes),
                    flops: 0.0,
                })
            });
            assert_close(&format!("{rows} {cols} by {lanes}"), &y.read(&ctx), &want, 2e-6, 1e-5);
        }
    }
}
