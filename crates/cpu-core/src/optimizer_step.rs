//! The update of all parameters in one pass: clip the gradient's value, decay the weight, apply the rule.

mod lanes;

use crate::error::check_len;
use crate::math::{Kernel, Lanes, WIDEST, dispatch};
use crate::{Error, HOLD, OptimizerSpec, Real, Result, StepParams, UpdateRule, parallel};
use lanes::{Adam, Common, RmsProp, power};

const OP: &str = "optimizer_step";

/// One step of the rule of `spec` on `params [n]` with gradients `grads [n]`; `step` has the learning rate and Adam's
/// `alpha`. Formulas and the slots `m`, `v`, `x` (each `[n]`) are those of [`UpdateRule`]; slots that the rule does not
/// use are left alone. In a step on [`HOLD`] nothing is written.
///
/// # Errors
/// [`Error::Length`] where a slice is not as long as `params`, [`Error::Missing`] where a slot that the rule uses was
/// not given. Nothing is written then.
///
/// ```
/// use cpu_core::{OptimizerSpec, StepParams, UpdateRule, optimizer_step};
/// let sgd = UpdateRule::Sgd { momentum: 0.0, nesterov: false };
/// let spec = OptimizerSpec { rule: sgd, weight_decay: 0.0, clip_value: f32::INFINITY };
/// let mut weights = [1.0f32, 2.0];
/// let step = StepParams { lr: 0.5, ..Default::default() };
/// optimizer_step(&spec, &step, &mut weights, &[1.0, -1.0], None, None, None)?;
/// assert_eq!(weights, [0.5, 2.5]);
/// # Ok::<(), cpu_core::Error>(())
/// ```
pub fn optimizer_step<T: Real>(
    spec: &OptimizerSpec,
    step: &StepParams,
    params: &mut [T],
    grads: &[T],
    m: Option<&mut [T]>,
    v: Option<&mut [T]>,
    x: Option<&mut [T]>,
) -> Result<()> {
    let n = params.len();
    check_len(OP, "grads", n, grads.len())?;
    let [needs_m, needs_v, needs_x] = spec.rule.slots();
    let m = slot("the slot m", needs_m, n, m)?;
    let v = slot("the slot v", needs_v, n, v)?;
    let x = slot("the slot x", needs_x, n, x)?;
    if let UpdateRule::Adafactor { .. } = spec.rule {
        let reason = "Adafactor works on matrices; call factored_step and trust_step";
        return Err(Error::Invalid { op: OP, reason });
    }
    if step.phase & HOLD != 0 {
        return Ok(());
    }
    let chunk = parallel::MEMORY.chunk(n, WIDEST);
    let slots = slot_chunks(m, chunk).zip(slot_chunks(v, chunk)).zip(slot_chunks(x, chunk));
    let pieces = params.chunks_mut(chunk).zip(grads.chunks(chunk)).zip(slots);
    parallel::share_out(pieces, |((w, g), ((m, v), x))| dispatch(Update { spec, step, w, g, m, v, x }));
    Ok(())
}

/// The slot, checked, where it is needed; else an empty one.
fn slot<'a, T>(what: &'static str, needed: bool, n: usize, slot: Option<&'a mut [T]>) -> Result<&'a mut [T]> {
    match slot {
        Some(slot) if needed => {
            check_len(OP, what, n, slot.len())?;
            Ok(slot)
        }
        None if needed => Err(Error::Missing { op: OP, what }),
        _ => Ok(&mut []),
    }
}

/// The slot's pieces; of one that the rule does not use, empty ones without end.
fn slot_chunks<T>(slot: &mut [T], chunk: usize) -> impl Iterator<Item = &mut [T]> {
    slot.chunks_mut(chunk).chain(std::iter::repeat_with(|| [].as_mut_slice()))
}

/// A run of parameters with their gradients and slots; a slot that the rule does not use is empty.
struct Update<'a, T> {
    spec: &'a OptimizerSpec,
    step: &'a StepParams,
    w: &'a mut [T],
    g: &'a [T],
    m: &'a mut [T],
    v: &'a mut [T],
    x: &'a mut [T],
}

