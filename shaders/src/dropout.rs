//! Dropout by a stream of Philox4x32-10.
use crate::contract::{Kernel, over, read, write};

crate::params! {
    /// Parameters of `dropout.wgsl`.
    pub struct Params {
        /// start of `x`
        pub x_at: u32,
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
        /// share of elements that are dropped
        pub rate: f32,
        /// 1 / (1 - rate)
        pub scale: f32,
    }
}

/// The contract of `dropout.wgsl`.
pub const KERNEL: Kernel = Kernel {
    stem: "dropout",
    source: concat!(
        include_str!("math.wgsl"),
        include_str!("philox.wgsl"),
        include_str!("step.wgsl"),
        include_str!("dropout.wgsl")
    ),
    bindings: &[read("x"), write("y")],
    params_size: size_of::<Params>(),
    params_fields: Params::FIELDS,
    step: true,
    overrides: &[over("WORKGROUP", 64.0)],
    unchecked: true,
};
