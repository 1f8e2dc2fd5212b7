//! `y[i] = x[i]`, four words at a time.
use crate::contract::{Kernel, over, read, write};

crate::params! {
    /// Parameters of `copy.wgsl`.
    pub struct Params {
        /// start of `x`, a multiple of 4
        pub x_at: u32,
        /// start of `y`, a multiple of 4
        pub y_at: u32,
        /// elements, a multiple of 4
        pub n: u32,
    }
}

/// The contract of `copy.wgsl`.
pub const KERNEL: Kernel = Kernel {
    stem: "copy",
    source: concat!(include_str!("math.wgsl"), include_str!("copy.wgsl")),
    bindings: &[read("x"), write("y")],
    params_size: size_of::<Params>(),
    params_fields: Params::FIELDS,
    step: false,
    overrides: &[over("WORKGROUP", 64.0)],
    unchecked: true,
};
