//! Rows that a flag replaces by a number.
use crate::contract::{Kernel, over, read, write};

crate::params! {
    /// Parameters of `mask_rows.wgsl`.
    pub struct Params {
        /// start of `flags`
        pub flags_at: u32,
        /// start of `x`
        pub x_at: u32,
        /// start of `y`
        pub y_at: u32,
        /// elements
        pub n: u32,
        /// elements of a row, which has one flag
        pub cols: u32,
        /// what stands in rows that are not valid
        pub fill: f32,
    }
}

/// The contract of `mask_rows.wgsl`.
pub const KERNEL: Kernel = Kernel {
    stem: "mask_rows",
    source: concat!(include_str!("math.wgsl"), include_str!("mask_rows.wgsl")),
    bindings: &[read("flags"), read("x"), write("y")],
    params_size: size_of::<Params>(),
    params_fields: Params::FIELDS,
    step: false,
    overrides: &[over("WORKGROUP", 64.0)],
    unchecked: true,
};
