//! Adafactor's direction from the means of squared gradients.
use crate::contract::{Kernel, read, write};

crate::params! {
    /// Parameters of `factored_direction.wgsl`.
    pub struct Params {
        /// start of `table`
        pub table_at: u32,
        /// start of `grads`
        pub grads_at: u32,
        /// start of `m`
        pub m_at: u32,
        /// start of `v`
        pub v_at: u32,
        /// start of `x`
        pub x_at: u32,
        /// start of `weights`
        pub weights_at: u32,
        /// entries of the table
        pub blocks: u32,
        /// added to each square
        pub epsilon: f32,
        /// gradients are clipped to plus and minus this
        pub clip_value: f32,
        /// decoupled decay
        pub weight_decay: f32,
    }
}

/// The contract of `factored_direction.wgsl`.
pub const KERNEL: Kernel = Kernel {
    stem: "factored_direction",
    source: concat!(
        include_str!("math.wgsl"),
        include_str!("step.wgsl"),
        include_str!("factored_direction.wgsl")
    ),
    bindings: &[read("table"), read("grads"), write("m"), write("v"), write("x"), write("weights")],
    params_size: size_of::<Params>(),
    params_fields: Params::FIELDS,
    step: true,
    overrides: &[],
    unchecked: true,
};
