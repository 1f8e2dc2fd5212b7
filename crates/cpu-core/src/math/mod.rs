//! Elementary functions on vectors, and the choice of the instruction set at run time.
//!
//! A formula is written once over `Lanes` and runs on AVX-512, AVX2 with FMA, NEON, one plain number at a time
//! (which the compiler may vectorise), and in `f64` for the oracle. [`level`] says which the machine has.

mod dispatch;
mod elementary;
mod four;
mod lanes;
#[cfg(target_arch = "aarch64")]
mod neon;
#[cfg(target_arch = "x86_64")]
mod x86;

pub(crate) use dispatch::{Kernel, dispatch, run_f32, run_f64};
pub use dispatch::{Level, level};
pub(crate) use lanes::{Lanes, Scalar, WIDEST, map, map_in_place, zip_map};

/// Declares `$name`, which applies `$method` of [`Lanes`] to a slice in place, and its kernel.
macro_rules! in_place {
    ($(#[$doc:meta])* $name:ident, $kernel:ident, $method:ident) => {
        $(#[$doc])*
        pub fn $name(x: &mut [f32]) {
            dispatch($kernel(x));
        }

        struct $kernel<'a>(&'a mut [f32]);

        impl Kernel<f32> for $kernel<'_> {
            type Output = ();
            #[inline(always)]
            fn run<S: Lanes<T = f32>>(self, s: S) {
                lanes::map_in_place(s, self.0, #[inline(always)] |x| s.$method(x));
            }
        }
    };
}

in_place! {
    /// `x = tanh(x)`. Relative error below 2e-7 for every `x`; NaN stays NaN.
    tanh_f32, Tanh, tanh
}
in_place! {
    /// `x = 1 / (1 + e^-x)`. Relative error below 2e-7 wherever the result is a normal number; NaN stays NaN.
    sigmoid_f32, Sigmoid, sigmoid
}
in_place! {
    /// `x = e^x`. Relative error below 1e-7 wherever the result is a normal number; overflow gives infinity.
    exp_f32, Exp, exp
}

#[cfg(test)]
mod tests;
