//! `c (+)= act(a b + bias)`, register tiles fed from workgroup memory: the face for hardware.
use crate::activation::ACT;
use crate::contract::{Kernel, over, read, write};
pub use crate::matmul::Params;

/// Rows and columns of `c` that one workgroup owns.
pub const TILE: usize = 64;

/// The contract of `matmul_tile.wgsl`.
pub const KERNEL: Kernel = Kernel {
    stem: "matmul_tile",
    source: concat!(
        include_str!("math.wgsl"),
        include_str!("activations.wgsl"),
        include_str!("matmul_tile.wgsl")
    ),
    bindings: &[read("a"), read("b"), read("bias"), write("c")],
    params_size: size_of::<Params>(),
    params_fields: Params::FIELDS,
    step: false,
    overrides: &[ACT[0], ACT[1], ACT[2], ACT[3], over("A_BY_ROW", 0.0), over("B_BY_K", 0.0)],
    unchecked: true,
};
