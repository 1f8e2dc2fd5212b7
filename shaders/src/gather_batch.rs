//! `out[t, b, :] = dataset[indices[cursor + b], t, :]`.
use crate::contract::{Kernel, over, read, write};

crate::params! {
    /// Parameters of `gather_batch.wgsl`.
    pub struct Params {
        /// start of `dataset`
        pub dataset_at: u32,
        /// start of `indices`
        pub indices_at: u32,
        /// start of `out`
        pub out_at: u32,
        /// elements of `out`
        pub n: u32,
        /// samples per batch
        pub rows: u32,
        /// steps
        pub time: u32,
        /// values per step
        pub features: u32,
        /// samples in the data set
        pub samples: u32,
        /// indices there are
        pub count: u32,
    }
}

/// The contract of `gather_batch.wgsl`.
pub const KERNEL: Kernel = Kernel {
    stem: "gather_batch",
    source: concat!(include_str!("math.wgsl"), include_str!("step.wgsl"), include_str!("gather_batch.wgsl")),
    bindings: &[read("dataset"), read("indices"), write("out")],
    params_size: size_of::<Params>(),
    params_fields: Params::FIELDS,
    step: true,
    overrides: &[over("WORKGROUP", 64.0)],
    unchecked: true,
};
