//! Initial values of weights, by Keras's formulas, drawn on the host from counter-based random numbers: the same seed
//! gives the same weights on every device.

use rnn_shaders::vocabulary::StepParams;
use serde::{Deserialize, Serialize};

/// How a weight starts. `fan_in` and `fan_out` are the two sizes of a matrix.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Initializer {
    /// All 0.
    Zeros,
    /// All 1.
    Ones,
    /// All the same value.
    Constant(f32),
    /// Uniform in `+-sqrt(6 / (fan_in + fan_out))`.
    GlorotUniform,
    /// Normal, cut at two deviations, variance `2 / (fan_in + fan_out)`.
    GlorotNormal,
    /// Uniform in `+-sqrt(6 / fan_in)`.
    HeUniform,
    /// Normal, cut at two deviations, variance `2 / fan_in`.
    HeNormal,
    /// Uniform in `+-sqrt(3 / fan_in)`.
    LecunUniform,
    /// Normal, cut at two deviations, variance `1 / fan_in`.
    LecunNormal,
    /// Rows or columns, whichever are fewer, orthonormal: Q of the QR decomposition of a normal matrix, with R's
    /// diagonal made positive.
    Orthogonal,
    /// Uniform between two bounds.
    RandomUniform {
        /// lower bound
        min: f32,
        /// upper bound
        max: f32,
    },
    /// Normal.
    RandomNormal {
        /// its mean
        mean: f32,
        /// its standard deviation
        stddev: f32,
    },
    /// Ones on the diagonal.
    Identity,
}

impl Initializer {
    /// `rows * cols` values; a vector has one row. `stream` tells the variables of a model apart.
    pub(crate) fn values(self, rows: usize, cols: usize, seed: u64, stream: u32) -> Vec<f32> {
        let n = rows * cols;
        let (fan_in, fan_out) = (rows as f64, cols as f64);
        let mut random = Random { seed, stream, block: 0 };
        // Keras divides by the deviation of a normal cut at two, so that the variance is as stated.
        let cut = |random: &mut Random, variance: f64| {
            let stddev = variance.sqrt() / 0.879_625_661_034_239_8;
            random.truncated(n).into_iter().map(|z| (z * stddev) as f32).collect()
        };
        match self {
            Initializer::Zeros => vec![0.0; n],
            Initializer::Ones => vec![1.0; n],
            Initializer::Constant(value) => vec![value; n],
            Initializer::GlorotUniform => random.symmetric(n, (6.0 / (fan_in + fan_out)).sqrt()),
            Initializer::HeUniform => random.symmetric(n, (6.0 / fan_in).sqrt()),
            Initializer::LecunUniform => random.symmetric(n, (3.0 / fan_in).sqrt()),
            Initializer::GlorotNormal => cut(&mut random, 2.0 / (fan_in + fan_out)),
            Initializer::HeNormal => cut(&mut random, 2.0 / fan_in),
            Initializer::LecunNormal => cut(&mut random, 1.0 / fan_in),
            Initializer::Orthogonal => orthogonal(rows, cols, &mut random),
            Initializer::RandomUniform { min, max } => {
                let (min, range) = (f64::from(min), f64::from(max) - f64::from(min));
                random.uniform(n).into_iter().map(|u| (min + range * u) as f32).collect()
            }
            Initializer::RandomNormal { mean, stddev } => {
                let (mean, stddev) = (f64::from(mean), f64::from(stddev));
                random.normal(n).into_iter().map(|z| (mean + stddev * z) as f32).collect()
            }
            Initializer::Identity => (0..n).map(|i| if i / cols == i % cols { 1.0 } else { 0.0 }).collect(),
        }
    }
}

/// Random numbers for the host: blocks of one Philox stream.
struct Random {
    seed: u64,
    stream: u32,
    block: u32,
}

impl Random {
    fn uniform(&mut self, n: usize) -> Vec<f64> {
        let mut out = vec![0.0f64; n];
        let params = StepParams { rng_step: self.block, ..StepParams::default() };
        cpu_core::random_uniform(self.seed, self.stream, &params, &mut out).expect("any length fits");
        self.block += 1;
        out
    }

    fn symmetric(&mut self, n: usize, limit: f64) -> Vec<f32> {
        self.uniform(n).into_iter().map(|u| ((2.0 * u - 1.0) * limit) as f32).collect()
    }

