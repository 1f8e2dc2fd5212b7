//! Softmax and its gradient against the f64 twin, with extremes.
mod common;
use common::{Guarded, assert_all_nan, assert_close, numbers, run, wide};
use gpu_core::{Call, Context, Groups, kernels, testing};
use proptest::prelude::*;

/// exp of a difference up to 20 in magnitude (beyond that the share is below 2e-9), a sum in blocks, a quotient.
const RTOL: f64 = (3.0 + 2.0 * 20.0 + 20.0) * 1.2e-7;
const ATOL: f64 = 1e-7;

fn forward(ctx: &Context, rows: usize, cols: usize, x: &[f32]) -> Vec<f32> {
    let (dx, y) = (Guarded::new(ctx, x), Guarded::out(ctx, x.len()));
    run(ctx, |rec| kernels::softmax_forward(rec, rows, cols, &dx.slice, &y.slice));
    y.read(ctx)
}

fn check(ctx: &Context, rows: usize, cols: usize, spread: f32) {
    let x = numbers(51, rows * cols, -spread, spread);
    let y = forward(ctx, rows, cols, &x);
    let mut want = vec![0.0; x.len()];
    cpu_core::softmax_forward(rows, cols, &wide(&x), &mut want).unwrap();
    assert_close(&format!("forward {rows} {cols}"), &y, &want, RTOL, ATOL);

    let dy = numbers(52, x.len(), -1.0, 1.0);
    let (dev_y, dev_dy, dx) = (Guarded::new(ctx, &y), Guarded::new(ctx, &dy), Guarded::out(ctx, x.len()));
    run(ctx, |rec| kernels::softmax_backward(rec, rows, cols, &dev_y.slice, &dev_dy.slice, &dx.slice));
    cpu_core::softmax_backward(rows, cols, &wide(&y), &wide(&dy), &mut want).unwrap();
    // The dot product of a row is off by its roundings in absolute terms: the shares add up to 1.
    assert_close(&format!("backward {rows} {cols}"), &dx.read(ctx), &want, 1e-6, 2e-6);
}

#[test]
fn edges() {
    let Some(ctx) = testing::context() else { return };
    for (rows, cols) in [
        (1, 1),
        (1, 4),
        (257, 3),
        (33, 5),
        (31, 64),
        (9, 65),
        (7, 1024),
        (3, 1025),
        (2, 100_000),
        (70_000, 5),
    ] {
        check(&ctx, rows, cols, 5.0);
    }
    check(&ctx, 5, 40, 100.0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn any_shape(rows in 1usize..100, cols in 1usize..200, spread in 0.0f32..50.0) {
        if let Some(ctx) = testing::context() {
            check(&ctx, rows, cols, spread);
        }
    }
}

#[test]
fn extremes_and_nan() {
    let Some(ctx) = testing::context() else { return };
    let got = forward(&ctx, 2, 3, &[1e30, 1e30, -1e30, f32::NEG_INFINITY, 0.0, 0.0]);
    assert_close("large", &got, &[0.5, 0.5, 0.0, 0.0, 0.5, 0.5], 1e-6, 0.0);
    for cols in [3, 40, 2000] {
        let mut x = vec![1.0; 3 * cols];
        x[cols + cols / 2] = f32::NAN;
        let got = forward(&ctx, 3, cols, &x);
        assert_all_nan("the row", &got[cols..2 * cols]);
        assert!(got[..cols].iter().chain(&got[2 * cols..]).all(|y| (y * cols as f32 - 1.0).abs() < 1e-4));
    }
}

/// The launcher gives a whole row to one invocation on software adapters; hardware shares rows, and so does this.
#[test]
fn every_way_to_share_a_row() {
    use rnn_shaders::softmax::{KERNEL, Params};
    let Some(ctx) = testing::context() else { return };
    for (rows, cols) in [(1, 1), (9, 7), (300, 33), (5, 700)] {
        let x = numbers(53, rows * cols, -5.0, 5.0);
        let mut want = vec![0.0; x.len()];
        cpu_core::softmax_forward(rows, cols, &wide(&x), &mut want).unwrap();
        for lanes in [1, 2, 8, 32, 256] {
            let (dx, y) = (Guarded::new(&ctx, &x), Guarded::out(&ctx, x.len()));
            run(&ctx, |rec| {
                rec.call(Call {
                    kernel: &KERNEL,
                    overrides: &[("LANES", lanes as f64)],
                    buffers: &[&dx.slice, &dx.slice, &y.slice],
                    params: bytemuck::bytes_of(&Params {
                        rows: rows as u32,
                        cols: cols as u32,
                        ..Default::default()
                    }),
                    groups: Groups::linear(rows, 256 / lanes),
                    flops: 0.0,
                })
            });
            assert_close(&format!("{rows} {cols} by {lanes}"), &y.read(&ctx), &want, RTOL, ATOL);
        }
    }
}

#[test]
fn a_row_past_the_loop_limit_is_refused_not_cut_short() {
    let Some(ctx) = testing::context() else { return };
    let cols = 4_000_000;
    let [x, y] = [0.0, 0.0].map(|value| ctx.alloc_from(&vec![value; cols]).unwrap().all());
    let mut rec = ctx.recorder();
    let recorded = kernels::softmax_forward(&mut rec, 1, cols, &x, &y);
    match ctx.loop_limit().unwrap() {
        Some(limit) => {
            let message = recorded.expect_err("must be refused").to_string();
            assert!(message.contains(&format!("this adapter runs at most {limit}")), "{message}");
        }
        None => {
            recorded.unwrap();
            ctx.run(&rec.finish().unwrap(), &[Default::default()]).unwrap();
            let share = 1.0 / cols as f64;
            assert_close("long row", &ctx.read_f32(&y).unwrap(), &vec![share; cols], RTOL, 0.0);
        }
    }
}
