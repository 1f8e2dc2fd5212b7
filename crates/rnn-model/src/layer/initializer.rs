//! Initial values of weights, by Keras's formulas, drawn on the host from counter-based random numbers: the same seed
//! gives the same weights on every device.

use rnn_shaders::vocabulary::StepParams;

/// How a weight starts. Fans are Keras's: of a vector both are its length, of a matrix its rows and columns, of a larger
/// shape those of the last two axes times the sizes before them.
///
/// Files have Keras's name where the numbers are Keras's (`"glorot_uniform"`), else its class and configuration
/// (`{"class_name": "Orthogonal", "config": {"gain": 2.0}}`).
#[derive(Clone, Copy, Debug, PartialEq)]
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
    /// diagonal made positive. All axes but the last count as rows; a vector has no such start.
    Orthogonal,
    /// Uniform between two bounds.
    RandomUniform {
        /// lower bound; Keras's default is -0.05
        min: f32,
        /// upper bound; Keras's default is 0.05
        max: f32,
    },
    /// Normal.
    RandomNormal {
        /// its mean; Keras's default is 0
        mean: f32,
        /// its standard deviation; Keras's default is 0.05
        stddev: f32,
    },
    /// Ones on the diagonal; for matrices alone.
    Identity,
    /// Any of them by its recipe: with numbers of its own, or a seed.
    With {
        /// what to draw
        recipe: Recipe,
        /// of this weight alone, whatever the model's seed is: two weights with the same recipe, seed and shape start
        /// alike, as in Keras
        seed: Option<u64>,
    },
}

/// What initializers are made of.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Recipe {
    /// All the same value.
    Constant {
        /// the value
        value: f32,
    },
    /// Variance `scale / fan` (He et al. 2015, Glorot and Bengio 2010).
    VarianceScaling {
        /// above 0
        scale: f32,
        /// which fan
        mode: Fan,
        /// of which shape
        distribution: Distribution,
    },
    /// Uniform between two bounds.
    Uniform {
        /// lower bound
        min: f32,
        /// upper bound
        max: f32,
    },
    /// Normal.
    Normal {
        /// mean
        mean: f32,
        /// standard deviation
        stddev: f32,
    },
    /// Normal, values past two deviations drawn again. `stddev` is that of the normal before the cut, as in Keras.
    TruncatedNormal {
        /// mean
        mean: f32,
        /// standard deviation of the normal that is cut
        stddev: f32,
    },
    /// As [`Initializer::Orthogonal`].
    Orthogonal {
        /// factor of the orthonormal matrix
        gain: f32,
    },
    /// As [`Initializer::Identity`].
    Identity {
        /// value on the diagonal
        gain: f32,
    },
}

/// The number that [`Recipe::VarianceScaling`] divides by, at least 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fan {
    /// inputs of a unit
    In,
    /// units that an input reaches
    Out,
    /// the mean of both
    Average,
}

/// The shape of a [`Recipe::VarianceScaling`]; each has the stated variance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Distribution {
    /// within `+-sqrt(3 variance)`
    Uniform,
    /// normal, cut at two deviations
    TruncatedNormal,
    /// normal
    UntruncatedNormal,
}

impl Initializer {
    /// Variance `scale / fan`; see [`Recipe::VarianceScaling`].
    pub fn variance_scaling(scale: f32, mode: Fan, distribution: Distribution) -> Self {
        Recipe::VarianceScaling { scale, mode, distribution }.into()
    }

    /// Normal, values past two deviations drawn again.
    pub fn truncated_normal(mean: f32, stddev: f32) -> Self {
        Recipe::TruncatedNormal { mean, stddev }.into()
    }

    /// `gain` times an orthonormal matrix; see [`Initializer::Orthogonal`].
    pub fn orthogonal(gain: f32) -> Self {
        Recipe::Orthogonal { gain }.into()
    }

    /// `gain` on the diagonal.
    pub fn identity(gain: f32) -> Self {
        Recipe::Identity { gain }.into()
    }

