//! Helpers that several test files share.
#![allow(dead_code)]

/// The derivative of `f` at `x` by the five-point rule. With step 1e-3 its error is `h^4 f''''' / 30`, about 3e-14 `f'''''`,
/// and the rounding of `f` over the step, about 1e-13 `f`.
pub fn derivative(f: impl Fn(f64) -> f64, x: f64) -> f64 {
    let h = 1e-3;
    (f(x - 2.0 * h) - 8.0 * f(x - h) + 8.0 * f(x + h) - f(x + 2.0 * h)) / (12.0 * h)
}

/// Fails where `got` is not within `rtol` of `want`, or `atol` where `want` is nearly 0; NaN fails.
#[track_caller]
pub fn close(got: f64, want: f64, rtol: f64, atol: f64, what: &str) {
    let bound = rtol * want.abs() + atol;
    assert!((got - want).abs() <= bound, "{what}: got {got:e}, want {want:e}, allowed {bound:e}");
}

/// Numbers in `[-scale, scale]` that depend on `seed` alone.
pub fn numbers(seed: u64, n: usize, scale: f64) -> Vec<f64> {
    let mut unit = vec![0.0f64; n];
    cpu_core::random_uniform(seed, 0, &cpu_core::StepParams::default(), &mut unit).unwrap();
    unit.into_iter().map(|u| (2.0 * u - 1.0) * scale).collect()
}

/// To `f32`.
pub fn singles(x: &[f64]) -> Vec<f32> {
    x.iter().map(|&x| x as f32).collect()
}

/// Runs `f` on one thread and on all cores, and returns both results.
pub fn with_threads<R>(f: impl Fn() -> R) -> [R; 2] {
    [1, usize::MAX].map(|threads| cpu_core::with_threads(threads, &f))
}
