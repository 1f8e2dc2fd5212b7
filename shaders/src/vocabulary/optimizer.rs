//! Update rules with their constants.

/// An update rule with its constants. Formulas are Keras 3's; what changes from step to step (the learning rate, the
/// bias corrections) is in [`StepParams`](super::StepParams).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OptimizerSpec {
    /// Which rule.
    pub rule: UpdateRule,
    /// Decoupled decay: `w -= w * weight_decay * lr` before the update; 0 for none.
    pub weight_decay: f32,
    /// Gradients are clipped to `[-clip_value, clip_value]` first; infinity for none.
    pub clip_value: f32,
}

/// The update rules. `m`, `v` and `x` are the slots, each as long as the parameters. Constants are in double precision,
/// so that `1 - beta` is that of the decimal number: from f32, `1 - 0.999` would be off by 5e-5 of itself.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum UpdateRule {
    /// No momentum: `w -= lr g`. Else `m = momentum m - lr g`, `w += m`, or with nesterov `w += momentum m - lr g`.
    Sgd {
        /// 0 needs no slot
        momentum: f64,
        /// look ahead
        nesterov: bool,
    },
    /// `v = rho v + (1 - rho) g^2`; centered: `x = rho x + (1 - rho) g`, denominator `v - x^2 + epsilon`, else
    /// `v + epsilon`; increment `lr g / sqrt(denominator)`; with momentum `m = momentum m + increment`, `w -= m`.
    RmsProp {
        /// decay of the mean square
        rho: f64,
        /// 0 for none
        momentum: f64,
        /// inside the root
        epsilon: f64,
        /// subtract the squared mean
        centered: bool,
    },
    /// `m += (g - m)(1 - beta_1)`, `v += (g^2 - v)(1 - beta_2)`, amsgrad `x = max(x, v)`;
    /// `w -= alpha m / (sqrt(v or x) + epsilon)` with `alpha = lr sqrt(1 - beta_2^t) / (1 - beta_1^t)`.
    Adam {
        /// decay of the mean
        beta_1: f64,
        /// decay of the mean square
        beta_2: f64,
        /// outside the root
        epsilon: f64,
        /// keep the maximum of `v`
        amsgrad: bool,
    },
    /// Adam with Nesterov's momentum (Dozat 2016): `m` and `v` as in Adam, `w -= (alpha m + beta g) / (sqrt(gamma v) + epsilon)`.
    Nadam {
        /// decay of the mean
        beta_1: f64,
        /// decay of the mean square
        beta_2: f64,
        /// outside the root
        epsilon: f64,
    },
    /// `v += g^2`, `w -= lr g / sqrt(v + epsilon)` (Duchi et al. 2011).
    Adagrad {
        /// inside the root
        epsilon: f64,
        /// where `v` starts
        initial_accumulator_value: f64,
    },
    /// `v = rho v + (1 - rho) g^2`, `d = g sqrt(x + epsilon) / sqrt(v + epsilon)`, `x = rho x + (1 - rho) d^2`,
    /// `w -= lr d` (Zeiler 2012).
    Adadelta {
        /// decay of both means
        rho: f64,
        /// inside the roots
        epsilon: f64,
    },
    /// `m` as in Adam, `v = max(beta_2 v, |g|)`, `w -= alpha m / (v + epsilon)` with `alpha = lr / (1 - beta_1^t)` (Kingma
    /// and Ba 2015).
    Adamax {
        /// decay of the mean
        beta_1: f64,
        /// decay of the largest gradient
        beta_2: f64,
        /// outside
        epsilon: f64,
    },
    /// `w -= lr sign(beta_1 m + (1 - beta_1) g)`, then `m = beta_2 m + (1 - beta_2) g` (Chen et al. 2023).
    Lion {
        /// share of the mean in the update
        beta_1: f64,
        /// decay of the mean
        beta_2: f64,
    },
    /// `m`, `v` as in Adam, `x = alpha m / (sqrt(beta v) + epsilon)` with `alpha = 1 / (1 - beta_1^t)` and `beta` likewise.
    /// The weights are not changed here but by [`Trust`], which needs the norms of whole variables (You et al. 2020).
    Lamb {
        /// decay of the mean
        beta_1: f64,
        /// decay of the mean square
        beta_2: f64,
        /// outside the root
        epsilon: f64,
    },
    /// Follow the regularised leader (McMahan et al. 2013): `n = v + g^2`, `s = (n^p - v^p) / lr`,
    /// `x += g + 2 shrinkage w - s w`, `w = (clip(x, -l1, l1) - x) / (n^p / lr + 2 l2 + beta / lr)`, `v = n`, with
    /// `p = -learning_rate_power`.
    Ftrl {
        /// at most 0
        learning_rate_power: f64,
        /// where `v` starts
        initial_accumulator_value: f64,
        /// of the first power
        l1: f64,
        /// of the second power
        l2: f64,
        /// a penalty on the gradient's side
        l2_shrinkage: f64,
        /// of the paper
        beta: f64,
    },
    /// Adafactor (Shazeer and Stern 2018), whose direction [`Factored`] makes and whose step is [`Trust::Adafactor`]:
    /// `alpha = min(lr, 1 / sqrt(t))`, `beta = 1 - t^beta_2_decay`.
    Adafactor {
        /// below 0
        beta_2_decay: f64,
        /// added to each square
        epsilon_1: f64,
    },
}

