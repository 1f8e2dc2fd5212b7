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
pub mod error;
pub mod math;
pub mod matmul;
mod optimizer_step;
mod parallel;
pub mod real;
pub mod recurrent;

pub use activation::{activation_backward, activation_forward};
pub use error::{Error, Result};
pub use optimizer_step::optimizer_step;
pub use real::Real;
pub use rnn_shaders::vocabulary::{
    Activation, Cell, OptimizerSpec, RESET, Score, StepParams, UpdateRule, VALID,
};
