//! Operations that move numbers, and plain sums of arrays.

mod common;

use common::{numbers, singles, with_threads};
use cpu_core::{
    Error, StepParams, add, add_assign, copy, fill, gather_batch, mul, repeat_vector, reverse_time, scale,
    shift_append, store_step, sub, transpose01,
};
use proptest::prelude::*;

fn at(cursor: u32) -> StepParams {
    StepParams { cursor, ..Default::default() }
}

/// Numbers that say where they stand.
fn count(n: usize) -> Vec<f32> {
    (0..n).map(|i| i as f32).collect()
}

proptest! {
    #[test]
    fn transposes(a in 0usize..70, b in 0usize..70, f in 0usize..6) {
        let x = count(a * b * f);
        let mut y = vec![-1.0; x.len()];
        transpose01(a, b, f, &x, &mut y).unwrap();
        for i in 0..a {
            for j in 0..b {
                for k in 0..f {
                    prop_assert_eq!(y[(j * a + i) * f + k], x[(i * b + j) * f + k]);
                }
            }
        }
    }

    #[test]
    fn time_moves(time in 0usize..20, n in 0usize..20) {
        let (x, new) = (count(time * n), vec![-5.0; n]);
        let mut y = vec![-1.0; x.len()];
        reverse_time(time, n, &x, &mut y).unwrap();
        let mut shifted = vec![-1.0; x.len()];
        shift_append(time, n, &x, &new, &mut shifted).unwrap();
        let mut repeated = vec![-1.0; x.len()];
        repeat_vector(time, n, &new, &mut repeated).unwrap();
        for t in 0..time {
            for k in 0..n {
                prop_assert_eq!(y[t * n + k], x[(time - 1 - t) * n + k]);
                prop_assert_eq!(shifted[t * n + k], if t + 1 < time { x[(t + 1) * n + k] } else { -5.0 });
                prop_assert_eq!(repeated[t * n + k], -5.0);
            }
        }
    }

    #[test]
    fn gathers(rows in 0usize..9, time in 0usize..6, f in 1usize..4, samples in 1usize..7, cursor in 0u32..5, seed in 0u64..99) {
        let data = count(samples * time * f);
        let indices: Vec<u32> =
            numbers(seed, rows + 5, 0.5).iter().map(|u| ((u + 0.5) * samples as f64) as u32).collect();
        let mut out = vec![-1.0; time * rows * f];
        gather_batch(rows, time, f, &data, &indices, &at(cursor), &mut out).unwrap();
        for t in 0..time {
            for b in 0..rows {
                for k in 0..f {
                    let sample = indices[cursor as usize + b] as usize;
                    prop_assert_eq!(out[(t * rows + b) * f + k], data[(sample * time + t) * f + k]);
                }
            }
        }
    }

    #[test]
    fn sums(n in 0usize..100, seed in 0u64..99) {
        let (a, b) = (singles(&numbers(seed, n, 1.0)), singles(&numbers(seed + 1, n, 1.0)));
        let mut y = vec![9.0; n];
        add(&a, &b, &mut y).unwrap();
        let (mut less, mut product) = (vec![9.0; n], vec![9.0; n]);
        sub(&a, &b, &mut less).unwrap();
        mul(&a, &b, &mut product).unwrap();
        let mut more = a.clone();
        add_assign(&b, &mut more).unwrap();
        let mut scaled = vec![9.0; n];
        scale(-0.3, &a, &mut scaled).unwrap();
        for i in 0..n {
            prop_assert_eq!(y[i], a[i] + b[i]);
            prop_assert_eq!(less[i], a[i] - b[i]);
            prop_assert_eq!(product[i], a[i] * b[i]);
            prop_assert_eq!(more[i], a[i] + b[i]);
            prop_assert_eq!(scaled[i], -0.3 * a[i]);
        }
        copy(&a, &mut y).unwrap();
        prop_assert_eq!(&y, &a);
        fill(2.5, &mut y).unwrap();
        prop_assert!(y.iter().all(|&y| y == 2.5));
    }
}

