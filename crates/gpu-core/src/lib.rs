//! The GPU driver: adapter choice, buffer pool, pipeline cache, recorded programs, read-back and timing on wgpu, and the
//! launchers of the WGSL kernels in `rnn-shaders`. It knows buffers and dispatches, nothing of layers.
//!
//! ```no_run
//! use gpu_core::{AdapterRequest, Context, kernels};
//! # fn main() -> gpu_core::Result<()> {
//! let ctx = Context::new(&AdapterRequest::default())?;
//! let y = ctx.alloc(1000)?;
//! let mut rec = ctx.recorder();
//! kernels::fill(&mut rec, 2.5, &y.all())?;
//! let program = rec.finish()?;
//! ctx.run(&program, &[Default::default()])?;
//! assert_eq!(ctx.read_f32(&y.all())?[999], 2.5);
//! # Ok(()) }
//! ```
mod adapter;
mod ahead;
mod buffer;
mod context;
mod error;
pub mod kernels;
mod pipeline;
mod pool;
mod program;
mod readback;
mod recorder;
mod submit;
pub mod testing;
mod timing;

pub use adapter::{AdapterChoice, AdapterReport, AdapterRequest, Kind, adapters};
pub use buffer::{Buffer, Slice};
pub use context::{Context, Faces};
pub use error::{Error, Result};
pub use pool::PoolStats;
pub use program::Program;
pub use readback::Readback;
pub use recorder::{Call, Groups, Recorder};
pub use rnn_shaders::vocabulary;
