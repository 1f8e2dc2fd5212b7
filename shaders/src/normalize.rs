//! Layer normalisation, its variant without centring, and division by the norm; and their gradient.
use crate::contract::{Kernel, over, read, write};

crate::params! {
    /// Parameters of `normalize.wgsl`.
    pub struct Params {
        /// start of `x`
        pub x_at: u32,
        /// start of `dy`
        pub dy_at: u32,
        /// start of `gamma`
        pub gamma_at: u32,
        /// start of `beta`
        pub beta_at: u32,
        /// start of `stats`
        pub stats_at: u32,
        /// start of `y`
        pub y_at: u32,
        /// rows
        pub rows: u32,
        /// columns
        pub cols: u32,
        /// added to the variance; bound of the norm
        pub epsilon: f32,
        /// 1 where there are factors
        pub has_gamma: u32,
        /// 1 where there are addends
        pub has_beta: u32,
    }
}

/// The contract of `normalize.wgsl`.
pub const KERNEL: Kernel = Kernel {
    stem: "normalize",
    source: concat!(include_str!("math.wgsl"), include_str!("rows.wgsl"), include_str!("normalize.wgsl")),
    bindings: &[read("x"), read("dy"), read("gamma"), read("beta"), write("stats"), write("y")],
    params_size: size_of::<Params>(),
    params_fields: Params::FIELDS,
    step: false,
    overrides: &[over("LANES", 32.0), over("BACKWARD", 0.0), over("KIND", 0.0)],
    unchecked: true,
};
