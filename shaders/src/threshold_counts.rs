//! Positives and negatives above each of many thresholds.
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
    }
}

/// Elements that an invocation goes over.
pub const BLOCK: usize = 1024;
/// Invocations of a workgroup.
pub const GROUP: usize = 64;

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
