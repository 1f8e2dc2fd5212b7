//! State dicts of PyTorch in `.safetensors` files.
#![no_main]

use rnn_interop::Limits;
use rnn_interop::torch::{Steps, TorchOptions, read};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let options = TorchOptions { output: Some(Steps::Last), ..TorchOptions::default() };
    drop(read(bytes, &Limits::default(), &options));
});
