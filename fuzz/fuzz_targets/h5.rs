//! `.h5` files with a whole model.
#![no_main]

use rnn_interop::{Limits, keras};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| drop(keras::read_h5(bytes, &Limits::default())));
