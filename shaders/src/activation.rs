//! An activation and its derivative, element by element.
use crate::contract::{Kernel, over, read, write};

crate::params! {
    /// Parameters of `activation.wgsl`.
    pub struct Params {
        /// start of `x`
        pub x_at: u32,
        /// start of `dy`
        pub dy_at: u32,
        /// start of `y`
        pub y_at: u32,
        /// elements
        pub n: u32,
    }
}

/// The contract of `activation.wgsl`.
pub const KERNEL: Kernel = Kernel {
    stem: "activation",
    source: concat!(include_str!("math.wgsl"), include_str!("activation.wgsl")),
    bindings: &[read("x"), read("dy"), write("y")],
    params_size: size_of::<Params>(),
    params_fields: Params::FIELDS,
    step: false,
    overrides: &[over("WORKGROUP", 64.0), over("KIND", 0.0), over("BACKWARD", 0.0)],
    unchecked: true,
};
