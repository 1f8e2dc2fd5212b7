//! Noise and blends against the twins: the same numbers on both devices.
mod common;
use common::{Guarded, SIZES, assert_close, numbers, refused, run_step, wide};
use gpu_core::vocabulary::{Draw, Noise, StepParams};
use gpu_core::{Context, kernels, testing};

fn step() -> StepParams {
    StepParams { rng_step: 9, ..StepParams::default() }
}
const DRAW: Draw = Draw { seed: 0x0fed_cba9_8765_4321, stream: 5, part: 2 };
const KINDS: [Noise; 4] = [
    Noise::Dropout { rate: 0.3 },
    Noise::AlphaDropout { rate: 0.2 },
    Noise::Gaussian { stddev: 0.7 },
    Noise::GaussianDropout { rate: 0.4 },
];

fn check(ctx: &Context, kind: Noise, repeats: usize, period: usize) {
    let n = repeats * period;
    let x = numbers(1, n, -2.0, 2.0);
    let dx = Guarded::new(ctx, &x);
    for backward in [false, true] {
        let y = Guarded::out(ctx, n);
        run_step(ctx, step(), |rec| {
            kernels::noise(rec, kind, backward, repeats, DRAW, 0, &dx.slice, &y.slice)
        });
        let mut want = vec![0.0; n];
        cpu_core::noise(kind, backward, repeats, DRAW, 0, &step(), &wide(&x), &mut want).unwrap();
        // The polynomials are the same on both; fused or not, they are off by a few roundings of up to 5.8.
        assert_close(&format!("{kind:?} {backward} {repeats} {period}"), &y.read(ctx), &want, 1e-6, 3e-6);
    }
}

#[test]
fn every_size() {
    let Some(ctx) = testing::context() else { return };
    for kind in KINDS {
        for n in &SIZES[..5] {
            check(&ctx, kind, 1, *n);
        }
        for (repeats, period) in [(3, 1), (2, 7), (5, 64), (7, 129), (300, 1001)] {
            check(&ctx, kind, repeats, period);
        }
    }
    check(&ctx, KINDS[2], 1, SIZES[5]);
}

#[test]
fn blends() {
    let Some(ctx) = testing::context() else { return };
    for n in &SIZES[..5] {
        let (a, b) = (numbers(2, *n, -2.0, 2.0), numbers(3, *n, -2.0, 2.0));
        let (da, db) = (Guarded::new(&ctx, &a), Guarded::new(&ctx, &b));
        for draw in [Some(DRAW), None] {
            let [y, ga, gb] = std::array::from_fn(|_| Guarded::out(&ctx, *n));
            run_step(&ctx, step(), |rec| {
                kernels::blend(rec, 0.3, draw, &da.slice, &db.slice, &y.slice)?;
                kernels::blend_backward(rec, 0.3, draw, true, &da.slice, &ga.slice)?;
                kernels::blend_backward(rec, 0.3, draw, false, &da.slice, &gb.slice)
            });
            let (a, b, mut want) = (wide(&a), wide(&b), vec![0.0; *n]);
            let rate = f64::from(0.3f32);
            cpu_core::blend(rate, draw, &step(), &a, &b, &mut want).unwrap();
            assert_close("blend", &y.read(&ctx), &want, 1e-6, 2e-7);
            for (got, of_a) in [(ga, true), (gb, false)] {
                cpu_core::blend_backward(rate, draw, of_a, &step(), &a, &mut want).unwrap();
                assert_close("gradient of a blend", &got.read(&ctx), &want, 1e-6, 0.0);
            }
        }
    }
}

#[test]
fn what_a_mask_does_not_take_does_not_matter() {
    let Some(ctx) = testing::context() else { return };
    let (x, nan) = (Guarded::new(&ctx, &[1.0; 64]), Guarded::new(&ctx, &[f32::NAN; 64]));
    let [dropped, blended, noisy] = std::array::from_fn(|_| Guarded::out(&ctx, 64));
    run_step(&ctx, step(), |rec| {
        kernels::noise(rec, KINDS[0], false, 1, DRAW, 0, &nan.slice, &dropped.slice)?;
        kernels::blend(rec, 0.3, Some(DRAW), &nan.slice, &x.slice, &blended.slice)?;
        kernels::noise(rec, KINDS[2], false, 1, DRAW, 0, &nan.slice, &noisy.slice)
    });
    let (dropped, blended) = (dropped.read(&ctx), blended.read(&ctx));
    assert!(dropped.iter().zip(&blended).all(|(d, b)| if *d == 0.0 {
        b.is_nan()
    } else {
        d.is_nan() && *b == 1.0
    }));
    assert!(noisy.read(&ctx).iter().all(|v| v.is_nan()));
}

#[test]
fn wrong_calls_are_refused() {
    let Some(ctx) = testing::context() else { return };
    let (x, y) = (Guarded::new(&ctx, &[0.0; 6]), Guarded::new(&ctx, &[0.0; 6]));
    for (kind, reason) in [
        (Noise::AlphaDropout { rate: 1.0 }, "a rate of 1 is not at least 0 and below 1"),
        (Noise::Gaussian { stddev: -1.0 }, "a deviation of -1 is not finite and at least 0"),
        (Noise::Gaussian { stddev: f32::NAN }, "a deviation of NaN is not finite and at least 0"),
    ] {
        let message = refused(&ctx, |rec| kernels::noise(rec, kind, false, 1, DRAW, 0, &x.slice, &y.slice));
        assert_eq!(message, format!("noise: {reason}"));
    }
    let message = refused(&ctx, |rec| kernels::noise(rec, KINDS[0], false, 4, DRAW, 0, &x.slice, &y.slice));
    assert!(message.contains("4 repeats do not divide 6 elements"), "{message}");
    let message = refused(&ctx, |rec| kernels::blend(rec, 1.5, None, &x.slice, &x.slice, &y.slice));
    assert!(message.contains("a rate of 1.5"), "{message}");
}
