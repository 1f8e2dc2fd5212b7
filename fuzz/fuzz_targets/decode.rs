//! Files of any format, found out by their contents.
#![no_main]

use rnn_interop::{ReadOptions, decode};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| drop(decode(bytes, None, &ReadOptions::default())));
