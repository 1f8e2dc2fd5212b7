//! Scales segments whose norm is too large.
use crate::contract::{Kernel, read, write};

crate::params! {
    /// Parameters of `clip_by_norm.wgsl`.
    pub struct Params {
        /// start of `table`
        pub table_at: u32,
        /// start of `sumsq`
        pub sumsq_at: u32,
        /// start of `x`
        pub x_at: u32,
        /// entries of the table
        pub blocks: u32,
        /// largest norm allowed
        pub max_norm: f32,
    }
}

/// The contract of `clip_by_norm.wgsl`.
pub const KERNEL: Kernel = Kernel {
    stem: "clip_by_norm",
    source: concat!(include_str!("math.wgsl"), include_str!("clip_by_norm.wgsl")),
    bindings: &[read("table"), read("sumsq"), write("x")],
    params_size: size_of::<Params>(),
    params_fields: Params::FIELDS,
    step: false,
    overrides: &[],
    unchecked: true,
};
