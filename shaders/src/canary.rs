//! Counts how many iterations of a loop the adapter really runs. Software adapters end long loops silently.
use crate::contract::{Kernel, write};

crate::params! {
    /// Parameters of `canary.wgsl`.
    pub struct Params {
        /// start of `count`
        pub count_at: u32,
        /// iterations asked for
        pub n: u32,
    }
}

/// The contract of `canary.wgsl`.
pub const KERNEL: Kernel = Kernel {
    stem: "canary",
    source: include_str!("canary.wgsl"),
    bindings: &[write("count")],
    params_size: size_of::<Params>(),
    params_fields: Params::FIELDS,
    step: false,
    overrides: &[],
    unchecked: false,
};
