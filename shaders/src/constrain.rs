//! Constraints on weights, applied after an update.
use crate::contract::{Kernel, read, write};

crate::params! {
    /// Parameters of `constrain.wgsl`.
    pub struct Params {
        /// start of `table`
        pub table_at: u32,
        /// start of `weights`
        pub weights_at: u32,
        /// entries of the table
        pub entries: u32,
    }
}

/// The contract of `constrain.wgsl`.
pub const KERNEL: Kernel = Kernel {
    stem: "constrain",
    source: concat!(include_str!("math.wgsl"), include_str!("constrain.wgsl")),
    bindings: &[read("table"), write("weights")],
    params_size: size_of::<Params>(),
    params_fields: Params::FIELDS,
    step: false,
    overrides: &[],
    unchecked: true,
};
