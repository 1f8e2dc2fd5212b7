//! The update of all parameters in one pass: clip the gradient's value, decay the weight, apply the rule.

use crate::error::check_len;
use crate::math::{Kernel, Lanes, WIDEST, dispatch};
use crate::{Error, OptimizerSpec, Real, Result, StepParams, UpdateRule, parallel};
use std::ops::Range;

const OP: &str = "optimizer_step";

/// One step of the rule of `spec` on `params [n]` with gradients `grads [n]`; `step` has the learning rate and Adam's
/// `alpha`. Formulas and the slots `m`, `v`, `x` (each `[n]`) are those of [`UpdateRule`]; slots that the rule does not
/// use are left alone.
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
                let adam = Adam {
                    s,
                    rest_1: number(1.0 - beta_1),
                    rest_2: number(1.0 - beta_2),
                    epsilon: number(epsilon),
                    alpha: number(step.alpha.into()),
                };
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
        }
    }
}

/// RMSprop's constants in every lane.
#[derive(Clone, Copy)]
struct RmsProp<S: Lanes> {
    s: S,
    lr: S::V,
    rho: S::V,
    /// `1 - rho`
    rest: S::V,
    momentum: S::V,
    epsilon: S::V,
}

impl<S: Lanes> RmsProp<S> {
    #[inline(always)]
    fn mean_square(self, v: S::V, g: S::V) -> S::V {
        self.s.fma(self.rho, v, self.s.mul(self.rest, self.s.mul(g, g)))
    }

    #[inline(always)]
    fn mean(self, x: S::V, g: S::V) -> S::V {
        self.s.fma(self.rho, x, self.s.mul(self.rest, g))
    }

    #[inline(always)]
    fn variance(self, v: S::V, x: S::V) -> S::V {
        self.s.sub(v, self.s.mul(x, x))
    }

    #[inline(always)]
    fn increment(self, g: S::V, square: S::V) -> S::V {
        self.s.div(self.s.mul(self.lr, g), self.s.sqrt(self.s.add(square, self.epsilon)))
    }
}

/// Adam's constants in every lane.
#[derive(Clone, Copy)]
struct Adam<S: Lanes> {
    s: S,
    /// `1 - beta_1`
    rest_1: S::V,
    /// `1 - beta_2`
    rest_2: S::V,
    epsilon: S::V,
    alpha: S::V,
}

impl<S: Lanes> Adam<S> {
    #[inline(always)]
    fn moments(self, g: S::V, m: S::V, v: S::V) -> (S::V, S::V) {
        let s = self.s;
        (s.fma(s.sub(g, m), self.rest_1, m), s.fma(s.sub(s.mul(g, g), v), self.rest_2, v))
    }

    #[inline(always)]
    fn increment(self, m: S::V, v: S::V) -> S::V {
        self.s.div(self.s.mul(self.alpha, m), self.s.add(self.s.sqrt(v), self.epsilon))
    }
}

/// What comes before every rule.
#[derive(Clone, Copy)]
struct Common<S: Lanes> {
    s: S,
    clip: S::V,
    decay: S::V,
    lr: S::V,
    decays: bool,
}

impl<S: Lanes> Common<S> {
    /// Runs the rule on every vector of weights, gradients and `K` slots. The end goes through partly filled vectors, so
    /// that a parameter's update does not depend on its position.
    #[inline(always)]
    fn each<const K: usize>(
        self,
        mut slots: [&mut [S::T]; K],
        w: &mut [S::T],
        g: &[S::T],
        rule: impl Fn(S::V, S::V, [S::V; K]) -> (S::V, [S::V; K]),
    ) {
        let n = w.len();
        let mut at = 0;
        while at + S::N <= n {
            self.vector(&mut slots, w, g, at..at + S::N, &rule, S::load, S::store);
            at += S::N;
        }
        if at < n {
            self.vector(&mut slots, w, g, at..n, &rule, S::load_part, S::store_part);
        }
    }

    /// One vector of everything. Index loops of constant length unroll into registers.
    #[inline(always)]
    fn vector<const K: usize>(
        self,
        slots: &mut [&mut [S::T]; K],
        w: &mut [S::T],
        g: &[S::T],
        window: Range<usize>,
        rule: &impl Fn(S::V, S::V, [S::V; K]) -> (S::V, [S::V; K]),
        load: impl Fn(S, &[S::T]) -> S::V,
        store: impl Fn(S, &mut [S::T], S::V),
    ) {
        let s = self.s;
        let old = load(s, &w[window.clone()]);
        // With the gradient second, its NaN passes through.
        let g = s.max(s.neg(self.clip), s.min(self.clip, load(s, &g[window.clone()])));
        let old = if self.decays { s.sub(old, s.mul(s.mul(old, self.decay), self.lr)) } else { old };
        let mut values = [g; K];
        for k in 0..K {
            values[k] = load(s, &slots[k][window.clone()]);
        }
        let (new, values) = rule(old, g, values);
        store(s, &mut w[window.clone()], new);
        for k in 0..K {
            store(s, &mut slots[k][window.clone()], values[k]);
        }
    }
}
