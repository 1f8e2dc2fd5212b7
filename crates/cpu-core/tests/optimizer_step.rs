//! Optimisers: known values of Keras, every rule against a plain version of its formula, clipping, decay, slots.

mod common;

use common::{close, numbers, singles, with_threads};
use cpu_core::{Error, OptimizerSpec, StepParams, UpdateRule, optimizer_step};

fn plain(rule: UpdateRule) -> OptimizerSpec {
    OptimizerSpec { rule, weight_decay: 0.0, clip_value: f32::INFINITY }
}

fn adam(amsgrad: bool) -> UpdateRule {
    UpdateRule::Adam { beta_1: 0.9, beta_2: 0.999, epsilon: 1e-7, amsgrad }
}

fn step(lr: f64, rule: UpdateRule, t: u64) -> StepParams {
    let [alpha, beta, gamma] = rule.factors(lr, t).map(|x| x as f32);
    StepParams { lr: lr as f32, alpha, beta, gamma, ..Default::default() }
}

const RULES: [UpdateRule; 18] = [
    UpdateRule::Sgd { momentum: 0.0, nesterov: false },
    UpdateRule::Sgd { momentum: 0.9, nesterov: false },
    UpdateRule::Sgd { momentum: 0.9, nesterov: true },
    UpdateRule::RmsProp { rho: 0.9, momentum: 0.0, epsilon: 1e-7, centered: false },
    UpdateRule::RmsProp { rho: 0.9, momentum: 0.8, epsilon: 1e-7, centered: false },
    UpdateRule::RmsProp { rho: 0.9, momentum: 0.0, epsilon: 1e-7, centered: true },
    UpdateRule::RmsProp { rho: 0.9, momentum: 0.8, epsilon: 1e-7, centered: true },
    UpdateRule::Adam { beta_1: 0.9, beta_2: 0.999, epsilon: 1e-7, amsgrad: false },
    UpdateRule::Adam { beta_1: 0.9, beta_2: 0.999, epsilon: 1e-7, amsgrad: true },
    UpdateRule::Adam { beta_1: 0.5, beta_2: 0.9, epsilon: 1e-3, amsgrad: true },
    UpdateRule::Nadam { beta_1: 0.9, beta_2: 0.999, epsilon: 1e-7 },
    UpdateRule::Adagrad { epsilon: 1e-7, initial_accumulator_value: 0.1 },
    UpdateRule::Adadelta { rho: 0.95, epsilon: 1e-7 },
    UpdateRule::Adamax { beta_1: 0.9, beta_2: 0.999, epsilon: 1e-7 },
    UpdateRule::Lion { beta_1: 0.9, beta_2: 0.99 },
    UpdateRule::Lamb { beta_1: 0.9, beta_2: 0.999, epsilon: 1e-7 },
    UpdateRule::Ftrl {
        learning_rate_power: -0.5,
        initial_accumulator_value: 0.1,
        l1: 0.01,
        l2: 0.1,
        l2_shrinkage: 0.02,
        beta: 0.3,
    },
    UpdateRule::Ftrl {
        learning_rate_power: -0.3,
        initial_accumulator_value: 0.2,
        l1: 0.0,
        l2: 0.0,
        l2_shrinkage: 0.0,
        beta: 0.0,
    },
];

/// w = 1, g = 1e-4, lr = 0.1: Keras's epsilon stands outside the bias-corrected root, which shows at small gradients.
#[test]
fn adam_golden_value_of_keras() {
    let spec = plain(adam(false));
    let (mut w, mut m, mut v) = ([1.0f32], [0.0], [0.0]);
    optimizer_step(&spec, &step(0.1, spec.rule, 1), &mut w, &[1e-4], Some(&mut m), Some(&mut v), None)
        .unwrap();
    // One unit in the last of the known digits: 1 - 0.1 sqrt(1e-3) 1e-4 / (sqrt(1e-11) + 1e-7) = 0.9030654.
    close(f64::from(w[0]), 0.903066, 0.0, 1e-6, "Adam");
}

/// By hand: g = 1 twice, lr 0.1, momentum 0.9.
#[test]
fn sgd_by_hand() {
    for (nesterov, want) in [(false, [0.9, 0.71]), (true, [0.81, 0.539])] {
        let rule = UpdateRule::Sgd { momentum: 0.9, nesterov };
        let (mut w, mut m) = ([1.0f64], [0.0]);
        for want in want {
            optimizer_step(&plain(rule), &step(0.1, rule, 1), &mut w, &[1.0], Some(&mut m), None, None)
                .unwrap();
            // lr is f32.
            close(w[0], want, 1e-7, 0.0, "SGD");
        }
    }
}

/// The state of one parameter and its update by the vocabulary's formulas, one line each.
#[derive(Clone, Copy, Default)]
struct Reference {
    w: f64,
    m: f64,
    v: f64,
    x: f64,
    t: i32,
    /// Nadam's product
    product: f64,
}

