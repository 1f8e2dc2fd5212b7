//! Trust steps, gathered gradients, weight averages, penalties and constraints against the f64 twins.
mod common;
use common::{Guarded, assert_all_nan, assert_close, numbers, refused, run_step, wide};
use gpu_core::vocabulary::{
    Bound, EMA_OVERWRITE, EMA_START, Factored, HOLD, Limit, Matrix, Penalty, StepParams, Trust,
};
use gpu_core::{kernels, testing};

/// Gaps, a single value, one that takes more than one block.
const SEGMENTS: [u32; 8] = [3, 1, 64, 4096, 4200, 5000, 9300, 30];
const LEN: usize = 9400;

fn step(phase: u32) -> StepParams {
    StepParams { lr: 0.1, alpha: 0.05, phase, ..StepParams::default() }
}

#[test]
fn trust_steps() {
    let Some(ctx) = testing::context() else { return };
    let mut weights = numbers(1, LEN, -1.0, 1.0);
    // A variable of zeros has no norm to compare with.
    weights[9300..9330].fill(0.0);
    let direction = numbers(2, LEN, -3.0, 3.0);
    for trust in [Trust::Lamb, Trust::Adafactor { epsilon_2: 1e-3, clip_threshold: 1.0 }] {
        for phase in [0, HOLD] {
            let (w, x) = (Guarded::new(&ctx, &weights), Guarded::new(&ctx, &direction));
            let (ww, xx) = (Guarded::out(&ctx, 4), Guarded::out(&ctx, 4));
            run_step(&ctx, step(phase), |rec| {
                kernels::segment_norms(rec, &SEGMENTS, &w.slice, &ww.slice)?;
                kernels::segment_norms(rec, &SEGMENTS, &x.slice, &xx.slice)?;
                kernels::trust_step(rec, trust, &SEGMENTS, &ww.slice, &xx.slice, &x.slice, &w.slice)
            });
            let (mut want, x64) = (wide(&weights), wide(&direction));
            let (mut ww, mut xx) = ([0.0; 4], [0.0; 4]);
            cpu_core::segment_norms(&SEGMENTS, &want, &mut ww).unwrap();
            cpu_core::segment_norms(&SEGMENTS, &x64, &mut xx).unwrap();
            cpu_core::trust_step(trust, &step(phase), &SEGMENTS, &ww, &xx, &x64, &mut want).unwrap();
            // A dozen roundings of moves below 0.3.
            assert_close(&format!("{trust:?} {phase}"), &w.read(&ctx), &want, 1e-6, 1e-6);
            assert_eq!(w.read(&ctx)[..3], weights[..3]);
        }
    }
    let (five, two) = (ctx.alloc(5).unwrap().all(), ctx.alloc(2).unwrap().all());
    let message =
        refused(&ctx, |rec| kernels::trust_step(rec, Trust::Lamb, &[0, 5], &two, &two, &five, &five));
    assert_eq!(message, "trust_step: weight_sumsq needs 1 elements, got 2");
}

#[test]
fn gathered_gradients_and_averages() {
    let Some(ctx) = testing::context() else { return };
    for n in [1, 65, 4097] {
        let (a, b) = (numbers(3, n, -1.0, 1.0), numbers(4, n, -1.0, 1.0));
        for phase in [0, HOLD, EMA_START, EMA_OVERWRITE, EMA_START | EMA_OVERWRITE] {
            let (da, db) = (Guarded::new(&ctx, &a), Guarded::new(&ctx, &b));
            run_step(&ctx, step(phase), |rec| kernels::gather_gradients(rec, 3, &da.slice, &db.slice));
            let (mut wa, mut wb) = (wide(&a), wide(&b));
            cpu_core::gather_gradients(3, &step(phase), &mut wa, &mut wb).unwrap();
            // Two roundings of numbers up to 2.
            assert_close("gradients", &da.read(&ctx), &wa, 0.0, 3e-7);
            assert_close("gathered", &db.read(&ctx), &wb, 0.0, 3e-7);

            let (da, db) = (Guarded::new(&ctx, &a), Guarded::new(&ctx, &b));
            run_step(&ctx, step(phase), |rec| kernels::weight_average(rec, 0.9, &da.slice, &db.slice));
            let (mut wa, mut wb) = (wide(&a), wide(&b));
            cpu_core::weight_average(0.9, &step(phase), &mut wa, &mut wb).unwrap();
            assert_close("weights", &da.read(&ctx), &wa, 0.0, 3e-7);
            assert_close("average", &db.read(&ctx), &wb, 0.0, 3e-7);
        }
    }
}

