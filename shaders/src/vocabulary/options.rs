//! Words of the kernels that stand beside cells, scores and optimisers.

/// What is done to values while training so that a model does not learn them by heart. Draws come from a [`Draw`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Noise {
    /// `x / (1 - rate)` with probability `1 - rate`, else 0.
    Dropout {
        /// share that is dropped, in `[0, 1)`
        rate: f32,
    },
    /// `x + stddev z`, `z` normal.
    Gaussian {
        /// standard deviation
        stddev: f32,
    },
    /// `x (1 + sqrt(rate / (1 - rate)) z)`, `z` normal.
    GaussianDropout {
        /// the dropout rate with the same variance, in `[0, 1)`
        rate: f32,
    },
    /// Dropout to SELU's lower end, with the affine map that keeps mean and variance (Klambauer et al. 2017).
    AlphaDropout {
        /// share that is dropped, in `[0, 1)`
        rate: f32,
    },
}

/// [`Noise`] as the kernels of both devices see it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum NoiseTerms {
    /// `scale x + shift` where the uniform number is at least `rate`, else `dropped`.
    Drop {
        /// share that is dropped
        rate: f32,
        /// factor of what is kept
        scale: f64,
        /// added to what is kept
        shift: f64,
        /// what stands where an element is dropped
        dropped: f64,
    },
    /// `x + stddev z`
    Add {
        /// standard deviation
        stddev: f64,
    },
    /// `x (1 + stddev z)`
    Multiply {
        /// standard deviation
        stddev: f64,
    },
}

impl Noise {
    /// The formula of the forward pass, or what it does to a gradient. `None` where a parameter is out of its range.
    pub fn terms(self, backward: bool) -> Option<NoiseTerms> {
        let share = |rate: f32| (0.0..1.0).contains(&rate).then_some(f64::from(rate));
        match self {
            Noise::Dropout { rate } => {
                let scale = 1.0 / (1.0 - share(rate)?);
                Some(NoiseTerms::Drop { rate, scale, shift: 0.0, dropped: 0.0 })
            }
            Noise::AlphaDropout { rate } => {
                let p = share(rate)?;
                // -alpha scale of SELU, as Keras has them.
                let low = -1.673_263_242_354_377_2 * 1.050_700_987_355_480_5;
                let scale = ((1.0 - p) * (1.0 + p * low * low)).sqrt().recip();
                let shift = -scale * low * p;
                Some(if backward {
                    NoiseTerms::Drop { rate, scale, shift: 0.0, dropped: 0.0 }
                } else {
                    NoiseTerms::Drop { rate, scale, shift, dropped: scale * low + shift }
                })
            }
            Noise::Gaussian { stddev } => {
                let stddev = (stddev.is_finite() && stddev >= 0.0).then_some(f64::from(stddev))?;
                Some(NoiseTerms::Add { stddev: if backward { 0.0 } else { stddev } })
            }
            Noise::GaussianDropout { rate } => {
                let p = share(rate)?;
                Some(NoiseTerms::Multiply { stddev: (p / (1.0 - p)).sqrt() })
            }
        }
    }
}

/// Which random numbers: Philox4x32-10 with key `seed` and counter `(i / 4, stream, StepParams::rng_step, part)`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Draw {
    /// of the model
    pub seed: u64,
    /// one per place in the model that draws
    pub stream: u32,
    /// one per draw of that place in one pass, such as the step of a loop over time
    pub part: u32,
}

/// A normalisation of rows `x [cols]`; the mean and variance are the row's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Normalization {
    /// `(x - mean) / sqrt(variance + epsilon)`: Keras's LayerNormalization.
    Layer {
        /// under the root
        epsilon: f32,
    },
    /// `x / sqrt(variance + epsilon)`: the same with `rms_scaling` (Keras takes the variance about the mean there).
    Rms {
        /// under the root
        epsilon: f32,
    },
    /// `x / max(|x|, epsilon)` with the Euclidean norm: Keras's `normalize`.
    L2 {
        /// the least norm
        epsilon: f32,
    },
}

impl Normalization {
    /// The code that WGSL sees.
    pub fn code(self) -> u32 {
        match self {
            Normalization::Layer { .. } => 0,
            Normalization::Rms { .. } => 1,
            Normalization::L2 { .. } => 2,
        }
    }

    /// The small number of the formula.
    pub fn epsilon(self) -> f32 {
        match self {
            Normalization::Layer { epsilon }
            | Normalization::Rms { epsilon }
            | Normalization::L2 { epsilon } => epsilon,
        }
    }

    /// Whether the mean is taken off.
    pub fn is_centered(self) -> bool {
        matches!(self, Normalization::Layer { .. })
    }
}

/// How the steps of a sequence become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Pool {
    /// the mean
    Average,
    /// the maximum; its gradient goes to all steps that have it, in equal shares
    Max,
}