impl Reference {
    fn new(rule: UpdateRule, w: f64) -> Self {
        let [m, v, x] = rule.start().map(f64::from);
        Reference { w, m, v, x, t: 0, product: 1.0 }
    }

    fn moments(&mut self, g: f64, beta_1: f64, beta_2: f64) {
        self.m = beta_1 * self.m + (1.0 - beta_1) * g;
        self.v = beta_2 * self.v + (1.0 - beta_2) * g * g;
    }

    fn update(&mut self, spec: &OptimizerSpec, step: &StepParams, g: f64) {
        let (lr, clip) = (f64::from(step.lr), f64::from(spec.clip_value));
        self.t += 1;
        let unbiased = |beta: f64| 1.0 / (1.0 - beta.powi(self.t));
        let g = g.clamp(-clip, clip);
        self.w -= self.w * f64::from(spec.weight_decay) * lr;
        match spec.rule {
            UpdateRule::Sgd { momentum, nesterov } => {
                self.m = momentum * self.m - lr * g;
                self.w += if nesterov { momentum * self.m - lr * g } else { self.m };
            }
            UpdateRule::RmsProp { rho, momentum, epsilon, centered } => {
                self.v = rho * self.v + (1.0 - rho) * g * g;
                self.x = rho * self.x + (1.0 - rho) * g;
                let variance = if centered { self.v - self.x * self.x } else { self.v };
                self.m = momentum * self.m + lr * g / (variance + epsilon).sqrt();
                self.w -= self.m;
            }
            UpdateRule::Adam { beta_1, beta_2, epsilon, amsgrad } => {
                let alpha = lr * unbiased(beta_1) / unbiased(beta_2).sqrt();
                self.moments(g, beta_1, beta_2);
                self.x = self.x.max(self.v);
                let square = if amsgrad { self.x } else { self.v };
                self.w -= alpha * self.m / (square.sqrt() + epsilon);
            }
            UpdateRule::Nadam { beta_1, beta_2, epsilon } => {
                let unbiased_v = unbiased(beta_2);
                let share = |t: i32| beta_1 * (1.0 - 0.5 * 0.96f64.powi(t));
                self.product *= share(self.t);
                self.moments(g, beta_1, beta_2);
                let ahead = share(self.t + 1) * self.m / (1.0 - self.product * share(self.t + 1))
                    + (1.0 - share(self.t)) * g / (1.0 - self.product);
                self.w -= lr * ahead / ((self.v * unbiased_v).sqrt() + epsilon);
            }
            UpdateRule::Adagrad { epsilon, .. } => {
                self.v += g * g;
                self.w -= lr * g / (self.v + epsilon).sqrt();
            }
            UpdateRule::Adadelta { rho, epsilon } => {
                self.v = rho * self.v + (1.0 - rho) * g * g;
                let d = g * ((self.x + epsilon) / (self.v + epsilon)).sqrt();
                self.x = rho * self.x + (1.0 - rho) * d * d;
                self.w -= lr * d;
            }
            UpdateRule::Adamax { beta_1, beta_2, epsilon } => {
                let rate = lr * unbiased(beta_1);
                self.m = beta_1 * self.m + (1.0 - beta_1) * g;
                self.v = (beta_2 * self.v).max(g.abs());
                self.w -= rate * self.m / (self.v + epsilon);
            }
            UpdateRule::Lion { beta_1, beta_2 } => {
                self.w -= lr * (beta_1 * self.m + (1.0 - beta_1) * g).signum();
                self.m = beta_2 * self.m + (1.0 - beta_2) * g;
            }
            UpdateRule::Lamb { beta_1, beta_2, epsilon } => {
                let (one, two) = (unbiased(beta_1), unbiased(beta_2));
                self.moments(g, beta_1, beta_2);
                self.x = one * self.m / ((two * self.v).sqrt() + epsilon);
            }
            UpdateRule::Adafactor { .. } => unreachable!("it is made of matrices"),
            UpdateRule::Ftrl { learning_rate_power, l1, l2, l2_shrinkage, beta, .. } => {
                let n = self.v + g * g;
                let power = |x: f64| x.powf(-learning_rate_power);
                self.x += g + 2.0 * l2_shrinkage * self.w - (power(n) - power(self.v)) / lr * self.w;
                self.w = (self.x.clamp(-l1, l1) - self.x) / (power(n) / lr + 2.0 * (l2 + beta / (2.0 * lr)));
                self.v = n;
            }
        }
    }
}

