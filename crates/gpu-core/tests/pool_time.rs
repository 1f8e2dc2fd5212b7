//! Means and maxima over time against the f64 twin; sequences longer than one dispatch.
mod common;
use common::{Guarded, assert_close, numbers, refused, run, wide};
use gpu_core::vocabulary::Pool;
use gpu_core::{Context, kernels, testing};
use proptest::prelude::*;

fn check(ctx: &Context, pool: Pool, [time, batch, cols]: [usize; 3], masked: bool) {
    let n = time * batch * cols;
    // Few different values: maxima are shared.
    let x: Vec<f32> = numbers(1, n, -9.0, 9.0).into_iter().map(|v| v.floor() * 0.3).collect();
    let dy = numbers(2, batch * cols, -1.0, 1.0);
    let words: Vec<u32> = numbers(3, time * batch, 0.0, 4.0).into_iter().map(|v| v as u32).collect();
    let (dx, ddy, dwords) = (Guarded::new(ctx, &x), Guarded::new(ctx, &dy), Guarded::words(ctx, &words));
    let [count, y] = std::array::from_fn(|_| Guarded::out(ctx, batch * cols));
    let out = Guarded::out(ctx, n);
    let flags = masked.then_some(&dwords.slice);
    run(ctx, |rec| {
        kernels::pool_time(rec, pool, time, batch, cols, flags, &dx.slice, &count.slice, &y.slice)?;
        let (x, y, count, dy) = (&dx.slice, &y.slice, &count.slice, &ddy.slice);
        kernels::pool_time_backward(rec, pool, time, batch, cols, flags, x, y, count, dy, &out.slice)
    });
    let (x, dy, flags) = (wide(&x), wide(&dy), masked.then_some(&words[..]));
    let (mut want, mut want_count) = (vec![0.0; dy.len()], vec![0.0; dy.len()]);
    cpu_core::pool_time(pool, time, batch, cols, flags, &x, &mut want_count, &mut want).unwrap();
    let what = format!("{pool:?} {time} {batch} {cols} {masked}");
    // A sum of runs of 32 is off by 32 + time / 32 roundings of at most 3 in the mean.
    let atol = 3.0 * 6e-8 * (32.0 + time as f64 / 32.0);
    assert_close(&format!("y of {what}"), &y.read(ctx), &want, 0.0, atol);
    assert_close(&format!("count of {what}"), &count.read(ctx), &want_count, 0.0, 0.0);
    let mut want_dx = vec![0.0; n];
    cpu_core::pool_time_backward(pool, time, batch, cols, flags, &x, &want, &want_count, &dy, &mut want_dx)
        .unwrap();
    assert_close(&format!("dx of {what}"), &out.read(ctx), &want_dx, 3e-7, 0.0);
}

#[test]
fn edges() {
    let Some(ctx) = testing::context() else { return };
    for pool in [Pool::Average, Pool::Max] {
        for shape in [[1, 1, 1], [2, 64, 1], [33, 5, 13], [7, 3, 70_000], [20_000, 2, 1], [70_000, 1, 1]] {
            check(&ctx, pool, shape, false);
            check(&ctx, pool, shape, true);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]
    #[test]
    fn any_shape(max: bool, masked: bool, time in 1usize..8, batch in 1usize..20, cols in 1usize..20) {
        if let Some(ctx) = testing::context() {
            check(&ctx, if max { Pool::Max } else { Pool::Average }, [time, batch, cols], masked);
        }
    }
}

#[test]
fn nan_is_kept_and_nothing_is_zero() {
    let Some(ctx) = testing::context() else { return };
    let (x, flags) = (Guarded::new(&ctx, &[1.0, f32::NAN, 7.0, 2.0]), Guarded::words(&ctx, &[1, 1, 0, 0]));
    for pool in [Pool::Average, Pool::Max] {
        let [count, y, short, none] = std::array::from_fn(|_| Guarded::out(&ctx, 2));
        run(&ctx, |rec| {
            kernels::pool_time(rec, pool, 2, 1, 2, None, &x.slice, &count.slice, &y.slice)?;
            let second = (x.slice.slice(2, 2)?, flags.slice.slice(2, 1)?);
            kernels::pool_time(rec, pool, 1, 1, 2, Some(&second.1), &second.0, &count.slice, &short.slice)?;
            kernels::pool_time(rec, pool, 0, 1, 2, None, &x.slice.slice(0, 0)?, &count.slice, &none.slice)
        });
        let got = y.read(&ctx);
        assert!(got[0] > 3.0 && got[1].is_nan(), "{pool:?} {got:?}");
        assert_eq!((short.read(&ctx), none.read(&ctx)), (vec![0.0; 2], vec![0.0; 2]));
        assert_eq!(count.read(&ctx), [0.0; 2]);
    }
    let message =
        refused(&ctx, |rec| kernels::pool_time(rec, Pool::Max, 2, 1, 3, None, &x.slice, &x.slice, &x.slice));
    assert_eq!(message, "pool_time: x needs 6 elements, got 4");
}