    /// Uniform in `+-1 / sqrt(units)`: how PyTorch's recurrent layers of `units` start all their weights and biases.
    pub fn torch_recurrent(units: usize) -> Self {
        let bound = 1.0 / (units.max(1) as f32).sqrt();
        Initializer::RandomUniform { min: -bound, max: bound }
    }

    /// Uniform in `+-1 / sqrt(fan_in)`: how PyTorch's `Linear` starts its weight.
    pub fn torch_linear() -> Self {
        Self::variance_scaling(1.0 / 3.0, Fan::In, Distribution::Uniform)
    }

    /// The same with a seed of its own, whatever the model's is.
    pub fn seed(self, seed: u64) -> Self {
        Initializer::With { recipe: self.recipe(), seed: Some(seed) }
    }

    /// What it is made of.
    pub fn recipe(self) -> Recipe {
        let scaling = |scale, mode, distribution| Recipe::VarianceScaling { scale, mode, distribution };
        match self {
            Initializer::Zeros => Recipe::Constant { value: 0.0 },
            Initializer::Ones => Recipe::Constant { value: 1.0 },
            Initializer::Constant(value) => Recipe::Constant { value },
            Initializer::GlorotUniform => scaling(1.0, Fan::Average, Distribution::Uniform),
            Initializer::GlorotNormal => scaling(1.0, Fan::Average, Distribution::TruncatedNormal),
            Initializer::HeUniform => scaling(2.0, Fan::In, Distribution::Uniform),
            Initializer::HeNormal => scaling(2.0, Fan::In, Distribution::TruncatedNormal),
            Initializer::LecunUniform => scaling(1.0, Fan::In, Distribution::Uniform),
            Initializer::LecunNormal => scaling(1.0, Fan::In, Distribution::TruncatedNormal),
            Initializer::Orthogonal => Recipe::Orthogonal { gain: 1.0 },
            Initializer::RandomUniform { min, max } => Recipe::Uniform { min, max },
            Initializer::RandomNormal { mean, stddev } => Recipe::Normal { mean, stddev },
            Initializer::Identity => Recipe::Identity { gain: 1.0 },
            Initializer::With { recipe, .. } => recipe,
        }
    }

    /// Refuses numbers without a meaning, and shapes that the recipe can not fill.
    pub(crate) fn check(self, shape: &[usize]) -> Result<(), String> {
        let finite = |numbers: &[f32]| {
            let odd = numbers.iter().find(|x| !x.is_finite());
            odd.map_or(Ok(()), |x| Err(format!("its numbers must be finite, got {x}")))
        };
        let rank = shape.len();
        match self.recipe() {
            Recipe::Constant { value } => finite(&[value]),
            Recipe::VarianceScaling { scale, .. } if scale.is_finite() && scale > 0.0 => Ok(()),
            Recipe::VarianceScaling { scale, .. } => Err(format!("scale must be above 0, got {scale}")),
            Recipe::Uniform { min, max } => finite(&[min, max]),
            Recipe::Normal { mean, stddev } | Recipe::TruncatedNormal { mean, stddev } => {
                finite(&[mean, stddev])
            }
            Recipe::Orthogonal { .. } if rank < 2 => {
                Err(format!("an orthogonal start needs at least two axes, the shape is {shape:?}"))
            }
            Recipe::Identity { .. } if rank != 2 => {
                Err(format!("an identity start needs a matrix, the shape is {shape:?}"))
            }
            Recipe::Orthogonal { gain } | Recipe::Identity { gain } => finite(&[gain]),
        }
    }

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
            Recipe::Orthogonal { gain } => orthogonal(n / cols.max(1), cols, f64::from(gain), &mut random),
            Recipe::Identity { gain } => {
                (0..n).map(|i| if i / cols == i % cols { gain } else { 0.0 }).collect()
            }
        }
    }
}

impl From<Recipe> for Initializer {
    fn from(recipe: Recipe) -> Self {
        Initializer::With { recipe, seed: None }
    }
}

