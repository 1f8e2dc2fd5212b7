//! The gradient of a normalisation's factors, summed over blocks of rows.
use crate::contract::{Kernel, over, read, write};

crate::params! {
    /// Parameters of `normalize_gamma.wgsl`.
    pub struct Params {
        /// start of `x`
        pub x_at: u32,
        /// start of `dy`
        pub dy_at: u32,
        /// start of `stats`
        pub stats_at: u32,
        /// start of `part`
        pub part_at: u32,
        /// rows
        pub rows: u32,
        /// columns
        pub cols: u32,
    }
}

/// The contract of `normalize_gamma.wgsl`.
pub const KERNEL: Kernel = Kernel {
    stem: "normalize_gamma",
    source: concat!(include_str!("math.wgsl"), include_str!("normalize_gamma.wgsl")),
    bindings: &[read("x"), read("dy"), read("stats"), write("part")],
    params_size: size_of::<Params>(),
    params_fields: Params::FIELDS,
    step: false,
    overrides: &[over("CENTERED", 1.0)],
    unchecked: true,
};
