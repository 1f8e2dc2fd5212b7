//! Copies that move values by index: copy, repeat_vector, reverse_time, transpose01, shift_append.
use crate::contract::{Kernel, over, read, write};

crate::params! {
    /// Parameters of `rearrange.wgsl`.
    pub struct Params {
        /// start of `x`
        pub x_at: u32,
        /// start of `tail`
        pub tail_at: u32,
        /// start of `y`
        pub y_at: u32,
        /// elements of `y`
        pub n: u32,
        /// steps; of a transpose the first dimension of `x`
        pub time: u32,
        /// values per step, or per (row, column) of a transpose
        pub inner: u32,
        /// of a transpose the second dimension of `x`
        pub b: u32,
    }
}

/// The contract of `rearrange.wgsl`.
pub const KERNEL: Kernel = Kernel {
    stem: "rearrange",
    source: concat!(include_str!("math.wgsl"), include_str!("rearrange.wgsl")),
    bindings: &[read("x"), read("tail"), write("y")],
    params_size: size_of::<Params>(),
    params_fields: Params::FIELDS,
    step: false,
    overrides: &[over("WORKGROUP", 64.0), over("OP", 0.0)],
    unchecked: true,
};
