//! Normalisation against its formulas, its gradients against central differences.

mod common;

use common::{close, derivative, numbers, singles, with_threads};
use cpu_core::{Normalization, normalize_backward, normalize_forward, normalize_gamma};
use proptest::prelude::*;

const KINDS: [Normalization; 3] = [
    Normalization::Layer { epsilon: 1e-3 },
    Normalization::Rms { epsilon: 1e-3 },
    Normalization::L2 { epsilon: 1e-7 },
];

fn forward(kind: Normalization, cols: usize, x: &[f64], gamma: &[f64], beta: &[f64]) -> (Vec<f64>, Vec<f64>) {
    let rows = x.len() / cols;
    let (mut y, mut stats) = (vec![9.0; x.len()], vec![9.0; 2 * rows]);
    normalize_forward(kind, rows, cols, x, Some(gamma), Some(beta), &mut stats, &mut y).unwrap();
    (y, stats)
}

/// The formula of one row, as Keras has it.
fn formula(kind: Normalization, x: &[f64]) -> Vec<f64> {
    let n = x.len() as f64;
    let mean = x.iter().sum::<f64>() / n;
    let variance = x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n;
    let norm = x.iter().map(|x| x * x).sum::<f64>().sqrt();
    let one = |x: &f64| match kind {
        Normalization::Layer { epsilon } => (x - mean) / (variance + f64::from(epsilon)).sqrt(),
        Normalization::Rms { epsilon } => x / (variance + f64::from(epsilon)).sqrt(),
        Normalization::L2 { epsilon } => x / norm.max(f64::from(epsilon)),
    };
    x.iter().map(one).collect()
}

proptest! {
    #[test]
    fn formulas_and_gradients(kind in prop::sample::select(&KINDS), rows in 1usize..5, cols in 1usize..40, seed in 0u64..999) {
        let (x, dy) = (numbers(seed, rows * cols, 2.0), numbers(seed + 1, rows * cols, 1.0));
        let (gamma, beta) = (numbers(seed + 2, cols, 1.5), numbers(seed + 3, cols, 1.0));
        let (y, stats) = forward(kind, cols, &x, &gamma, &beta);
        for (x, y) in x.chunks(cols).zip(y.chunks(cols)) {
            for (c, want) in formula(kind, x).into_iter().enumerate() {
                close(y[c], want * gamma[c] + beta[c], 1e-12, 1e-12, "forward");
            }
        }
        let mut dx = vec![9.0; x.len()];
        normalize_backward(kind, rows, cols, &x, Some(&gamma), &stats, &dy, &mut dx).unwrap();
        let mut dgamma = vec![0.5; cols];
        normalize_gamma(kind, rows, cols, &x, &stats, &dy, &mut dgamma).unwrap();
        let loss = |x: &[f64], gamma: &[f64]| {
            forward(kind, cols, x, gamma, &beta).0.iter().zip(&dy).map(|(y, dy)| y * dy).sum::<f64>()
        };
        let (i, c) = (seed as usize % x.len(), seed as usize % cols);
        let want = derivative(|v| { let mut x = x.clone(); x[i] = v; loss(&x, &gamma) }, x[i]);
        // A row may be as short as its step allows: the variance is at least epsilon, and derivatives of the fifth order pass
        // 1 / epsilon^2.5 only where x is nearly constant; the differences then carry 3e-14 of that.
        if cols > 1 || !matches!(kind, Normalization::L2 { .. }) {
            close(dx[i], want, 1e-5, 1e-5, "dx");
        } else {
            close(dx[i], 0.0, 0.0, 1e-10, "a row of one value has the norm 1 whatever it is");
        }
        let want = derivative(|v| { let mut gamma = gamma.clone(); gamma[c] = v; loss(&x, &gamma) }, gamma[c]);
        close(dgamma[c] - 0.5, want, 1e-9, 1e-9, "dgamma");
    }
}

