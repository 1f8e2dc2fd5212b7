//! Models and arrays of other systems: Keras, PyTorch, ONNX and NumPy, read and written without any of them.
//!
//! A file is hostile until proven otherwise: no code in it is run, nothing it names is opened, and what it declares is
//! held against [`Limits`] and against what its own architecture implies before memory is taken for it.

mod archive;
mod error;
mod format;
mod hdf5;
mod json;
pub mod keras;
mod limits;
pub mod named;
mod numpy;
pub mod onnx;
mod portable;
mod safetensors;
#[cfg(feature = "parquet")]
pub mod tables;
pub mod torch;

pub use error::{Error, Result};
pub use format::{
    Format, ModelFile, ReadOptions, WriteOptions, decode, detect, encode, read_file, read_model, write_model,
};
pub use limits::Limits;
pub use numpy::{Arrays, read_npy, read_npz, write_npy, write_npz};
pub use portable::{PortableModel, PortableTraining};
