//! Noise: its numbers, what is shared between repeats, its gradients; and blends by a drawn mask.

mod common;

use common::{close, numbers, singles, with_threads};
use cpu_core::{Draw, Error, Noise, StepParams, blend, blend_backward, dropout, noise, random_uniform};

fn step() -> StepParams {
    StepParams { rng_step: 4, ..StepParams::default() }
}
const DRAW: Draw = Draw { seed: 0x1234_5678_9abc_def0, stream: 3, part: 0 };

fn uniform(n: usize) -> Vec<f64> {
    let mut u = vec![0.0; n];
    random_uniform(DRAW.seed, DRAW.stream, &step(), &mut u).unwrap();
    u
}

fn apply(kind: Noise, backward: bool, repeats: usize, x: &[f64]) -> Vec<f64> {
    let mut y = vec![9.0; x.len()];
    noise(kind, backward, repeats, DRAW, 0, &step(), x, &mut y).unwrap();
    y
}

/// The formula of the module in double precision, from the same uniform numbers: what single precision is off by is the
/// polynomials' error of 1e-7 and the rounding of the angle, below 1e-6 of a radius of up to 5.8.
#[test]
fn normal_numbers_are_those_of_box_and_muller() {
    for n in [1, 2, 7, 64, 65, 10_001] {
        let z = apply(Noise::Gaussian { stddev: 1.0 }, false, 1, &vec![0.0; n]);
        let u = uniform(n.next_multiple_of(2));
        for (i, &z) in z.iter().enumerate() {
            let (radius, angle) = ((-2.0 * (1.0 - u[i & !1]).ln()).sqrt(), std::f64::consts::TAU * u[i | 1]);
            let want = radius * if i % 2 == 0 { angle.cos() } else { angle.sin() };
            close(z, want, 2e-7, 1e-6, "normal number");
        }
    }
}

/// Moments of 2^20 draws within five standard deviations: of the mean 1/sqrt n, the variance sqrt(2/n), the fourth moment
/// sqrt(96/n); and the share beyond 3, 0.0027.
#[test]
fn normal_numbers_are_normal() {
    let n = 1 << 20;
    let z = apply(Noise::Gaussian { stddev: 1.0 }, false, 1, &vec![0.0; n]);
    let moment = |k: i32| z.iter().map(|z| z.powi(k)).sum::<f64>() / n as f64;
    let root = (n as f64).sqrt();
    close(moment(1), 0.0, 0.0, 5.0 / root, "mean");
    close(moment(2), 1.0, 0.0, 5.0 * 2f64.sqrt() / root, "variance");
    close(moment(3), 0.0, 0.0, 5.0 * 15f64.sqrt() / root, "skew");
    close(moment(4), 3.0, 0.0, 5.0 * 96f64.sqrt() / root, "fourth moment");
    let far = z.iter().filter(|z| z.abs() > 3.0).count() as f64 / n as f64;
    close(far, 0.0027, 0.0, 5.0 * 0.052 / root, "share beyond 3");
    let pairs = z.chunks_exact(2).map(|p| p[0] * p[1]).sum::<f64>() / (n / 2) as f64;
    close(pairs, 0.0, 0.0, 5.0 / (n as f64 / 2.0).sqrt(), "the two of a pair");
}

#[test]
fn each_kind_is_its_formula() {
    let x = numbers(1, 999, 2.0);
    let (u, z) = (uniform(x.len()), apply(Noise::Gaussian { stddev: 1.0 }, false, 1, &vec![0.0; x.len()]));
    let (rate, stddev) = (0.25f32, 0.25f32);
    let (p, low) = (0.25f64, -1.673_263_242_354_377_2 * 1.050_700_987_355_480_5);
    // Keras's AlphaDropout.
    let a = ((1.0 - p) * (1.0 + p * low * low)).powf(-0.5);
    let b = -a * low * p;
    for (i, &x_i) in x.iter().enumerate() {
        let kept = u[i] >= p;
        let cases = [
            (
                Noise::Dropout { rate },
                if kept { x_i / 0.75 } else { 0.0 },
                if kept { 1.0 / 0.75 } else { 0.0 },
            ),
            (Noise::AlphaDropout { rate }, a * if kept { x_i } else { low } + b, if kept { a } else { 0.0 }),
            (Noise::Gaussian { stddev }, x_i + 0.25 * z[i], 1.0),
            (
                Noise::GaussianDropout { rate },
                x_i * (1.0 + (1.0f64 / 3.0).sqrt() * z[i]),
                1.0 + (1.0f64 / 3.0).sqrt() * z[i],
            ),
        ];
        if i % 111 != 0 {
            continue;
        }
        for (kind, want, slope) in cases {
            close(apply(kind, false, 1, &x)[i], want, 1e-12, 1e-12, "forward");
            close(apply(kind, true, 1, &x)[i], slope * x_i, 1e-12, 1e-12, "backward");
        }
    }
}

