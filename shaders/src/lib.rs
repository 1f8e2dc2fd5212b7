//! WGSL kernels and the contract that both devices implement. No wgpu dependency.
pub mod vocabulary;
