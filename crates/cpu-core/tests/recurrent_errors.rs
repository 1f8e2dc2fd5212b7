//! Wrong calls of the recurrent operations are errors that say what was expected.

use cpu_core::recurrent::{
    InputGradient, OutputGradient, RecurrentGrads, RecurrentInputs, RecurrentShape, RecurrentStates,
    RecurrentTrace, RecurrentUpstream, RecurrentWorkspace, recurrent_backward, recurrent_forward, saved_len,
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

#[test]
fn gradients_that_do_not_fit_where_they_should_go() {
    let cell = Cell::SimpleRnn { activation: Activation::Tanh };
    let numbers = [0f32; 64];
    let (mut x, mut h) = ([0f32; 30], [0f32; 45]);
    let run =
        |input: usize, states: &[f32], dy: Option<OutputGradient<'_, f32>>, x: InputGradient<'_, f32>| {
            let of = |n: usize| &numbers[..n];
            recurrent_backward(
                cell,
                RecurrentShape { input, ..SHAPE },
                RecurrentInputs::new(of(6 * input), of(5 * input), of(25)),
                RecurrentTrace { h: states, c: None, saved: &[] },
                RecurrentUpstream { dy, dh_last: None, dc_last: None },
                RecurrentGrads {
                    kernel: &mut vec![0.0; 5 * input],
                    recurrent: &mut [0.0; 25],
                    bias: None,
                    peepholes: None,
                    x: Some(x),
                    h0: None,
                    c0: None,
                },
                &mut RecurrentWorkspace::new(),
                0,
                1,
            )
        };
    let (dy, all) = (Some(OutputGradient::Made(&numbers[..30])), &numbers[..45]);
    assert_eq!(run(5, all, None, InputGradient::OverDy(&mut x)), Ok(()));
    assert_eq!(run(5, &[], dy, InputGradient::OverH(&mut h)), Ok(()));
    let invalid = |result| assert!(matches!(result, Err(Error::Invalid { .. })), "{result:?}");
    invalid(run(4, all, None, InputGradient::OverDy(&mut x)));
    invalid(run(5, all, dy, InputGradient::OverDy(&mut x)));
    invalid(run(6, &[], dy, InputGradient::OverH(&mut h)));
    invalid(run(5, all, dy, InputGradient::OverH(&mut h)));
    let op = "recurrent_backward";
    let length = |what, expected, got| Err(Error::Length { op, what, expected, got });
    assert_eq!(run(5, &[], None, InputGradient::OverH(&mut h[1..])), length("h", 45, 44));
    let product = |left: usize, right: usize| {
        Some(OutputGradient::Product { left: &numbers[..left], right: &numbers[..right] })
    };
    assert_eq!(run(5, all, product(12, 10), InputGradient::Apart(&mut x)), Ok(()));
    let result = run(5, all, product(11, 10), InputGradient::Apart(&mut x));
    assert_eq!(result, length("left factor of dy", 12, 11));
    let result = run(5, all, product(12, 11), InputGradient::Apart(&mut x));
    assert_eq!(result, length("right factor of dy", 10, 11));
}
