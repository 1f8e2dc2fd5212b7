//! `seq[cursor * stride ..] = x`.
use crate::contract::{Kernel, over, read, write};

crate::params! {
    /// Parameters of `store_step.wgsl`.
    pub struct Params {
        /// start of `x`
        pub x_at: u32,
        /// start of `seq`
        pub seq_at: u32,
        /// length of `x`
        pub n: u32,
        /// elements of `seq` from one step to the next
        pub stride: u32,
        /// length of `seq`
        pub len: u32,
    }
}

/// The contract of `store_step.wgsl`.
pub const KERNEL: Kernel = Kernel {
    stem: "store_step",
    source: concat!(include_str!("math.wgsl"), include_str!("step.wgsl"), include_str!("store_step.wgsl")),
    bindings: &[read("x"), write("seq")],
    params_size: size_of::<Params>(),
    params_fields: Params::FIELDS,
    step: true,
    overrides: &[over("WORKGROUP", 64.0)],
    unchecked: true,
};
