//! Quotients, maxima and minima of two arrays, masked rows and penalties.

mod common;

use common::{close, derivative, numbers, with_threads};
use cpu_core::{div, mask_rows, maximum, maximum_backward, minimum, penalty, penalty_backward};

#[test]
fn quotients_maxima_and_minima() {
    let n = 1001;
    let (a, b, dy) = (numbers(1, n, 1.0), numbers(2, n, 1.0), numbers(3, n, 1.0));
    let [mut quotient, mut high, mut low, mut da, mut db, mut dmin] = [(); 6].map(|()| vec![9.0; n]);
    div(&a, &b, &mut quotient).unwrap();
    maximum(&a, &b, &mut high).unwrap();
    minimum(&a, &b, &mut low).unwrap();
    maximum_backward(&a, &b, &dy, &mut da).unwrap();
    maximum_backward(&b, &a, &dy, &mut db).unwrap();
    maximum_backward(&b, &a, &dy, &mut dmin).unwrap();
    for i in 0..n {
        assert_eq!(quotient[i], a[i] / b[i]);
        assert_eq!((high[i], low[i]), (a[i].max(b[i]), a[i].min(b[i])));
        assert_eq!(da[i] + db[i], dy[i]);
        if (a[i] - b[i]).abs() > 5e-3 {
            close(da[i], dy[i] * derivative(|a| a.max(b[i]), a[i]), 1e-12, 1e-12, "da of the maximum");
            close(dmin[i], dy[i] * derivative(|a| a.min(b[i]), a[i]), 1e-12, 1e-12, "da of the minimum");
        }
    }
    let mut y = [0.0f32; 3];
    maximum_backward(&[1.0, 2.0, 3.0], &[1.0, 3.0, 2.0], &[4.0; 3], &mut y).unwrap();
    assert_eq!(y, [2.0, 0.0, 4.0]);
    for extreme in [maximum::<f32>, minimum] {
        extreme(&[f32::NAN, 1.0, 1.0], &[1.0, f32::NAN, 1.0], &mut y).unwrap();
        assert!(y[0].is_nan() && y[1].is_nan() && y[2] == 1.0);
    }
    assert!(div(&[0.0f32; 3], &[0.0; 2], &mut y).is_err());
    assert!(maximum_backward(&[0.0f32; 3], &[0.0; 3], &[0.0; 2], &mut y).is_err());
}

#[test]
fn rows_without_the_flag_are_replaced() {
    let x = [1.0, 2.0, f32::NAN, 4.0, 5.0, 6.0];
    let mut y = [9.0; 6];
    mask_rows(3, 2, -1.5, &[1, 2, 3], &x, &mut y).unwrap();
    assert_eq!(y, [1.0, 2.0, -1.5, -1.5, 5.0, 6.0]);
    assert!(mask_rows(3, 2, 0.0, &[1, 1], &x, &mut y).is_err());
    assert!(mask_rows(3, 2, 0.0, &[1; 3], &x[1..], &mut y).is_err());
    assert!(mask_rows(usize::MAX, 2, 0.0, &[1; 3], &x, &mut y).is_err());
    let x: Vec<f32> = (0..700_000).map(|i| i as f32).collect();
    let flags: Vec<u32> = (0..100_000).map(|i| i % 2).collect();
    let [one, many] = with_threads(|| {
        let mut y = vec![0.0; x.len()];
        mask_rows(100_000, 7, 0.0, &flags, &x, &mut y).unwrap();
        y
    });
    assert!(one == many && one[6] == 0.0 && one[7] == 7.0);
}

#[test]
fn penalties_and_their_gradient() {
    let x = numbers(4, 1000, 1.0);
    let of = |x: &[f64]| {
        let mut out = [2.0];
        penalty(0.25, 0.5, x, &mut out).unwrap();
        out[0] - 2.0
    };
    close(of(&x), x.iter().map(|x| 0.25 * x.abs() + 0.5 * x * x).sum(), 1e-13, 0.0, "penalty");
    let mut dx = vec![1.0; x.len()];
    penalty_backward(0.25, 0.5, 3.0, &x, &mut dx).unwrap();
    for i in [0, 10, 999] {
        assert!(x[i].abs() > 5e-3, "the differences must not cross 0");
        let want = derivative(|v| of(&[v]), x[i]);
        close(dx[i] - 1.0, 3.0 * want, 1e-9, 1e-9, "gradient");
    }
    let mut dx = [0.0f32];
    penalty_backward(1.0, 1.0, 1.0, &[0.0], &mut dx).unwrap();
    assert_eq!(dx, [0.0]);
    penalty_backward(1.0, 1.0, 1.0, &[f32::NAN], &mut dx).unwrap();
    assert!(dx[0].is_nan());
    assert!(penalty(1.0, 1.0, &[0.0f32; 3], &mut [0.0; 2]).is_err());
    assert!(penalty_backward(1.0, 1.0, 1.0, &[0.0f32; 3], &mut [0.0; 2]).is_err());
}
