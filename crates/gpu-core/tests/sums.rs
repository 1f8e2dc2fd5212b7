//! Column sums, whole sums, running means, norms and clipping by them, against f64.
mod common;
use common::{Guarded, assert_close, numbers, refused, run, wide};
use gpu_core::{Context, kernels, testing};
use proptest::prelude::*;

/// A blocked sum of n terms is off by at most (16 + log2 n) roundings of the sum of magnitudes: 16 sequential adds, then
/// trees. With n up to 2^23 that is 40 roundings of 6e-8.
const ROUNDINGS: f64 = 40.0 * 6e-8;

fn check_sum_rows(ctx: &Context, rows: usize, cols: usize, accumulate: bool) {
    let x = numbers(41, rows * cols, -1.0, 1.5);
    let start = numbers(42, cols, -5.0, 5.0);
    let (dx, out) = (Guarded::new(ctx, &x), Guarded::new(ctx, &start));
    run(ctx, |rec| kernels::sum_rows(rec, rows, cols, &dx.slice, &out.slice, accumulate));
    let mut want = if accumulate { wide(&start) } else { vec![0.0; cols] };
    let mut magnitude = 5.0f64;
    for row in x.chunks(cols.max(1)) {
        want.iter_mut().zip(row).for_each(|(w, &x)| *w += f64::from(x));
        magnitude += row.iter().fold(0.0f64, |m, x| m.max(f64::from(x.abs())));
    }
    assert_close(&format!("{rows} {cols} {accumulate}"), &out.read(ctx), &want, 0.0, ROUNDINGS * magnitude);
}

