//! What the benches share: one context, and programs that repeat a kernel so that submitting them does not count.
#![allow(dead_code, reason = "every bench is a crate of its own and uses a part of this")]

use criterion::{BenchmarkGroup, Throughput, measurement::WallTime};
use gpu_core::vocabulary::StepParams;
use gpu_core::{Context, Recorder, Result, Slice, testing};

/// Calls of the kernel in one timed run.
const REPEAT: usize = 8;

/// The context, or `None` where there is no adapter.
pub fn context() -> Option<Context> {
    testing::context()
}

/// `len` elements of `value`.
pub fn filled(ctx: &Context, len: usize, value: f32) -> Slice {
    ctx.alloc_from(&vec![value; len]).unwrap().all()
}

/// Times one recorded call; `bytes` is what it must read and write at least.
pub fn time(
    ctx: &Context,
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: &str,
    bytes: usize,
    record: impl FnOnce(&mut Recorder) -> Result<()>,
) {
    let mut rec = ctx.recorder();
    record(&mut rec).unwrap();
    let program = rec.finish().unwrap();
    let steps = [StepParams { lr: 1e-3, alpha: 1e-3, ..StepParams::default() }; REPEAT];
    group.throughput(Throughput::Bytes((bytes * REPEAT) as u64));
    group.bench_function(name, |b| {
        b.iter(|| {
            ctx.run(&program, &steps).unwrap();
            ctx.synchronize().unwrap();
        });
    });
}
