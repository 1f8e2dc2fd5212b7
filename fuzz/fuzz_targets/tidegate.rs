//! This engine's own model files.
#![no_main]

use rnn_model::{Device, Model};
use std::sync::LazyLock;

static DEVICE: LazyLock<Device> = LazyLock::new(|| Device::cpu_with_threads(1));

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| drop(Model::from_bytes(bytes, &DEVICE)));
