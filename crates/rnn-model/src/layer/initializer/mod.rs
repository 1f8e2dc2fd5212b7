//! Initial values of weights, by Keras's formulas, drawn on the host from counter-based random numbers: the same seed
//! gives the same weights on every device.

mod draw;
mod file;
mod orthogonal;

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
}

impl From<Recipe> for Initializer {
    fn from(recipe: Recipe) -> Self {
        Initializer::With { recipe, seed: None }
    }
}

#[cfg(test)]
mod tests;
