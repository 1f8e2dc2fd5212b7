//! Gradients gathered over several steps, and the moving average of weights.
use crate::contract::{Kernel, over, write};

crate::params! {
    /// Parameters of `step_blend.wgsl`.
    pub struct Params {
        /// start of `a`
        pub a_at: u32,
        /// start of `b`
        pub b_at: u32,
        /// elements
        pub n: u32,
        /// steps that are gathered, or momentum of the average
        pub share: f32,
        /// 1 less the momentum
        pub rest: f32,
    }
}

/// The contract of `step_blend.wgsl`.
pub const KERNEL: Kernel = Kernel {
    stem: "step_blend",
    source: concat!(include_str!("math.wgsl"), include_str!("step.wgsl"), include_str!("step_blend.wgsl")),
    bindings: &[write("a"), write("b")],
    params_size: size_of::<Params>(),
    params_fields: Params::FIELDS,
    step: true,
    overrides: &[over("WORKGROUP", 64.0), over("AVERAGE", 0.0)],
    unchecked: true,
};
