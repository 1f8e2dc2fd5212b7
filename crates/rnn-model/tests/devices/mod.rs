//! The devices a test runs on: the CPU always, and a GPU adapter where there is one.

use rnn_model::Device;

/// Runs `test` on each device. Without an adapter it says so loudly, and fails when `TIDEGATE_REQUIRE_GPU=1`.
pub fn on_each(test: impl Fn(&Device)) {
    test(&Device::cpu());
    if let Some(gpu) = gpu() {
        test(&gpu);
    }
}

/// An adapter of any kind, software too.
#[allow(clippy::print_stderr)]
pub fn gpu() -> Option<Device> {
    match Device::from_name("gpu") {
        Ok(device) => Some(device),
        Err(error) if std::env::var("TIDEGATE_REQUIRE_GPU").is_ok_and(|v| v == "1") => {
            panic!("TIDEGATE_REQUIRE_GPU=1, but there is no adapter: {error}")
        }
        Err(error) => {
            eprintln!("SKIPPED ON THE GPU: {error}");
            None
        }
    }
}