    /// Standard normal by Box and Muller.
    fn normal(&mut self, n: usize) -> Vec<f64> {
        let u = self.uniform(2 * n);
        let pair = |p: &[f64]| (-2.0 * (1.0 - p[0]).ln()).sqrt() * (std::f64::consts::TAU * p[1]).cos();
        u.chunks_exact(2).map(pair).collect()
    }

    /// Standard normal, values past two deviations drawn again.
    fn truncated(&mut self, n: usize) -> Vec<f64> {
        let mut out = Vec::with_capacity(n);
        while out.len() < n {
            let more = self.normal(n - out.len());
            out.extend(more.into_iter().filter(|z| z.abs() <= 2.0));
        }
        out
    }
}

/// Gram and Schmidt's process, done twice for full precision, on the longer side's vectors.
fn orthogonal(rows: usize, cols: usize, random: &mut Random) -> Vec<f32> {
    let (long, short) = (rows.max(cols), rows.min(cols));
    let values = random.normal(long * short);
    let mut basis: Vec<Vec<f64>> = Vec::with_capacity(short);
    for j in 0..short {
        let mut v: Vec<f64> = (0..long).map(|i| values[i * short + j]).collect();
        for _ in 0..2 {
            for q in &basis {
                let dot: f64 = v.iter().zip(q).map(|(a, b)| a * b).sum();
                v.iter_mut().zip(q).for_each(|(a, b)| *a -= dot * b);
            }
        }
        let norm = v.iter().map(|a| a * a).sum::<f64>().sqrt();
        v.iter_mut().for_each(|a| *a /= norm);
        basis.push(v);
    }
    let at = |r: usize, c: usize| if rows >= cols { basis[c][r] } else { basis[r][c] };
    (0..rows * cols).map(|i| at(i / cols, i % cols) as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orthogonal_rows_are_orthonormal() {
        for (rows, cols) in [(4, 16), (16, 4), (5, 5), (1, 1)] {
            let w = Initializer::Orthogonal.values(rows, cols, 3, 1);
            let short = rows.min(cols);
            for a in 0..short {
                for b in 0..short {
                    let at =
                        |v: usize, i: usize| if rows <= cols { w[v * cols + i] } else { w[i * cols + v] };
                    let dot: f32 = (0..rows.max(cols)).map(|i| at(a, i) * at(b, i)).sum();
                    let want = if a == b { 1.0 } else { 0.0 };
                    // 16 products of numbers below 1, each rounded to f32
                    assert!((dot - want).abs() < 16.0 * f32::EPSILON, "{rows}x{cols}: {dot}");
                }
            }
        }
    }

    #[test]
    fn glorot_uniform_fills_its_range() {
        let w = Initializer::GlorotUniform.values(100, 200, 1, 2);
        let limit = (6.0f32 / 300.0).sqrt();
        let (lo, hi) = w.iter().fold((0.0f32, 0.0f32), |(l, h), &x| (l.min(x), h.max(x)));
        assert!(lo >= -limit && hi <= limit && lo < -0.99 * limit && hi > 0.99 * limit);
        let mean = w.iter().sum::<f32>() / w.len() as f32;
        // standard deviation of the mean is limit / sqrt(3 * 20000); five of them
        assert!(mean.abs() < 5.0 * limit / (3.0f32 * 20_000.0).sqrt());
    }

    #[test]
    fn normal_initializers_have_the_stated_variance() {
        let w = Initializer::HeNormal.values(50, 400, 9, 0);
        let variance = w.iter().map(|x| x * x).sum::<f32>() / w.len() as f32;
        // relative deviation of a sample variance is about sqrt(2 / 20000) = 1 %; five of them
        assert!((variance / (2.0 / 50.0) - 1.0).abs() < 0.05, "{variance}");
    }

    #[test]
    fn streams_and_seeds_differ_and_repeat() {
        let a = Initializer::GlorotUniform.values(3, 5, 1, 0);
        assert_eq!(a, Initializer::GlorotUniform.values(3, 5, 1, 0));
        assert_ne!(a, Initializer::GlorotUniform.values(3, 5, 1, 1));
        assert_ne!(a, Initializer::GlorotUniform.values(3, 5, 2, 0));
    }
}
