//! The devices that a test runs on.

use rnn_model::Device;

/// The CPU always, and a GPU adapter of any kind where there is one.
#[allow(clippy::print_stderr, reason = "a skipped test must be seen")]
pub fn devices() -> Vec<Device> {
    let mut devices = vec![Device::cpu()];
    match Device::from_name("gpu") {
        Ok(gpu) => devices.push(gpu),
        Err(error) => {
            let required = std::env::var("TIDEGATE_REQUIRE_GPU").is_ok_and(|v| v == "1");
            assert!(!required, "TIDEGATE_REQUIRE_GPU=1, but {error}");
            eprintln!("\n*** SKIPPED, NO GPU ADAPTER: {error} ***\n");
        }
    }
    devices
}
