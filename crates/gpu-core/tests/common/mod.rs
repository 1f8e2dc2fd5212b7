//! What the kernel tests share: buffers with guards around them, one-call programs, comparisons that NaN cannot pass.
#![allow(dead_code, reason = "every test file is a crate of its own and uses a part of this")]

use gpu_core::vocabulary::StepParams;
use gpu_core::{Buffer, Context, Recorder, Result, Slice};

/// Guard elements before and after; odd, so that slices start at no alignment.
const GUARD: usize = 13;
/// What the guards hold.
const SENTINEL: u32 = 0x5a5a_1234;

/// A slice in the middle of a larger buffer whose other elements must stay as they are.
pub struct Guarded {
    buffer: Buffer,
    pub slice: Slice,
}

impl Guarded {
    pub fn words(ctx: &Context, data: &[u32]) -> Guarded {
        let mut all = vec![SENTINEL; data.len() + 2 * GUARD];
        all[GUARD..GUARD + data.len()].copy_from_slice(data);
        let buffer = ctx.alloc(all.len()).unwrap();
        ctx.write(&buffer.all(), bytemuck::cast_slice(&all)).unwrap();
        let slice = buffer.slice(GUARD, data.len()).unwrap();
        Guarded { buffer, slice }
    }

    pub fn new(ctx: &Context, data: &[f32]) -> Guarded {
        Guarded::words(ctx, bytemuck::cast_slice(data))
    }

    /// For outputs: filled with NaN, so that an element that is not written is found.
    pub fn out(ctx: &Context, len: usize) -> Guarded {
        Guarded::words(ctx, &vec![f32::NAN.to_bits(); len])
    }

    pub fn read_words(&self, ctx: &Context) -> Vec<u32> {
        let all = ctx.read_u32(&self.buffer.all()).unwrap();
        let end = GUARD + self.slice.len();
        assert!(all[..GUARD].iter().chain(&all[end..]).all(|&w| w == SENTINEL), "wrote outside the slice");
        all[GUARD..end].to_vec()
    }

    pub fn read(&self, ctx: &Context) -> Vec<f32> {
        self.read_words(ctx).into_iter().map(f32::from_bits).collect()
    }
}

/// Records and runs once with this step record.
pub fn run_step(ctx: &Context, step: StepParams, record: impl FnOnce(&mut Recorder) -> Result<()>) {
    let mut rec = ctx.recorder();
    record(&mut rec).unwrap();
    ctx.run(&rec.finish().unwrap(), &[step]).unwrap();
}

/// Records and runs once.
pub fn run(ctx: &Context, record: impl FnOnce(&mut Recorder) -> Result<()>) {
    run_step(ctx, StepParams::default(), record);
}

/// The error of a recording that must be refused.
pub fn refused(ctx: &Context, record: impl FnOnce(&mut Recorder) -> Result<()>) -> String {
    record(&mut ctx.recorder()).expect_err("must be refused").to_string()
}

/// Numbers in `[low, high)` from a seed (splitmix64), the same everywhere.
pub fn numbers(seed: u64, n: usize, low: f32, high: f32) -> Vec<f32> {
    let mut state = seed;
    (0..n)
        .map(|_| {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = state;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            let unit = ((z ^ (z >> 31)) >> 40) as f32 / (1u32 << 24) as f32;
            low + unit * (high - low)
        })
        .collect()
}

pub fn wide(x: &[f32]) -> Vec<f64> {
    x.iter().map(|&v| f64::from(v)).collect()
}

/// Fails unless `|got - want| <= atol + rtol |want|` everywhere; infinities must agree, NaN fails.
#[track_caller]
pub fn assert_close(what: &str, got: &[f32], want: &[f64], rtol: f64, atol: f64) {
    assert_eq!(got.len(), want.len(), "{what}: lengths");
    for (i, (&g, &w)) in got.iter().zip(want).enumerate() {
        // The reference may be beyond f32: then the infinity is right.
        let same = g == w as f32;
        let near = (f64::from(g) - w).abs() <= atol + rtol * w.abs();
        assert!(same || near, "{what}: element {i} is {g}, must be {w}");
    }
}

#[track_caller]
pub fn assert_all_nan(what: &str, got: &[f32]) {
    assert!(got.iter().all(|g| g.is_nan()), "{what}: NaN was hidden: {got:?}");
}

/// Sizes of one-dimensional kernels: one, odd, a workgroup, one more, and more workgroups than one grid dimension has.
pub const SIZES: [usize; 6] = [1, 7, 64, 65, 1001, 65_536 * 64 + 3];
