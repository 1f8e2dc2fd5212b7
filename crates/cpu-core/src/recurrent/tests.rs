//! The packed path at every level of instructions that this machine has, against the plain path; the way back in parts.

use super::plan::Plan;
use super::workspace::Packed;
use super::{
    InputGradient, OutputGradient, RecurrentGrads, RecurrentInputs, RecurrentStates, RecurrentTrace,
    RecurrentUpstream, Upstream,
};
use super::{
    RecurrentShape, RecurrentWorkspace, backward, backward_in, forward, gradient_blocks, plain,
    plain_backward, recurrent_forward, saved_len,
};
use crate::math::Level;
use crate::{Activation, Cell, RESET, Real, VALID};

/// Numbers in `[-1, 1)`, the same on every machine.
fn values(n: usize, seed: u32) -> Vec<f64> {
    let mut x = seed;
    (0..n)
        .map(|_| {
            x = x.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            f64::from(x >> 8) / 8_388_608.0 - 1.0
        })
        .collect()
}

fn f32s(x: &[f64]) -> Vec<f32> {
    x.iter().map(|&x| x as f32).collect()
}

/// As in `tests/recurrent_packed.rs`: a dozen f32 roundings of values of order 1.
fn close(what: &str, got: &[f32], expected: &[f64]) {
    let scale = expected.iter().fold(1.0f64, |m, v| m.max(v.abs()));
    for (i, (&got, &expected)) in got.iter().zip(expected).enumerate() {
        assert!((f64::from(got) - expected).abs() <= 2e-5 * scale, "{what}[{i}]: {got} against {expected}");
    }
}

fn check(level: Level, cell: Cell, shape: RecurrentShape, threads: usize) {
    let RecurrentShape { time, batch, input, units } = shape;
    let columns = cell.gates() * units;
    let lstm = cell.states() == 2;
    let x = values(time * batch * input, 1);
    let scaled = |n: usize, seed: u32, by: usize| -> Vec<f64> {
        values(n, seed).iter().map(|v| f64::from((v / (by as f64).sqrt()) as f32)).collect()
    };
    let (kernel, recurrent) = (scaled(input * columns, 2, input), scaled(units * columns, 3, units));
    let bias = values(cell.bias_blocks() * units, 4);
    let flags: Vec<u32> = (0..time * batch)
        .map(|i| if i % 5 == 3 { 0 } else { VALID } | if i % 7 == 4 { RESET } else { 0 })
        .collect();
    let slot = batch * units;
    let start = values((time + 1) * slot, 5);
    let dy = values(time * slot, 6);
    let len = time * batch * gradient_blocks(cell) * units;

    let mask: Vec<f64> = values(batch * units, 7).iter().map(|v| if *v < 0.0 { 0.0 } else { 2.0 }).collect();
    let h_mask = (threads == 2).then_some(&mask[..]);
    let inputs = RecurrentInputs {
        h_mask,
        bias: Some(&bias),
        flags: Some(&flags),
        ..RecurrentInputs::new(&x, &kernel, &recurrent)
    };
    let (mut h, mut c) = (start.clone(), start.clone());
    let mut saved = vec![0.0; saved_len(cell, shape)];
    let mut workspace = RecurrentWorkspace::new();
    let c_given = lstm.then_some(&mut c[..]);
    plain::forward(
        cell,
        shape,
        inputs,
        RecurrentStates { saved: Some(&mut saved), ..RecurrentStates::new(&mut h, c_given) },
        &mut workspace,
    );
    let (mut dk, mut dr, mut dh0) = (vec![0.0; kernel.len()], vec![0.0; recurrent.len()], vec![0.0; slot]);
    let mut grads = RecurrentGrads {
        kernel: &mut dk,
        recurrent: &mut dr,
        bias: None,
        peepholes: None,
        x: None,
        h0: Some(&mut dh0),
        c0: None,
    };
    let c_given = lstm.then_some(&c[..]);
    plain_backward::through_time(
        cell,
        shape,
        inputs,
        RecurrentTrace { h: &h, c: c_given, saved: &saved },
        Upstream { dy: Some(&dy), dh_last: None, dc_last: None },
        &mut grads,
        &mut workspace,
    );

    let plan = Plan::at(level, cell, shape, threads);
    let (mut h32, mut c32) = (f32s(&start), f32s(&start));
    let mut saved32 = vec![0.0; saved.len()];
    let mut packed = Packed::default();
    let c_given = lstm.then_some(&mut c32[..]);
    let (x32, kernel32, recurrent32, bias32) = (f32s(&x), f32s(&kernel), f32s(&recurrent), f32s(&bias));
    let mask32 = f32s(&mask);
    let inputs32 = RecurrentInputs {
        h_mask: h_mask.map(|_| &mask32[..]),
        bias: Some(&bias32),
        flags: Some(&flags),
        ..RecurrentInputs::new(&x32, &kernel32, &recurrent32)
    };
    forward::forward(
        plan,
        cell,
        shape,
        inputs32,
        RecurrentStates { saved: Some(&mut saved32), ..RecurrentStates::new(&mut h32, c_given) },
        &mut packed,
        0,
    );
    close("h", &h32, &h);
    close("saved", &saved32, &saved);
    let (mut grads32, mut dh0_32) = (vec![f32::NAN; len], vec![f32::NAN; slot]);
    let c_given = lstm.then_some(&c32[..]);
    backward::through_time(
        plan,
        cell,
        shape,
        inputs32,
        RecurrentTrace { h: &h32, c: c_given, saved: &saved32 },
        Upstream { dy: Some(&f32s(&dy)), dh_last: None, dc_last: None },
        [Some(&mut dh0_32), None],
        &mut grads32,
        &mut packed,
        0,
    );
    close("gate gradients", &grads32, super::workspace::aligned_ref(&workspace.gate_grads, len));
    close("h0", &dh0_32, &dh0);
}