/// Twenty steps over 37 parameters: two whole vectors and an end.
#[test]
fn every_rule_follows_its_formula() {
    let n = 37;
    for rule in RULES {
        for (weight_decay, clip_value) in [(0.0, f32::INFINITY), (0.1, 0.5)] {
            let spec = OptimizerSpec { rule, weight_decay, clip_value };
            let start = numbers(3, n, 1.0);
            let mut reference: Vec<Reference> = start.iter().map(|&w| Reference::new(rule, w)).collect();
            let (mut w, mut w32) = (start.clone(), singles(&start));
            let mut s32 = rule.start().map(|x| vec![x; n]);
            let mut s = s32.each_ref().map(|s| s.iter().map(|&x| f64::from(x)).collect::<Vec<_>>());
            for t in 1..=20 {
                let g = numbers(100 + t, n, 1.0);
                let step = step(0.01, rule, t);
                reference.iter_mut().zip(&g).for_each(|(r, &g)| r.update(&spec, &step, g));
                let [m, v, x] = s.get_disjoint_mut([0, 1, 2]).unwrap();
                optimizer_step(&spec, &step, &mut w, &g, Some(m), Some(v), Some(x)).unwrap();
                let [m, v, x] = s32.get_disjoint_mut([0, 1, 2]).unwrap();
                optimizer_step(&spec, &step, &mut w32, &singles(&g), Some(m), Some(v), Some(x)).unwrap();
            }
            for i in 0..n {
                // lr and its factors are f32 on their way: 3e-8 of each of twenty moves of at most 0.05.
                close(w[i], reference[i].w, 1e-7, 3e-8, &format!("{rule:?}"));
                let x = if rule.slots()[2] { reference[i].x } else { 0.0 };
                close(s[2][i], x, 1e-6, 1e-7, &format!("x of {rule:?}"));
                // Twenty roundings of a weight of 1; the centred variance cancels where gradients repeat, and Ftrl's weight
                // is a quotient of sums of twenty terms of up to 100.
                let loose = if matches!(rule, UpdateRule::Ftrl { .. }) { 2e-5 } else { 5e-6 };
                close(f64::from(w32[i]), reference[i].w, 2e-6, loose, &format!("{rule:?} in f32"));
            }
        }
    }
}

/// A slot that the rule does not use stays as it was, and its absence is no error; one that it uses must be there.
#[test]
fn slots() {
    for rule in RULES {
        let needs = rule.slots();
        let spec = plain(rule);
        let run = |given: [bool; 3], len: usize| {
            let mut w = [1.0f32; 3];
            let mut slots = [[-7.0f32; 3]; 3];
            let [m, v, x] = &mut slots;
            let slot = |slot: &mut [f32; 3], given: bool| given.then(|| slot[..len].to_vec());
            let (mut m, mut v, mut x) = (slot(m, given[0]), slot(v, given[1]), slot(x, given[2]));
            let result = optimizer_step(
                &spec,
                &step(0.1, rule, 1),
                &mut w,
                &[1.0; 3],
                m.as_deref_mut(),
                v.as_deref_mut(),
                x.as_deref_mut(),
            );
            (result, w, [m, v, x])
        };
        let (result, _, slots) = run([true; 3], 3);
        result.unwrap();
        for (slot, needed) in slots.iter().zip(needs) {
            let untouched = slot.as_ref().unwrap().iter().all(|&x| x == -7.0);
            assert!(needed != untouched, "{rule:?}");
        }
        run(needs, 3).0.unwrap();
        for i in 0..3 {
            if needs[i] {
                let mut given = [true; 3];
                given[i] = false;
                let (result, w, _) = run(given, 3);
                assert!(matches!(result, Err(Error::Missing { .. })), "{rule:?}");
                assert_eq!(w, [1.0; 3], "nothing is written");
                assert!(matches!(run([true; 3], 2).0, Err(Error::Length { expected: 3, got: 2, .. })));
            }
        }
        assert!(
            optimizer_step(&spec, &step(0.1, rule, 1), &mut [1.0f32; 3], &[1.0; 4], None, None, None)
                .is_err()
        );
    }
}

#[test]
fn nan_gradients_are_not_clipped_away() {
    let rule = UpdateRule::Sgd { momentum: 0.0, nesterov: false };
    let spec = OptimizerSpec { rule, weight_decay: 0.0, clip_value: 0.5 };
    let mut w = [1.0f32; 3];
    optimizer_step(&spec, &step(1.0, rule, 1), &mut w, &[f32::NAN, f32::INFINITY, -9.0], None, None, None)
        .unwrap();
    assert!(w[0].is_nan());
    assert_eq!(w[1..], [0.5, 1.5]);
}

