//! The packed `f32` path against the plain path in `f64`: results and gradients, threads, parts, long sequences.

#[path = "support/recurrent.rs"]
mod support;

use cpu_core::Activation;
use cpu_core::recurrent::{
    RecurrentInputs, RecurrentShape, RecurrentStates, RecurrentWorkspace, recurrent_forward,
};
use proptest::prelude::*;
use support::{Problem, Results, Rng, cell, with_output};

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
    close("peepholes", &got.peepholes, &expected.peepholes, p)?;
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
        let [activation, gate, output] = if usual {
            [Activation::Tanh, Activation::Sigmoid, Activation::Tanh]
        } else {
            [(); 3].map(|()| rng.pick(&BOUNDED))
        };
        let shape = RecurrentShape { time, batch, input, units };
        let cell = with_output(cell(kind, activation, gate), output);
        let mut p = Problem::random(&mut rng, cell, shape);
        // What lies within a rounding of the limit has its gradient or not; see `limits` for seeds where nothing does.
        p.extras.clip = None;
        let got = p.run::<f32>(&mut RecurrentWorkspace::new(), threads);
        let expected = p.run::<f64>(&mut RecurrentWorkspace::new(), 1);
        all_close(&got, &expected, &p)?;
    }
}

/// Bit for bit what two arrays give, in one part and in several.
#[test]
fn the_gradient_of_the_input_takes_the_place_of_that_of_the_output() {
    let mut rng = Rng(21);
    for kind in 0..4 {
        for (time, batch, units) in [(7, 3, 5), (1, 1, 1), (96, 32, 130)] {
            let shape = RecurrentShape { time, batch, input: units, units };
            let cell = cell(kind, Activation::Tanh, Activation::Sigmoid);
            let mut p = Problem::random(&mut rng, cell, shape);
            p.dy = Some(rng.values(time * batch * units, 1.0));
            let apart = p.run::<f32>(&mut RecurrentWorkspace::new(), 2);
            assert_eq!(
                p.run_with::<f32>(true, &mut RecurrentWorkspace::new(), 2),
                apart,
                "{cell:?} {shape:?}"
            );
            let apart = p.run::<f64>(&mut RecurrentWorkspace::new(), 1);
            assert_eq!(
                p.run_with::<f64>(true, &mut RecurrentWorkspace::new(), 1),
                apart,
                "{cell:?} {shape:?}"
            );
        }
    }
}