/// Standard deviation of a standard normal cut at +-2.
const DEVIATION_OF_CUT_NORMAL: f64 = 0.879_625_661_034_239_8;

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

/// Gram and Schmidt's process, done twice for full precision, on the longer side's vectors, times `gain`.
fn orthogonal(rows: usize, cols: usize, gain: f64, random: &mut Random) -> Vec<f32> {
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
    (0..rows * cols).map(|i| (gain * at(i / cols, i % cols)) as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draw(initializer: Initializer, shape: &[usize]) -> Vec<f32> {
        initializer.check(shape).unwrap();
        initializer.values(shape, 0, 3, 1)
    }

    /// Mean, variance and largest magnitude.
    fn moments(w: &[f32]) -> (f64, f64, f64) {
        let w: Vec<f64> = w.iter().map(|&x| f64::from(x)).collect();
        let mean = w.iter().sum::<f64>() / w.len() as f64;
        let variance = w.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / w.len() as f64;
        (mean, variance, w.iter().fold(0.0, |a, x| a.max(x.abs())))
    }

    #[test]
    fn orthogonal_rows_are_orthonormal_times_the_gain() {
        let gained = Initializer::orthogonal(2.5);
        for (initializer, gain) in [(Initializer::Orthogonal, 1.0f32), (gained, 2.5)] {
            for shape in [&[4, 16][..], &[16, 4], &[5, 5], &[1, 1], &[2, 3, 4]] {
                let w = draw(initializer, shape);
                let cols = shape[shape.len() - 1];
                let rows = w.len() / cols;
                let short = rows.min(cols);
                for a in 0..short {
                    for b in 0..short {
                        let at =
                            |v: usize, i: usize| if rows <= cols { w[v * cols + i] } else { w[i * cols + v] };
                        let dot: f32 = (0..rows.max(cols)).map(|i| at(a, i) * at(b, i)).sum();
                        let want = if a == b { gain * gain } else { 0.0 };
                        // 16 products of numbers below the gain, each rounded to f32
                        assert!((dot - want).abs() < 16.0 * gain * gain * f32::EPSILON, "{shape:?}: {dot}");
                    }
                }
            }
        }
    }

    /// Fans by Keras's `compute_fans`; moments within five deviations of theirs for 20,000 draws.
    #[test]
    fn variance_scaling_has_the_stated_variance_and_bounds() {
        use Distribution::{TruncatedNormal, Uniform, UntruncatedNormal};
        let scaling = Initializer::variance_scaling;
        let cases: [(Initializer, &[usize], f64, f64); 14] = [
            (Initializer::GlorotUniform, &[50, 400], 2.0 / 450.0, 3.0f64.sqrt()),
            (Initializer::GlorotNormal, &[50, 400], 2.0 / 450.0, 2.0 / 0.8796),
            (Initializer::HeUniform, &[50, 400], 2.0 / 50.0, 3.0f64.sqrt()),
            (Initializer::HeNormal, &[50, 400], 2.0 / 50.0, 2.0 / 0.8796),
            (Initializer::LecunUniform, &[50, 400], 1.0 / 50.0, 3.0f64.sqrt()),
            (Initializer::LecunNormal, &[50, 400], 1.0 / 50.0, 2.0 / 0.8796),
            (Initializer::GlorotUniform, &[20_000], 1.0 / 20_000.0, 3.0f64.sqrt()),
            (Initializer::HeNormal, &[5, 10, 400], 2.0 / 50.0, 2.0 / 0.8796),
            (Initializer::GlorotUniform, &[5, 10, 400], 2.0 / 2050.0, 3.0f64.sqrt()),
            (scaling(0.5, Fan::Out, Uniform), &[50, 400], 0.5 / 400.0, 3.0f64.sqrt()),
            (scaling(3.0, Fan::Out, TruncatedNormal), &[50, 400], 3.0 / 400.0, 2.0 / 0.8796),
            (scaling(3.0, Fan::In, UntruncatedNormal), &[50, 400], 3.0 / 50.0, 6.0),
            (scaling(3.0, Fan::Average, UntruncatedNormal), &[50, 400], 3.0 / 225.0, 6.0),
            (Initializer::torch_linear(), &[50, 400], 1.0 / 150.0, 3.0f64.sqrt()),
        ];
        for (initializer, shape, want, bound) in cases {
            let w = draw(initializer, shape);
            let (mean, variance, largest) = moments(&w);
            let deviation = want.sqrt();
            assert!(mean.abs() < 5.0 * deviation / (w.len() as f64).sqrt(), "{initializer:?}: mean {mean}");
            // relative deviation of a normal's sample variance is sqrt(2 / 20000) = 1 %, of the others less
            assert!(
                (variance / want - 1.0).abs() < 0.05,
                "{initializer:?} {shape:?}: {variance}, not {want}"
            );
            assert!(largest <= bound * deviation * 1.000_1, "{initializer:?}: {largest}");
            // Each bound is all but reached; a normal of 20,000 passes three deviations.
            assert!(largest > deviation * if bound == 6.0 { 3.0 } else { 0.98 * bound }, "{initializer:?}");
        }
    }

    #[test]
    fn plain_distributions_have_their_moments() {
        let w = draw(Initializer::RandomNormal { mean: 1.0, stddev: 0.5 }, &[20_000]);
        let (mean, variance, _) = moments(&w);
        assert!((mean - 1.0).abs() < 5.0 * 0.5 / 20_000f64.sqrt() && (variance / 0.25 - 1.0).abs() < 0.05);

        let w = draw(Initializer::truncated_normal(1.0, 0.5), &[20_000]);
        let (mean, variance, largest) = moments(&w);
        let want = (0.5 * DEVIATION_OF_CUT_NORMAL).powi(2);
        assert!((mean - 1.0).abs() < 5.0 * 0.5 / 20_000f64.sqrt() && (variance / want - 1.0).abs() < 0.05);
        assert!(largest <= 2.0 && w.iter().all(|&x| x >= 0.0), "past two deviations");

        let w = draw(Initializer::torch_recurrent(16), &[16, 64]);
        let (_, variance, largest) = moments(&w);
        // a uniform's sample variance of 1024 is off by sqrt(0.8 / 1024) = 3 %
        assert!(largest <= 0.25 && (variance / (0.0625 / 3.0) - 1.0).abs() < 0.15);

        assert_eq!(draw(Initializer::identity(3.0), &[2, 3]), [3.0, 0.0, 0.0, 0.0, 3.0, 0.0]);
        assert_eq!(draw(Initializer::Constant(0.5), &[2]), [0.5, 0.5]);
    }

    #[test]
    fn streams_seeds_and_parts_differ_and_repeat() {
        let values = |i: Initializer, part, seed, stream| i.values(&[3, 5], part, seed, stream);
        let a = values(Initializer::GlorotUniform, 0, 1, 0);
        assert_eq!(a, values(Initializer::GlorotUniform, 0, 1, 0));
        assert_ne!(a, values(Initializer::GlorotUniform, 0, 1, 1));
        assert_ne!(a, values(Initializer::GlorotUniform, 0, 2, 0));
        assert_ne!(a, values(Initializer::GlorotUniform, 1, 1, 0));
        let seeded = Initializer::GlorotUniform.seed(7);
        assert_eq!(values(seeded, 0, 1, 0), values(seeded, 0, 2, 5));
        assert_ne!(values(seeded, 0, 1, 0), values(Initializer::GlorotUniform.seed(8), 0, 1, 0));
    }

    #[test]
    fn what_has_no_meaning_is_refused() {
        assert!(Initializer::Orthogonal.check(&[4]).is_err());
        assert!(Initializer::Identity.check(&[2, 2, 2]).is_err());
        assert!(Initializer::variance_scaling(0.0, Fan::In, Distribution::Uniform).check(&[4]).is_err());
        assert!(Initializer::Constant(f32::NAN).check(&[4]).is_err());
    }
}
