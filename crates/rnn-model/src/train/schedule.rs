//! Learning rates that change with the number of steps, by Keras's names, defaults and formulas.

use serde::{Deserialize, Serialize};
use std::f64::consts::PI;

/// A learning rate as a function of the number of steps done; given to an optimizer in place of a number.
///
/// ```
/// use rnn_model::{Adam, Optimizer, Schedule};
/// let schedule = Schedule::cosine_decay(0.0, 1000).warmup(0.01, 100);
/// assert_eq!(schedule.at(50), 0.005);
/// let optimizer: Optimizer = Adam::new().learning_rate(schedule).into();
/// # let _ = optimizer;
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "class_name", content = "config")]
#[non_exhaustive]
pub enum Schedule {
    /// `initial decay_rate^p` with `p = step / decay_steps`, a whole number on a staircase.
    ExponentialDecay {
        /// at step 0
        initial_learning_rate: f64,
        /// steps for one factor of `decay_rate`
        decay_steps: f64,
        /// the factor
        decay_rate: f64,
        /// change only every `decay_steps`
        staircase: bool,
    },
    /// `initial / (1 + decay_rate p)` with `p` as in exponential decay.
    InverseTimeDecay {
        /// at step 0
        initial_learning_rate: f64,
        /// steps for one `decay_rate`
        decay_steps: f64,
        /// how fast
        decay_rate: f64,
        /// change only every `decay_steps`
        staircase: bool,
    },
    /// `(initial - end) (1 - step / decay_steps)^power + end`, then `end`; or with `cycle` again and again over a multiple of
    /// `decay_steps` that grows.
    PolynomialDecay {
        /// at step 0
        initial_learning_rate: f64,
        /// steps until the end
        decay_steps: f64,
        /// at the end
        end_learning_rate: f64,
        /// 1 for a line
        power: f64,
        /// begin again
        cycle: bool,
    },
    /// Half a wave of a cosine from `initial` down to `alpha initial` (Loshchilov and Hutter 2017). With a warm-up first a line
    /// from `initial` to `warmup_target`, which the wave then starts from.
    CosineDecay {
        /// at step 0
        initial_learning_rate: f64,
        /// steps of the wave
        decay_steps: f64,
        /// share that is left at the end
        alpha: f64,
        /// where the line ends
        warmup_target: Option<f64>,
        /// steps of the line
        warmup_steps: f64,
    },
    /// Cosine waves one after another, each `t_mul` times as long and `m_mul` times as high as the one before.
    CosineDecayRestarts {
        /// at step 0
        initial_learning_rate: f64,
        /// steps of the first wave
        first_decay_steps: f64,
        /// growth of the length
        t_mul: f64,
        /// growth of the height
        m_mul: f64,
        /// share that is left at the end of a wave
        alpha: f64,
    },
    /// `values[i]` up to and with step `boundaries[i]`, the last value after that.
    PiecewiseConstantDecay {
        /// rising steps
        boundaries: Vec<f64>,
        /// one more than boundaries
        values: Vec<f64>,
    },
}

impl Schedule {
    /// `initial decay_rate^(step / decay_steps)`
    pub fn exponential_decay(initial_learning_rate: f64, decay_steps: u64, decay_rate: f64) -> Self {
        let decay_steps = decay_steps as f64;
        Schedule::ExponentialDecay { initial_learning_rate, decay_steps, decay_rate, staircase: false }
    }

    /// `initial / (1 + decay_rate step / decay_steps)`
    pub fn inverse_time_decay(initial_learning_rate: f64, decay_steps: u64, decay_rate: f64) -> Self {
        let decay_steps = decay_steps as f64;
        Schedule::InverseTimeDecay { initial_learning_rate, decay_steps, decay_rate, staircase: false }
    }

    /// A line from `initial` to 0.0001 over `decay_steps`.
    pub fn polynomial_decay(initial_learning_rate: f64, decay_steps: u64) -> Self {
        Schedule::PolynomialDecay {
            initial_learning_rate,
            decay_steps: decay_steps as f64,
            end_learning_rate: 1e-4,
            power: 1.0,
            cycle: false,
        }
    }

    /// Half a cosine from `initial` to 0 over `decay_steps`.
    pub fn cosine_decay(initial_learning_rate: f64, decay_steps: u64) -> Self {
        Schedule::CosineDecay {
            initial_learning_rate,
            decay_steps: decay_steps as f64,
            alpha: 0.0,
            warmup_target: None,
            warmup_steps: 0.0,
        }
    }

    /// Half cosines from `initial` to 0, each twice as long as the one before.
    pub fn cosine_decay_restarts(initial_learning_rate: f64, first_decay_steps: u64) -> Self {
        Schedule::CosineDecayRestarts {
            initial_learning_rate,
            first_decay_steps: first_decay_steps as f64,
            t_mul: 2.0,
            m_mul: 1.0,
            alpha: 0.0,
        }
    }