#[test]
fn every_level_of_instructions() {
    let (activation, recurrent_activation) = (Activation::Tanh, Activation::Sigmoid);
    let cells = [
        Cell::Lstm { activation, recurrent_activation, output_activation: activation },
        Cell::Gru { activation, recurrent_activation, reset_after: true },
        Cell::Gru { activation, recurrent_activation, reset_after: false },
        Cell::SimpleRnn { activation },
    ];
    let shapes =
        [(4, 3, 2, 5), (3, 19, 20, 37), (5, 1, 30, 150), (2, 70, 3, 64), (3, 6, 70, 260), (3, 43, 70, 85)];
    for level in [Level::Baseline, Level::Neon, Level::Avx2, Level::Avx512, Level::Amx] {
        // A level that the machine lacks would fall back to one that has been checked.
        if level > crate::math::level() {
            continue;
        }
        for cell in cells {
            for (time, batch, input, units) in shapes {
                for threads in [1, 2] {
                    check(level, cell, RecurrentShape { time, batch, input, units }, threads);
                }
            }
        }
    }
}

/// A team that is at work elsewhere leaves a call with the calling thread alone.
#[test]
fn a_busy_team() {
    let (activation, recurrent_activation) = (Activation::Tanh, Activation::Sigmoid);
    crate::team::run(2, |member| {
        if member.index == 0 {
            for reset_after in [false, true] {
                let cell = Cell::Gru { activation, recurrent_activation, reset_after };
                for (time, batch, input, units) in [(3, 70, 40, 130), (3, 2, 200, 1000)] {
                    check(crate::math::level(), cell, RecurrentShape { time, batch, input, units }, 2);
                }
            }
        }
    });
}

/// How a sequence goes back.
#[derive(Clone, Copy, Debug)]
struct Way {
    /// that go back together
    steps: usize,
    /// with flags, masks and peepholes
    extended: bool,
    /// the gradient of the outputs comes as a product
    product: bool,
    place: Place,
}

/// Where the gradient of the inputs goes.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Place {
    Apart,
    OverDy,
    OverH,
}

