//! Step flags from values, lengths, or segment ids.
use crate::contract::{Kernel, over, read, write};

crate::params! {
    /// Parameters of `step_flags.wgsl`.
    pub struct Params {
        /// start of `x`
        pub x_at: u32,
        /// start of `flags`
        pub flags_at: u32,
        /// flags
        pub n: u32,
        /// samples
        pub batch: u32,
        /// values per flag
        pub cols: u32,
        /// from one step to the next
        pub time_stride: u32,
        /// from one sample to the next
        pub batch_stride: u32,
        /// the value that masks
        pub value: f32,
    }
}

/// The contract of `step_flags.wgsl`.
pub const KERNEL: Kernel = Kernel {
    stem: "step_flags",
    source: concat!(include_str!("math.wgsl"), include_str!("step_flags.wgsl")),
    bindings: &[read("x"), write("flags")],
    params_size: size_of::<Params>(),
    params_fields: Params::FIELDS,
    step: false,
    overrides: &[over("WORKGROUP", 64.0), over("OP", 0.0)],
    unchecked: true,
};