#[test]
fn threads_and_position_change_nothing() {
    let n = 400_003;
    let (start, g) = (singles(&numbers(1, n, 1.0)), singles(&numbers(2, n, 1.0)));
    for rule in RULES {
        let spec = plain(rule);
        let step = step(0.01, rule, 1);
        let [one, four] = with_threads(|| {
            let mut w = start.clone();
            let mut s = vec![vec![0.1f32; n]; 3];
            let [m, v, x] = s.get_disjoint_mut([0, 1, 2]).unwrap();
            optimizer_step(&spec, &step, &mut w, &g, Some(m), Some(v), Some(x)).unwrap();
            (w, s)
        });
        assert!(one == four, "{rule:?}");
        let i = n - 1;
        let (mut w, mut s) = ([start[i]], [[0.1f32]; 3]);
        let [m, v, x] = &mut s;
        optimizer_step(&spec, &step, &mut w, &[g[i]], Some(m), Some(v), Some(x)).unwrap();
        assert_eq!(w[0].to_bits(), one.0[i].to_bits(), "{rule:?}");
    }
}

/// While gradients are gathered, nothing moves.
#[test]
fn a_step_on_hold_changes_nothing() {
    for rule in RULES {
        let step = StepParams { phase: cpu_core::HOLD, ..step(0.1, rule, 1) };
        let (mut w, mut slots) = ([1.0f32; 3], [[0.5f32; 3]; 3]);
        let [m, v, x] = &mut slots;
        optimizer_step(&plain(rule), &step, &mut w, &[1.0; 3], Some(m), Some(v), Some(x)).unwrap();
        assert_eq!((w, slots), ([1.0; 3], [[0.5; 3]; 3]), "{rule:?}");
    }
}

/// Adafactor by its formula over three steps: one matrix, one vector, a weight decay, then the trust step.
#[test]
fn adafactor_follows_its_formula() {
    use cpu_core::{Factored, Matrix, Trust, factored_step, segment_norms, trust_step};
    let (rows, cols, len) = (4, 3, 17);
    let matrices = [Matrix { offset: 0, rows: 4, cols: 3 }, Matrix { offset: 12, rows: 0, cols: 5 }];
    let rule = UpdateRule::Adafactor { beta_2_decay: -0.8, epsilon_1: 1e-30 };
    let spec = Factored { epsilon_1: 1e-30, weight_decay: 0.1, clip_value: f32::INFINITY };
    let trust = Trust::Adafactor { epsilon_2: 1e-3, clip_threshold: 1.0 };
    let mut w = numbers(5, len, 1.0);
    let mut want = w.clone();
    let [mut m, mut v, mut x] = [(); 3].map(|()| vec![0.0; len]);
    let (mut r, mut c, mut kept) = (vec![0.0; rows], vec![0.0; cols], vec![0.0; 5]);
    for t in 1..=3u64 {
        let g = numbers(50 + t, len, 1.0);
        let step = step(0.4, rule, t);
        factored_step(&spec, &step, &matrices, &mut w, &g, &mut m, &mut v, &mut x).unwrap();
        let (segments, mut ww, mut xx) = ([0, 12, 12, 5], [0.0; 2], [0.0; 2]);
        segment_norms(&segments, &w, &mut ww).unwrap();
        segment_norms(&segments, &x, &mut xx).unwrap();
        trust_step(trust, &step, &segments, &ww, &xx, &x, &mut w).unwrap();

        let beta = 1.0 - (t as f64).powf(-0.8);
        let rho = 0.4f64.min(1.0 / (t as f64).sqrt());
        let mean = |old: f64, new: f64| beta * old + (1.0 - beta) * new;
        for i in 0..rows {
            r[i] = mean(r[i], (0..cols).map(|j| g[i * cols + j].powi(2)).sum::<f64>() / cols as f64);
        }
        for j in 0..cols {
            c[j] = mean(c[j], (0..rows).map(|i| g[i * cols + j].powi(2)).sum::<f64>() / rows as f64);
        }
        let r_mean = r.iter().sum::<f64>() / rows as f64;
        let mut u: Vec<f64> = (0..12).map(|i| g[i] / (r[i / cols] / r_mean * c[i % cols]).sqrt()).collect();
        for i in 0..5 {
            kept[i] = mean(kept[i], g[12 + i].powi(2));
            u.push(g[12 + i] / kept[i].sqrt());
        }
        want.iter_mut().for_each(|w| *w -= *w * 0.1 * 0.4);
        for range in [0..12, 12..17] {
            let rms = |x: &[f64]| (x.iter().map(|x| x * x).sum::<f64>() / x.len() as f64).sqrt();
            let rate = rms(&want[range.clone()]).max(1e-3) * rho / rms(&u[range.clone()]).max(1.0);
            range.for_each(|i| want[i] -= rate * u[i]);
        }
    }
    // lr, decay and the step's factors are f32.
    w.iter().zip(&want).for_each(|(got, want)| close(*got, *want, 1e-6, 1e-7, "Adafactor"));
    let refused =
        optimizer_step(&plain(rule), &step(0.1, rule, 1), &mut w, &x, Some(&mut m), Some(&mut v), None);
    assert!(refused.is_err());
}
