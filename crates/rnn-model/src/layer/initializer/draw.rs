//! The numbers that a recipe gives, drawn from counter-based random numbers.

use super::orthogonal::orthogonal;
use super::{Distribution, Fan, Initializer, Recipe};
use rnn_shaders::vocabulary::StepParams;

impl Initializer {
    /// The values of a weight of this shape, or of its `part`-th part. `stream` tells the variables of a model apart.
    pub(crate) fn values(self, shape: &[usize], part: usize, seed: u64, stream: u32) -> Vec<f32> {
        let (seed, stream) = match self {
            Initializer::With { seed: Some(own), .. } => (own, 0),
            _ => (seed, stream),
        };
        // Parts of one weight draw from blocks of the stream that are far apart.
        let mut random = Random { seed, stream, block: (part as u32) << 16 };
        let n: usize = shape.iter().product();
        let cols = shape.last().copied().unwrap_or(1);
        let moved = |z: Vec<f64>, mean: f32, stddev: f64| -> Vec<f32> {
            z.into_iter().map(|z| (f64::from(mean) + stddev * z) as f32).collect()
        };
        match self.recipe() {
            Recipe::Constant { value } => vec![value; n],
            Recipe::VarianceScaling { scale, mode, distribution } => {
                let (fan_in, fan_out) = fans(shape);
                let fan = match mode {
                    Fan::In => fan_in,
                    Fan::Out => fan_out,
                    Fan::Average => (fan_in + fan_out) / 2.0,
                };
                let variance = f64::from(scale) / fan.max(1.0);
                match distribution {
                    Distribution::Uniform => {
                        let limit = (3.0 * variance).sqrt();
                        random.uniform(n).into_iter().map(|u| ((2.0 * u - 1.0) * limit) as f32).collect()
                    }
                    Distribution::TruncatedNormal => {
                        moved(random.truncated(n), 0.0, variance.sqrt() / DEVIATION_OF_CUT_NORMAL)
                    }
                    Distribution::UntruncatedNormal => moved(random.normal(n), 0.0, variance.sqrt()),
                }
            }
            Recipe::Uniform { min, max } => {
                let (min, range) = (f64::from(min), f64::from(max) - f64::from(min));
                random.uniform(n).into_iter().map(|u| (min + range * u) as f32).collect()
            }
            Recipe::Normal { mean, stddev } => moved(random.normal(n), mean, f64::from(stddev)),
            Recipe::TruncatedNormal { mean, stddev } => moved(random.truncated(n), mean, f64::from(stddev)),
            Recipe::Orthogonal { gain } => {
                let rows = n / cols.max(1);
                orthogonal(rows, cols, f64::from(gain), random.normal(n))
            }
            Recipe::Identity { gain } => {
                (0..n).map(|i| if i / cols == i % cols { gain } else { 0.0 }).collect()
            }
        }
    }
}

/// Standard deviation of a standard normal cut at +-2.
pub(super) const DEVIATION_OF_CUT_NORMAL: f64 = 0.879_625_661_034_239_8;

/// Inputs of a unit and units that an input reaches.
fn fans(shape: &[usize]) -> (f64, f64) {
    match *shape {
        [] => (1.0, 1.0),
        [n] => (n as f64, n as f64),
        [ref field @ .., rows, cols] => {
            let field = field.iter().product::<usize>() as f64;
            (field * rows as f64, field * cols as f64)
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
