//! What the tests of this crate and of those above it share.
use crate::{AdapterChoice, Context};
use std::sync::OnceLock;

/// One context per test binary: pipelines are compiled once. `None` where there is no adapter, said loudly; a panic where
/// `TIDEGATE_REQUIRE_GPU=1` demands one.
///
/// The adapter is that of `WGPU_ADAPTER_NAME` and `WGPU_BACKEND`, else the best hardware, else software.
#[allow(clippy::print_stderr, reason = "a skipped test must be seen")]
pub fn context() -> Option<Context> {
    static SHARED: OnceLock<Option<Context>> = OnceLock::new();
    SHARED
        .get_or_init(|| match Context::new(&AdapterChoice::Any.into()) {
            Ok(context) => Some(context),
            Err(error) => {
                let required = std::env::var("TIDEGATE_REQUIRE_GPU").is_ok_and(|v| v == "1");
                assert!(!required, "TIDEGATE_REQUIRE_GPU=1, but {error}");
                eprintln!("\n*** SKIPPED, NO GPU ADAPTER: {error} ***\n");
                None
            }
        })
        .clone()
}

/// Largest difference; NaN in either is infinite, and so are different lengths.
pub fn max_abs_diff(got: &[f32], want: &[f32]) -> f64 {
    if got.len() != want.len() {
        return f64::INFINITY;
    }
    got.iter().zip(want).fold(0.0, |worst: f64, (&g, &w)| {
        let d = (f64::from(g) - f64::from(w)).abs();
        if d.is_nan() { f64::INFINITY } else { worst.max(d) }
    })
}
