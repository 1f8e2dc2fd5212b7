//! A strided copy of up to three axes, or its accumulation.
use crate::contract::{Kernel, over, read, write};

crate::params! {
    /// Parameters of `copy_block.wgsl`.
    pub struct Params {
        /// start of `x`
        pub x_at: u32,
        /// start of `y`
        pub y_at: u32,
        /// elements of axis 0
        pub n0: u32,
        /// elements of axis 1
        pub n1: u32,
        /// elements of axis 2
        pub n2: u32,
        /// stride of axis 0 in `x`
        pub x0: u32,
        /// stride of axis 1 in `x`
        pub x1: u32,
        /// stride of axis 2 in `x`
        pub x2: u32,
        /// stride of axis 0 in `y`
        pub y0: u32,
        /// stride of axis 1 in `y`
        pub y1: u32,
        /// stride of axis 2 in `y`
        pub y2: u32,
    }
}

/// The contract of `copy_block.wgsl`.
pub const KERNEL: Kernel = Kernel {
    stem: "copy_block",
    source: concat!(include_str!("math.wgsl"), include_str!("copy_block.wgsl")),
    bindings: &[read("x"), write("y")],
    params_size: size_of::<Params>(),
    params_fields: Params::FIELDS,
    step: false,
    overrides: &[over("WORKGROUP", 64.0), over("ACCUMULATE", 0.0)],
    unchecked: true,
};
