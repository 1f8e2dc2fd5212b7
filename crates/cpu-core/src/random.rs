//! Philox4x32-10, the counter-based generator of Salmon et al., "Parallel random numbers: as easy as 1, 2, 3" (SC 2011),
//! as in Random123.
//!
//! Element `i` of a stream is lane `i % 4` of the block with counter `(i / 4, stream, rng_step, part)` and key
//! `(seed low, seed high)` ([`Draw`]; a stream without parts has part 0). Nothing is drawn in order, so a number depends only on where it stands.

use crate::math::{Kernel, Lanes, dispatch};
use crate::{Draw, Error, Real, Result, StepParams};

const MULTIPLIERS: [u32; 2] = [0xD251_1F53, 0xCD9E_8D57];
const WEYL: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];
const ROUNDS: usize = 10;

/// One block of four words. Arrays are filled by many blocks at a time.
pub fn philox(counter: [u32; 4], key: [u32; 2]) -> [u32; 4] {
    let [c0, c1, c2, c3] = blocks([[counter[0]], [counter[1]], [counter[2]], [counter[3]]], key);
    [c0[0], c1[0], c2[0], c3[0]]
}

/// `N` blocks at a time, word by word.
#[inline(always)]
fn blocks<const N: usize>(mut c: [[u32; N]; 4], mut key: [u32; 2]) -> [[u32; N]; 4] {
    for _ in 0..ROUNDS {
        for j in 0..N {
            let p = u64::from(MULTIPLIERS[0]) * u64::from(c[0][j]);
            let q = u64::from(MULTIPLIERS[1]) * u64::from(c[2][j]);
            c[0][j] = (q >> 32) as u32 ^ c[1][j] ^ key[0];
            c[2][j] = (p >> 32) as u32 ^ c[3][j] ^ key[1];
            c[1][j] = q as u32;
            c[3][j] = p as u32;
        }
        key = [key[0].wrapping_add(WEYL[0]), key[1].wrapping_add(WEYL[1])];
    }
    c
}

/// A uniform number in `[0, 1)`: 24 bits of a word.
#[inline(always)]
fn unit_interval(word: u32) -> f32 {
    (word >> 8) as f32 * (1.0 / 16_777_216.0)
}

/// Blocks of four that are computed together: one AVX-512 register per word of the state.
const TOGETHER: usize = 16;
/// Numbers in that many blocks.
pub(crate) const RUN: usize = 4 * TOGETHER;
/// A block's number is one word of the counter.
const MOST: usize = 1 << 34;

/// A stream of random numbers.
#[derive(Clone, Copy)]
pub(crate) struct Stream {
    key: [u32; 2],
    stream: u32,
    rng_step: u32,
    part: u32,
}

impl Stream {
    pub fn of(Draw { seed, stream, part }: Draw, step: &StepParams) -> Self {
        Stream { key: [seed as u32, (seed >> 32) as u32], stream, rng_step: step.rng_step, part }
    }

    /// Refuses arrays that the counter does not reach.
    pub fn check(op: &'static str, n: usize) -> Result<()> {
        if n > MOST { Err(Error::TooLarge { op }) } else { Ok(()) }
    }

    /// Elements `first ..  first + RUN` as uniform numbers; `first` is a multiple of 4.
    #[inline(always)]
    pub fn run(self, first: usize) -> [f32; RUN] {
        let mut counters =
            [[0; TOGETHER], [self.stream; TOGETHER], [self.rng_step; TOGETHER], [self.part; TOGETHER]];
        for (j, c) in counters[0].iter_mut().enumerate() {
            *c = ((first / 4) as u32).wrapping_add(j as u32);
        }
        let words = blocks(counters, self.key);
        let mut out = [0.0; RUN];
        for j in 0..TOGETHER {
            for lane in 0..4 {
                out[4 * j + lane] = unit_interval(words[lane][j]);
            }
        }
        out
    }