#[test]
fn column_sums_at_the_edges() {
    let Some(ctx) = testing::context() else { return };
    for (rows, cols) in [
        (1, 1),
        (1, 1000),
        (4096, 1),
        (4097, 1),
        (70_000, 1),
        (513, 2),
        (512, 8),
        (129, 9),
        (128, 33),
        (70_000, 4),
        (3, 100_000),
        (0, 5),
        (5, 0),
    ] {
        for accumulate in [false, true] {
            check_sum_rows(&ctx, rows, cols, accumulate);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn column_sums_of_any_shape(rows in 1usize..900, cols in 1usize..90, accumulate: bool) {
        if let Some(ctx) = testing::context() {
            check_sum_rows(&ctx, rows, cols, accumulate);
        }
    }
}

#[test]
fn whole_sums_of_any_length() {
    let Some(ctx) = testing::context() else { return };
    // More than 65,535 * 4096 elements would be 1 GiB; the grid of the last size is two-dimensional in `sum_rows` of
    // 100,000 columns above.
    for n in [0, 1, 2, 255, 256, 257, 4095, 4097, 5_000_000] {
        let x = numbers(43, n, 0.0, 1.0);
        let (dx, sum) = (Guarded::new(&ctx, &x), Guarded::out(&ctx, 1));
        run(&ctx, |rec| kernels::sum_all(rec, &dx.slice, &sum.slice, false));
        let want: f64 = wide(&x).iter().sum();
        assert_close(&format!("sum {n}"), &sum.read(&ctx), &[want], ROUNDINGS, 0.0);
        run(&ctx, |rec| kernels::sum_all(rec, &dx.slice, &sum.slice, true));
        assert_close(&format!("twice {n}"), &sum.read(&ctx), &[2.0 * want], ROUNDINGS, 0.0);
    }
}

#[test]
fn sums_keep_nan_and_repeat_bit_for_bit() {
    let Some(ctx) = testing::context() else { return };
    let mut x = numbers(44, 100_000, -1.0, 1.0);
    let sum = |x: &[f32]| {
        let (dx, out) = (Guarded::new(&ctx, x), Guarded::out(&ctx, 1));
        run(&ctx, |rec| kernels::sum_all(rec, &dx.slice, &out.slice, false));
        out.read(&ctx)[0]
    };
    assert_eq!(sum(&x).to_bits(), sum(&x).to_bits());
    x[77_777] = f32::NAN;
    assert!(sum(&x).is_nan());
}

/// Segments with gaps, an empty one, one of a single value and one that takes three rounds of blocks.
const SEGMENTS: [u32; 10] = [3, 1, 10, 0, 64, 4096, 4160, 4097, 10_000, 4096 * 700];

#[test]
fn norms_and_clipping() {
    let Some(ctx) = testing::context() else { return };
    let x = numbers(45, 10_000 + 4096 * 700 + 5, -0.1, 0.1);
    let segments: Vec<_> = SEGMENTS.chunks(2).map(|s| s[0] as usize..(s[0] + s[1]) as usize).collect();
    let want: Vec<f64> =
        segments.iter().map(|s| x[s.clone()].iter().map(|&v| f64::from(v).powi(2)).sum()).collect();
    let sumsq = Guarded::out(&ctx, segments.len());
    let dx = Guarded::new(&ctx, &x);
    run(&ctx, |rec| kernels::segment_norms(rec, &SEGMENTS, &dx.slice, &sumsq.slice));
    assert_close("sums of squares", &sumsq.read(&ctx), &want, ROUNDINGS, 0.0);

    let max_norm = 2.0;
    for global in [false, true] {
        let dx = Guarded::new(&ctx, &x);
        run(&ctx, |rec| {
            kernels::segment_norms(rec, &SEGMENTS, &dx.slice, &sumsq.slice)?;
            kernels::clip_by_norm(rec, &SEGMENTS, &sumsq.slice, max_norm, global, &dx.slice)
        });
        let mut clipped = wide(&x);
        for (segment, &own) in segments.iter().zip(&want) {
            let norm = if global { want.iter().sum::<f64>() } else { own }.sqrt();
            let factor = f64::from(max_norm) / norm.max(f64::from(max_norm));
            clipped[segment.clone()].iter_mut().for_each(|v| *v *= factor);
        }
        let got = dx.read(&ctx);
        assert_close(&format!("global {global}"), &got, &clipped, 1e-6, 0.0);
        if !global {
            // Segments within the norm, and what is in no segment, keep their bits.
            assert_eq!(got[..64], x[..64]);
        }
    }
}

#[test]
fn a_nan_gradient_is_not_hidden_by_clipping() {
    let Some(ctx) = testing::context() else { return };
    let dx = Guarded::new(&ctx, &[1.0, f32::NAN, 3.0, 4.0]);
    let sumsq = Guarded::out(&ctx, 2);
    run(&ctx, |rec| {
        kernels::segment_norms(rec, &[0, 2, 2, 2], &dx.slice, &sumsq.slice)?;
        kernels::clip_by_norm(rec, &[0, 2, 2, 2], &sumsq.slice, 1.0, false, &dx.slice)
    });
    let got = dx.read(&ctx);
    assert!(got[0].is_nan() && got[1].is_nan());
    assert_close("the other segment", &got[2..], &[0.6, 0.8], 1e-6, 0.0);
}

#[test]
fn bad_arguments_are_refused() {
    let Some(ctx) = testing::context() else { return };
    let (five, two) = (ctx.alloc(5).unwrap().all(), ctx.alloc(2).unwrap().all());
    let message = refused(&ctx, |rec| kernels::segment_norms(rec, &[0, 3, 2, 4], &five, &two));
    assert_eq!(message, "segment_norms: x needs 6 elements, got 5");
    let message = refused(&ctx, |rec| kernels::clip_by_norm(rec, &[0, 3, 2, 3], &two, 1.0, false, &five));
    assert_eq!(message, "clip_by_norm: segments (0, 3) and (2, 3) overlap");
    let message = refused(&ctx, |rec| kernels::clip_by_norm(rec, &[0, 3, 3, 2], &two, -1.0, false, &five));
    assert_eq!(message, "clip_by_norm: a largest norm of -1 is not positive");
    let message = refused(&ctx, |rec| kernels::segment_norms(rec, &[0], &five, &two));
    assert_eq!(message, "segment_norms: 1 numbers are no pairs of offset and length");
    let message = refused(&ctx, |rec| kernels::sum_rows(rec, 2, 3, &five, &two, false));
    assert_eq!(message, "sum_rows: x needs 6 elements, got 5");
}

#[test]
fn running_sums_keep_what_rounding_takes() {
    let Some(ctx) = testing::context() else { return };
    for (rows, cols) in [(1, 1), (4097, 1), (300, 3), (5, 601)] {
        let x = numbers(46, rows * cols, 0.0, 1.0);
        let start = vec![0.0; 2 * cols + 2];
        let (dx, acc) = (Guarded::new(&ctx, &x), Guarded::new(&ctx, &start));
        // 2^25: one more is lost by f32 alone.
        let large = vec![33_554_432.0f32; cols];
        let dlarge = Guarded::new(&ctx, &large);
        run(&ctx, |rec| {
            kernels::accumulate(rec, 1, cols, &dlarge.slice, 1.0, Some(33_554_432.0), &acc.slice)?;
            for _ in 0..3 {
                kernels::accumulate(rec, rows, cols, &dx.slice, 0.5, Some(1.0), &acc.slice)?;
            }
            Ok(())
        });
        let got = acc.read(&ctx);
        for c in 0..cols {
            let batch: f64 = (0..rows).map(|r| f64::from(x[r * cols + c])).sum();
            let want = 33_554_432.0 + 1.5 * batch;
            let sum = f64::from(got[c]) + f64::from(got[cols + c]);
            // The sum of a batch is off by ROUNDINGS of itself, and so is what stands in the second part.
            assert!(
                (sum - want).abs() <= 2.0 * ROUNDINGS * 1.5 * batch,
                "{rows} {cols}: {sum}, must be {want}"
            );
        }
        let count = f64::from(got[2 * cols]) + f64::from(got[2 * cols + 1]);
        assert_eq!(count, 33_554_435.0);
    }
    let (dx, acc) = (Guarded::new(&ctx, &[f32::INFINITY, 1.0]), Guarded::new(&ctx, &[0.0; 2]));
    run(&ctx, |rec| kernels::accumulate(rec, 2, 1, &dx.slice, 1.0, None, &acc.slice));
    assert_eq!(acc.read(&ctx), [f32::INFINITY, 0.0]);
    let five = ctx.alloc(5).unwrap().all();
    let message = refused(&ctx, |rec| kernels::accumulate(rec, 5, 1, &five, 1.0, None, &five));
    assert_eq!(message, "accumulate: acc needs 2 elements, got 5");
}

#[test]
fn weights_of_rows() {
    let Some(ctx) = testing::context() else { return };
    for (steps, batch) in [(1, 1), (5, 3), (7, 64), (3, 401)] {
        let rows = steps * batch;
        for valid_share in [0.0f32, 0.6, 1.1] {
            let flags: Vec<u32> = numbers(47, rows, 0.0, 1.0)
                .iter()
                .zip(0u32..)
                .map(|(&x, i)| u32::from(x < valid_share) | ((i % 3 == 0) as u32) << 1)
                .collect();
            let (samples, each) = (numbers(48, batch, 0.1, 2.0), numbers(49, rows, 0.1, 2.0));
            let count = flags.iter().filter(|&&f| f & 1 == 1).count() as f32;
            let dflags = Guarded::words(&ctx, &flags);
            let dcount = Guarded::new(&ctx, &[count]);
            for weights in [None, Some(&samples), Some(&each)] {
                let dweights = weights.map(|w| Guarded::new(&ctx, w));
                let slice = dweights.as_ref().map(|w| &w.slice);
                for (flagged, shared) in [(false, false), (true, false), (true, true)] {
                    let out = Guarded::out(&ctx, rows);
                    let dflags = flagged.then_some(&dflags.slice);
                    let dcount = shared.then_some(&dcount.slice);
                    run(&ctx, |rec| kernels::row_weights(rec, slice, dflags, dcount, &out.slice));
                    let want: Vec<f64> = (0..rows)
                        .map(|r| {
                            let own = weights.map_or(1.0, |w| f64::from(w[r % w.len()]));
                            let share = if shared { rows as f64 / f64::from(count) } else { 1.0 };
                            if flagged && flags[r] & 1 == 0 { 0.0 } else { own * share }
                        })
                        .collect();
                    // Two roundings.
                    assert_close("weights", &out.read(&ctx), &want, 2.0 * 6e-8, 0.0);
                }
            }
        }
    }
    let (five, two) = (ctx.alloc(5).unwrap().all(), ctx.alloc(2).unwrap().all());
    let message = refused(&ctx, |rec| kernels::row_weights(rec, Some(&two), None, None, &five));
    assert_eq!(message, "row_weights: 5 rows are no whole number of times 2 weights");
}