/// All gradients of a sequence.
fn gradients<T: Real>(cell: Cell, shape: RecurrentShape, way: Way) -> Vec<Vec<T>> {
    let Way { steps, extended, product, place } = way;
    let RecurrentShape { time, batch, input, units } = shape;
    let (columns, slot, lstm) = (cell.gates() * units, batch * units, cell.states() == 2);
    let of = |n: usize, seed: u32| -> Vec<T> {
        values(n, seed).into_iter().map(|v| T::from_f32((v * 0.5) as f32)).collect()
    };
    let flags: Vec<u32> = (0..time * batch)
        .map(|i| if i % 5 == 3 { 0 } else { VALID } | if i % 4 == 1 { RESET } else { 0 })
        .collect();
    let (x, kernel, recurrent) =
        (of(time * batch * input, 1), of(input * columns, 2), of(units * columns, 3));
    let (bias, mask, peepholes) = (of(cell.bias_blocks() * units, 4), of(slot, 5), of(3 * units, 6));
    let inputs = RecurrentInputs {
        bias: Some(&bias),
        flags: extended.then_some(&flags[..]),
        h_mask: extended.then_some(&mask[..]),
        peepholes: (extended && lstm).then_some(&peepholes[..]),
        ..RecurrentInputs::new(&x, &kernel, &recurrent)
    };
    let (mut h, mut c) = (of((time + 1) * slot, 7), of((time + 1) * slot, 8));
    let mut saved = vec![T::ZERO; saved_len(cell, shape)];
    let mut workspace = RecurrentWorkspace::new();
    let states = RecurrentStates {
        saved: Some(&mut saved),
        ..RecurrentStates::new(&mut h, lstm.then_some(&mut c[..]))
    };
    recurrent_forward(cell, shape, inputs, states, &mut workspace, 1, 2).unwrap();
    const INNER: usize = 3;
    let (left, right) = (of(time * batch * INNER, 9), of(units * INNER, 12));
    let mut dy = vec![T::ZERO; time * slot];
    for (row, dy) in dy.chunks_exact_mut(units).enumerate() {
        for (dy, right) in dy.iter_mut().zip(right.chunks_exact(INNER)) {
            let left = &left[row * INNER..][..INNER];
            *dy = left.iter().zip(right).fold(T::ZERO, |sum, (&a, &b)| sum + a * b);
        }
    }
    let (dh, dc) = (of(slot, 10), of(slot, 11));
    let [mut gk, mut gr, mut gb, mut gp] =
        [kernel.len(), recurrent.len(), bias.len(), 3 * units].map(|n| vec![T::ZERO; n]);
    let [mut gx, mut gh, mut gc] = [x.len(), slot, if lstm { slot } else { 0 }].map(|n| vec![T::ZERO; n]);
    let start = h[..slot].to_vec();
    let mut states = h.clone();
    let grads = RecurrentGrads {
        kernel: &mut gk,
        recurrent: &mut gr,
        bias: Some(&mut gb),
        peepholes: inputs.peepholes.map(|_| &mut gp[..]),
        x: Some(match place {
            Place::Apart => InputGradient::Apart(&mut gx),
            Place::OverDy => {
                gx.copy_from_slice(&dy);
                InputGradient::OverDy(&mut gx)
            }
            Place::OverH => InputGradient::OverH(&mut states),
        }),
        h0: Some(&mut gh),
        c0: lstm.then_some(&mut gc[..]),
    };
    let trace = RecurrentTrace {
        h: if place == Place::OverH { &[] } else { &h },
        c: lstm.then_some(&c[..]),
        saved: &saved,
    };
    let factors = OutputGradient::Product { left: &left, right: &right };
    let up = RecurrentUpstream {
        dy: match place {
            Place::OverDy => None,
            _ if product => Some(factors),
            _ => Some(OutputGradient::Made(&dy)),
        },
        dh_last: Some(&dh),
        dc_last: lstm.then_some(&dc[..]),
    };
    backward_in(steps, cell, shape, inputs, trace, up, grads, &mut workspace, 1, 2).unwrap();
    if place == Place::OverH {
        assert_eq!(states[..slot], start, "the slot that the sequence starts from stays");
        gx.copy_from_slice(&states[states.len() - x.len()..]);
    }
    vec![gk, gr, gb, gp, gx, gh, gc]
}

/// A sum taken in other parts differs by a rounding of each of its few dozen terms, all of order 1.
fn same<T: Real>(cell: Cell, shape: RecurrentShape, tolerance: f64) {
    for extended in [false, true] {
        let way = Way { steps: shape.time, extended, product: false, place: Place::Apart };
        let whole = gradients::<T>(cell, shape, way);
        for way in ways(shape, extended) {
            for (array, (got, want)) in gradients::<T>(cell, shape, way).iter().zip(&whole).enumerate() {
                let scale = want.iter().fold(1.0f64, |m, v| m.max(v.to_f64().abs()));
                for (got, want) in got.iter().zip(want) {
                    let error = (got.to_f64() - want.to_f64()).abs();
                    assert!(
                        error <= tolerance * scale,
                        "{cell:?} {shape:?}, {way:?}, array {array}: {error:e}"
                    );
                }
            }
        }
    }
}

/// All ways back that a shape allows.
fn ways(shape: RecurrentShape, extended: bool) -> Vec<Way> {
    let RecurrentShape { time, input, units, .. } = shape;
    let mut ways = Vec::new();
    for steps in [1, 2, 3, time - 1, time].into_iter().filter(|&steps| steps > 0) {
        for (place, allowed) in
            [(Place::Apart, true), (Place::OverDy, input == units), (Place::OverH, input <= units)]
        {
            for product in [false, true] {
                if allowed && !(product && place == Place::OverDy) {
                    ways.push(Way { steps, extended, product, place });
                }
            }
        }
    }
    ways
}

#[test]
fn a_sequence_goes_back_in_parts_as_it_does_whole() {
    let (activation, recurrent_activation) = (Activation::Tanh, Activation::Sigmoid);
    for cell in [
        Cell::Lstm { activation, recurrent_activation, output_activation: activation },
        Cell::Gru { activation, recurrent_activation, reset_after: true },
        Cell::Gru { activation, recurrent_activation, reset_after: false },
        Cell::SimpleRnn { activation },
    ] {
        for (time, batch, input, units) in
            [(7, 3, 2, 5), (8, 19, 20, 37), (5, 3, 9, 9), (1, 4, 3, 8), (4, 2, 6, 5)]
        {
            let shape = RecurrentShape { time, batch, input, units };
            same::<f64>(cell, shape, 1e-13);
            same::<f32>(cell, shape, 2e-5);
        }
    }
}
