//! A mixture of two arrays by a drawn or a constant mask.
use crate::contract::{Kernel, over, read, write};

crate::params! {
    /// Parameters of `blend.wgsl`.
    pub struct Params {
        /// start of `a`
        pub a_at: u32,
        /// start of `b`
        pub b_at: u32,
        /// start of `y`
        pub y_at: u32,
        /// elements
        pub n: u32,
        /// low word of the seed
        pub seed_lo: u32,
        /// high word of the seed
        pub seed_hi: u32,
        /// word 1 of the counter
        pub stream: u32,
        /// word 3 of the counter
        pub part: u32,
        /// share of `a`
        pub rate: f32,
    }
}

/// The contract of `blend.wgsl`.
pub const KERNEL: Kernel = Kernel {
    stem: "blend",
    source: concat!(
        include_str!("math.wgsl"),
        include_str!("philox.wgsl"),
        include_str!("step.wgsl"),
        include_str!("blend.wgsl")
    ),
    bindings: &[read("a"), read("b"), write("y")],
    params_size: size_of::<Params>(),
    params_fields: Params::FIELDS,
    step: true,
    overrides: &[over("WORKGROUP", 64.0), over("DRAWN", 1.0), over("SIDE", 0.0)],
    unchecked: true,
};
