//! Counts above thresholds and terms of columns against the f64 twins.
mod common;
use common::{Guarded, assert_close, numbers, refused, run, wide};
use gpu_core::vocabulary::ColumnTerms;
use gpu_core::{kernels, testing};

#[test]
fn counts_above_thresholds() {
    let Some(ctx) = testing::context() else { return };
    for (rows, cols, count, class) in [
        (1, 1, 1, None),
        (5, 3, 2, Some(1)),
        (700, 4, 200, None),
        (2100, 1, 65, None),
        (90, 30, 64, Some(29)),
        // More thresholds than a row of sums is long for, and many more than elements.
        (700, 9, 1500, None),
    ] {
        let mut thresholds: Vec<f32> = (0..count).map(|i| i as f32 / count as f32).collect();
        thresholds[0] = f32::NEG_INFINITY;
        let mut pred = numbers(1, rows * cols, 0.0, 1.0);
        // Each fourth is a threshold, which it is not above; one is above none.
        pred.iter_mut().step_by(4).enumerate().for_each(|(i, p)| *p = thresholds[i % count]);
        let target: Vec<f32> = numbers(2, rows * cols, 0.0, 1.0).iter().map(|y| y.round()).collect();
        let weights = numbers(3, rows, 0.1, 2.0);
        for weighted in [false, true] {
            let [p, y, w] = [&pred, &target, &weights].map(|x| Guarded::new(&ctx, x));
            let acc = Guarded::new(&ctx, &vec![0.0; 4 * count]);
            let device_weights = weighted.then_some(&w.slice);
            run(&ctx, |rec| {
                let (p, y, acc) = (&p.slice, &y.slice, &acc.slice);
                for _ in 0..2 {
                    kernels::threshold_counts(
                        rec,
                        &thresholds,
                        class,
                        rows,
                        cols,
                        p,
                        y,
                        device_weights,
                        acc,
                    )?;
                }
                Ok(())
            });
            let mut want = vec![0.0; 4 * count];
            let (p, y, w) = (wide(&pred), wide(&target), wide(&weights));
            let w = weighted.then_some(&w[..]);
            for _ in 0..2 {
                cpu_core::threshold_counts(&thresholds, class, rows, cols, &p, &y, w, &mut want).unwrap();
            }
            assert_above(&thresholds, class, cols, &p, &y, w, &want);
            let got = acc.read(&ctx);
            let whole: Vec<f32> = (0..2 * count).map(|i| got[i] + got[2 * count + i]).collect();
            // At most 400 weights one after another, then rows of sums: sqrt(400) roundings or so of the sum.
            assert_close(&format!("{rows} {cols} {count}"), &whole, &want[..2 * count], 1e-5, 0.0);
        }
    }
    let [p, y] = [[f32::NAN, 0.5], [1.0, 0.0]].map(|x| Guarded::new(&ctx, &x));
    let acc = Guarded::new(&ctx, &[0.0; 4]);
    run(&ctx, |rec| kernels::threshold_counts(rec, &[0.4], None, 2, 1, &p.slice, &y.slice, None, &acc.slice));
    let got = acc.read(&ctx);
    assert!(got[0].is_nan() && got[1] == 1.0, "{got:?}");
    let message = refused(&ctx, |rec| {
        kernels::threshold_counts(rec, &[0.4], Some(1), 2, 1, &p.slice, &y.slice, None, &acc.slice)
    });
    assert_eq!(message, "threshold_counts: class 1 is none of the 1 columns");
    let (three, falling) = (ctx.alloc(12).unwrap().all(), [0.1, 0.3, 0.2]);
    let message = refused(&ctx, |rec| {
        kernels::threshold_counts(rec, &falling, None, 2, 1, &p.slice, &y.slice, None, &three)
    });
    assert_eq!(message, "threshold_counts: thresholds must ascend");
}

