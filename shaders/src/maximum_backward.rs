//! The gradient of an elementwise maximum.
use crate::contract::{Kernel, over, read, write};

crate::params! {
    /// Parameters of `maximum_backward.wgsl`.
    pub struct Params {
        /// start of `a`
        pub a_at: u32,
        /// start of `b`
        pub b_at: u32,
        /// start of `dy`
        pub dy_at: u32,
        /// start of `da`
        pub da_at: u32,
        /// elements
        pub n: u32,
    }
}

/// The contract of `maximum_backward.wgsl`.
pub const KERNEL: Kernel = Kernel {
    stem: "maximum_backward",
    source: concat!(include_str!("math.wgsl"), include_str!("maximum_backward.wgsl")),
    bindings: &[read("a"), read("b"), read("dy"), write("da")],
    params_size: size_of::<Params>(),
    params_fields: Params::FIELDS,
    step: false,
    overrides: &[over("WORKGROUP", 64.0)],
    unchecked: true,
};
