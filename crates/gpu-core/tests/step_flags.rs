//! Step flags against the twins, exactly; sequences longer than one dispatch.
mod common;
use common::{Guarded, numbers, refused, run};
use gpu_core::{Context, kernels, testing};
use proptest::prelude::*;
use rnn_shaders::shape::Steps;

/// Whole numbers from 0 to 2, so that zeros and repetitions are many.
fn small(seed: u64, n: usize) -> Vec<f32> {
    numbers(seed, n, 0.0, 3.0).into_iter().map(f32::floor).collect()
}

fn check(ctx: &Context, time: usize, batch: usize, cols: usize) {
    let n = time * batch;
    let (x, ids) = (small(1, n * cols), small(2, n));
    let lengths: Vec<f32> = numbers(3, batch, 0.0, time as f32 + 1.0).into_iter().map(f32::floor).collect();
    let flags: Vec<u32> = numbers(4, n, 0.0, 4.0).into_iter().map(|v| v as u32 & 3).collect();
    let (dx, dids, dlengths) = (Guarded::new(ctx, &x), Guarded::new(ctx, &ids), Guarded::new(ctx, &lengths));
    let dflags = Guarded::words(ctx, &flags);
    let outs: [_; 8] = std::array::from_fn(|_| Guarded::out(ctx, n));
    let mut want = vec![vec![9u32; n]; 8];
    let (rows, sample) = (Steps::of_rows(time, batch, cols), Steps::by_sample(time, batch));
    run(ctx, |rec| {
        kernels::flags_from_values(rec, rows, cols, 1.0, &dx.slice, &outs[0].slice)?;
        kernels::flags_from_values(rec, sample, 1, 0.0, &dids.slice, &outs[1].slice)?;
        kernels::flags_from_lengths(rec, time, batch, &dlengths.slice, &outs[2].slice)?;
        kernels::flags_from_segments(rec, sample, &dids.slice, &outs[3].slice)?;
        kernels::combine_flags(rec, false, &outs[3].slice, &dflags.slice, &outs[4].slice)?;
        kernels::combine_flags(rec, true, &outs[3].slice, &dflags.slice, &outs[7].slice)?;
        kernels::reverse_flags(rec, time, batch, &dflags.slice, &outs[5].slice)?;
        kernels::seen_flags(rec, time, batch, &dflags.slice, &outs[6].slice)
    });
    cpu_core::flags_from_values(rows, cols, 1.0, &x, &mut want[0]).unwrap();
    cpu_core::flags_from_values(sample, 1, 0.0, &ids, &mut want[1]).unwrap();
    cpu_core::flags_from_lengths(time, batch, &lengths, &mut want[2]).unwrap();
    cpu_core::flags_from_segments(sample, &ids, &mut want[3]).unwrap();
    let segments = want[3].clone();
    cpu_core::combine_flags(false, &segments, &flags, &mut want[4]).unwrap();
    cpu_core::combine_flags(true, &segments, &flags, &mut want[7]).unwrap();
    cpu_core::reverse_flags(time, batch, &flags, &mut want[5]).unwrap();
    cpu_core::seen_flags(time, batch, &flags, &mut want[6]).unwrap();
    for (i, (out, want)) in outs.iter().zip(want).enumerate() {
        assert!(out.read_words(ctx) == want, "output {i} of {time} {batch} {cols}");
    }
}

#[test]
fn edges() {
    let Some(ctx) = testing::context() else { return };
    for (time, batch, cols) in
        [(1, 1, 1), (1, 64, 3), (65, 1, 1), (7, 300, 2), (20_000, 2, 1), (70_000, 1, 1)]
    {
        check(&ctx, time, batch, cols);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]
    #[test]
    fn any_shape(time in 1usize..50, batch in 1usize..50, cols in 1usize..5) {
        if let Some(ctx) = testing::context() {
            check(&ctx, time, batch, cols);
        }
    }
}

#[test]
fn nan_differs_from_every_value() {
    let Some(ctx) = testing::context() else { return };
    let (x, out) = (Guarded::new(&ctx, &[f32::NAN, 0.0, -0.0]), Guarded::out(&ctx, 3));
    run(&ctx, |rec| kernels::flags_from_values(rec, Steps::by_step(3, 1), 1, 0.0, &x.slice, &out.slice));
    assert_eq!(out.read_words(&ctx), [1, 0, 0]);
    let message = refused(&ctx, |rec| {
        kernels::flags_from_values(rec, Steps::by_step(2, 2), 1, 0.0, &x.slice, &x.slice)
    });
    assert_eq!(message, "flags_from_values: flags needs 4 elements, got 3");
}
