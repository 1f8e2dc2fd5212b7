//! `y[i] = value`.
use crate::contract::{Kernel, over, write};

crate::params! {
    /// Parameters of `fill.wgsl`.
    pub struct Params {
        /// start of `y`
        pub y_at: u32,
        /// elements
        pub n: u32,
        /// what is written
        pub value: f32,
    }
}

/// The contract of `fill.wgsl`.
pub const KERNEL: Kernel = Kernel {
    stem: "fill",
    source: concat!(include_str!("math.wgsl"), include_str!("fill.wgsl")),
    bindings: &[write("y")],
    params_size: size_of::<Params>(),
    params_fields: Params::FIELDS,
    step: false,
    overrides: &[over("WORKGROUP", 64.0)],
    unchecked: false,
};
