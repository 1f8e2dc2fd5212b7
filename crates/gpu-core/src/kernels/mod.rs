//! Launchers: each checks lengths against shapes and records the kernel of its name.
mod activation;
mod blend;
pub mod canary;
mod copy_block;
mod elementwise;
mod embedding;
mod factored_step;
mod fill;
mod gather_batch;
mod keep_largest;
mod mask_rows;
mod matmul;
mod metric_sums;
mod noise;
mod norm;
mod normalize;
mod operands;
mod optimizer_step;
mod penalty;
mod pool_time;
mod random;
mod rearrange;
mod recurrent;
mod row_activation;
mod row_weights;
mod score;
mod select_rows;
mod softmax;
mod step_blend;
mod step_flags;
mod store_step;
mod sum_rows;
mod trust_step;
mod weight_rules;

pub use activation::{activation_backward, activation_forward};
pub use blend::{blend, blend_backward};
pub use copy_block::copy_block;
pub use elementwise::{add, add_assign, div, maximum, maximum_backward, minimum, mul, scale, sub};
pub use embedding::{embedding, embedding_backward};
pub use factored_step::factored_step;
pub use fill::fill;
pub use gather_batch::gather_batch;
pub use keep_largest::keep_largest;
pub use mask_rows::mask_rows;
pub use matmul::{Matmul, matmul};
pub use metric_sums::{column_terms, threshold_counts};
pub use noise::{dropout, dropout_from, noise};
pub use norm::{clip_by_norm, segment_norms};
pub use normalize::{normalize_backward, normalize_forward, normalize_gamma};
pub use optimizer_step::optimizer_step;
pub use penalty::{penalty, penalty_backward};
pub use pool_time::{pool_time, pool_time_backward};
pub use random::{random_bits, random_uniform};
pub use rearrange::{copy, repeat_vector, reverse_time, shift_append, transpose01};
pub use recurrent::{
    OutputGradient, RecurrentGrads, RecurrentInputs, RecurrentShape, RecurrentStates, RecurrentStrategy,
    RecurrentUpstream, StrategyKind, recurrent_backward, recurrent_forward, recurrent_strategy, saved_len,
};
pub use row_activation::{row_activation_backward, row_activation_forward};
pub use row_weights::row_weights;
pub use score::{score_backward, score_forward};
pub use select_rows::select_rows;
pub use softmax::{softmax_backward, softmax_forward};
pub use step_blend::{gather_gradients, weight_average};
pub use step_flags::{
    combine_flags, flags_from_lengths, flags_from_segments, flags_from_values, reverse_flags, seen_flags,
};
pub use store_step::store_step;
pub use sum_rows::{accumulate, sum_all, sum_rows};
pub use trust_step::trust_step;
pub use weight_rules::{constrain, weight_penalty};
