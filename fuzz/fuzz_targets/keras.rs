//! `.keras` files.
#![no_main]

use rnn_interop::{Limits, keras};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| drop(keras::read_keras(bytes, &Limits::default())));
