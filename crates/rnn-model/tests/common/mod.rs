//! What the integration tests share: devices to run on, golden files, and comparing with a reason to fail.
#![allow(dead_code, reason = "each test binary uses a part of it")]

pub mod cell_models;
pub mod golden;
pub mod own_cells;

use ndarray::ArrayD;
use rnn_model::Device;
use std::sync::OnceLock;

/// The GPU device, one per test binary so that pipelines are compiled once. `None` where there is no adapter, said
/// loudly; a panic where `TIDEGATE_REQUIRE_GPU=1` demands one.
#[allow(clippy::print_stderr, reason = "a skipped test must be seen")]
pub fn gpu() -> Option<Device> {
    static SHARED: OnceLock<Option<Device>> = OnceLock::new();
    SHARED
        .get_or_init(|| match Device::from_name("gpu") {
            Ok(device) => Some(device),
            Err(error) => {
                let required = std::env::var("TIDEGATE_REQUIRE_GPU").is_ok_and(|v| v == "1");
                assert!(!required, "TIDEGATE_REQUIRE_GPU=1, but {error}");
                eprintln!("\n*** SKIPPED, NO GPU ADAPTER: {error} ***\n");
                None
            }
        })
        .clone()
}

/// How far results may be from a golden. Each is relative to the largest magnitude of the compared tensor, because an
/// element that is small by cancellation carries the rounding errors of the large terms it is left over from.
#[derive(Clone, Copy, Debug)]
pub struct Tolerance {
    /// outputs and states; their scale is at least 1
    pub forward: f64,
    /// gradients
    pub gradient: f64,
    /// losses and weights over 20 training steps
    pub training: f64,
}

impl Tolerance {
    /// f32 devices. One rounding is 6e-8; a state is a chain of at most 7 steps, each of some ten roundings beside a
    /// sum of at most 49 products: below 1e-5 with room. A gradient is a product of such chains, and a difference of
    /// terms that may be ten times as large: 1e-4. Training feeds errors of the gradient back into the weights 20
    /// times, and Adam divides by their root mean square: 1e-4 of the loss.
    pub const F32: Tolerance = Tolerance { forward: 1e-5, gradient: 1e-4, training: 1e-4 };
    /// The reference device computes in f64. What remains: stored and returned numbers are rounded to f32 (6e-8 each),
    /// Keras's own backends agree to 1e-6 only, and learning rates and betas reach the kernels as f32 (1 - 0.999 is off
    /// by 1.3e-5).
    pub const F64: Tolerance = Tolerance { forward: 1e-6, gradient: 1e-6, training: 3e-5 };
}

/// Collects what is off, so that one run shows all of it.
pub struct Report {
    failures: Vec<String>,
    compared: usize,
}

impl Report {
    pub fn new() -> Self {
        Report { failures: Vec::new(), compared: 0 }
    }

    /// `got` against `want`: same shape, and nowhere further apart than `tolerance` times the largest magnitude of
    /// `want` or `floor`, whichever is larger. NaN is always a failure.
    pub fn close(&mut self, what: &str, got: &ArrayD<f32>, want: &ArrayD<f32>, tolerance: f64, floor: f64) {
        self.compared += 1;
        if got.shape() != want.shape() {
            self.fail(format!("{what}: shape {:?}, expected {:?}", got.shape(), want.shape()));
            return;
        }
        let largest = want.iter().fold(floor, |m, &w| m.max(f64::from(w).abs()));
        let allowed = tolerance * largest;
        let apart = |(g, w): (&f32, &f32)| (f64::from(*g) - f64::from(*w)).abs();
        let wrong = |&pair: &(&f32, &f32)| apart(pair).is_nan() || apart(pair) > allowed;
        let count = got.iter().zip(want).filter(wrong).count();
        if let Some((g, w)) = got.iter().zip(want).find(wrong) {
            let worst = got.iter().zip(want).map(apart).fold(0.0, f64::max);
            self.fail(format!(
                "{what}: {count} of {} are off by more than {allowed:.1e}, by {worst:.1e} at most; the first is {g}, expected {w}",
                got.len()
            ));
        }
    }

    /// A failure in words.
    pub fn fail(&mut self, text: String) {
        self.failures.push(text);
    }

    /// Panics with all failures, and when fewer than `at_least` tensors were compared.
    pub fn finish(self, at_least: usize) {
        let count = self.failures.len();
        assert!(count == 0, "{count} of {} comparisons failed:\n{}", self.compared, self.failures.join("\n"));
        assert!(self.compared >= at_least, "only {} tensors were compared", self.compared);
    }
}