    /// The same as standard normal numbers: of each pair `(u, v)`, `sqrt(-2 ln(1 - u))` times `cos(2 pi v)` and
    /// `sin(2 pi v)` (Box and Muller). In `f32` step by step as `normals.wgsl`, so that both devices draw the same numbers;
    /// `f64` takes these as they are.
    #[inline(always)]
    pub fn normals(self, first: usize) -> [f32; RUN] {
        let uniform = self.run(first);
        let (mut radius, mut cosine, mut sine) = ([0.0; RUN / 2], [0.0; RUN / 2], [0.0; RUN / 2]);
        for i in 0..RUN / 2 {
            radius[i] = (2.0 * minus_log(1.0 - uniform[2 * i])).sqrt();
            (cosine[i], sine[i]) = on_circle(uniform[2 * i + 1]);
        }
        let mut out = [0.0; RUN];
        for i in 0..RUN / 2 {
            out[2 * i] = radius[i] * cosine[i];
            out[2 * i + 1] = radius[i] * sine[i];
        }
        out
    }
}

/// `-ln(w)` for `w` in `[2^-24, 1]`: Cephes's `logf`.
#[inline(always)]
fn minus_log(w: f32) -> f32 {
    // w = m 2^e with m in [sqrt(1/2), sqrt(2))
    let bits = w.to_bits() as i32;
    let e = (bits - 0x3f35_04f3) >> 23;
    let f = f32::from_bits((bits - (e << 23)) as u32) - 1.0;
    let exponent = e as f32;
    let z = f * f;
    let mut p = f * 7.037_683_6e-2 - 1.151_461e-1;
    for c in [
        0.116_769_984,
        -1.242_014_1e-1,
        1.424_932_3e-1,
        -1.666_805_8e-1,
        0.200_007_14,
        -2.499_999_4e-1,
        3.333_333e-1,
    ] {
        p = p * f + c;
    }
    let small = p * f * z - 2.121_944_4e-4 * exponent - 0.5 * z;
    -(f + small + 0.693_359_4 * exponent)
}

/// Cosine and sine of `v` whole turns, `v` in `[0, 1)`: Cephes's `sinf` and `cosf` about the nearest quarter turn.
#[inline(always)]
fn on_circle(v: f32) -> (f32, f32) {
    let turns = 4.0 * v;
    // To the nearest: the sum is positive.
    let q = (turns + 0.5) as i32;
    let a = (turns - q as f32) * std::f32::consts::FRAC_PI_2;
    let z = a * a;
    let s = a + a * z * ((-1.951_529_6e-4 * z + 8.332_161e-3) * z - 1.666_665_5e-1);
    let c = 1.0 - 0.5 * z + z * z * ((2.443_315_7e-5 * z - 1.388_731_6e-3) * z + 4.166_664_6e-2);
    let (cosine, sine) = if q & 1 == 1 { (s, c) } else { (c, s) };
    let q = q & 3;
    (if q == 1 || q == 2 { -cosine } else { cosine }, if q >= 2 { -sine } else { sine })
}

/// `out[i]` = element `i` of the stream, uniform in `[0, 1)`.
///
/// # Errors
/// [`Error::TooLarge`] past `2^34` elements.
pub fn random_uniform<T: Real>(seed: u64, stream: u32, step: &StepParams, out: &mut [T]) -> Result<()> {
    Stream::check("random_uniform", out.len())?;
    dispatch(Uniform { stream: Stream::of(Draw { seed, stream, part: 0 }, step), out });
    Ok(())
}

struct Uniform<'a, T> {
    stream: Stream,
    out: &'a mut [T],
}

impl<T: Real> Kernel<T> for Uniform<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Lanes<T = T>>(self, _: S) {
        for (i, out) in self.out.chunks_mut(RUN).enumerate() {
            for (out, u) in out.iter_mut().zip(self.stream.run(i * RUN)) {
                *out = T::from_f32(u);
            }
        }
    }
}
