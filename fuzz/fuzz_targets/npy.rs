//! `.npy` files.
#![no_main]

use rnn_interop::{Limits, read_npy};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| drop(read_npy(bytes, &Limits::default())));
