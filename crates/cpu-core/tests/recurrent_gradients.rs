//! Every gradient of every cell against central differences in f64.

#[path = "support/recurrent.rs"]
mod support;

use cpu_core::Activation;
use cpu_core::recurrent::{
    RecurrentInputs, RecurrentShape, RecurrentStates, RecurrentWorkspace, recurrent_forward,
};
use support::{Problem, Results, Rng, cell, with_output};

/// The scalar whose gradients the backward pass gives: states weighted with the incoming gradients.
fn loss(p: &Problem, workspace: &mut RecurrentWorkspace<f64>) -> f64 {
    let RecurrentShape { time, batch, units, .. } = p.shape;
    let slot = batch * units;
    let mut h = p.h0.clone();
    h.resize(slot * (time + 1), f64::NAN);
    let mut c = p.c0.clone();
    c.resize(p.c0.len() * (time + 1), f64::NAN);
    let c_given = (p.cell.states() == 2).then_some(&mut c);
    recurrent_forward(
        p.cell,
        p.shape,
        RecurrentInputs {
            bias: p.bias.as_deref(),
            flags: p.flags.as_deref(),
            h_mask: p.h_mask.as_deref(),
            peepholes: p.peepholes.as_deref(),
            extras: p.extras,
            ..RecurrentInputs::new(&p.x, &p.kernel, &p.recurrent)
        },
        RecurrentStates::new(&mut h, c_given.map(|c| &mut c[..])),
        workspace,
        0,
        1,
    )
    .unwrap();
    let dot = |weights: &Option<Vec<f64>>, values: &[f64]| -> f64 {
        weights.as_ref().map_or(0.0, |w| w.iter().zip(values).map(|(w, v)| w * v).sum())
    };
    let last = |states: &[f64]| states[states.len().saturating_sub(slot)..].to_vec();
    dot(&p.dy, &h[slot..]) + dot(&p.dh_last, &last(&h)) + dot(&p.dc_last, &last(&c))
}

/// Step 2^-17: the truncation error is about 1e-10 times a third derivative of order 1, rounding about 1e-16 / 1e-5.
/// Both lie below the absolute part of the tolerance, 2e-9.
fn compare(p: &Problem, name: &str, gradient: &[f64], pick: fn(&mut Problem) -> &mut Vec<f64>) {
    let step = 2f64.powi(-17);
    let mut workspace = RecurrentWorkspace::new();
    for i in 0..gradient.len() {
        let mut at = |offset: f64| {
            let mut moved = p.clone();
            pick(&mut moved)[i] += offset;
            loss(&moved, &mut workspace)
        };
        let difference = (at(step) - at(-step)) / (2.0 * step);
        let error = (gradient[i] - difference).abs();
        assert!(
            error <= 1e-6 * difference.abs() + 2e-9,
            "{name}[{i}]: {} against {difference} for {p:?}",
            gradient[i]
        );
    }
}

fn check(p: &Problem) {
    let Results { kernel, recurrent, bias, peepholes, x, h0, c0, .. } =
        p.run(&mut RecurrentWorkspace::new(), 1);
    compare(p, "kernel", &kernel, |p| &mut p.kernel);
    compare(p, "recurrent", &recurrent, |p| &mut p.recurrent);
    compare(p, "bias", &bias, |p| p.bias.as_mut().unwrap());
    compare(p, "peepholes", &peepholes, |p| p.peepholes.as_mut().unwrap());
    compare(p, "x", &x, |p| &mut p.x);
    compare(p, "h0", &h0, |p| &mut p.h0);
    compare(p, "c0", &c0, |p| &mut p.c0);
}

#[test]
fn gradients_equal_central_differences() {
    let mut rng = Rng(2);
    let smooth = [Activation::Tanh, Activation::Sigmoid, Activation::Softsign, Activation::Linear];
    for case in 0..320 {
        let (activation, gate) = if case % 3 == 0 {
            (Activation::Tanh, Activation::Sigmoid)
        } else {
            (rng.pick(&smooth), rng.pick(&smooth))
        };
        let shape = RecurrentShape {
            time: 1 + rng.below(5),
            batch: 1 + rng.below(3),
            input: 1 + rng.below(3),
            units: 1 + rng.below(4),
        };
        // An output of its own for every other LSTM.
        let output = if case % 8 == 0 { smooth[case / 8 % 4] } else { activation };
        check(&Problem::random(&mut rng, with_output(cell(case, activation, gate), output), shape));
    }
}

/// Those with kinks: a point within 2^-17 of one would fail, none of these seeds has one.
#[test]
fn gradients_of_every_activation_equal_central_differences() {
    let mut rng = Rng(3);
    for activation in Activation::ALL.into_iter().filter(|a| a.derivative_from_output()) {
        for kind in 0..4 {
            for (act, gate) in [(activation, Activation::Sigmoid), (Activation::Tanh, activation)] {
                let shape = RecurrentShape { time: 3, batch: 2, input: 2, units: 3 };
                check(&Problem::random(&mut rng, cell(kind, act, gate), shape));
            }
        }
        let shape = RecurrentShape { time: 3, batch: 2, input: 2, units: 3 };
        let lstm = with_output(cell(0, Activation::Tanh, Activation::Sigmoid), activation);
        check(&Problem::random(&mut rng, lstm, shape));
    }
}
