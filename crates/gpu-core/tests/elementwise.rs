//! fill, copy, add, sub, mul, scale, add_assign: exact, since each is at most one rounding.
mod common;
use common::{Guarded, SIZES, numbers, refused, run};
use gpu_core::{kernels, testing};

#[test]
fn every_size() {
    let Some(ctx) = testing::context() else { return };
    for n in SIZES {
        let (a, b) = (numbers(1, n, -3.0, 3.0), numbers(2, n, -3.0, 3.0));
        let (da, db) = (Guarded::new(&ctx, &a), Guarded::new(&ctx, &b));
        let [sum, difference, pairs, product, copied, filled] =
            std::array::from_fn(|_| Guarded::out(&ctx, n));
        run(&ctx, |rec| {
            kernels::add(rec, &da.slice, &db.slice, &sum.slice)?;
            kernels::sub(rec, &da.slice, &db.slice, &difference.slice)?;
            kernels::mul(rec, &da.slice, &db.slice, &pairs.slice)?;
            kernels::scale(rec, -1.7, &da.slice, &product.slice)?;
            kernels::copy(rec, &da.slice, &copied.slice)?;
            kernels::fill(rec, 0.1, &filled.slice)?;
            kernels::add_assign(rec, &da.slice, &db.slice)
        });
        let both: Vec<f32> = a.iter().zip(&b).map(|(a, b)| a + b).collect();
        assert_eq!(sum.read(&ctx), both, "add {n}");
        assert_eq!(
            difference.read(&ctx),
            a.iter().zip(&b).map(|(a, b)| a - b).collect::<Vec<_>>(),
            "sub {n}"
        );
        assert_eq!(pairs.read(&ctx), a.iter().zip(&b).map(|(a, b)| a * b).collect::<Vec<_>>(), "mul {n}");
        assert_eq!(db.read(&ctx), both, "add_assign {n}");
        assert_eq!(product.read(&ctx), a.iter().map(|a| -1.7 * a).collect::<Vec<_>>(), "scale {n}");
        assert_eq!(copied.read(&ctx), a, "copy {n}");
        assert_eq!(filled.read(&ctx), vec![0.1; n], "fill {n}");
    }
}

#[test]
fn one_buffer_as_input_and_output() {
    let Some(ctx) = testing::context() else { return };
    let x = numbers(3, 100, -1.0, 1.0);
    let buffer = ctx.alloc_from(&x).unwrap();
    let all = buffer.all();
    let (left, right) = (buffer.slice(0, 60).unwrap(), buffer.slice(30, 60).unwrap());
    run(&ctx, |rec| {
        kernels::scale(rec, 2.0, &all, &all)?;
        // Overlapping: as if the whole input were read first.
        kernels::copy(rec, &left, &right)?;
        kernels::add(rec, &left, &left, &left)
    });
    let mut want: Vec<f32> = x.iter().map(|x| 2.0 * x).collect();
    want.copy_within(0..60, 30);
    want[..60].iter_mut().for_each(|w| *w *= 2.0);
    assert_eq!(ctx.read_f32(&all).unwrap(), want);
}

#[test]
fn nothing_to_do_and_wrong_lengths() {
    let Some(ctx) = testing::context() else { return };
    let (x, y) = (ctx.alloc(5).unwrap().all(), ctx.alloc(6).unwrap().all());
    let empty = x.slice(0, 0).unwrap();
    run(&ctx, |rec| kernels::copy(rec, &empty, &empty));
    assert_eq!(refused(&ctx, |rec| kernels::add(rec, &y, &x, &y)), "add: b needs 6 elements, got 5");
    assert_eq!(refused(&ctx, |rec| kernels::scale(rec, 1.0, &x, &y)), "scale: x needs 6 elements, got 5");
    assert_eq!(
        refused(&ctx, |rec| kernels::add_assign(rec, &x, &y)),
        "add_assign: x needs 6 elements, got 5"
    );
}

/// Whole vectors of four take a kernel of their own; every start and length has to give the same.
#[test]
fn copies_of_any_start_and_length() {
    let Some(ctx) = testing::context() else { return };
    let x = numbers(4, 300, -1.0, 1.0);
    let from = ctx.alloc_from(&x).unwrap();
    for (start, to, n) in [(0, 0, 300), (4, 8, 128), (4, 8, 129), (3, 8, 128), (4, 1, 4), (296, 0, 4)] {
        let y = ctx.alloc_from(&[7.0; 320]).unwrap();
        let (a, b) = (from.slice(start, n).unwrap(), y.slice(to, n).unwrap());
        run(&ctx, |rec| kernels::copy(rec, &a, &b));
        let mut want = vec![7.0; 320];
        want[to..to + n].copy_from_slice(&x[start..start + n]);
        assert_eq!(ctx.read_f32(&y.all()).unwrap(), want, "{start} {to} {n}");
    }
}
