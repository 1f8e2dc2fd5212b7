//! Sums over the rows of a matrix, in a fixed order.
use crate::contract::{Kernel, over, read, write};

crate::params! {
    /// Parameters of `sum_rows.wgsl`.
    pub struct Params {
        /// start of `x`
        pub x_at: u32,
        /// start of `out`
        pub out_at: u32,
        /// rows
        pub rows: u32,
        /// columns
        pub cols: u32,
        /// 1 to add to `out`
        pub accumulate: u32,
        /// what is added to the count where `RUNNING`
        pub count: f32,
        /// factor of the sums where `RUNNING`
        pub scale: f32,
    }
}

/// The contract of `sum_rows.wgsl`.
pub const KERNEL: Kernel = Kernel {
    stem: "sum_rows",
    source: concat!(include_str!("math.wgsl"), include_str!("sum_rows.wgsl")),
    bindings: &[read("x"), write("out")],
    params_size: size_of::<Params>(),
    params_fields: Params::FIELDS,
    step: false,
    overrides: &[over("TILE", 32.0), over("RUNNING", 0.0), over("COUNTED", 0.0)],
    unchecked: true,
};