#[test]
fn a_row_of_zeros_is_bounded_by_epsilon() {
    let kind = Normalization::L2 { epsilon: 1e-3 };
    let (mut y, mut stats, mut dx) = (vec![9.0; 6], vec![0.0; 4], vec![9.0; 6]);
    let x = [0.0, 0.0, 0.0, 1e-4, 0.0, 0.0];
    normalize_forward(kind, 2, 3, &x, None, None, &mut stats, &mut y).unwrap();
    normalize_backward(kind, 2, 3, &x, None, &stats, &[1.0; 6], &mut dx).unwrap();
    for (got, want) in y.iter().zip([0.0, 0.0, 0.0, 0.1, 0.0, 0.0]) {
        close(*got, want, 1e-6, 0.0, "y");
    }
    dx.iter().for_each(|&dx| close(dx, 1e3, 1e-6, 0.0, "dx"));
}

#[test]
fn single_precision_and_threads() {
    let (rows, cols) = (3001, 131);
    let (x, dy) = (numbers(1, rows * cols, 2.0), numbers(2, rows * cols, 1.0));
    let gamma = numbers(3, cols, 1.5);
    let (x32, dy32, gamma32) = (singles(&x), singles(&dy), singles(&gamma));
    for kind in KINDS {
        let [one, many] = with_threads(|| {
            let (mut y, mut stats) = (vec![0.0f32; x.len()], vec![0.0f32; 2 * rows]);
            normalize_forward(kind, rows, cols, &x32, Some(&gamma32), None, &mut stats, &mut y).unwrap();
            let (mut dx, mut dgamma) = (vec![0.0f32; x.len()], vec![0.0f32; cols]);
            normalize_backward(kind, rows, cols, &x32, Some(&gamma32), &stats, &dy32, &mut dx).unwrap();
            normalize_gamma(kind, rows, cols, &x32, &stats, &dy32, &mut dgamma).unwrap();
            (y, dx, dgamma)
        });
        assert!(one == many);
        let (mut y, mut stats) = (vec![0.0; x.len()], vec![0.0; 2 * rows]);
        normalize_forward(kind, rows, cols, &x, Some(&gamma), None, &mut stats, &mut y).unwrap();
        let mut dgamma = vec![0.0; cols];
        normalize_gamma(kind, rows, cols, &x, &stats, &dy, &mut dgamma).unwrap();
        // Inputs are rounded (6e-8 of up to 2), sums of 131 in 16 lanes; |y| is below 3.
        one.0.iter().zip(&y).for_each(|(got, want)| close(f64::from(*got), *want, 1e-6, 2e-6, "y"));
        // 3001 terms below 3, in runs of 64: 64 roundings of up to 190 in the worst case.
        one.2.iter().zip(&dgamma).for_each(|(got, want)| close(f64::from(*got), *want, 1e-5, 1e-3, "dgamma"));
    }
}

#[test]
fn nan_fills_its_row_and_wrong_lengths_are_errors() {
    for kind in KINDS {
        let (mut y, mut stats) = ([0.0f32; 6], [0.0f32; 4]);
        normalize_forward(kind, 2, 3, &[1.0, 2.0, 4.0, 0.0, f32::NAN, 0.0], None, None, &mut stats, &mut y)
            .unwrap();
        assert!(y[..3].iter().all(|y| y.is_finite()) && y[3..].iter().all(|y| y.is_nan()), "{kind:?} {y:?}");
        let x = [0.0f32; 6];
        assert!(normalize_forward(kind, 2, 3, &x, Some(&[1.0; 2]), None, &mut stats, &mut y).is_err());
        assert!(normalize_forward(kind, 2, 3, &x, None, Some(&[1.0; 4]), &mut stats, &mut y).is_err());
        assert!(normalize_forward(kind, 2, 3, &x, None, None, &mut stats[1..], &mut y).is_err());
        assert!(normalize_forward(kind, 2, 3, &x, None, None, &mut stats, &mut y[1..]).is_err());
        assert!(normalize_backward(kind, 2, 3, &x, None, &stats, &x[1..], &mut y).is_err());
        assert!(normalize_gamma(kind, 2, 3, &x, &stats, &x, &mut y[..2]).is_err());
    }
}
