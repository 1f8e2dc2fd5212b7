//! The terms of metrics that are made of sums per column.
use crate::contract::{Kernel, over, read, write};

crate::params! {
    /// Parameters of `column_terms.wgsl`.
    pub struct Params {
        /// start of `pred`
        pub pred_at: u32,
        /// start of `truth`
        pub truth_at: u32,
        /// start of `weights`
        pub weights_at: u32,
        /// start of `out`
        pub out_at: u32,
        /// rows
        pub rows: u32,
        /// columns
        pub cols: u32,
        /// of a prediction that counts
        pub threshold: f32,
    }
}

/// The contract of `column_terms.wgsl`.
pub const KERNEL: Kernel = Kernel {
    stem: "column_terms",
    source: concat!(include_str!("math.wgsl"), include_str!("rows.wgsl"), include_str!("column_terms.wgsl")),
    bindings: &[read("pred"), read("truth"), read("weights"), write("out")],
    params_size: size_of::<Params>(),
    params_fields: Params::FIELDS,
    step: false,
    overrides: &[over("LANES", 32.0), over("WEIGHTED", 0.0), over("KIND", 0.0)],
    unchecked: true,
};