/// The limit and its gradient, with and without the rest of what ONNX's cells can do.
#[test]
fn limits() {
    let mut rng = Rng(13);
    for kind in 0..4 {
        for (units, usual) in [(19, true), (33, false), (150, true)] {
            let gate = if usual { Activation::Sigmoid } else { Activation::HardSigmoid };
            let shape = RecurrentShape { time: 4, batch: 5, input: 6, units };
            // The limit is not on what goes into LSTM's output.
            let output = if usual { Activation::Tanh } else { Activation::Softsign };
            let cell = with_output(cell(kind, Activation::Tanh, gate), output);
            let mut p = Problem::random(&mut rng, cell, shape);
            p.extras.clip = Some(0.4);
            let expected = p.run::<f64>(&mut RecurrentWorkspace::new(), 1);
            all_close(&p.run::<f32>(&mut RecurrentWorkspace::new(), 2), &expected, &p).unwrap();
        }
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
            let mut p = Problem::random(&mut rng, cell(kind, Activation::Tanh, Activation::Sigmoid), shape);
            p.extras.clip = None;
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
    let (mut rng, mut other) = (Rng(5), Rng(14));
    let (tanh, sigmoid) = (Activation::Tanh, Activation::Sigmoid);
    let shape = RecurrentShape { time: 3, batch: 5, input: 3, units: 19 };
    let same = |mut p: Problem| {
        p.extras.clip = None;
        let expected = p.run::<f64>(&mut RecurrentWorkspace::new(), 1);
        all_close(&p.run::<f32>(&mut RecurrentWorkspace::new(), 2), &expected, &p).unwrap();
    };
    for activation in Activation::ALL.into_iter().filter(|a| a.derivative_from_output()) {
        for kind in 0..4 {
            same(Problem::random(&mut rng, cell(kind, activation, sigmoid), shape));
            same(Problem::random(&mut rng, cell(kind, tanh, activation), shape));
        }
        // Of the cell state on its way out.
        same(Problem::random(&mut other, with_output(cell(0, tanh, sigmoid), activation), shape));
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

/// Bit-identical, whoever computes a row: it is what lets a busy machine use fewer threads.
#[test]
fn results_do_not_depend_on_threads() {
    let mut rng = Rng(7);
    for kind in 0..4 {
        for (batch, units) in [(30, 70), (1, 160), (4, 500)] {
            let shape = RecurrentShape { time: 5, batch, input: 20, units };
            let p = Problem::random(&mut rng, cell(kind, Activation::Tanh, Activation::Sigmoid), shape);
            let (one, two) = (
                p.run::<f32>(&mut RecurrentWorkspace::new(), 1),
                p.run::<f32>(&mut RecurrentWorkspace::new(), 2),
            );
            assert_eq!(
                (one.h, one.c, one.h0, one.c0),
                (two.h, two.c, two.h0, two.c0),
                "{kind} {batch} {units}"
            );
        }
    }
}

/// The states after a sequence given at once and in parts are the same bits: a part starts from the last slot of the
/// one before.
#[test]
fn parts_equal_the_whole() {
    let mut rng = Rng(8);
    for kind in 0..4 {
        for (batch, input, units) in [(3, 2, 5), (20, 40, 33), (1, 30, 130)] {
            let cell = cell(kind, Activation::Tanh, Activation::Sigmoid);
            let shape = RecurrentShape { time: 11, batch, input, units };
            let p = Problem::random(&mut rng, cell, shape);
            let whole = p.run::<f32>(&mut RecurrentWorkspace::new(), 2);
            let slot = batch * units;
            let (mut h, mut c) = (whole.h[..slot].to_vec(), whole.c[..whole.c.len().min(slot)].to_vec());
            let mut first = 0;
            for time in [1, 4, 6] {
                let mut part = p.clone();
                part.shape.time = time;
                part.x = p.x[first * batch * input..(first + time) * batch * input].to_vec();
                part.flags = p.flags.as_ref().map(|f| f[first * batch..(first + time) * batch].to_vec());
                (part.dy, part.dh_last, part.dc_last) = (None, None, None);
                part.h0 = h.iter().map(|&v| f64::from(v)).collect();
                part.c0 = c.iter().map(|&v| f64::from(v)).collect();
                let got = part.run::<f32>(&mut RecurrentWorkspace::new(), 2);
                assert_eq!(got.h, whole.h[first * slot..(first + time + 1) * slot], "{kind} {batch} {units}");
                h = got.h[time * slot..].to_vec();
                if !c.is_empty() {
                    c = got.c[time * slot..].to_vec();
                }
                first += time;
            }
        }
    }
}

/// States that stay in their own buffers give the bits of states that are copied into the sequence's slots.
#[test]
fn states_that_live_on() {
    let mut rng = Rng(12);
    for kind in 0..4 {
        // The last one is shared between threads by units.
        for (time, batch, input, units) in [(1, 40, 8, 64), (4, 3, 2, 19), (1, 2, 700, 800), (3, 2, 700, 800)]
        {
            let cell = cell(kind, Activation::Tanh, Activation::Sigmoid);
            let shape = RecurrentShape { time, batch, input, units };
            let p = Problem::random(&mut rng, cell, shape);
            live_on::<f32>(&p);
            if units < 100 {
                live_on::<f64>(&p);
            }
        }
    }
}

fn live_on<T: cpu_core::Real>(p: &Problem) {
    let whole = p.run::<T>(&mut RecurrentWorkspace::new(), 2);
    let cast = |v: &[f64]| v.iter().map(|&v| T::from_f64(v)).collect::<Vec<T>>();
    let (x, kernel, recurrent) = (cast(&p.x), cast(&p.kernel), cast(&p.recurrent));
    let (bias, h_mask) = (p.bias.as_deref().map(cast), p.h_mask.as_deref().map(cast));
    let peepholes = p.peepholes.as_deref().map(cast);
    let inputs = RecurrentInputs {
        bias: bias.as_deref(),
        flags: p.flags.as_deref(),
        h_mask: h_mask.as_deref(),
        peepholes: peepholes.as_deref(),
        extras: p.extras,
        ..RecurrentInputs::new(&x, &kernel, &recurrent)
    };
    let slot = p.h0.len();
    let (mut h, mut h_state) = (vec![T::from_f64(f64::NAN); whole.h.len()], cast(&p.h0));
    let mut c_state = cast(&p.c0);
    let states = RecurrentStates {
        h_state: Some(&mut h_state),
        ..RecurrentStates::new(&mut h, (!p.c0.is_empty()).then_some(&mut c_state))
    };
    recurrent_forward(p.cell, p.shape, inputs, states, &mut RecurrentWorkspace::new(), 0, 2).unwrap();
    assert_eq!(h[slot..], whole.h[slot..], "{:?} {:?}", p.cell, p.shape);
    assert_eq!(h_state, whole.h[p.shape.time * slot..], "{:?} {:?}", p.cell, p.shape);
    if !p.c0.is_empty() {
        assert_eq!(c_state, whole.c[p.shape.time * slot..], "{:?} {:?}", p.cell, p.shape);
    }
}

/// More steps than fit into 16 bits. The error of a step is forgotten by the gates, so that it does not grow with T.
#[test]
fn seventy_thousand_steps() {
    let mut rng = Rng(10);
    for kind in 0..4 {
        let shape = RecurrentShape { time: 70_000, batch: 1, input: 1, units: 3 };
        let mut p = Problem::random(&mut rng, cell(kind, Activation::Tanh, Activation::Sigmoid), shape);
        // A gradient on the last steps alone: sums over 70,000 random ones would need another tolerance.
        (p.dy, p.dc_last, p.extras.clip) = (None, None, None);
        p.dh_last = Some(vec![1.0; 3]);
        let got = p.run::<f32>(&mut RecurrentWorkspace::new(), 2);
        let expected = p.run::<f64>(&mut RecurrentWorkspace::new(), 1);
        all_close(&got, &expected, &p).unwrap();
    }
}

/// Packed weights are kept while their version is the same, and packed anew when it changes.
#[test]
fn versions_of_weights() {
    let mut rng = Rng(11);
    let shape = RecurrentShape { time: 2, batch: 3, input: 2, units: 20 };
    let p = Problem::random(&mut rng, cell(1, Activation::Tanh, Activation::Sigmoid), shape);
    let f32s = |v: &[f64]| v.iter().map(|&v| v as f32).collect::<Vec<f32>>();
    let (x, kernel, recurrent) = (f32s(&p.x), f32s(&p.kernel), f32s(&p.recurrent));
    let mut workspace = RecurrentWorkspace::new();
    let mut run = |kernel: &[f32], version: u64| {
        let mut h = f32s(&p.h0);
        h.resize(h.len() * 3, f32::NAN);
        recurrent_forward(
            p.cell,
            shape,
            RecurrentInputs::new(&x, kernel, &recurrent),
            RecurrentStates::new(&mut h, None),
            &mut workspace,
            version,
            1,
        )
        .unwrap();
        h
    };
    let changed: Vec<f32> = kernel.iter().map(|w| w + 0.5).collect();
    let first = run(&kernel, 1);
    assert_eq!(first, run(&changed, 1), "the same version: the caller says that nothing changed");
    let second = run(&changed, 2);
    assert_ne!(first, second);
    assert_eq!(second, run(&changed, 0));
    assert_eq!(first, run(&kernel, 0));
}

/// The size of the batch has a say in how weights are packed: what was packed for one does not serve every other.
#[test]
fn one_version_of_weights_serves_batches_of_any_size() {
    let mut rng = Rng(12);
    for (kind, input) in [(0, 130), (1, 130), (0, 600)] {
        let cell = cell(kind, Activation::Tanh, Activation::Sigmoid);
        let problem = |rng: &mut Rng, batch| {
            Problem::random(rng, cell, RecurrentShape { time: 2, batch, input, units: 130 })
        };
        let weights = problem(&mut rng, 1);
        let mut workspace = RecurrentWorkspace::new();
        for batch in [40, 3, 33, 20, 1, 40] {
            let p = Problem {
                kernel: weights.kernel.clone(),
                recurrent: weights.recurrent.clone(),
                bias: weights.bias.clone(),
                version: 1,
                ..problem(&mut rng, batch)
            };
            let got = p.run::<f32>(&mut workspace, 2);
            let expected = p.run::<f64>(&mut RecurrentWorkspace::new(), 1);
            all_close(&got, &expected, &p).unwrap();
        }
    }
}

#[test]
fn strategies_say_why() {
    use cpu_core::recurrent::strategy;
    let cell = cell(0, Activation::Tanh, Activation::Sigmoid);
    let tiny = RecurrentShape { time: 3, batch: 1, input: 1, units: 4 };
    assert_eq!(strategy(cell, tiny, 8).0, "packed");
    assert_eq!(strategy(cell, RecurrentShape { time: 0, ..tiny }, 8).0, "empty");
    let large = RecurrentShape { time: 50, batch: 64, input: 512, units: 512 };
    let (name, why) = strategy(cell, large, 1);
    assert!(name == "packed" && why.starts_with("one thread;"), "{why}");
}
