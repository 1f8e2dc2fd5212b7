//! Models and arrays of other systems: Keras, PyTorch, ONNX and NumPy, read and written without any of them.
//!
//! A file is hostile until proven otherwise: no code in it is run, nothing it names is opened, and what it declares is
//! held against [`Limits`] and against what its own architecture implies before memory is taken for it.

mod error;
#[allow(dead_code, unused_imports, reason = "the readers that use all of it are in the making")]
mod hdf5;
mod limits;
mod portable;
mod safetensors;
pub mod torch;

pub use error::{Error, Result};
pub use limits::Limits;
pub use portable::{PortableModel, PortableTraining};
