//! Running a loop with the widest instructions that the machine has.

use super::lanes::{Lanes, Scalar};
#[cfg(target_arch = "x86_64")]
use super::x86::{Avx2, Avx512};
use crate::Real;

/// Work that is written over any [`Lanes`] of numbers `T`. `run` must be `inline(always)`.
pub trait Kernel<T: Real>: Sized {
    /// What comes out.
    type Output;
    /// Does the work.
    fn run<S: Lanes<T = T>>(self, s: S) -> Self::Output;
}

/// An instruction set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Level {
    /// One number at a time in the source; what the compiler makes of it.
    Baseline,
    /// NEON.
    Neon,
    /// AVX2 and FMA.
    Avx2,
    /// AVX-512F.
    Avx512,
    /// AVX-512F, and AMX for large products.
    Amx,
}

/// The widest instruction set of this machine.
#[inline]
pub fn level() -> Level {
    #[cfg(target_arch = "x86_64")]
    {
        if Avx512::detect().is_some() {
            return if crate::amx::available() { Level::Amx } else { Level::Avx512 };
        }
        if Avx2::detect().is_some() {
            return Level::Avx2;
        }
    }
    if cfg!(target_arch = "aarch64") { Level::Neon } else { Level::Baseline }
}

/// Runs the work at the machine's level.
#[inline]
pub(crate) fn dispatch<T: Real, K: Kernel<T>>(kernel: K) -> K::Output {
    T::run_at(level(), kernel)
}

/// Runs `f32` work at a level that the machine has; a level that it lacks falls back to the next lower one.
#[inline]
pub(crate) fn run_f32<K: Kernel<f32>>(level: Level, kernel: K) -> K::Output {
    #[cfg(target_arch = "x86_64")]
    {
        if level >= Level::Avx512
            && let Some(s) = Avx512::detect()
        {
            // SAFETY: the token says that the machine has AVX-512F.
            return unsafe { with_avx512(s, kernel) };
        }
        if level >= Level::Avx2
            && let Some(s) = Avx2::detect()
        {
            // SAFETY: the token says that the machine has AVX2 and FMA.
            return unsafe { with_avx2(s, kernel) };
        }
    }
    #[cfg(target_arch = "aarch64")]
    if level >= Level::Neon {
        return kernel.run(super::neon::Neon);
    }
    let _ = level;
    kernel.run(Scalar::<f32>::new())
}

/// Runs `f64` work, one number at a time in the source, vectorised by the compiler for the level.
#[inline]
pub(crate) fn run_f64<K: Kernel<f64>>(level: Level, kernel: K) -> K::Output {
    #[cfg(target_arch = "x86_64")]
    {
        if level >= Level::Avx512 && Avx512::detect().is_some() {
            // SAFETY: the line above found AVX-512F.
            return unsafe { with_avx512(Scalar::<f64>::new(), kernel) };
        }
        if level >= Level::Avx2 && Avx2::detect().is_some() {
            // SAFETY: the line above found AVX2 and FMA.
            return unsafe { with_avx2(Scalar::<f64>::new(), kernel) };
        }
    }
    let _ = level;
    kernel.run(Scalar::<f64>::new())
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn with_avx512<T: Real, S: Lanes<T = T>, K: Kernel<T>>(s: S, kernel: K) -> K::Output {
    kernel.run(s)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn with_avx2<T: Real, S: Lanes<T = T>, K: Kernel<T>>(s: S, kernel: K) -> K::Output {
    kernel.run(s)
}
