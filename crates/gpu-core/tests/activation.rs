//! Activations and their derivatives against the f64 twin, at ordinary and extreme inputs.
mod common;
use common::{Guarded, assert_all_nan, assert_close, numbers, run, wide};
use gpu_core::vocabulary::{Activation, Formula};
use gpu_core::{Context, kernels, testing};

/// WGSL grants exp an error of 3 + 2|x| units in the last place; every activation here is a few roundings and at most
/// one exp, whose argument beyond 17 matters only where the exponential itself is the value.
const RTOL: f64 = (3.0 + 2.0 * 17.0) * 1.2e-7;
/// The exponential, for |x| up to 100.
const RTOL_EXP: f64 = (3.0 + 2.0 * 100.0) * 1.2e-7;
/// Values near 0 that are differences of numbers near 1 (derivatives from the output).
const ATOL: f64 = 1e-6;

fn forward(ctx: &Context, kind: Activation, x: &[f32]) -> Vec<f32> {
    let (dx, y) = (Guarded::new(ctx, x), Guarded::out(ctx, x.len()));
    run(ctx, |rec| kernels::activation_forward(rec, kind, &dx.slice, &y.slice));
    y.read(ctx)
}

fn backward(ctx: &Context, kind: Activation, saved: &[f32], dy: &[f32]) -> Vec<f32> {
    let (saved, dy) = (Guarded::new(ctx, saved), Guarded::new(ctx, dy));
    let dx = Guarded::out(ctx, dy.slice.len());
    run(ctx, |rec| kernels::activation_backward(rec, kind, &saved.slice, &dy.slice, &dx.slice));
    dx.read(ctx)
}

fn inputs() -> Vec<f32> {
    let mut x = numbers(5, 1500, -8.0, 8.0);
    x.extend(numbers(6, 500, -0.7, 0.7));
    x.extend(numbers(7, 200, -100.0, 100.0));
    x.extend([
        0.0, -0.0, 1e-30, -1e-30, 1e-4, -1e-4, 3.0, -3.0, 6.0, 100.0, -100.0, 1.0, -1.0, 0.5, -0.5, 1e20,
        -1e20,
    ]);
    x
}

#[test]
fn equal_the_twin() {
    let Some(ctx) = testing::context() else { return };
    let x = inputs();
    let dy = numbers(8, x.len(), -2.0, 2.0);
    for kind in Activation::ALL {
        let rtol = if kind == Activation::Exponential { RTOL_EXP } else { RTOL };
        let mut want = vec![0.0; x.len()];
        cpu_core::activation_forward(kind, &wide(&x), &mut want).unwrap();
        assert_close(&format!("{kind:?}"), &forward(&ctx, kind, &x), &want, rtol, ATOL);

        // The derivative from what a forward pass in f32 saves, so that both sides start from the same numbers.
        let saved: Vec<f32> = if kind.derivative_from_output() {
            want.iter().map(|&y| y.clamp(-1e30, 1e30) as f32).collect()
        } else {
            x.clone()
        };
        cpu_core::activation_backward(kind, &wide(&saved), &wide(&dy), &mut want).unwrap();
        let got = backward(&ctx, kind, &saved, &dy);
        assert_close(&format!("{kind:?}'"), &got, &want, rtol, 2.0 * ATOL);
    }
}

#[test]
fn nan_is_kept() {
    let Some(ctx) = testing::context() else { return };
    let nan = [f32::NAN, -f32::NAN, f32::from_bits(0x7f80_0001)];
    for kind in Activation::ALL {
        assert_all_nan(&format!("{kind:?}"), &forward(&ctx, kind, &nan));
        assert_all_nan(&format!("{kind:?}' of dy"), &backward(&ctx, kind, &[0.5; 3], &nan));
        if !matches!(kind.formula().0, Formula::Linear | Formula::Affine) {
            assert_all_nan(&format!("{kind:?}'"), &backward(&ctx, kind, &nan, &[1.0; 3]));
        }
    }
}

#[test]
fn in_place() {
    let Some(ctx) = testing::context() else { return };
    let x = numbers(9, 130, -2.0, 2.0);
    let buffer = ctx.alloc_from(&x).unwrap();
    run(&ctx, |rec| kernels::activation_forward(rec, Activation::Relu, &buffer.all(), &buffer.all()));
    assert_eq!(ctx.read_f32(&buffer.all()).unwrap(), x.iter().map(|x| x.max(0.0)).collect::<Vec<_>>());
}
