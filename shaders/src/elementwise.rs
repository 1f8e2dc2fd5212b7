//! Sums, differences, products, quotients, maxima and minima of two arrays; multiples of one.
use crate::contract::{Kernel, over, read, write};

crate::params! {
    /// Parameters of `elementwise.wgsl`.
    pub struct Params {
        /// start of `a`
        pub a_at: u32,
        /// start of `b`
        pub b_at: u32,
        /// start of `y`
        pub y_at: u32,
        /// elements
        pub n: u32,
        /// of `scale`
        pub factor: f32,
    }
}

/// The contract of `elementwise.wgsl`.
pub const KERNEL: Kernel = Kernel {
    stem: "elementwise",
    source: concat!(include_str!("math.wgsl"), include_str!("elementwise.wgsl")),
    bindings: &[read("a"), read("b"), write("y")],
    params_size: size_of::<Params>(),
    params_fields: Params::FIELDS,
    step: false,
    overrides: &[over("WORKGROUP", 64.0), over("OP", 0.0)],
    unchecked: true,
};
