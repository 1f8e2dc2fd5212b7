//! matmul against a plain f64 product: all transposes, batches, strides, bias, accumulate, activations, odd sizes.
use gpu_core::kernels::{self, Matmul};
use gpu_core::vocabulary::Activation;
use gpu_core::{Context, Error, Faces, Slice, testing};
use proptest::prelude::*;

fn numbers(n: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..n)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
        })
        .collect()
}

fn reference(spec: &Matmul, a: &[f32], b: &[f32], bias: Option<&[f32]>, c: &mut [f32]) {
    for z in 0..spec.batch {
        for i in 0..spec.m {
            for j in 0..spec.n {
                let mut sum = bias.map_or(0.0, |bias| f64::from(bias[j]));
                for k in 0..spec.k {
                    let x = if spec.trans_a { k * spec.lda + i } else { i * spec.lda + k };
                    let y = if spec.trans_b { j * spec.ldb + k } else { k * spec.ldb + j };
                    sum += f64::from(a[z * spec.stride_a + x]) * f64::from(b[z * spec.stride_b + y]);
                }
                let out = &mut c[z * spec.stride_c + i * spec.ldc + j];
                *out = match spec.activation {
                    Activation::Tanh => sum.tanh(),
                    Activation::Relu => sum.max(0.0),
                    _ => sum + if spec.accumulate { f64::from(*out) } else { 0.0 },
                } as f32;
            }
        }
    }
}

/// Runs one product with every slice at an odd offset where `offset` says so, and compares everything that c's buffer has.
fn check_on(ctx: &Context, spec: Matmul, with_bias: bool, offset: usize) {
    let a = numbers(offset + spec.batch * spec.m.max(spec.k) * spec.lda, 1);
    let b = numbers(offset + spec.batch * spec.n.max(spec.k) * spec.ldb, 2);
    let bias = numbers(offset + spec.n, 3);
    let start = numbers(offset + spec.stride_c * (spec.batch - 1) + spec.ldc * spec.m + 5, 4);
    let (ba, bb, bias_buffer) =
        (ctx.alloc_from(&a).unwrap(), ctx.alloc_from(&b).unwrap(), ctx.alloc_from(&bias).unwrap());
    let bc = ctx.alloc_from(&start).unwrap();
    let from = |buffer: &gpu_core::Buffer| -> Slice { buffer.slice(offset, buffer.len() - offset).unwrap() };
    let mut rec = ctx.recorder();
    let bias_slice = bias_buffer.slice(offset, spec.n).unwrap();
    kernels::matmul(&mut rec, spec, &from(&ba), &from(&bb), with_bias.then_some(&bias_slice), &from(&bc))
        .unwrap();
    ctx.run(&rec.finish().unwrap(), &[Default::default()]).unwrap();
    let got = ctx.read_f32(&bc.all()).unwrap();
    let mut want = start.clone();
    reference(&spec, &a[offset..], &b[offset..], with_bias.then_some(&bias[offset..]), &mut want[offset..]);
    // Inputs are below 1: k products and sums, each with a relative error of 2^-24 of at most k.
    let tolerance: f64 = 1e-6 + (spec.k as f64).powi(2) * 2f64.powi(-24) / 4.0;
    let worst = testing::max_abs_diff(&got, &want);
    assert!(
        worst <= tolerance.min(1e-3),
        "{worst:e} > {tolerance:e} on {:?} for {spec:?} bias {with_bias} offset {offset}",
        ctx.faces()
    );
}

/// On the faces for software and on those for hardware.
fn check(spec: Matmul, with_bias: bool, offset: usize) {
    let Some(ctx) = testing::context() else { return };
    for faces in [Faces::Software, Faces::Hardware] {
        check_on(&ctx.with_faces(faces), spec, with_bias, offset);
    }
}

#[test]
fn sizes_one_odd_tile_and_more() {
    for (m, n, k) in [
        (1, 1, 1),
        (3, 5, 7),
        (8, 128, 16),
        (33, 132, 65),
        (1, 400, 100),
        (65, 68, 1),
        (129, 16, 50),
        (40, 65, 9),
    ] {
        for (ta, tb) in [(false, false), (true, false), (false, true), (true, true)] {
            let mut spec = Matmul::new(m, n, k);
            spec = if ta { spec.trans_a() } else { spec };
            spec = if tb { spec.trans_b() } else { spec };
            check(spec, false, 0);
        }
    }
}

#[test]
fn no_sum_is_the_bias() {
    check(Matmul::new(5, 20, 0), true, 0);
    check(Matmul::new(2, 3, 0), false, 0);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..Default::default() })]
    #[test]
    fn any_layout(
        m in 1usize..70, n in 1usize..140, k in 0usize..40, batch in 1usize..4, ta: bool, tb: bool, bias: bool,
        mode in 0usize..4, pad in 0usize..6, offset in 0usize..6, quad: bool,
    ) {
        let n = if quad { n.next_multiple_of(4) } else { n };
        let (pad, offset) = if quad { (pad / 2 * 4, offset / 2 * 4) } else { (pad, offset) };
        let mut spec = Matmul::new(m, n, k).batch(batch);
        spec = if ta { spec.trans_a() } else { spec };
        spec = if tb { spec.trans_b() } else { spec };
        spec.lda += pad;
        spec.ldb += pad;
        spec.ldc += pad;
        spec.stride_a = spec.lda * if ta { k } else { m };
        spec.stride_b = if mode == 3 { 0 } else { spec.ldb * if tb { n } else { k } };
        spec.stride_c = spec.ldc * m;
        match mode {
            0 => spec.accumulate = true,
            1 => spec.activation = Activation::Tanh,
            2 => spec.activation = Activation::Relu,
            _ => {}
        }
        check(spec, bias, offset);
    }
}

#[test]
fn long_sums_pass_the_loop_limit() {
    let Some(ctx) = testing::context() else { return };
    let k = 70_001;
    for n in [3, 32] {
        let ones = vec![1.0f32; k * n];
        let (a, b) = (ctx.alloc_from(&ones[..k]).unwrap(), ctx.alloc_from(&ones).unwrap());
        let c = ctx.alloc_zeroed(n).unwrap();
        let mut rec = ctx.recorder();
        kernels::matmul(&mut rec, Matmul::new(1, n, k), &a.all(), &b.all(), None, &c.all()).unwrap();
        ctx.run(&rec.finish().unwrap(), &[Default::default()]).unwrap();
        assert_eq!(ctx.read_f32(&c.all()).unwrap(), vec![k as f32; n]);
    }
}

#[test]
fn wrong_arguments_are_errors() {
    let Some(ctx) = testing::context() else { return };
    let (a, c) = (ctx.alloc_zeroed(6).unwrap(), ctx.alloc_zeroed(3).unwrap());
    let mut rec = ctx.recorder();
    let error =
        kernels::matmul(&mut rec, Matmul::new(2, 2, 3), &a.all(), &a.all(), None, &c.all()).unwrap_err();
    assert!(matches!(error, Error::ShapeMismatch { what: "c", expected: 4, got: 3, .. }), "{error}");
    let spec = Matmul::new(1, 3, 2).accumulate().activation(Activation::Relu);
    let error = kernels::matmul(&mut rec, spec, &a.all(), &a.all(), None, &c.all()).unwrap_err();
    assert!(matches!(error, Error::InvalidArgument { .. }), "{error}");
}
