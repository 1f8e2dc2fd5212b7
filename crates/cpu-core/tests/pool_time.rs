//! Means and maxima over valid steps against their definition, their gradients against central differences.

mod common;

use common::{close, derivative, numbers, singles, with_threads};
use cpu_core::{Pool, VALID, pool_time, pool_time_backward};
use proptest::prelude::*;

fn pooled(
    pool: Pool,
    [time, batch, cols]: [usize; 3],
    flags: Option<&[u32]>,
    x: &[f64],
) -> (Vec<f64>, Vec<f64>) {
    let (mut y, mut count) = (vec![9.0; batch * cols], vec![9.0; batch * cols]);
    pool_time(pool, time, batch, cols, flags, x, &mut count, &mut y).unwrap();
    (y, count)
}

proptest! {
    #[test]
    fn definition_and_gradient(time in 1usize..70, batch in 1usize..4, cols in 1usize..5, masked: bool, max: bool, seed in 0u64..999) {
        let shape = [time, batch, cols];
        let pool = if max { Pool::Max } else { Pool::Average };
        let x = numbers(seed, time * batch * cols, 1.0);
        let words: Vec<u32> = numbers(seed + 1, time * batch, 1.0).iter().map(|&u| if u > 0.3 { VALID } else { 2 }).collect();
        let flags = masked.then_some(&words[..]);
        let (y, count) = pooled(pool, shape, flags, &x);
        for b in 0..batch {
            for c in 0..cols {
                let values: Vec<f64> = (0..time)
                    .filter(|t| flags.is_none_or(|f| f[t * batch + b] & VALID != 0))
                    .map(|t| x[(t * batch + b) * cols + c])
                    .collect();
                let want = match pool {
                    _ if values.is_empty() => 0.0,
                    Pool::Average => values.iter().sum::<f64>() / values.len() as f64,
                    Pool::Max => values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
                };
                close(y[b * cols + c], want, 1e-13, 1e-15, "y");
            }
        }
        let dy = numbers(seed + 2, y.len(), 1.0);
        let mut dx = vec![9.0; x.len()];
        pool_time_backward(pool, time, batch, cols, flags, &x, &y, &count, &dy, &mut dx).unwrap();
        let i = seed as usize % x.len();
        // A maximum has a kink where another step is as large; the differences step by 2e-3 at most.
        let column: Vec<f64> = x.iter().skip(i % (batch * cols)).step_by(batch * cols).copied().collect();
        let near = column.iter().filter(|&&other| (other - x[i]).abs() < 5e-3).count() > 1;
        if !(max && near) {
            let loss = |v| { let mut x = x.clone(); x[i] = v; pooled(pool, shape, flags, &x).0.iter().zip(&dy).map(|(y, dy)| y * dy).sum() };
            close(dx[i], derivative(loss, x[i]), 1e-9, 1e-10, "dx");
        }
    }
}

#[test]
fn equal_maxima_share_and_nan_is_kept() {
    let x = [1.0f32, 5.0, 3.0, f32::NAN, 3.0, 1.0, 2.0, 9.0];
    let (mut y, mut count, mut dx) = ([0.0; 2], [0.0; 2], [9.0; 8]);
    pool_time(Pool::Max, 4, 1, 2, None, &x, &mut count, &mut y).unwrap();
    assert_eq!(y[0], 3.0);
    assert!(y[1].is_nan());
    pool_time_backward(Pool::Max, 4, 1, 2, None, &x, &y, &count, &[1.0, 1.0], &mut dx).unwrap();
    assert_eq!([dx[0], dx[2], dx[4], dx[6]], [0.0, 0.5, 0.5, 0.0]);
    pool_time(Pool::Average, 4, 1, 2, None, &x, &mut count, &mut y).unwrap();
    assert!(y[0] == 2.25 && y[1].is_nan());
}

#[test]
fn threads_change_nothing_and_wide_rows() {
    let (time, batch, cols) = (67, 33, 301);
    let x = singles(&numbers(3, time * batch * cols, 1.0));
    let flags: Vec<u32> = (0..time * batch).map(|i| u32::from(i % 3 != 0)).collect();
    for pool in [Pool::Average, Pool::Max] {
        let [one, many] = with_threads(|| {
            let (mut y, mut count) = (vec![0.0; batch * cols], vec![0.0; batch * cols]);
            pool_time(pool, time, batch, cols, Some(&flags), &x, &mut count, &mut y).unwrap();
            let mut dx = vec![0.0; x.len()];
            pool_time_backward(pool, time, batch, cols, Some(&flags), &x, &y, &count, &y, &mut dx).unwrap();
            (y, dx)
        });
        assert!(one == many);
        let wide: Vec<f64> = x.iter().map(|&x| f64::from(x)).collect();
        let (want, _) = pooled(pool, [time, batch, cols], Some(&flags), &wide);
        one.0.iter().zip(want).for_each(|(got, want)| close(f64::from(*got), want, 1e-5, 1e-6, "f32"));
    }
}

#[test]
fn nothing_to_pool_and_wrong_lengths() {
    let (mut y, mut count) = ([9.0f32; 6], [9.0f32; 6]);
    pool_time(Pool::Max, 0, 2, 3, None, &[], &mut count, &mut y).unwrap();
    assert_eq!((y, count), ([0.0; 6], [0.0; 6]));
    assert!(pool_time(Pool::Max, 1, 2, 3, None, &[0.0; 5], &mut count, &mut y).is_err());
    assert!(pool_time(Pool::Max, 1, 2, 3, Some(&[1]), &[0.0; 6], &mut count, &mut y).is_err());
    assert!(pool_time(Pool::Max, 1, 2, 3, None, &[0.0; 6], &mut count[1..], &mut y).is_err());
    let x = [0.0f32; 6];
    assert!(pool_time_backward(Pool::Max, 1, 2, 3, None, &x, &x, &x, &x[1..], &mut y).is_err());
}