/// Holds the sums from each threshold on, of two runs, against comparisons of each element with each threshold.
fn assert_above(
    thresholds: &[f32],
    class: Option<usize>,
    cols: usize,
    pred: &[f64],
    target: &[f64],
    weights: Option<&[f64]>,
    sums: &[f64],
) {
    let n = thresholds.len();
    for (t, &threshold) in thresholds.iter().enumerate() {
        for (side, positive) in [true, false].into_iter().enumerate() {
            let above = (0..pred.len()).filter(|&i| {
                class.is_none_or(|class| i % cols == class)
                    && pred[i] > f64::from(threshold)
                    && (target[i] != 0.0) == positive
            });
            let want: f64 = above.map(|i| weights.map_or(1.0, |w| w[i / cols])).sum();
            let got: f64 = sums[side * n + t..(side + 1) * n].iter().sum();
            assert!((got - 2.0 * want).abs() <= 1e-12 * want, "{n} thresholds, {t}: {got} {want}");
        }
    }
}

#[test]
fn the_largest_of_each_row() {
    let Some(ctx) = testing::context() else { return };
    for (rows, cols) in [(1, 1), (7, 3), (300, 5), (4, 70), (2, 700)] {
        // Quarters: many of a row are equal.
        let mut x = numbers(7, rows * cols, -2.0, 2.0);
        x.iter_mut().for_each(|x| *x = (4.0 * *x).round() / 4.0);
        x[0] = f32::NAN;
        for k in [0, 1, 2, cols as u32, cols as u32 + 1] {
            let (from, to) = (Guarded::new(&ctx, &x), Guarded::out(&ctx, x.len()));
            run(&ctx, |rec| kernels::keep_largest(rec, k, f32::MIN, rows, cols, &from.slice, &to.slice));
            let mut want = vec![0.0; x.len()];
            cpu_core::keep_largest(k, f32::MIN, rows, cols, &x, &mut want).unwrap();
            let bits = |x: &[f32]| x.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
            assert_eq!(bits(&to.read(&ctx)), bits(&want), "{rows} {cols} {k}");
            let kept = |row: &[f32]| row.iter().filter(|&&y| y != f32::MIN && !y.is_nan()).count();
            // The NaN of the first row stays, and takes no place.
            let of_first = (k as usize).min(cols - 1);
            assert_eq!(kept(&want[..cols]), of_first, "{rows} {cols} {k}");
            assert!(want.chunks(cols).skip(1).all(|row| kept(row) == (k as usize).min(cols)));
        }
    }
    let mut y = [0.0; 4];
    cpu_core::keep_largest(2, -1.0, 1, 4, &[0.5, 0.75, 0.5, 0.5], &mut y).unwrap();
    assert_eq!(y, [0.5, 0.75, -1.0, -1.0], "of equal ones those in front");
    let three = ctx.alloc(3).unwrap().all();
    let message = refused(&ctx, |rec| kernels::keep_largest(rec, 1, 0.0, 2, 2, &three, &three));
    assert_eq!(message, "keep_largest: x needs 4 elements, got 3");
}

#[test]
fn terms_of_columns() {
    let Some(ctx) = testing::context() else { return };
    let kinds = [
        ColumnTerms::Squares,
        ColumnTerms::Hits { threshold: None },
        ColumnTerms::Hits { threshold: Some(0.3) },
    ];
    for (rows, cols) in [(1, 1), (7, 3), (300, 20), (5, 150), (2, 2000)] {
        let (pred, target) = (numbers(4, rows * cols, -1.0, 1.0), numbers(5, rows * cols, 0.0, 1.0));
        let weights = numbers(6, rows, 0.1, 2.0);
        for terms in kinds {
            for weighted in [false, true] {
                let [p, y, w] = [&pred, &target, &weights].map(|x| Guarded::new(&ctx, x));
                let acc = Guarded::new(&ctx, &vec![0.0; 6 * cols]);
                let device_weights = weighted.then_some(&w.slice);
                run(&ctx, |rec| {
                    let (p, y, acc) = (&p.slice, &y.slice, &acc.slice);
                    kernels::column_terms(rec, terms, rows, cols, p, y, device_weights, acc)
                });
                let mut want = vec![0.0; 6 * cols];
                let (p, y, w) = (wide(&pred), wide(&target), wide(&weights));
                let w = weighted.then_some(&w[..]);
                cpu_core::column_terms(terms, rows, cols, &p, &y, w, &mut want).unwrap();
                let got = acc.read(&ctx);
                // Sixteen roundings and a tree, of sums of up to 1200.
                let what = format!("{terms:?} {rows} {cols}");
                assert_close(&what, &got[..3 * cols], &want[..3 * cols], 2e-6, 1e-5);
            }
        }
    }
}
