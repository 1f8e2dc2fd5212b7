//! `c (+)= act(a b + bias)`, the face for software adapters. The other faces take the same parameters.
use crate::activation::ACT;
use crate::contract::{Kernel, over, read, write};

crate::params! {
    /// Parameters of the three matmul kernels. Strides in elements.
    pub struct Params {
        /// start of `a`
        pub a_at: u32,
        /// start of `b`
        pub b_at: u32,
        /// start of `bias`
        pub bias_at: u32,
        /// start of `c`
        pub c_at: u32,
        /// rows of `c`
        pub m: u32,
        /// columns of `c`
        pub n: u32,
        /// length of the sums
        pub k: u32,
        /// distance of rows of op(a)
        pub a_row: u32,
        /// distance of columns of op(a)
        pub a_k: u32,
        /// distance of rows of op(b)
        pub b_k: u32,
        /// distance of columns of op(b); 1 for `matmul.wgsl`
        pub b_col: u32,
        /// distance of rows of `c`
        pub ldc: u32,
        /// distance of batches of `a`
        pub stride_a: u32,
        /// distance of batches of `b`
        pub stride_b: u32,
        /// distance of batches of `c`
        pub stride_c: u32,
        /// 1 where there is a bias
        pub has_bias: u32,
        /// 1 to add to `c`
        pub accumulate: u32,
    }
}

/// The contract of `matmul.wgsl`.
pub const KERNEL: Kernel = Kernel {
    stem: "matmul",
    source: concat!(
        include_str!("math.wgsl"),
        include_str!("activations.wgsl"),
        include_str!("from_lane.wgsl"),
        include_str!("row_tiles.wgsl"),
        include_str!("matmul.wgsl")
    ),
    bindings: &[read("a"), read("b"), read("bias"), write("c")],
    params_size: size_of::<Params>(),
    params_fields: Params::FIELDS,
    step: false,
    overrides: &[
        ACT[0],
        ACT[1],
        ACT[2],
        ACT[3],
        over("ROWS", 16.0),
        over("SHARED", 0.0),
        over("WIDE", 0.0),
        over("WHOLE", 0.0),
        over("HAS_FOURS", 1.0),
        over("HAS_REST", 1.0),
    ],
    unchecked: true,
};
