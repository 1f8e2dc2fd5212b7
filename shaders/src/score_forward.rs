//! A loss or metric per row.
use crate::contract::{Kernel, over, read, write};

crate::params! {
    /// Parameters of `score_forward.wgsl`.
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
        /// `delta`, `quantile`, `gamma`, `threshold` or `k`
        pub shape: f32,
        /// weight of a truth of 1
        pub on: f32,
        /// weight of a truth of 0
        pub off: f32,
        /// a truth `y` counts as `keep y + lift`
        pub keep: f32,
        /// see `keep`
        pub lift: f32,
    }
}

/// The contract of `score_forward.wgsl`.
pub const KERNEL: Kernel = Kernel {
    stem: "score_forward",
    source: concat!(
        include_str!("math.wgsl"),
        include_str!("rows.wgsl"),
        include_str!("score.wgsl"),
        include_str!("score_terms.wgsl"),
        include_str!("score_rows.wgsl"),
        include_str!("score_forward.wgsl")
    ),
    bindings: &[read("pred"), read("truth"), read("weights"), write("out")],
    params_size: size_of::<Params>(),
    params_fields: Params::FIELDS,
    step: false,
    overrides: &[over("LANES", 32.0), over("SCORE", 0.0), over("WEIGHTED", 0.0)],
    unchecked: true,
};
