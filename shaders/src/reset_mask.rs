//! Zero where a row's step flag has RESET, times a mask, plus an addend.
use crate::contract::{Kernel, over, read, write};

crate::params! {
    /// Parameters of `reset_mask.wgsl`.
    pub struct Params {
        /// start of `flags`
        pub flags_at: u32,
        /// start of `x`
        pub x_at: u32,
        /// start of `mask`
        pub mask_at: u32,
        /// start of `z`
        pub z_at: u32,
        /// start of `y`
        pub y_at: u32,
        /// elements
        pub n: u32,
        /// elements of a row, which has one flag
        pub cols: u32,
        /// elements of the mask, which repeats; 0 where there is none
        pub mask_len: u32,
        /// 1 where there are flags
        pub has_flags: u32,
        /// 1 where there is an addend
        pub has_z: u32,
    }
}

/// The contract of `reset_mask.wgsl`.
pub const KERNEL: Kernel = Kernel {
    stem: "reset_mask",
    source: concat!(include_str!("math.wgsl"), include_str!("reset_mask.wgsl")),
    bindings: &[read("flags"), read("x"), read("mask"), read("z"), write("y")],
    params_size: size_of::<Params>(),
    params_fields: Params::FIELDS,
    step: false,
    overrides: &[over("WORKGROUP", 64.0)],
    unchecked: true,
};
