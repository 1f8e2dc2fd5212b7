//! Philox4x32-10 against Random123's known answers, uniform numbers and dropout against the twins.
mod common;
use common::{Guarded, SIZES, assert_all_nan, numbers, refused, run_step};
use gpu_core::vocabulary::StepParams;
use gpu_core::{kernels, testing};

fn rng_step(rng_step: u32) -> StepParams {
    StepParams { rng_step, ..StepParams::default() }
}

/// `kat_vectors` of Random123, philox4x32 with 10 rounds: counter, key, answer.
const KNOWN: [([u32; 4], [u32; 2], [u32; 4]); 3] = [
    ([0; 4], [0; 2], [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]),
    ([u32::MAX; 4], [u32::MAX; 2], [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]),
    (
        [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344],
        [0xa409_3822, 0x299f_31d0],
        [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1],
    ),
];

#[test]
fn known_answers() {
    let Some(ctx) = testing::context() else { return };
    for (counter, key, answer) in KNOWN {
        let out = Guarded::out(&ctx, 4);
        let seed = u64::from(key[0]) | u64::from(key[1]) << 32;
        run_step(&ctx, rng_step(counter[2]), |rec| {
            kernels::random_bits(rec, seed, [counter[0], counter[1], counter[3]], &out.slice)
        });
        assert_eq!(out.read_words(&ctx), answer, "{counter:x?} {key:x?}");
    }
}

#[test]
fn uniform_equals_the_twin() {
    let Some(ctx) = testing::context() else { return };
    let (seed, stream, step) = (0x1234_5678_9abc_def0, 7, rng_step(3));
    for n in SIZES {
        let out = Guarded::out(&ctx, n);
        run_step(&ctx, step, |rec| kernels::random_uniform(rec, seed, stream, &out.slice));
        let mut want = vec![0.0f32; n];
        cpu_core::random_uniform(seed, stream, &step, &mut want).unwrap();
        assert_eq!(out.read(&ctx), want, "{n}");
    }
}

#[test]
fn streams_steps_and_seeds_differ_and_cover_the_interval() {
    let Some(ctx) = testing::context() else { return };
    let n = 100_000;
    let draw = |seed, stream, step| {
        let out = Guarded::out(&ctx, n);
        run_step(&ctx, rng_step(step), |rec| kernels::random_uniform(rec, seed, stream, &out.slice));
        out.read(&ctx)
    };
    let first = draw(1, 0, 0);
    assert_eq!(first, draw(1, 0, 0));
    for other in [draw(2, 0, 0), draw(1, 1, 0), draw(1, 0, 1), draw(1 | 1 << 32, 0, 0)] {
        // Two independent draws of 24 bits agree with probability 2^-24: 100,000 pairs agree almost never.
        assert!(first.iter().zip(&other).filter(|(a, b)| a == b).count() < 4);
    }
    assert!(first.iter().all(|u| (0.0..1.0).contains(u)));
    // Each tenth gets 10,000 of 100,000, with a standard deviation of 95: within six of them.
    for tenth in 0..10 {
        let count = first.iter().filter(|&&u| (u * 10.0) as usize == tenth).count();
        assert!((9430..=10570).contains(&count), "{tenth}: {count}");
    }
}

#[test]
fn dropout_equals_the_twin_and_its_gradient_has_the_same_mask() {
    let Some(ctx) = testing::context() else { return };
    let (seed, stream, step) = (99, 4, rng_step(12));
    for (n, rate) in [(1, 0.5), (6, 0.5), (259, 0.0), (1001, 0.25), (100_003, 0.9)] {
        let (x, dy) = (numbers(31, n, 1.0, 2.0), numbers(32, n, 1.0, 2.0));
        let (dev_x, dev_dy) = (Guarded::new(&ctx, &x), Guarded::new(&ctx, &dy));
        let (y, dx) = (Guarded::out(&ctx, n), Guarded::out(&ctx, n));
        run_step(&ctx, step, |rec| {
            kernels::dropout(rec, rate, seed, stream, &dev_x.slice, &y.slice)?;
            kernels::dropout(rec, rate, seed, stream, &dev_dy.slice, &dx.slice)
        });
        let (y, dx) = (y.read(&ctx), dx.read(&ctx));
        let mut want = vec![0.0f32; n];
        cpu_core::dropout(rate, seed, stream, &step, &x, &mut want).unwrap();
        assert_eq!(y, want, "{n} {rate}");
        assert!(y.iter().zip(&dx).all(|(y, dx)| (*y == 0.0) == (*dx == 0.0)), "{n} {rate}");
        // Binomial: within six standard deviations.
        let (kept, expected) =
            (y.iter().filter(|y| **y != 0.0).count() as f64, n as f64 * (1.0 - f64::from(rate)));
        assert!(
            (kept - expected).abs() <= 6.0 * (expected * f64::from(rate)).sqrt() + 1e-9,
            "{n} {rate}: {kept}"
        );
    }
}

#[test]
fn a_part_is_dropped_as_within_the_whole() {
    let Some(ctx) = testing::context() else { return };
    let (n, rate, step) = (1003, 0.4, rng_step(7));
    let x = numbers(33, n, 1.0, 2.0);
    let mut whole = vec![0.0f32; n];
    cpu_core::dropout(rate, 5, 3, &step, &x, &mut whole).unwrap();
    for (from, to) in [(0, n), (4, 5), (64, 999), (500, 1000), (1000, n)] {
        let (part, y) = (Guarded::new(&ctx, &x[from..to]), Guarded::out(&ctx, to - from));
        run_step(&ctx, step, |rec| kernels::dropout_from(rec, rate, 5, 3, from, &part.slice, &y.slice));
        assert_eq!(y.read(&ctx), whole[from..to], "{from}..{to}");
    }
    let y = Guarded::out(&ctx, 4);
    let message = refused(&ctx, |rec| kernels::dropout_from(rec, rate, 5, 3, 6, &y.slice, &y.slice));
    assert_eq!(message, "dropout: the first element's number must be a multiple of 4, got 6");
}

#[test]
fn dropout_keeps_nan_and_refuses_bad_rates() {
    let Some(ctx) = testing::context() else { return };
    let x = Guarded::new(&ctx, &[f32::NAN; 5]);
    let y = Guarded::out(&ctx, 5);
    run_step(&ctx, rng_step(0), |rec| kernels::dropout(rec, 0.0, 1, 1, &x.slice, &y.slice));
    assert_all_nan("dropout", &y.read(&ctx));
    for rate in [-0.1, 1.0, 1.5, f32::NAN] {
        let message = refused(&ctx, |rec| kernels::dropout(rec, rate, 1, 1, &x.slice, &y.slice));
        assert_eq!(message, format!("dropout: a rate of {rate} is not at least 0 and below 1"));
    }
}
