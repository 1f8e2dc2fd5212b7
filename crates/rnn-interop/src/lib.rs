//! Models and arrays of other systems: Keras, PyTorch, ONNX and NumPy, read and written without any of them.
//!
//! A file is hostile until proven otherwise: no code in it is run, nothing it names is opened, and what it declares is
//! held against [`Limits`] and against what its own architecture implies before memory is taken for it.

#[allow(dead_code, reason = "the readers that use all of it are in the making")]
mod archive;
mod error;
#[allow(dead_code, unused_imports, reason = "the readers that use all of it are in the making")]
mod hdf5;
#[allow(dead_code, reason = "the readers that use all of it are in the making")]
mod json;
mod limits;
mod numpy;
mod portable;
mod safetensors;
pub mod torch;

pub use error::{Error, Result};
pub use limits::Limits;
pub use numpy::{Arrays, read_npy, read_npz, write_npy, write_npz};
pub use portable::{PortableModel, PortableTraining};
