//! `.onnx` files.
#![no_main]

use rnn_interop::{Limits, onnx};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| drop(onnx::read(bytes, &Limits::default())));
