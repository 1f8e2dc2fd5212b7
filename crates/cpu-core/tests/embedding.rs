//! Embedding against its definition; its gradient as the transposed sum, which repeated ids add up in.

mod common;

use common::{close, numbers, singles, with_threads};
use cpu_core::{embedding, embedding_backward};
use proptest::prelude::*;
use rnn_shaders::shape::Steps;

/// Ids in `[0, vocab)` that repeat.
fn ids(seed: u64, n: usize, vocab: usize) -> Vec<f64> {
    numbers(seed, n, 0.5).iter().map(|u| ((u + 0.5) * vocab as f64).floor()).collect()
}

proptest! {
    #[test]
    fn forward_and_gradient(time in 1usize..6, batch in 1usize..6, vocab in 1usize..9, width in 1usize..5, by_sample: bool, seed in 0u64..99) {
        let steps = if by_sample { Steps::by_sample(time, batch) } else { Steps::by_step(time, batch) };
        let ids = ids(seed, time * batch, vocab);
        let table = numbers(seed + 1, vocab * width, 1.0);
        let mut out = vec![9.0; time * batch * width];
        embedding(steps, vocab, width, &table, &ids, &mut out).unwrap();
        let dy = numbers(seed + 2, out.len(), 1.0);
        let mut grad = numbers(seed + 3, table.len(), 1.0);
        let mut want = grad.clone();
        for t in 0..time {
            for b in 0..batch {
                let id = ids[if by_sample { b * time + t } else { t * batch + b }] as usize;
                for c in 0..width {
                    let at = (t * batch + b) * width + c;
                    prop_assert_eq!(out[at], table[id * width + c]);
                    want[id * width + c] += dy[at];
                }
            }
        }
        embedding_backward(steps, vocab, width, &ids, &dy, &mut grad).unwrap();
        prop_assert_eq!(grad, want);
    }
}

#[test]
fn ids_are_cut_to_whole_numbers_and_strangers_give_zeros() {
    let table: Vec<f32> = (1..=6).map(|v| v as f32).collect();
    let ids = [1.9, -0.5, 3.0, -1.0, f32::NAN, f32::INFINITY, 2.0];
    let mut out = vec![9.0; 14];
    embedding(Steps::by_step(1, 7), 3, 2, &table, &ids, &mut out).unwrap();
    assert_eq!(out, [3.0, 4.0, 1.0, 2.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 5.0, 6.0]);
    let mut grad = vec![0.0; 6];
    embedding_backward(Steps::by_step(1, 7), 3, 2, &ids, &[1.0; 14], &mut grad).unwrap();
    assert_eq!(grad, [1.0; 6]);
}

#[test]
fn threads_change_nothing() {
    // The second has nearly all of its positions in one row.
    for (vocab, width, padding) in [(997, 64, false), (40, 7, true)] {
        let n = 301 * 32 * if padding { 6 } else { 1 };
        let steps = Steps::by_sample(n / 32, 32);
        let mut ids = singles(&ids(5, n, vocab));
        if padding {
            ids.iter_mut().enumerate().filter(|(i, _)| i % 50 != 0).for_each(|(_, id)| *id = 0.0);
        }
        let dy = singles(&numbers(6, n * width, 1.0));
        let table = singles(&numbers(7, vocab * width, 1.0));
        let [one, many] = with_threads(|| {
            let (mut out, mut grad) = (vec![0.0; dy.len()], vec![0.0; table.len()]);
            embedding(steps, vocab, width, &table, &ids, &mut out).unwrap();
            embedding_backward(steps, vocab, width, &ids, &dy, &mut grad).unwrap();
            (out, grad)
        });
        assert!(one == many);
        // Nothing is lost: the sums over all rows agree, to the rounding of `n` additions.
        for c in 0..width {
            let column = |x: &[f32]| x.iter().skip(c).step_by(width).map(|&v| f64::from(v)).sum::<f64>();
            close(column(&one.1), column(&dy), 0.0, n as f64 * 6e-8 * 20.0, "column");
        }
    }
}

#[test]
fn wrong_lengths_are_errors() {
    let (steps, mut out) = (Steps::by_sample(3, 2), [0.0f32; 12]);
    assert!(embedding(steps, 4, 2, &[0.0; 8], &[0.0; 6], &mut out).is_ok());
    assert!(embedding(steps, 4, 2, &[0.0; 8], &[0.0; 5], &mut out).is_err());
    assert!(embedding(steps, 4, 2, &[0.0; 7], &[0.0; 6], &mut out).is_err());
    assert!(embedding(steps, 4, 2, &[0.0; 8], &[0.0; 6], &mut out[1..]).is_err());
    assert!(embedding(Steps::by_sample(usize::MAX, 2), 4, 2, &[0.0; 8], &[0.0; 6], &mut out).is_err());
    assert!(embedding_backward(steps, 4, 2, &[0.0; 6], &[0.0; 11], &mut [0.0f32; 8]).is_err());
    assert!(embedding_backward(steps, 4, 2, &[0.0; 6], &[0.0; 12], &mut [0.0f32; 9]).is_err());
}
