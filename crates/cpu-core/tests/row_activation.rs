//! Log softmax and sparsemax against their definitions, their gradients against central differences.

mod common;

use common::{close, derivative, numbers, singles};
use cpu_core::{RowActivation, row_activation_backward, row_activation_forward};
use proptest::prelude::*;

const KINDS: [RowActivation; 2] = [RowActivation::LogSoftmax, RowActivation::Sparsemax];

fn forward(kind: RowActivation, rows: usize, cols: usize, x: &[f64]) -> Vec<f64> {
    let mut y = vec![0.0; x.len()];
    row_activation_forward(kind, rows, cols, x, &mut y).unwrap();
    y
}

proptest! {
    #[test]
    fn forward_and_gradient(rows in 1usize..5, cols in 1usize..40, seed in 0u64..1000) {
        let (x, dy) = (numbers(seed, rows * cols, 3.0), numbers(seed + 1, rows * cols, 1.0));
        let log = forward(RowActivation::LogSoftmax, rows, cols, &x);
        let sparse = forward(RowActivation::Sparsemax, rows, cols, &x);
        for r in 0..rows {
            let row = r * cols..(r + 1) * cols;
            let total: f64 = x[row.clone()].iter().map(|x| x.exp()).sum();
            // The point of the simplex next to x: shares that add up to 1, and x - y the same wherever y is above 0,
            // no smaller elsewhere.
            close(sparse[row.clone()].iter().sum(), 1.0, 1e-13, 0.0, "sum");
            let first = row.clone().find(|&i| sparse[i] > 0.0).expect("one is above 0");
            for i in row {
                close(log[i], x[i] - total.ln(), 1e-13, 1e-13, "log softmax");
                let (gap, tau) = (x[i] - sparse[i], x[first] - sparse[first]);
                let fits = if sparse[i] > 0.0 { (gap - tau).abs() < 1e-13 } else { gap <= tau + 1e-13 };
                prop_assert!(fits);
            }
        }
        for kind in KINDS {
            let y = forward(kind, rows, cols, &x);
            let mut dx = vec![0.0; x.len()];
            row_activation_backward(kind, rows, cols, &y, &dy, &mut dx).unwrap();
            let i = seed as usize % x.len();
            let moved = |v: f64| {
                let mut x = x.clone();
                x[i] = v;
                forward(kind, rows, cols, &x)
            };
            // Where a share leaves or meets 0 within the step, sparsemax has a kink and the difference says nothing.
            let support = |y: Vec<f64>| y.iter().map(|y| *y > 0.0).collect::<Vec<_>>();
            if kind == RowActivation::LogSoftmax || support(moved(x[i] - 0.01)) == support(moved(x[i] + 0.01)) {
                let want = derivative(|v| moved(v).iter().zip(&dy).map(|(y, dy)| y * dy).sum(), x[i]);
                close(dx[i], want, 1e-6, 1e-9, "gradient");
            }

            let mut y32 = vec![0.0f32; x.len()];
            row_activation_forward(kind, rows, cols, &singles(&x), &mut y32).unwrap();
            for (got, want) in y32.iter().zip(&y) {
                // Roundings of numbers up to 10, of a sum of up to 39.
                close(f64::from(*got), *want, 1e-6, 5e-6, "in f32");
            }
        }
    }
}

#[test]
fn extremes_and_nan() {
    for kind in KINDS {
        let mut y = [0.0f32; 6];
        row_activation_forward(kind, 2, 3, &[1e4, 1e4, -1e4, 0.0, f32::NAN, 0.0], &mut y).unwrap();
        let want = match kind {
            RowActivation::LogSoftmax => [-std::f32::consts::LN_2, -std::f32::consts::LN_2, -20_000.693],
            RowActivation::Sparsemax => [0.5, 0.5, 0.0],
        };
        assert!(y.iter().zip(want).all(|(y, want)| (y - want).abs() <= 1e-6 * want.abs()), "{y:?}");
        assert!(y[3..].iter().all(|y| y.is_nan()), "{kind:?}: {y:?}");
        let mut dx = [0.0f32; 3];
        row_activation_backward(kind, 1, 3, &[0.5, f32::NAN, 0.0], &[1.0; 3], &mut dx).unwrap();
        assert!(dx[1].is_nan());
    }
}

#[test]
fn wrong_lengths_are_errors() {
    for kind in KINDS {
        assert!(row_activation_forward(kind, 2, 3, &[0.0f32; 6], &mut [0.0; 5]).is_err());
        assert!(row_activation_backward(kind, 2, 3, &[0.0f32; 6], &[0.0; 5], &mut [0.0; 6]).is_err());
        assert!(row_activation_forward::<f32>(kind, 0, 3, &[], &mut []).is_ok());
        assert!(row_activation_forward::<f32>(kind, 3, 0, &[], &mut []).is_ok());
    }
}