#[test]
fn steps_are_stored_where_the_cursor_is() {
    let mut seq = vec![0.0; 6];
    store_step(2, &at(1), &[7.0, 8.0], &mut seq).unwrap();
    assert_eq!(seq, [0.0, 0.0, 7.0, 8.0, 0.0, 0.0]);
    let error = store_step(2, &at(3), &[7.0, 8.0], &mut seq).unwrap_err();
    assert_eq!(error, Error::OutOfRange { op: "store_step", what: "the cursor", got: 3.0, limit: 3 });
    // One feature of two in each step.
    store_step(2, &at(2), &[9.0], &mut seq).unwrap();
    assert_eq!(seq, [0.0, 0.0, 7.0, 8.0, 9.0, 0.0]);
    assert!(store_step(2, &at(u32::MAX), &[9.0], &mut seq).is_err());
    assert!(store_step(usize::MAX, &at(2), &[9.0], &mut seq).is_err());
    assert!(store_step(1, &at(0), &[0.0; 7], &mut seq).is_err());
}

#[test]
fn threads_change_nothing() {
    let (a, b, f) = (401, 257, 3);
    let x = count(a * b * f);
    let indices: Vec<u32> = (0..a as u32).rev().collect();
    let [one, four] = with_threads(|| {
        let mut ys = vec![vec![0.0; x.len()]; 5];
        let [y0, y1, y2, y3, y4] = ys.get_disjoint_mut([0, 1, 2, 3, 4]).unwrap();
        transpose01(a, b, f, &x, y0).unwrap();
        gather_batch(a, b, f, &x, &indices, &at(0), y1).unwrap();
        add(&x, &x, y2).unwrap();
        scale(0.7, &x, y3).unwrap();
        add_assign(&x, y4).unwrap();
        ys
    });
    assert!(one == four);
}

#[test]
fn wrong_calls_are_errors() {
    let (x, mut y) = ([0.0f32; 6], [0.0f32; 6]);
    assert!(transpose01(2, 2, 2, &x, &mut y).is_err());
    assert!(transpose01(usize::MAX, 2, 2, &x, &mut y).is_err());
    assert!(reverse_time(2, 2, &x, &mut y).is_err());
    assert!(repeat_vector(2, 3, &x, &mut y).is_err());
    assert!(shift_append(2, 3, &x, &[0.0; 2], &mut y).is_err());
    assert!(add(&x, &x[..5], &mut y).is_err());
    assert!(sub(&x, &x[..5], &mut y).is_err());
    assert!(mul(&x, &x, &mut y[..5]).is_err());
    assert!(add_assign(&x[..5], &mut y).is_err());
    assert!(scale(1.0, &x[..5], &mut y).is_err());
    assert!(copy(&x[..5], &mut y).is_err());
    // Three samples of two steps; the last index of each list is wrong, or the list is too short.
    assert!(gather_batch(1, 2, 1, &x, &[3], &at(0), &mut y[..2]).is_err());
    assert!(gather_batch(1, 2, 1, &x, &[2], &at(0), &mut y[..2]).is_ok());
    assert!(gather_batch(1, 2, 1, &x, &[2], &at(1), &mut y[..2]).is_err());
    assert!(gather_batch(1, 2, 1, &x, &[2], &at(u32::MAX), &mut y[..2]).is_err());
    assert!(gather_batch(1, 2, 1, &x, &[2], &at(0), &mut y[..3]).is_err());
    assert!(gather_batch(1, 4, 1, &x, &[0], &at(0), &mut y[..4]).is_err());
}

/// Copies are dealt to threads from 16,384 values on.
#[test]
fn long_copies() {
    for n in [16_383, 16_384, 40_001] {
        let x: Vec<f32> = (0..n).map(|i| i as f32).collect();
        let mut y = vec![-1.0; n];
        copy(&x, &mut y).unwrap();
        assert_eq!(x, y);
        assert_eq!(x, cpu_core::to_vec(&x));
    }
}
