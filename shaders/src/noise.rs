//! Dropout and Gaussian noise by a stream of Philox4x32-10.
use crate::contract::{Kernel, over, read, write};

crate::params! {
    /// Parameters of `noise.wgsl`.
    pub struct Params {
        /// start of `x`
        pub x_at: u32,
        /// start of `y`
        pub y_at: u32,
        /// draws
        pub period: u32,
        /// how often each draw is used
        pub repeats: u32,
        /// low word of the seed
        pub seed_lo: u32,
        /// high word of the seed
        pub seed_hi: u32,
        /// word 1 of the counter
        pub stream: u32,
        /// word 3 of the counter
        pub part: u32,
        /// share that is dropped
        pub rate: f32,
        /// factor of what is kept; standard deviation
        pub scale: f32,
        /// added to what is kept
        pub shift: f32,
        /// what stands where an element is dropped
        pub dropped: f32,
        /// of a part of a longer array, the blocks of four draws before it
        pub first_block: u32,
    }
}

/// The contract of `noise.wgsl`.
pub const KERNEL: Kernel = Kernel {
    stem: "noise",
    source: concat!(
        include_str!("math.wgsl"),
        include_str!("philox.wgsl"),
        include_str!("normals.wgsl"),
        include_str!("step.wgsl"),
        include_str!("noise.wgsl")
    ),
    bindings: &[read("x"), write("y")],
    params_size: size_of::<Params>(),
    params_fields: Params::FIELDS,
    step: true,
    overrides: &[over("WORKGROUP", 64.0), over("MODE", 0.0)],
    unchecked: true,
};
