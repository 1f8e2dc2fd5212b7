//! The mean or the maximum over valid steps.
use crate::contract::{Kernel, over, read, write};

crate::params! {
    /// Parameters of `pool_time.wgsl`.
    pub struct Params {
        /// start of `flags`
        pub flags_at: u32,
        /// start of `x`
        pub x_at: u32,
        /// start of `count`
        pub count_at: u32,
        /// start of `y`
        pub y_at: u32,
        /// steps
        pub time: u32,
        /// samples
        pub batch: u32,
        /// values per step and sample
        pub cols: u32,
        /// the first step of this call
        pub first: u32,
        /// steps of this call
        pub steps: u32,
        /// 1 where there are flags
        pub has_flags: u32,
    }
}

/// The contract of `pool_time.wgsl`.
pub const KERNEL: Kernel = Kernel {
    stem: "pool_time",
    source: concat!(include_str!("math.wgsl"), include_str!("pool_time.wgsl")),
    bindings: &[read("flags"), read("x"), write("count"), write("y")],
    params_size: size_of::<Params>(),
    params_fields: Params::FIELDS,
    step: false,
    overrides: &[over("WORKGROUP", 64.0), over("MAX", 0.0)],
    unchecked: true,
};