impl<T: Real> Kernel<T> for Update<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Lanes<T = T>>(self, s: S) {
        let Update { spec, step, w, g, m, v, x } = self;
        let number = |x: f64| s.splat(T::from_f64(x));
        let lr = number(step.lr.into());
        let decays = spec.weight_decay != 0.0;
        let common = Common {
            s,
            clip: number(spec.clip_value.into()),
            decay: number(spec.weight_decay.into()),
            lr,
            decays,
        };
        match spec.rule {
            UpdateRule::Sgd { momentum, nesterov } => {
                let (decay, descend) = (number(momentum), s.neg(lr));
                if momentum == 0.0 {
                    common.each(
                        [],
                        w,
                        g,
                        #[inline(always)]
                        |w, g, []| (s.fma(descend, g, w), []),
                    );
                } else {
                    common.each(
                        [m],
                        w,
                        g,
                        #[inline(always)]
                        |w, g, [m]| {
                            let pull = s.mul(descend, g);
                            let m = s.fma(decay, m, pull);
                            let change = if nesterov { s.fma(decay, m, pull) } else { m };
                            (s.add(w, change), [m])
                        },
                    );
                }
            }
            UpdateRule::RmsProp { rho, momentum, epsilon, centered } => {
                let rms = RmsProp {
                    s,
                    lr,
                    rho: number(rho),
                    rest: number(1.0 - rho),
                    momentum: number(momentum),
                    epsilon: number(epsilon),
                };
                match (momentum != 0.0, centered) {
                    (false, false) => common.each(
                        [v],
                        w,
                        g,
                        #[inline(always)]
                        |w, g, [v]| {
                            let v = rms.mean_square(v, g);
                            (s.sub(w, rms.increment(g, v)), [v])
                        },
                    ),
                    (true, false) => common.each(
                        [m, v],
                        w,
                        g,
                        #[inline(always)]
                        |w, g, [m, v]| {
                            let v = rms.mean_square(v, g);
                            let m = s.fma(rms.momentum, m, rms.increment(g, v));
                            (s.sub(w, m), [m, v])
                        },
                    ),
                    (false, true) => common.each(
                        [v, x],
                        w,
                        g,
                        #[inline(always)]
                        |w, g, [v, x]| {
                            let (v, x) = (rms.mean_square(v, g), rms.mean(x, g));
                            (s.sub(w, rms.increment(g, rms.variance(v, x))), [v, x])
                        },
                    ),
                    (true, true) => common.each(
                        [m, v, x],
                        w,
                        g,
                        #[inline(always)]
                        |w, g, [m, v, x]| {
                            let (v, x) = (rms.mean_square(v, g), rms.mean(x, g));
                            let m = s.fma(rms.momentum, m, rms.increment(g, rms.variance(v, x)));
                            (s.sub(w, m), [m, v, x])
                        },
                    ),
                }
            }
            UpdateRule::Adam { beta_1, beta_2, epsilon, amsgrad } => {
                let adam = Adam::new(s, beta_1, beta_2, epsilon, step.alpha);
                if amsgrad {
                    common.each(
                        [m, v, x],
                        w,
                        g,
                        #[inline(always)]
                        |w, g, [m, v, x]| {
                            let (m, v) = adam.moments(g, m, v);
                            let x = s.max(x, v);
                            (s.sub(w, adam.increment(m, x)), [m, v, x])
                        },
                    );
                } else {
                    common.each(
                        [m, v],
                        w,
                        g,
                        #[inline(always)]
                        |w, g, [m, v]| {
                            let (m, v) = adam.moments(g, m, v);
                            (s.sub(w, adam.increment(m, v)), [m, v])
                        },
                    );
                }
            }
            UpdateRule::Nadam { beta_1, beta_2, epsilon } => {
                let adam = Adam::new(s, beta_1, beta_2, epsilon, step.alpha);
                let (now, unbias) = (number(step.beta.into()), number(step.gamma.into()));
                common.each(
                    [m, v],
                    w,
                    g,
                    #[inline(always)]
                    |w, g, [m, v]| {
                        let (m, v) = adam.moments(g, m, v);
                        let ahead = s.fma(adam.alpha, m, s.mul(now, g));
                        let root = s.add(s.sqrt(s.mul(v, unbias)), adam.epsilon);
                        (s.sub(w, s.div(ahead, root)), [m, v])
                    },
                );
            }
            UpdateRule::Adagrad { epsilon, .. } => {
                let epsilon = number(epsilon);
                common.each(
                    [v],
                    w,
                    g,
                    #[inline(always)]
                    |w, g, [v]| {
                        let v = s.fma(g, g, v);
                        (s.sub(w, s.div(s.mul(lr, g), s.sqrt(s.add(v, epsilon)))), [v])
                    },
                );
            }
            UpdateRule::Adadelta { rho, epsilon } => {
                let (rho, rest, epsilon) = (number(rho), number(1.0 - rho), number(epsilon));
                common.each(
                    [v, x],
                    w,
                    g,
                    #[inline(always)]
                    |w, g, [v, x]| {
                        let v = s.fma(rho, v, s.mul(rest, s.mul(g, g)));
                        let root = s.sqrt(s.add(v, epsilon));
                        let d = s.div(s.mul(g, s.sqrt(s.add(x, epsilon))), root);
                        let x = s.fma(rho, x, s.mul(rest, s.mul(d, d)));
                        (s.sub(w, s.mul(lr, d)), [v, x])
                    },
                );
            }
            UpdateRule::Adamax { beta_1, beta_2, epsilon } => {
                let adam = Adam::new(s, beta_1, beta_2, epsilon, step.alpha);
                let decay = number(beta_2);
                common.each(
                    [m, v],
                    w,
                    g,
                    #[inline(always)]
                    |w, g, [m, v]| {
                        let m = s.fma(s.sub(g, m), adam.rest_1, m);
                        // A NaN in the second passes through.
                        let v = s.max(s.mul(decay, v), s.abs(g));
                        (s.sub(w, s.div(s.mul(adam.alpha, m), s.add(v, adam.epsilon))), [m, v])
                    },
                );
            }
            UpdateRule::Lion { beta_1, beta_2 } => {
                let [one, zero] = [1.0, 0.0].map(number);
                let [share, share_rest] = [beta_1, 1.0 - beta_1].map(number);
                let [decay, decay_rest] = [beta_2, 1.0 - beta_2].map(number);
                common.each(
                    [m],
                    w,
                    g,
                    #[inline(always)]
                    |w, g, [m]| {
                        let d = s.fma(share, m, s.mul(share_rest, g));
                        let sign = s.select_gt(d, zero, one, s.select_gt(zero, d, s.neg(one), d));
                        (s.sub(w, s.mul(lr, sign)), [s.fma(decay, m, s.mul(decay_rest, g))])
                    },
                );
            }
            UpdateRule::Lamb { beta_1, beta_2, epsilon } => {
                let adam = Adam::new(s, beta_1, beta_2, epsilon, step.alpha);
                let unbias = number(step.beta.into());
                common.each(
                    [m, v, x],
                    w,
                    g,
                    #[inline(always)]
                    |w, g, [m, v, _]| {
                        let (m, v) = adam.moments(g, m, v);
                        (w, [m, v, adam.increment(m, s.mul(unbias, v))])
                    },
                );
            }
            // Refused above.
            UpdateRule::Adafactor { .. } => {}
            UpdateRule::Ftrl { learning_rate_power, l1, l2, l2_shrinkage, beta, .. } => {
                let exponent = T::from_f64(-learning_rate_power);
                let power = |x: S::V| power(s, x, exponent);
                let (l1, l2, shrinkage, beta) =
                    (number(l1), number(2.0 * l2), number(2.0 * l2_shrinkage), number(beta));
                common.each(
                    [v, x],
                    w,
                    g,
                    #[inline(always)]
                    |w, g, [v, x]| {
                        let n = s.fma(g, g, v);
                        let grown = power(n);
                        let growth = s.div(s.sub(grown, power(v)), lr);
                        let pull = s.sub(s.fma(shrinkage, w, g), s.mul(growth, w));
                        let x = s.add(x, pull);
                        let cut = s.sub(s.max(s.neg(l1), s.min(l1, x)), x);
                        let steep = s.add(s.div(s.add(grown, beta), lr), l2);
                        // Nothing to move and nothing to divide by: a weight without a gradient yet.
                        let w = s.select_gt(s.abs(cut), s.c(0.0), s.div(cut, steep), cut);
                        (w, [n, x])
                    },
                );
            }
        }
    }
}
