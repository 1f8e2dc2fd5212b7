//! Tidegate trains and runs recurrent networks (LSTM, GRU, SimpleRNN) in Keras's dialect: with WGSL compute shaders on
//! any GPU that wgpu reaches, and on the CPU. States stay on the device per sample, and can be reset, read, saved and
//! resumed.
//!
//! Everything is re-exported from `rnn-model`; [`Sequential`] is where to start.

pub use rnn_model::*;

/// Files of other systems; feature `interop`, which is on by default with the command line.
#[cfg(feature = "interop")]
pub use rnn_interop as interop;

/// The code in the guides is compiled and run with the doc tests.
#[cfg(doctest)]
mod guides {
    #[doc = include_str!("../README.md")]
    struct Readme;
    #[doc = include_str!("../docs/TUTORIAL.md")]
    struct Tutorial;
}
