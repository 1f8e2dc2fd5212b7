//! The gradient of a mean or maximum over valid steps.
use crate::contract::{Kernel, over, read, write};

crate::params! {
    /// Parameters of `pool_time_backward.wgsl`.
    pub struct Params {
        /// start of `flags`
        pub flags_at: u32,
        /// start of `x`
        pub x_at: u32,
        /// start of `y`
        pub y_at: u32,
        /// start of `count`
        pub count_at: u32,
        /// start of `dy`
        pub dy_at: u32,
        /// start of `dx`
        pub dx_at: u32,
        /// elements of `dx`
        pub n: u32,
        /// samples
        pub batch: u32,
        /// values per step and sample
        pub cols: u32,
        /// 1 where there are flags
        pub has_flags: u32,
    }
}

/// The contract of `pool_time_backward.wgsl`.
pub const KERNEL: Kernel = Kernel {
    stem: "pool_time_backward",
    source: concat!(include_str!("math.wgsl"), include_str!("pool_time_backward.wgsl")),
    bindings: &[read("flags"), read("x"), read("y"), read("count"), read("dy"), write("dx")],
    params_size: size_of::<Params>(),
    params_fields: Params::FIELDS,
    step: false,
    overrides: &[over("WORKGROUP", 64.0), over("MAX", 0.0)],
    unchecked: true,
};
