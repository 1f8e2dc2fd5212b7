//! The regulariser `l1 |x| + l2 x^2` and its gradient.
use crate::contract::{Kernel, over, read, write};

crate::params! {
    /// Parameters of `penalty.wgsl`.
    pub struct Params {
        /// start of `x`
        pub x_at: u32,
        /// start of `y`
        pub y_at: u32,
        /// elements of `x`
        pub n: u32,
        /// partial sums
        pub sums: u32,
        /// factor of the magnitudes
        pub l1: f32,
        /// factor of the squares
        pub l2: f32,
        /// factor of the gradient
        pub scale: f32,
    }
}

/// The contract of `penalty.wgsl`.
pub const KERNEL: Kernel = Kernel {
    stem: "penalty",
    source: concat!(include_str!("math.wgsl"), include_str!("penalty.wgsl")),
    bindings: &[read("x"), write("y")],
    params_size: size_of::<Params>(),
    params_fields: Params::FIELDS,
    step: false,
    overrides: &[over("WORKGROUP", 64.0), over("BACKWARD", 0.0)],
    unchecked: true,
};
