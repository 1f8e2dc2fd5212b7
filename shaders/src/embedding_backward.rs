//! The gradient of a table: sums of rows by their numbers, in a fixed order.
use crate::contract::{Kernel, over, read, write};

crate::params! {
    /// Parameters of `embedding_backward.wgsl`.
    pub struct Params {
        /// start of `ids`
        pub ids_at: u32,
        /// start of `dy`
        pub dy_at: u32,
        /// start of `part`
        pub part_at: u32,
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
        /// the first position
        pub first: u32,
        /// positions of a chunk
        pub chunk: u32,
        /// one past the last position
        pub end: u32,
    }
}

/// The contract of `embedding_backward.wgsl`.
pub const KERNEL: Kernel = Kernel {
    stem: "embedding_backward",
    source: concat!(
        include_str!("math.wgsl"),
        include_str!("table_row.wgsl"),
        include_str!("embedding_backward.wgsl")
    ),
    bindings: &[read("ids"), read("dy"), write("part")],
    params_size: size_of::<Params>(),
    params_fields: Params::FIELDS,
    step: false,
    overrides: &[over("ACCUMULATE", 1.0)],
    unchecked: true,
};
