//! Softmax against its definition, its gradient against central differences.

mod common;

use common::{close, derivative, numbers, singles, with_threads};
use cpu_core::{softmax_backward, softmax_forward};
use proptest::prelude::*;

fn forward(rows: usize, cols: usize, x: &[f64]) -> Vec<f64> {
    let mut y = vec![0.0; x.len()];
    softmax_forward(rows, cols, x, &mut y).unwrap();
    y
}

proptest! {
    #[test]
    fn forward_and_gradient(rows in 1usize..5, cols in 1usize..40, seed in 0u64..1000) {
        let (x, dy) = (numbers(seed, rows * cols, 3.0), numbers(seed + 1, rows * cols, 1.0));
        let y = forward(rows, cols, &x);
        for r in 0..rows {
            let row = r * cols..(r + 1) * cols;
            let total: f64 = x[row.clone()].iter().map(|x| x.exp()).sum();
            for i in row {
                close(y[i], x[i].exp() / total, 1e-14, 0.0, "softmax");
            }
        }
        let mut dx = vec![0.0; x.len()];
        softmax_backward(rows, cols, &y, &dy, &mut dx).unwrap();
        let i = seed as usize % x.len();
        let want = derivative(|v| {
            let mut x = x.clone();
            x[i] = v;
            forward(rows, cols, &x).iter().zip(&dy).map(|(y, dy)| y * dy).sum()
        }, x[i]);
        // The rounding of the sum of up to 156 products over the step: 156 * 1e-16 / 1e-3.
        close(dx[i], want, 1e-6, 1e-10, "gradient");

        let mut y32 = vec![0.0f32; x.len()];
        softmax_forward(rows, cols, &singles(&x), &mut y32).unwrap();
        for (got, want) in y32.iter().zip(&y) {
            // Rounding of x up to 3 to f32 (1.8e-7 in the exponent), of the exponential, the sum and the quotient.
            close(f64::from(*got), *want, 1.5e-6, 0.0, "softmax in f32");
        }
        let mut dx32 = vec![0.0f32; x.len()];
        softmax_backward(rows, cols, &y32, &singles(&dy), &mut dx32).unwrap();
        for (got, want) in dx32.iter().zip(&dx) {
            close(f64::from(*got), *want, 1e-5, 3e-6, "gradient in f32");
        }
    }
}

#[test]
fn large_values_do_not_overflow_and_nan_fills_its_row() {
    let mut y = [0.0f32; 6];
    softmax_forward(2, 3, &[1e4, 1e4, -1e4, 0.0, f32::NAN, 0.0], &mut y).unwrap();
    assert_eq!(y[..3], [0.5, 0.5, 0.0]);
    assert!(y[3..].iter().all(|y| y.is_nan()));
}

#[test]
fn threads_change_nothing() {
    let (rows, cols) = (2501, 133);
    let (x, dy) = (singles(&numbers(1, rows * cols, 3.0)), singles(&numbers(2, rows * cols, 1.0)));
    let [one, four] = with_threads(|| {
        let (mut y, mut dx) = (vec![0.0; x.len()], vec![0.0; x.len()]);
        softmax_forward(rows, cols, &x, &mut y).unwrap();
        softmax_backward(rows, cols, &y, &dy, &mut dx).unwrap();
        (y, dx)
    });
    assert!(one == four);
}

#[test]
fn wrong_lengths_are_errors() {
    assert!(softmax_forward(2, 3, &[0.0f32; 6], &mut [0.0; 5]).is_err());
    assert!(softmax_forward(2, 3, &[0.0f32; 7], &mut [0.0; 6]).is_err());
    assert!(softmax_forward(usize::MAX, 3, &[0.0f32; 6], &mut [0.0; 6]).is_err());
    assert!(softmax_backward(2, 3, &[0.0f32; 6], &[0.0; 5], &mut [0.0; 6]).is_err());
    assert!(softmax_forward::<f32>(0, 3, &[], &mut []).is_ok());
    assert!(softmax_forward::<f32>(3, 0, &[], &mut []).is_ok());
}