#[test]
fn every_repeat_sees_the_same_draws() {
    for (repeats, period) in [(5, 1), (3, 7), (4, 64), (2, 65), (40, 9001)] {
        let x = vec![1.0; repeats * period];
        for kind in [Noise::Dropout { rate: 0.5 }, Noise::Gaussian { stddev: 0.5 }] {
            let once = apply(kind, false, 1, &x[..period]);
            let y = apply(kind, false, repeats, &x);
            assert!(y.chunks(period).all(|part| part == once), "{kind:?} {repeats} {period}");
        }
    }
    let x = singles(&numbers(2, 300 * 2000, 1.0));
    let [one, many] = with_threads(|| {
        let mut y = vec![0.0; x.len()];
        noise(Noise::Dropout { rate: 0.5 }, false, 300, DRAW, 0, &step(), &x, &mut y).unwrap();
        y
    });
    assert!(one == many);
}

#[test]
fn dropout_is_one_of_them_and_parts_differ() {
    let x = numbers(3, 1000, 1.0);
    let mut y = vec![0.0; x.len()];
    dropout(0.3, DRAW.seed, DRAW.stream, &step(), &x, &mut y).unwrap();
    assert_eq!(y, apply(Noise::Dropout { rate: 0.3 }, false, 1, &x));
    noise(Noise::Dropout { rate: 0.3 }, false, 1, Draw { part: 1, ..DRAW }, 0, &step(), &x, &mut y).unwrap();
    assert_ne!(y, apply(Noise::Dropout { rate: 0.3 }, false, 1, &x));
}

#[test]
fn blends_choose_or_mix() {
    let n = 1000;
    let (a, b, dy) = (numbers(4, n, 1.0), numbers(5, n, 1.0), numbers(6, n, 1.0));
    let u = uniform(n);
    for draw in [Some(DRAW), None] {
        let (mut y, mut da, mut db) = (vec![9.0; n], vec![9.0; n], vec![9.0; n]);
        blend(0.25, draw, &step(), &a, &b, &mut y).unwrap();
        blend_backward(0.25, draw, true, &step(), &dy, &mut da).unwrap();
        blend_backward(0.25, draw, false, &step(), &dy, &mut db).unwrap();
        for i in 0..n {
            let m = if draw.is_none() { 0.25 } else { f64::from(u8::from(u[i] < 0.25)) };
            assert_eq!(y[i], m * a[i] + (1.0 - m) * b[i]);
            assert_eq!((da[i], db[i]), (m * dy[i], (1.0 - m) * dy[i]));
        }
    }
}

#[test]
fn wrong_calls_are_errors() {
    let mut y = [0.0f32; 6];
    let invalid = |r: Result<(), Error>| matches!(r, Err(Error::Invalid { .. }));
    for rate in [1.0f32, -0.1, f32::NAN] {
        for kind in [Noise::Dropout { rate }, Noise::AlphaDropout { rate }, Noise::GaussianDropout { rate }] {
            assert!(invalid(noise(kind, false, 1, DRAW, 0, &step(), &[0.0; 6], &mut y)), "{kind:?}");
        }
    }
    for stddev in [-1.0, f32::NAN, f32::INFINITY] {
        assert!(invalid(noise(Noise::Gaussian { stddev }, false, 1, DRAW, 0, &step(), &[0.0; 6], &mut y)));
    }
    assert!(invalid(noise(Noise::Gaussian { stddev: 1.0 }, false, 4, DRAW, 0, &step(), &[0.0; 6], &mut y)));
    assert!(invalid(noise(Noise::Gaussian { stddev: 1.0 }, false, 0, DRAW, 0, &step(), &[0.0; 6], &mut y)));
    assert!(noise(Noise::Gaussian { stddev: 1.0 }, false, 2, DRAW, 0, &step(), &[0.0; 5], &mut y).is_err());
    assert!(invalid(blend(1.5, None, &step(), &[0.0; 6], &[0.0; 6], &mut y)));
    assert!(blend(0.5, None, &step(), &[0.0; 6], &[0.0; 5], &mut y).is_err());
    assert!(blend_backward(0.5, None, true, &step(), &[0.0; 5], &mut y).is_err());
}