    /// `values[i]` up to step `boundaries[i]`; there is one value more than boundaries.
    pub fn piecewise_constant_decay(boundaries: &[u64], values: &[f64]) -> Self {
        let boundaries = boundaries.iter().map(|&b| b as f64).collect();
        Schedule::PiecewiseConstantDecay { boundaries, values: values.to_vec() }
    }

    /// Whether exponential or inverse-time decay moves only every `decay_steps`.
    pub fn staircase(mut self, on: bool) -> Self {
        if let Schedule::ExponentialDecay { staircase, .. } | Schedule::InverseTimeDecay { staircase, .. } =
            &mut self
        {
            *staircase = on;
        }
        self
    }

    /// Where polynomial decay ends.
    pub fn end_learning_rate(mut self, rate: f64) -> Self {
        if let Schedule::PolynomialDecay { end_learning_rate, .. } = &mut self {
            *end_learning_rate = rate;
        }
        self
    }

    /// The power of polynomial decay.
    pub fn power(mut self, exponent: f64) -> Self {
        if let Schedule::PolynomialDecay { power, .. } = &mut self {
            *power = exponent;
        }
        self
    }

    /// Whether polynomial decay begins again.
    pub fn cycle(mut self, on: bool) -> Self {
        if let Schedule::PolynomialDecay { cycle, .. } = &mut self {
            *cycle = on;
        }
        self
    }

    /// The share of the rate that cosine decay leaves at its end.
    pub fn alpha(mut self, share: f64) -> Self {
        if let Schedule::CosineDecay { alpha, .. } | Schedule::CosineDecayRestarts { alpha, .. } = &mut self {
            *alpha = share;
        }
        self
    }

    /// A line up to `target` over `steps`, before cosine decay starts from there.
    pub fn warmup(mut self, target: f64, steps: u64) -> Self {
        if let Schedule::CosineDecay { warmup_target, warmup_steps, .. } = &mut self {
            (*warmup_target, *warmup_steps) = (Some(target), steps as f64);
        }
        self
    }

    /// Growth of the length and of the height of restarted cosine waves.
    pub fn growth(mut self, length: f64, height: f64) -> Self {
        if let Schedule::CosineDecayRestarts { t_mul, m_mul, .. } = &mut self {
            (*t_mul, *m_mul) = (length, height);
        }
        self
    }

    /// The learning rate after `step` steps.
    pub fn at(&self, step: u64) -> f64 {
        let step = step as f64;
        match *self {
            Schedule::ExponentialDecay { initial_learning_rate, decay_steps, decay_rate, staircase } => {
                initial_learning_rate * decay_rate.powf(periods(step, decay_steps, staircase))
            }
            Schedule::InverseTimeDecay { initial_learning_rate, decay_steps, decay_rate, staircase } => {
                initial_learning_rate / (1.0 + decay_rate * periods(step, decay_steps, staircase))
            }
            Schedule::PolynomialDecay {
                initial_learning_rate,
                decay_steps,
                end_learning_rate,
                power,
                cycle,
            } => {
                let (step, length) = if cycle {
                    (step, decay_steps * (step / decay_steps).ceil().max(1.0))
                } else {
                    (step.min(decay_steps), decay_steps)
                };
                let left = (1.0 - step / length).powf(power);
                (initial_learning_rate - end_learning_rate) * left + end_learning_rate
            }
            Schedule::CosineDecay {
                initial_learning_rate,
                decay_steps,
                alpha,
                warmup_target,
                warmup_steps,
            } => {
                let wave = |from: f64, step: f64| {
                    from * (wave(step.min(decay_steps) / decay_steps, 1.0) * (1.0 - alpha) + alpha)
                };
                match warmup_target {
                    None => wave(initial_learning_rate, step),
                    Some(target) if step < warmup_steps => {
                        initial_learning_rate + (target - initial_learning_rate) * (step / warmup_steps)
                    }
                    Some(target) => wave(target, step - warmup_steps),
                }
            }
            Schedule::CosineDecayRestarts {
                initial_learning_rate,
                first_decay_steps,
                t_mul,
                m_mul,
                alpha,
            } => {
                let (restarts, done) = restarts(step / first_decay_steps, t_mul);
                let wave = wave(done, m_mul.powf(restarts));
                initial_learning_rate * ((1.0 - alpha) * wave + alpha)
            }
            Schedule::PiecewiseConstantDecay { ref boundaries, ref values } => {
                let at = boundaries.iter().position(|&b| step <= b).unwrap_or(boundaries.len());
                values.get(at).copied().unwrap_or(f64::NAN)
            }
        }
    }

