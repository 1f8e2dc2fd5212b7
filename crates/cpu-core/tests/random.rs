//! Philox against Random123's known answers; streams and dropout.

mod common;

use common::{close, with_threads};
use cpu_core::random::philox;
use cpu_core::{Error, StepParams, dropout, random_uniform};

/// The `philox4x32 10` lines of Random123's `kat_vectors`.
#[test]
fn known_answers() {
    let cases = [
        ([0; 4], [0; 2], [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]),
        ([u32::MAX; 4], [u32::MAX; 2], [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]),
        (
            [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344],
            [0xa409_3822, 0x299f_31d0],
            [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1],
        ),
    ];
    for (counter, key, want) in cases {
        assert_eq!(philox(counter, key), want);
    }
}

#[test]
fn a_stream_is_its_blocks() {
    let (seed, stream, step) = (0x299f_31d0_a409_3822, 7, StepParams { rng_step: 3, ..Default::default() });
    for n in [0, 1, 3, 4, 63, 64, 65, 1001] {
        let (mut out, mut out64) = (vec![9.0f32; n], vec![9.0f64; n]);
        random_uniform(seed, stream, &step, &mut out).unwrap();
        random_uniform(seed, stream, &step, &mut out64).unwrap();
        for i in 0..n {
            let word = philox([i as u32 / 4, stream, 3, 0], [0xa409_3822, 0x299f_31d0])[i % 4];
            let want = (word >> 8) as f32 / 16_777_216.0;
            assert_eq!(out[i], want, "element {i} of {n}");
            assert_eq!(out64[i], f64::from(want));
        }
    }
}

#[test]
fn dropout_keeps_where_the_stream_says_and_scales() {
    let step = StepParams { rng_step: 11, ..Default::default() };
    for n in [1, 5, 64, 4097] {
        for rate in [0.0f32, 0.1, 0.5, 0.9] {
            let mut uniform = vec![0.0f32; n];
            random_uniform(5, 2, &step, &mut uniform).unwrap();
            let x: Vec<f32> = (0..n).map(|i| i as f32 - 3.0).collect();
            let mut y = vec![9.0f32; n];
            dropout(rate, 5, 2, &step, &x, &mut y).unwrap();
            for i in 0..n {
                let want = if uniform[i] >= rate { x[i] * (1.0 / (1.0 - rate)) } else { 0.0 };
                assert_eq!(y[i], want);
            }
        }
    }
}

/// The share kept and the mean of 2^20 draws: within five standard deviations.
#[test]
fn dropout_keeps_its_share() {
    let n = 1 << 20;
    let mut y = vec![0.0f64; n];
    dropout(0.3, 1, 0, &StepParams::default(), &vec![1.0; n], &mut y).unwrap();
    let kept = y.iter().filter(|&&y| y != 0.0).count() as f64 / n as f64;
    close(kept, 0.7, 0.0, 5.0 * (0.21 / n as f64).sqrt(), "share kept");
    let mut u = vec![0.0f64; n];
    random_uniform(1, 1, &StepParams::default(), &mut u).unwrap();
    close(u.iter().sum::<f64>() / n as f64, 0.5, 0.0, 5.0 * (1.0 / 12.0 / n as f64).sqrt(), "mean");
}

#[test]
fn threads_change_nothing() {
    let x = vec![1.0f32; 300_001];
    let [one, four] = with_threads(|| {
        let mut y = vec![0.0; x.len()];
        dropout(0.5, 3, 4, &StepParams::default(), &x, &mut y).unwrap();
        y
    });
    assert!(one == four);
    // The whole is drawn as one stream, however it is divided.
    let mut uniform = vec![0.0f32; x.len()];
    random_uniform(3, 4, &StepParams::default(), &mut uniform).unwrap();
    assert!(one.iter().zip(&uniform).all(|(y, u)| (*y != 0.0) == (*u >= 0.5)));
}

#[test]
fn wrong_calls_are_errors() {
    let step = StepParams::default();
    assert!(dropout(0.5f32, 0, 0, &step, &[0.0; 3], &mut [0.0; 2]).is_err());
    for rate in [1.0f32, -0.1, f32::NAN, 2.0] {
        let result = dropout(rate, 0, 0, &step, &[0.0; 2], &mut [0.0; 2]);
        assert!(matches!(result, Err(Error::Invalid { .. })), "rate {rate}");
    }
}
