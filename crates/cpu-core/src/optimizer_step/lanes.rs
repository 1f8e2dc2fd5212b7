//! What the rules have in common, in lanes: their constants, and the walk over all parameters.

use crate::Real;
use crate::math::{Lanes, WIDEST};
use std::ops::Range;

/// RMSprop's constants in every lane.
#[derive(Clone, Copy)]
pub(super) struct RmsProp<S: Lanes> {
    pub s: S,
    pub lr: S::V,
    pub rho: S::V,
    /// `1 - rho`
    pub rest: S::V,
    pub momentum: S::V,
    pub epsilon: S::V,
}

impl<S: Lanes> RmsProp<S> {
    #[inline(always)]
    pub fn mean_square(self, v: S::V, g: S::V) -> S::V {
        self.s.fma(self.rho, v, self.s.mul(self.rest, self.s.mul(g, g)))
    }

    #[inline(always)]
    pub fn mean(self, x: S::V, g: S::V) -> S::V {
        self.s.fma(self.rho, x, self.s.mul(self.rest, g))
    }

    #[inline(always)]
    pub fn variance(self, v: S::V, x: S::V) -> S::V {
        self.s.sub(v, self.s.mul(x, x))
    }

    #[inline(always)]
    pub fn increment(self, g: S::V, square: S::V) -> S::V {
        self.s.div(self.s.mul(self.lr, g), self.s.sqrt(self.s.add(square, self.epsilon)))
    }
}

/// Adam's constants in every lane.
#[derive(Clone, Copy)]
pub(super) struct Adam<S: Lanes> {
    pub s: S,
    /// `1 - beta_1`
    pub rest_1: S::V,
    /// `1 - beta_2`
    pub rest_2: S::V,
    pub epsilon: S::V,
    pub alpha: S::V,
}

impl<S: Lanes> Adam<S> {
    #[inline(always)]
    pub fn new(s: S, beta_1: f64, beta_2: f64, epsilon: f64, alpha: f32) -> Self {
        Adam {
            s,
            rest_1: s.c(1.0 - beta_1),
            rest_2: s.c(1.0 - beta_2),
            epsilon: s.c(epsilon),
            alpha: s.c(alpha.into()),
        }
    }

    #[inline(always)]
    pub fn moments(self, g: S::V, m: S::V, v: S::V) -> (S::V, S::V) {
        let s = self.s;
        (s.fma(s.sub(g, m), self.rest_1, m), s.fma(s.sub(s.mul(g, g), v), self.rest_2, v))
    }

    #[inline(always)]
    pub fn increment(self, m: S::V, v: S::V) -> S::V {
        self.s.div(self.s.mul(self.alpha, m), self.s.add(self.s.sqrt(v), self.epsilon))
    }
}

/// `x^exponent` for `x >= 0`. The square root is what Ftrl takes unless it is told otherwise.
#[inline(always)]
pub(super) fn power<S: Lanes>(s: S, x: S::V, exponent: S::T) -> S::V {
    if exponent == S::T::from_f64(0.5) {
        return s.sqrt(x);
    }
    let mut lanes = [S::T::ZERO; WIDEST];
    s.store(&mut lanes, x);
    for lane in &mut lanes[..S::N] {
        *lane = crate::score::power(*lane, exponent);
    }
    s.load(&lanes)
}

/// What comes before every rule.
#[derive(Clone, Copy)]
pub(super) struct Common<S: Lanes> {
    pub s: S,
    pub clip: S::V,
    pub decay: S::V,
    pub lr: S::V,
    pub decays: bool,
}

impl<S: Lanes> Common<S> {
    /// Runs the rule on every vector of weights, gradients and `K` slots. The end goes through partly filled vectors, so
    /// that a parameter's update does not depend on its position.
    #[inline(always)]
    pub fn each<const K: usize>(
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
