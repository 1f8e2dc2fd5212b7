//! The CPU device: every kernel of `rnn-shaders` as a Rust function on slices, generic over `f32` and `f64`.
//!
//! In `f32` this is a product device (SIMD chosen at run time, threads where the work pays for them); in `f64` it is the
//! oracle that the GPU's results and all gradients are held against. Functions have the names and the argument order
//! of the GPU's launchers; an operation that reads [`StepParams`] takes it before its slices.
//!
//! Arrays are row-major and contiguous. Every function checks the lengths of its slices against the shape it was given
//! and returns [`Error`] with the operation, the expected and the actual length; nothing panics on bad lengths.
//!
//! Results depend neither on the number of threads nor on how work was divided between them.

pub mod activation;
mod aligned;
#[cfg(target_arch = "x86_64")]
mod amx;
mod blend;
mod clip_by_norm;
mod copy_block;
mod elementwise;
mod embedding;
pub mod error;
mod factored_step;
mod fill;
mod gather_batch;
mod keep_largest;
mod mask_rows;
pub mod math;
pub mod matmul;
mod metric_sums;
mod noise;
mod normalize;
mod optimizer_step;
mod parallel;
mod penalty;
mod pool_time;
pub mod random;
pub mod real;
mod rearrange;
pub mod recurrent;
mod row_activation;
mod row_weights;
mod score;
mod score_backward;
mod score_forward;
mod segment_sum;
mod select_rows;
mod softmax;
mod step_blend;
mod step_flags;
mod store_step;
mod sum_rows;
mod team;
mod trust_step;
mod view;
mod weight_rules;

pub use activation::{activation_backward, activation_forward};
pub use aligned::AlignedVec;
pub use blend::{blend, blend_backward};
pub use clip_by_norm::clip_by_norm;
pub use copy_block::copy_block;
pub use elementwise::{add, add_assign, div, maximum, maximum_backward, minimum, mul, scale, sub};
pub use embedding::{embedding, embedding_backward};
pub use error::{Error, Result};
pub use factored_step::factored_step;
pub use fill::fill;
pub use gather_batch::gather_batch;
pub use keep_largest::keep_largest;
pub use mask_rows::mask_rows;
pub use metric_sums::{column_terms, threshold_counts};
pub use noise::{dropout, dropout_from, noise};
pub use normalize::{normalize_backward, normalize_forward, normalize_gamma};
pub use optimizer_step::optimizer_step;
pub use parallel::with_threads;
pub use penalty::{penalty, penalty_backward};
pub use pool_time::{pool_time, pool_time_backward};
pub use random::random_uniform;
pub use real::Real;
pub use rearrange::{copy, repeat_vector, reverse_time, shift_append, to_vec, transpose01};
pub use rnn_shaders::vocabulary::{
    Activation, Bound, Cell, CellActivations, CellExtras, ColumnTerms, Draw, EMA_OVERWRITE, EMA_START,
    Factored, Formula, HOLD, Limit, Matrix, Noise, Normalization, OptimizerSpec, Parametric, Penalty, Pool,
    RESET, RowActivation, Score, StepParams, Trust, UpdateRule, VALID,
};
pub use row_activation::{row_activation_backward, row_activation_forward};
pub use row_weights::row_weights;
pub use score_backward::score_backward;
pub use score_forward::score_forward;
pub use segment_sum::{segment_norms, sum_all};
pub use select_rows::select_rows;
pub use softmax::{softmax_backward, softmax_forward};
pub use step_blend::{gather_gradients, weight_average};
pub use step_flags::{
    combine_flags, flags_from_lengths, flags_from_segments, flags_from_values, reverse_flags, seen_flags,
};
pub use store_step::store_step;
pub use sum_rows::{accumulate, sum_rows};
pub use trust_step::trust_step;
pub use weight_rules::{constrain, weight_penalty};
