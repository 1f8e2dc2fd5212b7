//! Wrong calls of the recurrent operations are errors that say what was expected.

use cpu_core::recurrent::{
    RecurrentGrads, RecurrentInputs, RecurrentShape, RecurrentStates, RecurrentTrace, RecurrentUpstream,
    RecurrentWorkspace, recurrent_backward, recurrent_forward, saved_len,
};
use cpu_core::{Activation, Cell, Error};

const LSTM: Cell = Cell::Lstm {
    activation: Activation::Tanh,
    recurrent_activation: Activation::Sigmoid,
    output_activation: Activation::Tanh,
};
const SHAPE: RecurrentShape = RecurrentShape { time: 2, batch: 3, input: 4, units: 5 };

#[test]
fn lengths_and_missing_buffers() {
    let (x, kernel, recurrent) = ([0f32; 24], [0f32; 80], [0f32; 100]);
    let mut h = [0f32; 45];
    let mut c = [0f32; 45];
    let mut run = |x: &[f32], bias: Option<&[f32]>, flags: Option<&[u32]>, with_c: bool| {
        let mut workspace = RecurrentWorkspace::new();
        let c = with_c.then_some(&mut c[..]);
        recurrent_forward(
            LSTM,
            SHAPE,
            RecurrentInputs { bias, flags, ..RecurrentInputs::new(x, &kernel, &recurrent) },
            RecurrentStates::new(&mut h, c),
            &mut workspace,
            0,
            1,
        )
    };
    let op = "recurrent_forward";
    assert_eq!(run(&x, None, None, true), Ok(()));
    assert_eq!(run(&x[1..], None, None, true), Err(Error::Length { op, what: "x", expected: 24, got: 23 }));
    assert_eq!(run(&x, None, None, false), Err(Error::Missing { op, what: "c" }));
    let bias = Err(Error::Length { op, what: "bias", expected: 20, got: 5 });
    assert_eq!(run(&x, Some(&[0.0; 5]), None, true), bias);
    let flags = Err(Error::Length { op, what: "flags", expected: 6, got: 7 });
    assert_eq!(run(&x, None, Some(&[1; 7]), true), flags);
}

#[test]
fn sizes_that_overflow() {
    let shape = RecurrentShape { time: usize::MAX, batch: 3, input: 4, units: 5 };
    let mut workspace = RecurrentWorkspace::<f32>::new();
    let (inputs, states) = (RecurrentInputs::new(&[], &[], &[]), RecurrentStates::new(&mut [], None));
    let result = recurrent_forward(LSTM, shape, inputs, states, &mut workspace, 0, 1);
    assert!(matches!(result, Err(Error::TooLarge { .. })), "{result:?}");
}

#[test]
fn activations_without_a_derivative_from_the_output() {
    let cell = Cell::SimpleRnn { activation: Activation::Gelu };
    let (x, kernel, recurrent, h) = ([0f32; 24], [0f32; 20], [0f32; 25], [0f32; 45]);
    assert_eq!(saved_len(cell, SHAPE), 0);
    let result = recurrent_backward(
        cell,
        SHAPE,
        RecurrentInputs::new(&x, &kernel, &recurrent),
        RecurrentTrace { h: &h, c: None, saved: &[] },
        RecurrentUpstream { dy: None, dh_last: None, dc_last: None },
        RecurrentGrads {
            kernel: &mut [0.0; 20],
            recurrent: &mut [0.0; 25],
            bias: None,
            peepholes: None,
            x: None,
            h0: None,
            c0: None,
        },
        &mut RecurrentWorkspace::new(),
        0,
        1,
    );
    assert!(matches!(result, Err(Error::Invalid { .. })), "{result:?}");
}
