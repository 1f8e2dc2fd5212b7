//! A stream of Philox4x32-10 as uniform numbers or raw words.
use crate::contract::{Kernel, over, write};

crate::params! {
    /// Parameters of `random.wgsl`.
    pub struct Params {
        /// start of `out`
        pub out_at: u32,
        /// elements
        pub n: u32,
        /// low word of the seed
        pub seed_lo: u32,
        /// high word of the seed
        pub seed_hi: u32,
        /// word 0 of the first counter
        pub block: u32,
        /// word 1 of the counter
        pub stream: u32,
        /// word 3 of the counter
        pub word3: u32,
    }
}

/// The contract of `random.wgsl`.
pub const KERNEL: Kernel = Kernel {
    stem: "random",
    source: concat!(
        include_str!("math.wgsl"),
        include_str!("philox.wgsl"),
        include_str!("step.wgsl"),
        include_str!("random.wgsl")
    ),
    bindings: &[write("out")],
    params_size: size_of::<Params>(),
    params_fields: Params::FIELDS,
    step: true,
    overrides: &[over("WORKGROUP", 64.0), over("BITS", 0.0)],
    unchecked: true,
};
