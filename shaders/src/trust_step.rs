//! A step along a direction, as far as the norms of each variable allow.
use crate::contract::{Kernel, over, read, write};

crate::params! {
    /// Parameters of `trust_step.wgsl`.
    pub struct Params {
        /// start of `table`
        pub table_at: u32,
        /// start of `weight_sumsq`
        pub weight_sumsq_at: u32,
        /// start of `direction_sumsq`
        pub direction_sumsq_at: u32,
        /// start of `direction`
        pub direction_at: u32,
        /// start of `weights`
        pub weights_at: u32,
        /// entries of the table
        pub blocks: u32,
        /// smallest size of a variable
        pub epsilon_2: f32,
        /// largest root mean square of a direction
        pub clip_threshold: f32,
    }
}

/// The contract of `trust_step.wgsl`.
pub const KERNEL: Kernel = Kernel {
    stem: "trust_step",
    source: concat!(include_str!("math.wgsl"), include_str!("step.wgsl"), include_str!("trust_step.wgsl")),
    bindings: &[
        read("table"),
        read("weight_sumsq"),
        read("direction_sumsq"),
        read("direction"),
        write("weights"),
    ],
    params_size: size_of::<Params>(),
    params_fields: Params::FIELDS,
    step: true,
    overrides: &[over("LAMB", 1.0)],
    unchecked: true,
};
