//! Matrix products against the triple loop in f64: every transpose, stride, batch, bias, activation and thread count.

#[path = "support/recurrent.rs"]
#[allow(dead_code)]
mod support;

use cpu_core::matmul::{Matmul, matmul};
use cpu_core::{Activation, Error};
use proptest::prelude::*;
use support::Rng;

fn reference(spec: &Matmul, a: &[f64], b: &[f64], bias: Option<&[f64]>, c: &mut [f64]) {
    for i in 0..spec.batch {
        let (a, b) = (&a[i * spec.stride_a..], &b[i * spec.stride_b..]);
        for row in 0..spec.m {
            for col in 0..spec.n {
                let mut sum = bias.map_or(0.0, |bias| bias[col]);
                for p in 0..spec.k {
                    let x = if spec.trans_a { a[p * spec.lda + row] } else { a[row * spec.lda + p] };
                    let y = if spec.trans_b { b[col * spec.ldb + p] } else { b[p * spec.ldb + col] };
                    sum += x * y;
                }
                let c = &mut c[i * spec.stride_c + row * spec.ldc + col];
                let before = if spec.accumulate { *c } else { 0.0 };
                *c = before
                    + match spec.activation {
                        Activation::Tanh => sum.tanh(),
                        Activation::Relu => sum.max(0.0),
                        _ => sum,
                    };
            }
        }
    }
}

fn size() -> impl Strategy<Value = usize> {
    prop_oneof![Just(1), 1..20usize, 20..90usize]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn equals_the_triple_loop(
        seed in any::<u64>(),
        (batch, m, n, k) in (1..4usize, size(), size(), prop_oneof![Just(0), size()]),
        (trans_a, trans_b, accumulate, with_bias) in any::<(bool, bool, bool, bool)>(),
        pads in (0..3usize, 0..3usize, 0..3usize),
        threads in 1..4usize,
    ) {
        let mut rng = Rng(seed);
        let (a_rows, a_cols) = if trans_a { (k, m) } else { (m, k) };
        let (b_rows, b_cols) = if trans_b { (n, k) } else { (k, n) };
        let (lda, ldb, ldc) = (a_cols + pads.0, b_cols + pads.1, n + pads.2);
        let activation = if accumulate { Activation::Linear } else { rng.pick(&[Activation::Linear, Activation::Tanh, Activation::Relu]) };
        let spec = Matmul {
            batch, m, n, k, trans_a, trans_b, lda, ldb, ldc,
            stride_a: if rng.coin() { 0 } else { a_rows * lda },
            stride_b: b_rows * ldb + 1,
            stride_c: m * ldc,
            accumulate,
            activation,
        };
        let a = rng.values(batch * a_rows * lda + 1, 1.0);
        let b = rng.values(batch * (b_rows * ldb + 1) + 1, 1.0);
        let bias = with_bias.then(|| rng.values(n, 1.0));
        let start = rng.values(batch * m * ldc, 1.0);
        let mut expected = start.clone();
        reference(&spec, &a, &b, bias.as_deref(), &mut expected);

        let mut c = start.clone();
        matmul(spec, &a, &b, bias.as_deref(), &mut c, threads).unwrap();
        // k + 2 roundings of sums of at most k + 2 terms below 1.
        let bound = (k as f64 + 2.0).powi(2) * f64::EPSILON;
        for (c, expected) in c.iter().zip(&expected) {
            prop_assert!((c - expected).abs() <= bound, "{c} against {expected} for {spec:?}");
        }

        let f32s = |v: &[f64]| v.iter().map(|&v| v as f32).collect::<Vec<f32>>();
        let bias32 = bias.as_deref().map(f32s);
        let mut c = f32s(&start);
        matmul(spec, &f32s(&a), &f32s(&b), bias32.as_deref(), &mut c, threads).unwrap();
        let bound = (k as f64 + 2.0) * 4.0 * f64::from(f32::EPSILON);
        for (&c, expected) in c.iter().zip(&expected) {
            prop_assert!((f64::from(c) - expected).abs() <= bound, "{c} against {expected} for {spec:?}");
        }
    }
}

#[test]
fn large_ones_on_threads() {
    let mut rng = Rng(4);
    for (m, n, k) in [(1, 400, 1280), (400, 1, 1280), (256, 128, 300), (64, 1000, 65)] {
        for (trans_a, trans_b) in [(false, false), (true, false), (false, true)] {
            let mut spec = Matmul::new(m, n, k);
            spec = if trans_a { spec.trans_a() } else { spec };
            spec = if trans_b { spec.trans_b() } else { spec };
            let (a, b) = (rng.values(m * k, 1.0), rng.values(k * n, 1.0));
            let mut expected = vec![0.0; m * n];
            reference(&spec, &a, &b, None, &mut expected);
            for threads in 1..4 {
                let mut c = vec![f64::NAN; m * n];
                matmul(spec, &a, &b, None, &mut c, threads).unwrap();
                for (c, expected) in c.iter().zip(&expected) {
                    assert!((c - expected).abs() <= 1e-10, "{c} against {expected} for {spec:?}");
                }
            }
        }
    }
}