    /// What is wrong with the settings, if anything.
    pub(crate) fn problem(&self) -> Option<String> {
        let steps = |name: &str, x: f64| {
            (!(x > 0.0 && x.is_finite())).then(|| format!("{name} must be at least 1, got {x}"))
        };
        let wrong = match self {
            Schedule::ExponentialDecay { decay_steps, .. }
            | Schedule::InverseTimeDecay { decay_steps, .. }
            | Schedule::PolynomialDecay { decay_steps, .. } => steps("decay_steps", *decay_steps),
            Schedule::CosineDecay { decay_steps, warmup_steps, .. } => {
                steps("decay_steps", *decay_steps).or_else(|| steps("warmup_steps + 1", warmup_steps + 1.0))
            }
            Schedule::CosineDecayRestarts { first_decay_steps, t_mul, .. } => {
                steps("first_decay_steps", *first_decay_steps).or_else(|| {
                    (!(1.0..f64::INFINITY).contains(t_mul))
                        .then(|| format!("t_mul must be at least 1, got {t_mul}"))
                })
            }
            Schedule::PiecewiseConstantDecay { boundaries, values } => {
                if values.len() != boundaries.len() + 1 {
                    let (have, got) = (boundaries.len(), values.len());
                    Some(format!("{have} boundaries need {} values, got {got}", have + 1))
                } else if boundaries
                    .windows(2)
                    .any(|pair| pair[0].partial_cmp(&pair[1]).is_none_or(|o| o.is_ge()))
                {
                    Some(format!("boundaries must rise, got {boundaries:?}"))
                } else {
                    None
                }
            }
        };
        let start = self.at(0);
        wrong.or_else(|| {
            (!(0.0..f64::INFINITY).contains(&start))
                .then(|| format!("the schedule starts with a learning rate of {start}, must be at least 0"))
        })
    }
}

/// Periods of `length` steps that are over, whole ones on a staircase.
fn periods(step: f64, length: f64, staircase: bool) -> f64 {
    if staircase { (step / length).floor() } else { step / length }
}

/// Half a cosine wave from `height` at 0 to 0 at 1.
fn wave(done: f64, height: f64) -> f64 {
    0.5 * height * (1.0 + (PI * done).cos())
}

/// Which wave of restarted cosine decay runs after `waves` first waves' time, and how much of it is done.
fn restarts(waves: f64, t_mul: f64) -> (f64, f64) {
    if t_mul == 1.0 {
        return (waves.floor(), waves.fract());
    }
    let restart = ((1.0 - waves * (1.0 - t_mul)).ln() / t_mul.ln()).floor();
    let length = t_mul.powf(restart);
    (restart, (waves - (1.0 - length) / (1.0 - t_mul)) / length)
}

/// A number, or a schedule of them.
#[derive(Clone, Debug, PartialEq)]
pub enum LearningRate {
    /// The same at every step.
    Constant(f64),
    /// By the number of steps done.
    Schedule(Schedule),
}

impl From<f64> for LearningRate {
    fn from(rate: f64) -> Self {
        LearningRate::Constant(rate)
    }
}

impl From<f32> for LearningRate {
    fn from(rate: f32) -> Self {
        LearningRate::Constant(rate.into())
    }
}

impl From<Schedule> for LearningRate {
    fn from(schedule: Schedule) -> Self {
        LearningRate::Schedule(schedule)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_by_hand() {
        let piecewise = Schedule::piecewise_constant_decay(&[2, 5], &[1.0, 0.5, 0.1]);
        assert_eq!([0, 2, 3, 5, 6].map(|step| piecewise.at(step)), [1.0, 1.0, 0.5, 0.5, 0.1]);
        let stairs = Schedule::exponential_decay(0.8, 4, 0.5).staircase(true);
        assert_eq!([0, 3, 4, 8].map(|step| stairs.at(step)), [0.8, 0.8, 0.4, 0.2]);
        let line = Schedule::polynomial_decay(1.0, 10).end_learning_rate(0.0);
        assert_eq!([0, 5, 10, 99].map(|step| line.at(step)), [1.0, 0.5, 0.0, 0.0]);
        // 12 steps are in the second cycle, of 20.
        assert_eq!(line.cycle(true).at(12), 0.4);
        let waves = Schedule::cosine_decay_restarts(1.0, 4).growth(2.0, 0.5);
        // The first wave takes 4 steps, the second 8, of half the height.
        assert_eq!([0, 4, 12].map(|step| (waves.at(step) * 1e9).round() / 1e9), [1.0, 0.5, 0.25]);
    }

    #[test]
    fn wrong_settings_are_named() {
        let wrong = Schedule::piecewise_constant_decay(&[1], &[1.0]).problem();
        assert!(wrong.is_some_and(|p| p.contains("2 values")));
        let wrong = Schedule::piecewise_constant_decay(&[3, 3], &[1.0, 0.5, 0.2]).problem();
        assert!(wrong.is_some_and(|p| p.contains("rise")));
        assert!(Schedule::cosine_decay(0.1, 0).problem().is_some_and(|p| p.contains("decay_steps")));
        assert!(Schedule::exponential_decay(f64::NAN, 1, 0.5).problem().is_some());
        assert_eq!(Schedule::cosine_decay(0.0, 10).warmup(0.1, 5).problem(), None);
    }

    #[test]
    fn files_have_kerass_names() {
        let schedule = Schedule::exponential_decay(0.1, 100, 0.9);
        let json = serde_json::to_string(&schedule).unwrap();
        assert!(
            json.starts_with(r#"{"class_name":"ExponentialDecay","config":{"initial_learning_rate":0.1"#)
        );
        assert_eq!(serde_json::from_str::<Schedule>(&json).unwrap(), schedule);
    }
}
