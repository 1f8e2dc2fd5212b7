//! The public face of the vectorised functions; their accuracy is held in `src/math/tests.rs`.

mod common;

use common::close;
use cpu_core::math::{exp_f32, sigmoid_f32, tanh_f32};

#[test]
fn slices_in_place() {
    type Case = (fn(&mut [f32]), fn(f64) -> f64, &'static str);
    let functions: [Case; 3] = [
        (exp_f32, f64::exp, "exp"),
        (tanh_f32, f64::tanh, "tanh"),
        (sigmoid_f32, |x| 1.0 / (1.0 + (-x).exp()), "sigmoid"),
    ];
    for (function, truth, name) in functions {
        for n in [0, 1, 15, 16, 17, 100] {
            let x: Vec<f32> = (0..n).map(|i| i as f32 * 0.3 - 10.0).collect();
            let mut y = x.clone();
            function(&mut y);
            for (x, y) in x.iter().zip(&y) {
                close(f64::from(*y), truth(f64::from(*x)), 2e-7, 0.0, name);
            }
        }
    }
}
