//! A sum, or a sum of squares, per segment of an array.
use crate::contract::{Kernel, over, read, write};

crate::params! {
    /// Parameters of `segment_sum.wgsl`.
    pub struct Params {
        /// start of `table`
        pub table_at: u32,
        /// start of `x`
        pub x_at: u32,
        /// start of `out`
        pub out_at: u32,
        /// entries of the table
        pub segments: u32,
    }
}

/// The contract of `segment_sum.wgsl`.
pub const KERNEL: Kernel = Kernel {
    stem: "segment_sum",
    source: concat!(include_str!("math.wgsl"), include_str!("segment_sum.wgsl")),
    bindings: &[read("table"), read("x"), write("out")],
    params_size: size_of::<Params>(),
    params_fields: Params::FIELDS,
    step: false,
    overrides: &[over("SQUARE", 1.0)],
    unchecked: true,
};
