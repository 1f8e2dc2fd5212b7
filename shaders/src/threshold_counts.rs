//! Positives and negatives between many thresholds.
use crate::contract::{Kernel, over, read, write};

crate::params! {
    /// Parameters of `threshold_counts.wgsl`.
    pub struct Params {
        /// start of `pred`
        pub pred_at: u32,
        /// start of `truth`
        pub truth_at: u32,
        /// start of `weights`
        pub weights_at: u32,
        /// start of `thresholds`
        pub thresholds_at: u32,
        /// start of `out`
        pub out_at: u32,
        /// elements that count
        pub n: u32,
        /// those of a row
        pub own_cols: u32,
        /// elements of a row in memory
        pub cols: u32,
        /// the first column that counts
        pub class_at: u32,
        /// thresholds
        pub count: u32,
        /// rows of `out`, one for each invocation
        pub lanes: u32,
    }
}

/// Invocations of a workgroup.
pub const GROUP: usize = 64;

/// Rows of `out` for `n` elements and `count` thresholds. An invocation goes over as many elements as its row has places, so
/// that rows take no more memory than elements; 1024 at most, each with a search of at most 32 steps.
pub fn lanes(n: usize, count: usize) -> usize {
    n.div_ceil(count.saturating_mul(2).clamp(GROUP, 1024))
}

/// The contract of `threshold_counts.wgsl`.
pub const KERNEL: Kernel = Kernel {
    stem: "threshold_counts",
    source: concat!(include_str!("math.wgsl"), include_str!("threshold_counts.wgsl")),
    bindings: &[read("pred"), read("truth"), read("weights"), read("thresholds"), write("out")],
    params_size: size_of::<Params>(),
    params_fields: Params::FIELDS,
    step: false,
    overrides: &[over("WEIGHTED", 0.0)],
    unchecked: true,
};
