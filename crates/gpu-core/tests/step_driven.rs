//! Kernels that read the cursor of the step record: gather_batch and store_step, over several steps of one program.
mod common;
use common::{Guarded, assert_all_nan, numbers, refused, run_step};
use gpu_core::vocabulary::StepParams;
use gpu_core::{kernels, testing};
use proptest::prelude::*;

fn at(cursor: usize) -> StepParams {
    StepParams { cursor: cursor as u32, ..StepParams::default() }
}

fn check_gather(samples: usize, rows: usize, time: usize, features: usize) {
    let Some(ctx) = testing::context() else { return };
    let dataset = numbers(21, samples * time * features, -1.0, 1.0);
    let indices: Vec<u32> = numbers(22, 3 * rows, 0.0, samples as f32)
        .into_iter()
        .map(|i| (i as u32).min(samples as u32 - 1))
        .collect();
    let (data, list) = (Guarded::new(&ctx, &dataset), Guarded::words(&ctx, &indices));
    let out = Guarded::out(&ctx, time * rows * features);
    let mut rec = ctx.recorder();
    kernels::gather_batch(&mut rec, rows, time, features, &data.slice, &list.slice, &out.slice).unwrap();
    let program = rec.finish().unwrap();
    for cursor in [0, rows, 2 * rows, 1] {
        ctx.run(&program, &[at(cursor)]).unwrap();
        let mut want = vec![0.0; time * rows * features];
        cpu_core::gather_batch(rows, time, features, &dataset, &indices, &at(cursor), &mut want).unwrap();
        assert_eq!(out.read(&ctx), want, "{samples} {rows} {time} {features} cursor {cursor}");
    }
}

#[test]
fn gather_edges() {
    for (samples, rows, time, features) in [(1, 1, 1, 1), (5, 64, 1, 1), (3, 1, 70_000, 1), (100, 33, 12, 7)]
    {
        check_gather(samples, rows, time, features);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]
    #[test]
    fn gather_any_shape(samples in 1usize..50, rows in 1usize..40, time in 1usize..30, features in 1usize..9) {
        check_gather(samples, rows, time, features);
    }
}

#[test]
fn a_wrong_index_is_seen() {
    let Some(ctx) = testing::context() else { return };
    let data = Guarded::new(&ctx, &[1.0, 2.0, 3.0]);
    let list = Guarded::words(&ctx, &[2, 3, u32::MAX]);
    let out = Guarded::out(&ctx, 3);
    let gather = |cursor| {
        run_step(&ctx, at(cursor), |rec| {
            kernels::gather_batch(rec, 3, 1, 1, &data.slice, &list.slice, &out.slice)
        });
        out.read(&ctx)
    };
    let got = gather(0);
    assert_eq!(got[0], 3.0);
    assert_all_nan("index beyond the data set", &got[1..]);
    assert_all_nan("cursor beyond the indices", &gather(2));
}

#[test]
fn store_step_writes_one_step_at_a_time() {
    let Some(ctx) = testing::context() else { return };
    // The last two: a stride that leaves gaps, and one that overlaps, so that later steps win.
    for (n, stride, steps) in [(1, 1, 1), (5, 5, 7), (1000, 1000, 70), (65, 70, 3), (7, 4, 9)] {
        let x = numbers(23, n, -1.0, 1.0);
        let len = stride * steps;
        let (dx, seq) = (Guarded::new(&ctx, &x), Guarded::new(&ctx, &vec![0.0; len]));
        let mut rec = ctx.recorder();
        kernels::store_step(&mut rec, stride, &dx.slice, &seq.slice).unwrap();
        kernels::add_assign(&mut rec, &dx.slice, &dx.slice).unwrap();
        let program = rec.finish().unwrap();
        // All steps, one too many, and one whose product with the stride wraps: they must write nothing.
        let records: Vec<_> = (0..=steps).chain([1 << 31]).map(at).collect();
        ctx.run(&program, &records).unwrap();
        let mut want = vec![0.0; len];
        for t in 0..steps {
            let value = |x: &f32| x * 2f32.powi(t as i32);
            want[t * stride..].iter_mut().zip(&x).for_each(|(w, x)| *w = value(x));
        }
        assert_eq!(seq.read(&ctx), want, "{n} {stride} {steps}");
    }
}

#[test]
fn wrong_lengths_are_refused() {
    let Some(ctx) = testing::context() else { return };
    let (six, two) = (ctx.alloc(6).unwrap().all(), ctx.alloc(2).unwrap().all());
    let message = refused(&ctx, |rec| kernels::gather_batch(rec, 3, 1, 2, &six, &two, &six));
    assert_eq!(message, "gather_batch: indices needs 3 elements, got 2");
    let five = six.slice(0, 5).unwrap();
    let message = refused(&ctx, |rec| kernels::gather_batch(rec, 1, 1, 2, &five, &two, &two));
    assert_eq!(message, "gather_batch: dataset needs 4 elements, got 5");
}
