//! Quotients, maxima, minima, masked rows and penalties against the twins.
mod common;
use common::{Guarded, SIZES, assert_close, numbers, refused, run, wide};
use gpu_core::{kernels, testing};

#[test]
fn every_size() {
    let Some(ctx) = testing::context() else { return };
    for n in SIZES {
        let halves =
            |seed| -> Vec<f32> { numbers(seed, n, -9.0, 9.0).into_iter().map(|v| v.floor() + 0.5).collect() };
        let (a, b, dy) = (halves(1), halves(2), numbers(3, n, -1.0, 1.0));
        let [da, db, ddy] = [&a, &b, &dy].map(|v| Guarded::new(&ctx, v));
        let [quotient, high, low, gradient] = std::array::from_fn(|_| Guarded::out(&ctx, n));
        let (total, sum) = (Guarded::new(&ctx, &[2.0]), Guarded::new(&ctx, &dy));
        run(&ctx, |rec| {
            kernels::div(rec, &da.slice, &db.slice, &quotient.slice)?;
            kernels::maximum(rec, &da.slice, &db.slice, &high.slice)?;
            kernels::minimum(rec, &da.slice, &db.slice, &low.slice)?;
            kernels::maximum_backward(rec, &da.slice, &db.slice, &ddy.slice, &gradient.slice)?;
            kernels::penalty(rec, 0.25, 0.5, &da.slice, &total.slice)?;
            kernels::penalty_backward(rec, 0.25, 0.5, 3.0, &da.slice, &sum.slice)
        });
        let mut want = vec![0.0f32; n];
        cpu_core::maximum(&a, &b, &mut want).unwrap();
        assert!(high.read(&ctx) == want, "maximum {n}");
        cpu_core::minimum(&a, &b, &mut want).unwrap();
        assert!(low.read(&ctx) == want, "minimum {n}");
        cpu_core::maximum_backward(&a, &b, &dy, &mut want).unwrap();
        assert!(gradient.read(&ctx) == want, "maximum_backward {n}");
        let mut want = vec![0.0; n];
        cpu_core::div(&wide(&a), &wide(&b), &mut want).unwrap();
        // 2.5 ulp is what WGSL asks of a division.
        assert_close("div", &quotient.read(&ctx), &want, 3e-7, 0.0);
        let mut want = vec![2.0];
        cpu_core::penalty(0.25, 0.5, &wide(&a), &mut want).unwrap();
        // Positive terms, in a tree of blocks of 16: some fifty roundings.
        assert_close("penalty", &total.read(&ctx), &want, 3e-6, 0.0);
        let mut want = wide(&dy);
        cpu_core::penalty_backward(0.25, 0.5, 3.0, &wide(&a), &mut want).unwrap();
        assert_close("penalty_backward", &sum.read(&ctx), &want, 3e-7, 2e-7);
    }
}

#[test]
fn nan_and_infinity() {
    let Some(ctx) = testing::context() else { return };
    let (a, b) = ([f32::NAN, 1.0, f32::INFINITY, 1.0], [1.0, f32::NAN, 1.0, f32::NEG_INFINITY]);
    let (da, db) = (Guarded::new(&ctx, &a), Guarded::new(&ctx, &b));
    let [high, low] = std::array::from_fn(|_| Guarded::out(&ctx, 4));
    run(&ctx, |rec| {
        kernels::maximum(rec, &da.slice, &db.slice, &high.slice)?;
        kernels::minimum(rec, &da.slice, &db.slice, &low.slice)
    });
    let (high, low) = (high.read(&ctx), low.read(&ctx));
    assert!([high[0], high[1], low[0], low[1]].iter().all(|v| v.is_nan()), "{high:?} {low:?}");
    assert_eq!((high[2], high[3], low[2], low[3]), (f32::INFINITY, 1.0, 1.0, f32::NEG_INFINITY));
}

#[test]
fn masked_rows() {
    let Some(ctx) = testing::context() else { return };
    for (rows, cols) in [(1, 1), (3, 2), (64, 65), (70_000, 3), (5, 70_001)] {
        let mut x = numbers(4, rows * cols, -1.0, 1.0);
        let flags: Vec<u32> = numbers(5, rows, 0.0, 4.0).into_iter().map(|v| v as u32).collect();
        // NaN in a masked row is gone.
        for (x, _) in x.chunks_mut(cols).zip(&flags).filter(|(_, flag)| **flag & 1 == 0) {
            x[0] = f32::NAN;
        }
        let (dx, dflags, y) =
            (Guarded::new(&ctx, &x), Guarded::words(&ctx, &flags), Guarded::out(&ctx, x.len()));
        run(&ctx, |rec| kernels::mask_rows(rec, rows, cols, -0.5, &dflags.slice, &dx.slice, &y.slice));
        let mut want = vec![0.0f32; x.len()];
        cpu_core::mask_rows(rows, cols, -0.5, &flags, &x, &mut want).unwrap();
        assert_eq!(y.read(&ctx), want, "{rows} {cols}");
    }
    let x = Guarded::new(&ctx, &[0.0; 6]);
    let message = refused(&ctx, |rec| kernels::mask_rows(rec, 3, 2, 0.0, &x.slice, &x.slice, &x.slice));
    assert_eq!(message, "mask_rows: flags needs 3 elements, got 6");
}

#[test]
fn selected_rows() {
    let Some(ctx) = testing::context() else { return };
    for (rows, cols) in [(1, 1), (3, 2), (64, 65), (70_000, 3), (5, 70_001)] {
        let (a, b) = (numbers(6, rows * cols, -1.0, 1.0), numbers(7, rows * cols, -1.0, 1.0));
        let flags: Vec<u32> = numbers(8, rows, 0.0, 4.0).into_iter().map(|v| v as u32).collect();
        let (da, db, dflags) = (Guarded::new(&ctx, &a), Guarded::new(&ctx, &b), Guarded::words(&ctx, &flags));
        for (bit, with_a, with_b) in [(1, true, true), (2, true, false), (1, false, true)] {
            let y = Guarded::out(&ctx, a.len());
            let (ga, gb) = (with_a.then_some(&da.slice), with_b.then_some(&db.slice));
            run(&ctx, |rec| kernels::select_rows(rec, rows, cols, bit, &dflags.slice, ga, gb, &y.slice));
            let (ca, cb) = (with_a.then_some(&a[..]), with_b.then_some(&b[..]));
            let mut want = vec![9.0f32; a.len()];
            cpu_core::select_rows(rows, cols, bit, &flags, ca, cb, &mut want).unwrap();
            assert_eq!(y.read(&ctx), want, "{rows} {cols} bit {bit}");
        }
    }
    let (flags, y) = (Guarded::words(&ctx, &[1; 3]), Guarded::new(&ctx, &[0.0; 6]));
    let message = refused(&ctx, |rec| {
        kernels::select_rows(rec, 3, 2, 1, &flags.slice, Some(&flags.slice), None, &y.slice)
    });
    assert_eq!(message, "select_rows: a needs 6 elements, got 3");
}