/// Large products in `f32`, of which a processor's matrix unit makes those that it has enough to do for: whole blocks and parts of them
/// in each direction.
#[test]
fn large_ones_in_single_precision() {
    let mut rng = Rng(5);
    for (m, n, k) in [(256, 256, 512), (300, 417, 500), (150, 513, 1030), (530, 289, 300), (289, 2081, 291)] {
        for i in 0..6 {
            let (trans_a, trans_b, accumulate) = (i % 2 == 1, i / 2 % 2 == 1, i > 3);
            let (a_rows, a_cols) = if trans_a { (k, m) } else { (m, k) };
            let (b_rows, b_cols) = if trans_b { (n, k) } else { (k, n) };
            let (lda, ldb, ldc) = (a_cols + i, b_cols + 2 * i, n + i);
            let activation = if i == 2 { Activation::Relu } else { Activation::Linear };
            let spec =
                Matmul { trans_a, trans_b, lda, ldb, ldc, accumulate, activation, ..Matmul::new(m, n, k) };
            let mut values =
                |n: usize| -> Vec<f32> { rng.values(n, 1.0).iter().map(|&v| v as f32).collect() };
            let (a, b, bias) = (values(a_rows * lda), values(b_rows * ldb), values(n));
            let start = values(m * ldc);
            let bias = (i % 3 > 0).then_some(&bias[..]);
            let f64s = |v: &[f32]| v.iter().map(|&v| f64::from(v)).collect::<Vec<f64>>();
            let sizes = |v: &[f32]| v.iter().map(|&v| f64::from(v).abs()).collect::<Vec<f64>>();
            let (mut expected, mut size) = (f64s(&start), sizes(&start));
            reference(&spec, &f64s(&a), &f64s(&b), bias.map(f64s).as_deref(), &mut expected);
            let absolute = Matmul { accumulate: true, ..spec };
            reference(&absolute, &sizes(&a), &sizes(&b), bias.map(sizes).as_deref(), &mut size);
            let mut first: Option<Vec<f32>> = None;
            for threads in 1..4 {
                let mut c = start.clone();
                matmul(spec, &a, &b, bias, &mut c, threads).unwrap();
                // Roundings of a plain sum: one for each product, and two more. Those of the matrix unit are fewer, and what it leaves
                // out of a product is four times one of them.
                let bound = (k as f64 + 6.0) * f64::from(f32::EPSILON) / 2.0;
                for ((&c, expected), size) in c.iter().zip(&expected).zip(&size) {
                    let error = (f64::from(c) - expected).abs();
                    assert!(error <= bound * size, "{c} against {expected} for {spec:?}");
                }
                let first = first.get_or_insert_with(|| c.clone());
                assert!(*first == c, "another result with {threads} threads for {spec:?}");
            }
        }
    }
}

#[test]
fn wrong_calls_are_errors() {
    let spec = Matmul::new(2, 3, 4);
    let (a, b) = ([0f32; 8], [0f32; 12]);
    let mut c = [0f32; 6];
    let length = |what, expected, got| Err(Error::Length { op: "matmul", what, expected, got });
    assert_eq!(matmul(spec, &a[1..], &b, None, &mut c, 1), length("a", 8, 7));
    assert_eq!(matmul(spec, &a, &b[1..], None, &mut c, 1), length("b", 12, 11));
    assert_eq!(matmul(spec, &a, &b, None, &mut c[1..], 1), length("c", 6, 5));
    assert_eq!(matmul(spec, &a, &b, Some(&[0.0; 2]), &mut c, 1), length("bias", 3, 2));
    let invalid =
        |spec: Matmul, c: &mut [f32]| matches!(matmul(spec, &a, &b, None, c, 1), Err(Error::Invalid { .. }));
    assert!(invalid(spec.accumulate().activation(Activation::Tanh), &mut c));
    assert!(invalid(Matmul { lda: 3, ..spec }, &mut c));
    let huge = Matmul { lda: usize::MAX, ..spec };
    assert!(matches!(
        matmul(huge, &a, &b, None, &mut c, 1),
        Err(Error::Length { .. } | Error::TooLarge { .. })
    ));
}
