//! WGSL kernels and the contract that both devices implement. No wgpu dependency.
//!
//! A kernel is a pair of files with one stem: `<stem>.wgsl`, the equation and the code, and `<stem>.rs`, what the host
//! has to know of it ([`contract::Kernel`]) and its `Params`. How to add one: `docs/KERNEL_RECIPE.md`.
extern crate self as rnn_shaders;

#[doc(hidden)]
pub use bytemuck;

pub mod contract;
pub mod vocabulary;

pub mod activation;
pub mod canary;
pub mod clip_by_norm;
pub mod copy;
pub mod dropout;
pub mod elementwise;
pub mod fill;
pub mod gather_batch;
pub mod matmul;
pub mod matmul_any;
pub mod matmul_tile;
pub mod optimizer_step;
pub mod pack;
pub mod random;
pub mod rearrange;
pub mod recurrent;
pub mod reset_mask;
pub mod row_weights;
pub mod score_backward;
pub mod score_forward;
pub mod segment_sum;
pub mod shape;
pub mod softmax;
pub mod store_step;
pub mod sum_rows;

use contract::Kernel;

/// Every kernel, for the tests that go over all of them.
pub const ALL: &[&Kernel] = &[
    &activation::KERNEL,
    &canary::KERNEL,
    &clip_by_norm::KERNEL,
    &copy::KERNEL,
    &dropout::KERNEL,
    &elementwise::KERNEL,
    &fill::KERNEL,
    &gather_batch::KERNEL,
    &matmul::KERNEL,
    &matmul_any::KERNEL,
    &matmul_tile::KERNEL,
    &optimizer_step::KERNEL,
    &pack::KERNEL,
    &random::KERNEL,
    &rearrange::KERNEL,
    &recurrent::LSTM_FORWARD,
    &recurrent::LSTM_BACKWARD,
    &recurrent::GRU_FORWARD,
    &recurrent::GRU_BACKWARD,
    &recurrent::GRU_RESET_FORWARD,
    &recurrent::GRU_CANDIDATE_FORWARD,
    &recurrent::GRU_CANDIDATE_BACKWARD,
    &recurrent::GRU_RESET_BACKWARD,
    &recurrent::SIMPLE_RNN_FORWARD,
    &recurrent::SIMPLE_RNN_BACKWARD,
    &reset_mask::KERNEL,
    &row_weights::KERNEL,
    &score_backward::KERNEL,
    &score_forward::KERNEL,
    &segment_sum::KERNEL,
    &softmax::KERNEL,
    &store_step::KERNEL,
    &sum_rows::KERNEL,
];
