//! Log softmax and sparsemax over rows, and their gradients.
use crate::contract::{Kernel, over, read, write};

crate::params! {
    /// Parameters of `row_activation.wgsl`.
    pub struct Params {
        /// start of `x`
        pub x_at: u32,
        /// start of `dy`
        pub dy_at: u32,
        /// start of `y`
        pub y_at: u32,
        /// rows
        pub rows: u32,
        /// columns
        pub cols: u32,
    }
}

/// The contract of `row_activation.wgsl`.
pub const KERNEL: Kernel = Kernel {
    stem: "row_activation",
    source: concat!(
        include_str!("math.wgsl"),
        include_str!("rows.wgsl"),
        include_str!("row_activation.wgsl")
    ),
    bindings: &[read("x"), read("dy"), write("y")],
    params_size: size_of::<Params>(),
    params_fields: Params::FIELDS,
    step: false,
    overrides: &[over("LANES", 32.0), over("KIND", 0.0), over("BACKWARD", 0.0)],
    unchecked: true,
};
