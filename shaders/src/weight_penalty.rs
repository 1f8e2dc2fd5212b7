//! Penalties on weights, and their gradients.
use crate::contract::{Kernel, over, read, write};

crate::params! {
    /// Parameters of `weight_penalty.wgsl`.
    pub struct Params {
        /// start of `table`
        pub table_at: u32,
        /// start of `weights`
        pub weights_at: u32,
        /// start of `grads`
        pub grads_at: u32,
        /// start of `out`
        pub out_at: u32,
        /// entries of the table
        pub blocks: u32,
    }
}

/// The contract of `weight_penalty.wgsl`.
pub const KERNEL: Kernel = Kernel {
    stem: "weight_penalty",
    source: concat!(include_str!("math.wgsl"), include_str!("weight_penalty.wgsl")),
    bindings: &[read("table"), read("weights"), write("grads"), write("out")],
    params_size: size_of::<Params>(),
    params_fields: Params::FIELDS,
    step: false,
    overrides: &[over("GRADIENT", 0.0)],
    unchecked: true,
};
