//! Column sums, whole sums, norms and clipping by norm.

mod common;

use common::{close, numbers, singles, with_threads};
use cpu_core::{accumulate, clip_by_norm, row_weights, segment_norms, sum_all, sum_rows};
use proptest::prelude::*;

fn check_sum_rows(rows: usize, cols: usize, seed: u64) {
    let x: Vec<f32> = singles(&numbers(seed, rows * cols, 1.0));
    let wide: Vec<f64> = x.iter().map(|&x| f64::from(x)).collect();
    let (mut out, mut out64) = (vec![5.0f32; cols], vec![5.0f64; cols]);
    sum_rows(rows, cols, &x, &mut out, false).unwrap();
    sum_rows(rows, cols, &wide, &mut out64, false).unwrap();
    let mut more = vec![5.0f64; cols];
    sum_rows(rows, cols, &wide, &mut more, true).unwrap();
    for c in 0..cols {
        let want: f64 = (0..rows).map(|r| wide[r * cols + c]).sum();
        close(out64[c], want, 1e-13, 1e-13 * rows as f64, "f64");
        close(more[c], want + 5.0, 1e-13, 1e-13 * rows as f64, "accumulated");
        // Runs of 64, then narrow ones side by side, 128 at most: each addition rounds a sum of at most `rows`.
        let roundings = 200.0 + (rows.max(1) as f64).log2();
        close(f64::from(out[c]), want, 0.0, 6e-8 * roundings * (rows as f64).sqrt() + 1e-12, "f32");
    }
}

proptest! {
    #[test]
    fn columns(rows in 0usize..300, cols in 1usize..70, seed in 0u64..1000) {
        check_sum_rows(rows, cols, seed);
    }

    #[test]
    fn whole(n in 0usize..9000, seed in 0u64..1000) {
        let x = numbers(seed, n, 1.0);
        let want: f64 = x.iter().sum();
        let mut out = [2.0];
        sum_all(&x, &mut out, true).unwrap();
        close(out[0], want + 2.0, 1e-12, 1e-12, "sum");
    }
}

#[test]
fn columns_of_larger_arrays() {
    for (rows, cols) in
        [(1, 1), (5000, 1), (20_001, 3), (2048, 1024), (129, 257), (1000, 64), (77, 65), (3, 1000)]
    {
        check_sum_rows(rows, cols, 4);
    }
    let mut none = [1.0f32; 3];
    sum_rows(0, 3, &[], &mut none, false).unwrap();
    assert_eq!(none, [0.0; 3]);
}

/// Ten million times 0.1: one after another in f32 this gives 1,087,937, off by 9 %.
#[test]
fn long_sums_stay_accurate() {
    let x = vec![0.1f32; 10_000_000];
    let want = f64::from(0.1f32) * x.len() as f64;
    let mut out = [0.0];
    sum_all(&x, &mut out, false).unwrap();
    // 64 additions in a run and 12 levels of pairs, each within 6e-8.
    close(f64::from(out[0]), want, 76.0 * 6e-8, 0.0, "sum_all");
    let mut columns = [0.0; 2];
    sum_rows(5_000_000, 2, &x, &mut columns, false).unwrap();
    for sum in columns {
        close(f64::from(sum), want / 2.0, 220.0 * 6e-8, 0.0, "sum_rows");
    }
}

#[test]
fn norms_and_clipping() {
    for n in [1usize, 3, 17, 100, 5000] {
        let x = singles(&numbers(n as u64, 2 * n + 3, 1.0));
        let segments = [0, n as u32, n as u32 + 3, n as u32];
        let mut sumsq = [0.0f32; 2];
        segment_norms(&segments, &x, &mut sumsq).unwrap();
        let square = |x: &[f32]| x.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>();
        let want = [square(&x[..n]), square(&x[n + 3..])];
        for (got, want) in sumsq.iter().zip(want) {
            close(f64::from(*got), want, 5e-6, 0.0, "sum of squares");
        }
        for global in [false, true] {
            let norms = if global { [(want[0] + want[1]).sqrt(); 2] } else { want.map(f64::sqrt) };
            for max_norm in [0.5 * norms[0] as f32, 10.0 * (norms[0] + norms[1]) as f32] {
                let mut y = x.clone();
                clip_by_norm(&segments, &sumsq, max_norm, global, &mut y).unwrap();
                for (i, (got, x)) in y.iter().zip(&x).enumerate() {
                    let factor = match i {
                        i if i < n => f64::from(max_norm) / norms[0].max(f64::from(max_norm)),
                        i if i >= n + 3 => f64::from(max_norm) / norms[1].max(f64::from(max_norm)),
                        _ => 1.0,
                    };
                    close(f64::from(*got), f64::from(*x) * factor, 5e-6, 0.0, "clipped");
                }
            }
        }
    }
}

