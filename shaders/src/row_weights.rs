//! The weight of each row of a loss or metric, from sample weights and step flags.
use crate::contract::{Kernel, over, read, write};

crate::params! {
    /// Parameters of `row_weights.wgsl`.
    pub struct Params {
        /// start of `weights`
        pub weights_at: u32,
        /// start of `flags`
        pub flags_at: u32,
        /// start of `valid`
        pub valid_at: u32,
        /// start of `out`
        pub out_at: u32,
        /// rows
        pub rows: u32,
        /// sample weights, after which they begin again
        pub period: u32,
    }
}

/// The contract of `row_weights.wgsl`.
pub const KERNEL: Kernel = Kernel {
    stem: "row_weights",
    source: concat!(include_str!("math.wgsl"), include_str!("row_weights.wgsl")),
    bindings: &[read("weights"), read("flags"), read("valid"), write("out")],
    params_size: size_of::<Params>(),
    params_fields: Params::FIELDS,
    step: false,
    overrides: &[over("WORKGROUP", 64.0), over("SAMPLED", 0.0), over("FLAGGED", 0.0), over("SHARED", 0.0)],
    unchecked: true,
};
