//! Rows from one array or another, as a flag says.
use crate::contract::{Kernel, over, read, write};

crate::params! {
    /// Parameters of `select_rows.wgsl`.
    pub struct Params {
        /// start of `flags`
        pub flags_at: u32,
        /// start of `a`
        pub a_at: u32,
        /// start of `b`
        pub b_at: u32,
        /// start of `y`
        pub y_at: u32,
        /// elements
        pub n: u32,
        /// elements of a row, which has one flag
        pub cols: u32,
        /// the bit that counts
        pub bit: u32,
        /// whether there is an `a`; else zeros
        pub has_a: u32,
        /// whether there is a `b`; else zeros
        pub has_b: u32,
    }
}

/// The contract of `select_rows.wgsl`.
pub const KERNEL: Kernel = Kernel {
    stem: "select_rows",
    source: concat!(include_str!("math.wgsl"), include_str!("select_rows.wgsl")),
    bindings: &[read("flags"), read("a"), read("b"), write("y")],
    params_size: size_of::<Params>(),
    params_fields: Params::FIELDS,
    step: false,
    overrides: &[over("WORKGROUP", 64.0)],
    unchecked: true,
};