#[test]
fn zero_gradients_stay_and_nan_spreads_over_its_segment() {
    let mut x = [0.0f32, 0.0, f32::NAN, 1.0];
    let mut sumsq = [0.0; 2];
    segment_norms(&[0, 2, 2, 2], &x, &mut sumsq).unwrap();
    clip_by_norm(&[0, 2, 2, 2], &sumsq, 1.0, false, &mut x).unwrap();
    assert_eq!(x[..2], [0.0, 0.0]);
    assert!(x[2].is_nan() && x[3].is_nan());
}

#[test]
fn threads_change_nothing() {
    let n = 1_000_007;
    let x = singles(&numbers(9, n, 1.0));
    let [one, four] = with_threads(|| {
        let (mut sum, mut norms, mut columns) = ([0.0f32], [0.0f32; 2], vec![0.0f32; 1001]);
        sum_all(&x, &mut sum, false).unwrap();
        segment_norms(&[0, 300_000, 300_000, 700_007], &x, &mut norms).unwrap();
        let rows = n / 1001;
        sum_rows(rows, 1001, &x[..rows * 1001], &mut columns, false).unwrap();
        let mut narrow = vec![0.0f32; 5];
        sum_rows(n / 5, 5, &x[..n / 5 * 5], &mut narrow, false).unwrap();
        let mut clipped = x.clone();
        clip_by_norm(&[0, 300_000, 300_000, 700_007], &norms, 1.0, true, &mut clipped).unwrap();
        (sum, norms, columns, narrow, clipped)
    });
    assert!(one == four);
}

#[test]
fn wrong_calls_are_errors() {
    assert!(sum_rows(2, 3, &[0.0f32; 5], &mut [0.0; 3], false).is_err());
    assert!(sum_rows(2, 3, &[0.0f32; 6], &mut [0.0; 2], false).is_err());
    assert!(sum_all(&[0.0f32; 5], &mut [0.0; 2], false).is_err());
    assert!(segment_norms(&[0, 3, 1], &[0.0f32; 3], &mut [0.0; 1]).is_err());
    assert!(segment_norms(&[1, 3], &[0.0f32; 3], &mut [0.0; 1]).is_err());
    assert!(segment_norms(&[u32::MAX, u32::MAX], &[0.0f32; 3], &mut [0.0; 1]).is_err());
    assert!(segment_norms(&[0, 3], &[0.0f32; 3], &mut [0.0; 2]).is_err());
    assert!(clip_by_norm(&[0, 4], &[1.0f32], 1.0, false, &mut [0.0; 3]).is_err());
    assert!(clip_by_norm(&[0, 3], &[1.0f32; 2], 1.0, false, &mut [0.0; 3]).is_err());
}

/// A count beyond 2^24, and small sums beside a large one.
#[test]
fn running_sums_keep_what_rounding_takes() {
    for cols in [1, 3, 300] {
        let mut acc = vec![0.0f32; 2 * cols + 2];
        let large = vec![33_554_432.0; cols];
        accumulate(1, cols, &large, 1.0, Some(33_554_432.0), &mut acc).unwrap();
        for _ in 0..3 {
            accumulate(2, cols, &vec![1.0; 2 * cols], 0.25, Some(1.0), &mut acc).unwrap();
        }
        for c in 0..cols {
            assert_eq!(f64::from(acc[c]) + f64::from(acc[cols + c]), 33_554_433.5);
        }
        assert_eq!(f64::from(acc[2 * cols]) + f64::from(acc[2 * cols + 1]), 33_554_435.0);
    }
    let mut acc = [0.0f32; 2];
    accumulate(2, 1, &[f32::INFINITY, 1.0], 1.0, None, &mut acc).unwrap();
    assert_eq!(acc, [f32::INFINITY, 0.0]);
    assert!(accumulate(2, 1, &[1.0, 1.0], 1.0, Some(1.0), &mut acc).is_err());
}

/// Weights per sample are repeated over the steps; a mask spreads its mean over the valid rows.
#[test]
fn weights_of_rows() {
    let mut out = [f64::NAN; 6];
    // Three steps of two samples; RESET alone is not VALID.
    let flags = [1, 3, 0, 1, 2, 0];
    row_weights(Some(&[2.0, 3.0]), Some(&flags), Some(&[3.0]), &mut out).unwrap();
    assert_eq!(out, [4.0, 6.0, 0.0, 6.0, 0.0, 0.0]);
    row_weights(None, Some(&flags), None, &mut out).unwrap();
    assert_eq!(out, [1.0, 1.0, 0.0, 1.0, 0.0, 0.0]);
    row_weights(Some(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]), None, None, &mut out).unwrap();
    assert_eq!(out, [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    // All masked: no weight at all, and no NaN.
    row_weights(Some(&[2.0, 3.0]), Some(&[0; 6]), Some(&[0.0]), &mut out).unwrap();
    assert_eq!(out, [0.0; 6]);
    assert!(row_weights(Some(&[1.0; 4]), None, None, &mut out).is_err());
    assert!(row_weights(None, Some(&[1; 5]), None, &mut out).is_err());
}
