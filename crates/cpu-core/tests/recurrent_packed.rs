//! The packed `f32` path against the plain path in `f64`: results and gradients, threads, parts, long sequences.

#[path = "support/recurrent.rs"]
mod support;

use cpu_core::Activation;
use cpu_core::recurrent::{RecurrentShape, RecurrentWorkspace};
use proptest::prelude::*;
use support::{Problem, Results, Rng, cell};

/// Rounding of f32 is 6e-8 per operation; a step has sums over up to some hundred terms of size 1, whose error is some
/// 1e-6, and a chain of up to a dozen steps carries errors on. Values are of order 1, weight gradients sums over all
/// rows and steps. 2e-5 of the largest magnitude (at least 1) leaves a factor of about 5 on what is seen.
fn close(name: &str, got: &[f32], expected: &[f64], p: &Problem) -> Result<(), TestCaseError> {
    prop_assert_eq!(got.len(), expected.len());
    let scale = expected.iter().fold(1.0f64, |m, v| m.max(v.abs()));
    for (i, (&got, &expected)) in got.iter().zip(expected).enumerate() {
        let error = (f64::from(got) - expected).abs();
        // A NaN on either side makes the comparison false.
        prop_assert!(
            error <= 2e-5 * scale,
            "{}[{}]: {} against {} for {:?} {:?}",
            name,
            i,
            got,
            expected,
            p.cell,
            p.shape
        );
    }
    Ok(())
}

fn all_close(got: &Results<f32>, expected: &Results<f64>, p: &Problem) -> Result<(), TestCaseError> {
    close("h", &got.h, &expected.h, p)?;
    close("c", &got.c, &expected.c, p)?;
    close("kernel", &got.kernel, &expected.kernel, p)?;
    close("recurrent", &got.recurrent, &expected.recurrent, p)?;
    close("bias", &got.bias, &expected.bias, p)?;
    close("x", &got.x, &expected.x, p)?;
    close("h0", &got.h0, &expected.h0, p)?;
    close("c0", &got.c0, &expected.c0, p)
}

/// Bounded ones, so that a random problem does not blow up; [`every_activation`] has the others.
const BOUNDED: [Activation; 4] =
    [Activation::Tanh, Activation::Sigmoid, Activation::Softsign, Activation::HardSigmoid];

fn size(most: usize) -> impl Strategy<Value = usize> {
    prop_oneof![2 => Just(1), 3 => 1..10usize, 3 => 10..most]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn packed_equals_plain(
        seed in any::<u64>(),
        kind in 0..4usize,
        usual in any::<bool>(),
        time in 1..12usize,
        batch in size(40),
        input in size(40),
        units in size(70),
        threads in 1..3usize,
    ) {
        let mut rng = Rng(seed);
        let (activation, gate) = if usual {
            (Activation::Tanh, Activation::Sigmoid)
        } else {
            (rng.pick(&BOUNDED), rng.pick(&BOUNDED))
        };
        let shape = RecurrentShape { time, batch, input, units };
        let p = Problem::random(&mut rng, cell(kind, activation, gate), shape);
        let got = p.run::<f32>(&mut RecurrentWorkspace::new(), threads);
        let expected = p.run::<f64>(&mut RecurrentWorkspace::new(), 1);
        all_close(&got, &expected, &p)?;
    }
}

/// Every shape of tile and panel in every split: few rows and many, units past several panels, large enough that
/// threads are used.
#[test]
fn larger_shapes() {
    let mut rng = Rng(9);
    for (time, batch, input, units) in [
        (3, 64, 96, 130),
        (20, 1, 30, 150),
        (4, 3, 200, 96),
        (2, 45, 8, 64),
        (6, 17, 17, 200),
        (3, 7, 40, 260),
    ] {
        for kind in 0..4 {
            let shape = RecurrentShape { time, batch, input, units };
            let p = Problem::random(&mut rng, cell(kind, Activation::Tanh, Activation::Sigmoid), shape);
            let expected = p.run::<f64>(&mut RecurrentWorkspace::new(), 1);
            let one = p.run::<f32>(&mut RecurrentWorkspace::new(), 1);
            all_close(&one, &expected, &p).unwrap();
            let two = p.run::<f32>(&mut RecurrentWorkspace::new(), 2);
            all_close(&two, &expected, &p).unwrap();
        }
    }
}

#[test]
fn every_activation() {
    let mut rng = Rng(5);
    for activation in Activation::ALL.into_iter().filter(|a| a.derivative_from_output()) {
        for kind in 0..4 {
            for (act, gate) in [(activation, Activation::Sigmoid), (Activation::Tanh, activation)] {
                let shape = RecurrentShape { time: 3, batch: 5, input: 3, units: 19 };
                let p = Problem::random(&mut rng, cell(kind, act, gate), shape);
                let expected = p.run::<f64>(&mut RecurrentWorkspace::new(), 1);
                all_close(&p.run::<f32>(&mut RecurrentWorkspace::new(), 2), &expected, &p).unwrap();
            }
        }
    }
}

#[test]
fn the_same_call_gives_the_same_bits() {
    let mut rng = Rng(6);
    for kind in 0..4 {
        for (batch, units) in [(30, 70), (1, 160), (2, 90)] {
            let shape = RecurrentShape { time: 9, batch, input: 20, units };
            let p = Problem::random(&mut rng, cell(kind, Activation::Tanh, Activation::Sigmoid), shape);
            let mut workspace = RecurrentWorkspace::new();
            for threads in [1, 2] {
                let first = p.run::<f32>(&mut workspace, threads);
                assert_eq!(first, p.run::<f32>(&mut workspace, threads), "{kind} {batch} {threads}");
            }
        }
    }
}
