//! WGSL kernels and the contract that both devices implement. No wgpu dependency.
//!
//! A kernel is a pair of files with one stem: `<stem>.wgsl`, the equation and the code, and `<stem>.rs`, what the host
//! has to know of it ([`contract::Kernel`]) and its `Params`. How to add one: `docs/KERNEL_RECIPE.md`.
extern crate self as rnn_shaders;

#[doc(hidden)]
pub use bytemuck;

pub mod contract;
pub mod vocabulary;

/// Lanes of a workgroup of the kernels of `row_tiles.wgsl` on software adapters: those that work at the same time where a
/// register holds eight numbers.
pub const SOFTWARE_LANES: usize = 8;

pub mod activation;
pub mod blend;
pub mod canary;
pub mod clip_by_norm;
pub mod column_terms;
pub mod constrain;
pub mod copy;
pub mod copy_block;
pub mod elementwise;
pub mod embedding;
pub mod embedding_backward;
pub mod factored_direction;
pub mod factored_means;
pub mod fill;
pub mod flags_scan;
pub mod gather_batch;
pub mod keep_largest;
pub mod mask_rows;
pub mod matmul;
pub mod matmul_any;
pub mod matmul_tile;
pub mod maximum_backward;
pub mod noise;
pub mod normalize;
pub mod normalize_gamma;
pub mod optimizer_step;
pub mod pack;
pub mod penalty;
pub mod pool_time;
pub mod pool_time_backward;
pub mod random;
pub mod rearrange;
pub mod recurrent;
pub mod reset_mask;
pub mod row_activation;
pub mod row_weights;
pub mod score_backward;
pub mod score_forward;
pub mod segment_sum;
pub mod select_rows;
pub mod shape;
pub mod softmax;
pub mod step_blend;
pub mod step_flags;
pub mod store_step;
pub mod sum_rows;
pub mod threshold_counts;
pub mod trust_step;
pub mod weight_penalty;

use contract::Kernel;

/// Every kernel, for the tests that go over all of them.
pub const ALL: &[&Kernel] = &[
    &activation::KERNEL,
    &blend::KERNEL,
    &canary::KERNEL,
    &clip_by_norm::KERNEL,
    &column_terms::KERNEL,
    &constrain::KERNEL,
    &copy::KERNEL,
    &copy_block::KERNEL,
    &elementwise::KERNEL,
    &embedding::KERNEL,
    &embedding_backward::KERNEL,
    &factored_direction::KERNEL,
    &factored_means::KERNEL,
    &fill::KERNEL,
    &flags_scan::KERNEL,
    &gather_batch::KERNEL,
    &keep_largest::KERNEL,
    &mask_rows::KERNEL,
    &matmul::KERNEL,
    &matmul_any::KERNEL,
    &matmul_tile::KERNEL,
    &maximum_backward::KERNEL,
    &noise::KERNEL,
    &normalize::KERNEL,
    &normalize_gamma::KERNEL,
    &optimizer_step::KERNEL,
    &pack::KERNEL,
    &penalty::KERNEL,
    &pool_time::KERNEL,
    &pool_time_backward::KERNEL,
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
    &row_activation::KERNEL,
    &row_weights::KERNEL,
    &score_backward::KERNEL,
    &score_forward::KERNEL,
    &segment_sum::KERNEL,
    &select_rows::KERNEL,
    &softmax::KERNEL,
    &step_flags::KERNEL,
    &step_blend::KERNEL,
    &store_step::KERNEL,
    &sum_rows::KERNEL,
    &threshold_counts::KERNEL,
    &trust_step::KERNEL,
    &weight_penalty::KERNEL,
];
