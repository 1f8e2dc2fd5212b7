//! The largest values of each row.
use crate::contract::{Kernel, over, read, write};

crate::params! {
    /// Parameters of `keep_largest.wgsl`.
    pub struct Params {
        /// start of `x`
        pub x_at: u32,
        /// start of `y`
        pub y_at: u32,
        /// elements
        pub n: u32,
        /// elements of a row
        pub cols: u32,
        /// how many of a row are kept
        pub k: u32,
        /// what stands for the others
        pub fill: f32,
    }
}

/// The contract of `keep_largest.wgsl`.
pub const KERNEL: Kernel = Kernel {
    stem: "keep_largest",
    source: concat!(include_str!("math.wgsl"), include_str!("keep_largest.wgsl")),
    bindings: &[read("x"), write("y")],
    params_size: size_of::<Params>(),
    params_fields: Params::FIELDS,
    step: false,
    overrides: &[over("WORKGROUP", 64.0)],
    unchecked: true,
};
