//! Launchers: each checks lengths against shapes and records the kernel of its name.
mod activation;
pub mod canary;
mod dropout;
mod elementwise;
mod fill;
mod gather_batch;
mod matmul;
mod norm;
mod operands;
mod optimizer_step;
mod random;
mod rearrange;
mod recurrent;
mod row_weights;
mod score;
mod softmax;
mod store_step;
mod sum_rows;

pub use activation::{activation_backward, activation_forward};
pub use dropout::dropout;
pub use elementwise::{add, add_assign, mul, scale, sub};
pub use fill::fill;
pub use gather_batch::gather_batch;
pub use matmul::{Matmul, matmul};
pub use norm::{clip_by_norm, segment_norms};
pub use optimizer_step::optimizer_step;
pub use random::{random_bits, random_uniform};
pub use rearrange::{copy, repeat_vector, reverse_time, shift_append, transpose01};
pub use recurrent::{
    RecurrentGrads, RecurrentInputs, RecurrentShape, RecurrentStates, RecurrentStrategy, RecurrentUpstream,
    StrategyKind, recurrent_backward, recurrent_forward, recurrent_strategy, saved_len,
};
pub use row_weights::row_weights;
pub use score::{score_backward, score_forward};
pub use softmax::{softmax_backward, softmax_forward};
pub use store_step::store_step;
pub use sum_rows::{accumulate, accumulate_mean, sum_all, sum_rows};
