//! Rows of a table by their numbers.
use crate::contract::{Kernel, over, read, write};

crate::params! {
    /// Parameters of `embedding.wgsl`.
    pub struct Params {
        /// start of `table`
        pub table_at: u32,
        /// start of `ids`
        pub ids_at: u32,
        /// start of `out`
        pub out_at: u32,
        /// elements of `out`
        pub n: u32,
        /// samples
        pub batch: u32,
        /// rows of the table
        pub vocab: u32,
        /// columns of the table
        pub width: u32,
        /// from the id of one step to the next
        pub time_stride: u32,
        /// from the id of one sample to the next
        pub batch_stride: u32,
    }
}

/// The contract of `embedding.wgsl`.
pub const KERNEL: Kernel = Kernel {
    stem: "embedding",
    source: concat!(
        include_str!("math.wgsl"),
        include_str!("table_row.wgsl"),
        include_str!("embedding.wgsl")
    ),
    bindings: &[read("table"), read("ids"), write("out")],
    params_size: size_of::<Params>(),
    params_fields: Params::FIELDS,
    step: false,
    overrides: &[over("WORKGROUP", 64.0)],
    unchecked: true,
};
