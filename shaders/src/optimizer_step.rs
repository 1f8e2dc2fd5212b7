//! An optimiser's update of all parameters.
use crate::contract::{Kernel, over, read, write};

crate::params! {
    /// Parameters of `optimizer_step.wgsl`.
    pub struct Params {
        /// start of `weights`
        pub weights_at: u32,
        /// start of `grads`
        pub grads_at: u32,
        /// start of `m`
        pub m_at: u32,
        /// start of `v`
        pub v_at: u32,
        /// start of `x`
        pub x_at: u32,
        /// parameters
        pub n: u32,
        /// gradients are clipped to plus and minus this, with `CLIP`
        pub clip_value: f32,
        /// decoupled decay
        pub weight_decay: f32,
        /// momentum, or beta_1
        pub momentum: f32,
        /// 1 less that, rounded once
        pub momentum_rest: f32,
        /// rho, or beta_2
        pub decay: f32,
        /// 1 less that, rounded once
        pub decay_rest: f32,
        /// of the denominator
        pub epsilon: f32,
        /// Ftrl's l1
        pub l1: f32,
        /// twice Ftrl's l2
        pub l2: f32,
        /// twice Ftrl's shrinkage
        pub shrinkage: f32,
    }
}

/// The contract of `optimizer_step.wgsl`.
pub const KERNEL: Kernel = Kernel {
    stem: "optimizer_step",
    source: concat!(
        include_str!("math.wgsl"),
        include_str!("step.wgsl"),
        include_str!("optimizer_step.wgsl")
    ),
    bindings: &[write("weights"), read("grads"), write("m"), write("v"), write("x")],
    params_size: size_of::<Params>(),
    params_fields: Params::FIELDS,
    step: true,
    overrides: &[
        over("WORKGROUP", 64.0),
        over("RULE", 0.0),
        over("CLIP", 0.0),
        over("MOMENTUM", 0.0),
        over("NESTEROV", 0.0),
        over("CENTERED", 0.0),
        over("AMSGRAD", 0.0),
    ],
    unchecked: true,
};
