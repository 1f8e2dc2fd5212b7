//! `.npz` files.
#![no_main]

use rnn_interop::{Limits, read_npz};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| drop(read_npz(bytes, &Limits::default())));