/// How Adafactor makes its direction: of a matrix it keeps `r`, the mean over each row of `g^2 + epsilon_1`, and `c`, that over
/// each column, both as `beta r + (1 - beta) new`; `v = r c / mean(r)` stands for the mean square of each weight. A vector
/// keeps its `v`. `x = g / sqrt(v)`. In memory `r` begins the matrix's part of slot `m`, `c` that of slot `v`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Factored {
    /// added to each square
    pub epsilon_1: f64,
    /// as in [`OptimizerSpec`]
    pub weight_decay: f32,
    /// as in [`OptimizerSpec`]
    pub clip_value: f32,
}

/// A matrix within the weights' buffer, or a vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Matrix {
    /// where it starts
    pub offset: u32,
    /// rows; 0 for a vector
    pub rows: u32,
    /// columns, or the length of the vector
    pub cols: u32,
}

impl Matrix {
    /// Where it ends.
    pub fn end(self) -> usize {
        self.offset as usize + (self.rows.max(1) as usize) * self.cols as usize
    }
}

/// How far a variable goes along a direction that has been made for it: `w -= lr_v x`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Trust {
    /// `lr_v = lr |w| / |x|`, or `lr` where one of the norms is 0.
    Lamb,
    /// `lr_v = max(epsilon_2, rms(w)) alpha / max(1, rms(x) / clip_threshold)`.
    Adafactor {
        /// smallest size of a variable
        epsilon_2: f64,
        /// largest mean square of a direction
        clip_threshold: f64,
    },
}

impl UpdateRule {
    /// Slots the rule uses, of `[m, v, x]`.
    pub fn slots(self) -> [bool; 3] {
        match self {
            UpdateRule::Sgd { momentum, .. } => [momentum != 0.0, false, false],
            UpdateRule::RmsProp { momentum, centered, .. } => [momentum != 0.0, true, centered],
            UpdateRule::Adam { amsgrad, .. } => [true, true, amsgrad],
            UpdateRule::Nadam { .. } | UpdateRule::Adamax { .. } => [true, true, false],
            UpdateRule::Adagrad { .. } => [false, true, false],
            UpdateRule::Adadelta { .. } | UpdateRule::Ftrl { .. } => [false, true, true],
            UpdateRule::Lion { .. } => [true, false, false],
            UpdateRule::Lamb { .. } | UpdateRule::Adafactor { .. } => [true, true, true],
        }
    }

    /// What the slots hold before the first step.
    pub fn start(self) -> [f32; 3] {
        match self {
            UpdateRule::Adagrad { initial_accumulator_value, .. }
            | UpdateRule::Ftrl { initial_accumulator_value, .. } => {
                [0.0, initial_accumulator_value as f32, 0.0]
            }
            _ => [0.0; 3],
        }
    }

    /// `alpha`, `beta` and `gamma` of step `t`, counted from 1, at this learning rate. Where a rule names none, `alpha` is
    /// the learning rate.
    pub fn factors(self, lr: f64, t: u64) -> [f64; 3] {
        let t_real = t as f64;
        // 1 / (1 - beta^t), the correction of a mean that started at 0
        let unbiased = |beta: f64| 1.0 / (1.0 - beta.powf(t_real));
        match self {
            UpdateRule::Adam { beta_1, beta_2, .. } => {
                [lr * (1.0 - beta_2.powf(t_real)).sqrt() * unbiased(beta_1), 0.0, 0.0]
            }
            UpdateRule::Nadam { beta_1, beta_2, .. } => {
                let share = |t: f64| beta_1 * (1.0 - 0.5 * NADAM_DECAY.powf(t));
                let product = nadam_product(beta_1, t);
                let (now, next) = (share(t_real), share(t_real + 1.0));
                [lr * next / (1.0 - product * next), lr * (1.0 - now) / (1.0 - product), unbiased(beta_2)]
            }
            UpdateRule::Adamax { beta_1, .. } => [lr * unbiased(beta_1), 0.0, 0.0],
            UpdateRule::Lamb { beta_1, beta_2, .. } => [unbiased(beta_1), unbiased(beta_2), 0.0],
            UpdateRule::Adafactor { beta_2_decay, .. } => {
                [lr.min(1.0 / t_real.sqrt()), 1.0 - t_real.powf(beta_2_decay), 0.0]
            }
            _ => [lr, 0.0, 0.0],
        }
    }
}

/// The decay of Nadam's momentum schedule.
const NADAM_DECAY: f64 = 0.96;

/// The product of `beta_1 (1 - decay^i / 2)` for `i` from 1 to `t`. After 1000 factors `decay^i` is below 1e-17, so the rest
/// is a power of `beta_1`.
fn nadam_product(beta_1: f64, t: u64) -> f64 {
    let mut power = 1.0;
    let mut product = 1.0;
    for _ in 0..t.min(1000) {
        power *= NADAM_DECAY;
        product *= 1.0 - 0.5 * power;
    }
    product * beta_1.powf(t as f64)
}
