//! `c (+)= act(a b + bias)` for any strides: odd and small products.
use crate::activation::ACT;
use crate::contract::{Kernel, over, read, write};
pub use crate::matmul::Params;

/// The contract of `matmul_any.wgsl`.
pub const KERNEL: Kernel = Kernel {
    stem: "matmul_any",
    source: concat!(
        include_str!("math.wgsl"),
        include_str!("activations.wgsl"),
        include_str!("matmul_any.wgsl")
    ),
    bindings: &[read("a"), read("b"), read("bias"), write("c")],
    params_size: size_of::<Params>(),
    params_fields: Params::FIELDS,
    step: false,
    overrides: &[over("WORKGROUP", 64.0), ACT[0], ACT[1], ACT[2], ACT[3]],
    unchecked: true,
};
