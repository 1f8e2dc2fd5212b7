//! Copies a matrix into padded rows, transposed where the strides say so.
use crate::contract::{Kernel, over, read, write};

crate::params! {
    /// Parameters of `pack.wgsl`.
    pub struct Params {
        /// start of `x`
        pub x_at: u32,
        /// start of `y`
        pub y_at: u32,
        /// rows of `y`
        pub rows: u32,
        /// columns that have values
        pub cols: u32,
        /// distance of rows of `y`
        pub ld: u32,
        /// distance in `x` of one row
        pub x_row: u32,
        /// distance in `x` of one column
        pub x_col: u32,
    }
}

/// The contract of `pack.wgsl`.
pub const KERNEL: Kernel = Kernel {
    stem: "pack",
    source: concat!(include_str!("math.wgsl"), include_str!("pack.wgsl")),
    bindings: &[read("x"), write("y")],
    params_size: size_of::<Params>(),
    params_fields: Params::FIELDS,
    step: false,
    overrides: &[over("WORKGROUP", 64.0)],
    unchecked: true,
};