#[test]
fn penalties_and_their_gradients() {
    let Some(ctx) = testing::context() else { return };
    let penalties = [
        Penalty { offset: 3, len: 5, l1: 0.1, l2: 0.0 },
        Penalty { offset: 64, len: 9000, l1: 0.02, l2: 0.3 },
        Penalty { offset: 9100, len: 0, l1: 1.0, l2: 1.0 },
        Penalty { offset: 9200, len: 200, l1: 0.0, l2: 0.5 },
    ];
    let mut weights = numbers(5, LEN, -1.0, 1.0);
    weights[5] = 0.0;
    let grads = numbers(6, LEN, -1.0, 1.0);
    for gradient in [false, true] {
        let (w, g) = (Guarded::new(&ctx, &weights), Guarded::new(&ctx, &grads));
        let acc = Guarded::new(&ctx, &[2.0, 0.0]);
        run_step(&ctx, step(0), |rec| {
            let g = gradient.then_some(&g.slice);
            kernels::weight_penalty(rec, &penalties, &w.slice, g, 4.0, &acc.slice)
        });
        let (mut want, mut sum) = (wide(&grads), [2.0, 0.0]);
        let want_grads = gradient.then_some(&mut want[..]);
        cpu_core::weight_penalty(&penalties, &wide(&weights), want_grads, 4.0, &mut sum).unwrap();
        assert_close("gradients", &g.read(&ctx), &want, 1e-6, 3e-7);
        let got = acc.read(&ctx);
        // Sums of 9000 terms, 16 and a tree: 30 roundings.
        assert_close("value", &[got[0] + got[1]], &[sum[0] + sum[1]], 2e-6, 0.0);
    }
    // The derivative is that of the value.
    let value = |x: f64| {
        let mut sum = [0.0, 0.0];
        let one = [Penalty { offset: 0, len: 1, l1: 0.2, l2: 0.7 }];
        cpu_core::weight_penalty(&one, &[x], None, 1.0, &mut sum).unwrap();
        sum[0]
    };
    for x in [-0.8, 0.3] {
        let (mut slope, mut sum) = ([0.0], [0.0, 0.0]);
        let one = [Penalty { offset: 0, len: 1, l1: 0.2, l2: 0.7 }];
        cpu_core::weight_penalty(&one, &[x], Some(&mut slope), 1.0, &mut sum).unwrap();
        let difference = (value(x + 1e-4) - value(x - 1e-4)) / 2e-4;
        assert!((slope[0] - difference).abs() < 1e-9, "{x}: {} {difference}", slope[0]);
    }
}

#[test]
fn constraints_hold_columns() {
    let Some(ctx) = testing::context() else { return };
    let weights = numbers(7, LEN, -1.0, 1.0);
    let limits = [
        Limit::NonNegative,
        Limit::Norm { low: 0.0, high: 1.5, rate: 1.0 },
        Limit::Norm { low: 1.0, high: 1.0, rate: 1.0 },
        Limit::Norm { low: 2.0, high: 2.5, rate: 0.3 },
    ];
    for limit in limits {
        let bounds: Vec<Bound> =
            [(0, 1, 1), (1, 30, 1), (64, 3, 5), (128, 70, 33), (3000, 600, 7), (8000, 1, 300)]
                .map(|(offset, rows, cols)| Bound { offset, rows, cols, limit })
                .to_vec();
        let w = Guarded::new(&ctx, &weights);
        run_step(&ctx, step(0), |rec| kernels::constrain(rec, &bounds, &w.slice));
        let mut want = wide(&weights);
        cpu_core::constrain(&bounds, &mut want).unwrap();
        // A norm of up to 600 squares, then a quotient: ten roundings.
        assert_close(&format!("{limit:?}"), &w.read(&ctx), &want, 1e-6, 1e-7);
    }
    let w = Guarded::new(&ctx, &[f32::NAN, 1.0]);
    let one = [Bound { offset: 0, rows: 2, cols: 1, limit: limits[1] }];
    run_step(&ctx, step(0), |rec| kernels::constrain(rec, &one, &w.slice));
    assert_all_nan("a column with NaN", &w.read(&ctx));
    let far = [Bound { offset: 1, rows: 2, cols: 1, limit: limits[0] }];
    let message = refused(&ctx, |rec| kernels::constrain(rec, &far, &w.slice));
    assert_eq!(message, "constrain: weights needs 3 elements, got 2");
}

#[test]
fn factored_directions() {
    let Some(ctx) = testing::context() else { return };
    let matrices = [(0, 1, 1), (64, 0, 50), (128, 70, 33), (3000, 300, 7), (5200, 1, 600), (5900, 0, 3400)]
        .map(|(offset, rows, cols)| Matrix { offset, rows, cols });
    let spec = Factored { epsilon_1: 1e-30, weight_decay: 0.1, clip_value: 0.9 };
    let (weights, grads) = (numbers(8, LEN, -1.0, 1.0), numbers(9, LEN, 0.1, 1.0));
    let start = vec![0.5f32; LEN];
    for phase in [0, HOLD] {
        let step = StepParams { beta: 0.7, ..step(phase) };
        let [w, g, m, v, x] = [&weights, &grads, &start, &start, &start].map(|s| Guarded::new(&ctx, s));
        run_step(&ctx, step, |rec| {
            let [w, g, m, v, x] = [&w, &g, &m, &v, &x].map(|s| &s.slice);
            kernels::factored_step(rec, spec, &matrices, w, g, m, v, x)
        });
        let mut want = [&weights, &start, &start, &start].map(|s| wide(s));
        let [ww, wm, wv, wx] = &mut want;
        cpu_core::factored_step(&spec, &step, &matrices, ww, &wide(&grads), wm, wv, wx).unwrap();
        for ((name, got), want) in ["weights", "m", "v", "x"].iter().zip([&w, &m, &v, &x]).zip(&want) {
            // Means of up to 600 squares, a root and a quotient: twenty roundings.
            assert_close(&format!("{name} {phase}"), &got.read(&ctx), want, 2e-6, 1e-7);
        }
    }
}
