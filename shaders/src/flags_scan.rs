//! Step flags from other step flags: combined, reversed, seen.
use crate::contract::{Kernel, over, read, write};

crate::params! {
    /// Parameters of `flags_scan.wgsl`.
    pub struct Params {
        /// start of `a`
        pub a_at: u32,
        /// start of `b`
        pub b_at: u32,
        /// start of `carry`
        pub carry_at: u32,
        /// start of `out`
        pub out_at: u32,
        /// steps
        pub time: u32,
        /// samples
        pub batch: u32,
        /// the first step of this call
        pub first: u32,
        /// steps of this call
        pub count: u32,
    }
}

/// The contract of `flags_scan.wgsl`.
pub const KERNEL: Kernel = Kernel {
    stem: "flags_scan",
    source: concat!(include_str!("math.wgsl"), include_str!("flags_scan.wgsl")),
    bindings: &[read("a"), read("b"), write("carry"), write("out")],
    params_size: size_of::<Params>(),
    params_fields: Params::FIELDS,
    step: false,
    overrides: &[over("WORKGROUP", 64.0), over("OP", 0.0)],
    unchecked: true,
};
