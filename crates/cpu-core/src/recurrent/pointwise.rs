//! Activations of the sums of a group of rows.

use crate::Activation;
use crate::activation::activate_in_place;
use crate::math::{Kernel, Lanes, Level, run_f32};

/// `x = kind(x)`, where the length of `x` is a multiple of the vector's.
pub(super) fn activate(level: Level, kind: Activation, x: &mut [f32]) {
    match kind {
        Activation::Tanh => run_f32(level, Common::<true> { x }),
        Activation::Sigmoid => run_f32(level, Common::<false> { x }),
        other => activate_in_place(other, x),
    }
}

/// Tanh or sigmoid, four vectors at a time.
struct Common<'a, const TANH: bool> {
    x: &'a mut [f32],
}

impl<const TANH: bool> Kernel<f32> for Common<'_, TANH> {
    type Output = ();
    #[inline(always)]
    fn run<S: Lanes<T = f32>>(self, s: S) {
        let zero = s.splat(0.0);
        for x in self.x.chunks_mut(4 * S::N) {
            // The last chunk may have fewer than four vectors.
            let vectors = x.len() / S::N;
            let mut v = [zero; 4];
            if vectors == 4 {
                for i in 0..4 {
                    v[i] = s.load(&x[i * S::N..]);
                }
            } else {
                for i in 0..vectors {
                    v[i] = s.load(&x[i * S::N..]);
                }
            }
            let y = if TANH { s.tanh_of_four(v) } else { s.sigmoid_of_four(v) };
            if vectors == 4 {
                for i in 0..4 {
                    s.store(&mut x[i * S::N..], y[i]);
                }
            } else {
                for i in 0..vectors {
                    s.store(&mut x[i * S::N..], y[i]);
                }
            }
        }
    }
}
