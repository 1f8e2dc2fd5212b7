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

/// `alpha` as the vocabulary defines it.
fn step(lr: f64, rule: UpdateRule, t: i32) -> StepParams {
    let alpha = match rule {
        UpdateRule::Adam { beta_1, beta_2, .. } => {
            lr * (1.0 - beta_2.powi(t)).sqrt() / (1.0 - beta_1.powi(t))
        }
        _ => lr,
    };
    StepParams { lr: lr as f32, alpha: alpha as f32, ..Default::default() }
}

const RULES: [UpdateRule; 10] = [
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
}

impl Reference {
    fn update(&mut self, spec: &OptimizerSpec, step: &StepParams, g: f64) {
        let (lr, alpha, clip) = (f64::from(step.lr), f64::from(step.alpha), f64::from(spec.clip_value));
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
                self.m += (g - self.m) * (1.0 - beta_1);
                self.v += (g * g - self.v) * (1.0 - beta_2);
                self.x = self.x.max(self.v);
                let square = if amsgrad { self.x } else { self.v };
                self.w -= alpha * self.m / (square.sqrt() + epsilon);
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
            let mut reference: Vec<Reference> =
                start.iter().map(|&w| Reference { w, ..Default::default() }).collect();
            let (mut w, mut w32) = (start.clone(), singles(&start));
            let (mut s, mut s32) = (vec![vec![0.0f64; n]; 3], vec![vec![0.0f32; n]; 3]);
            for t in 1..=20 {
                let g = numbers(100 + t as u64, n, 1.0);
                let step = step(0.01, rule, t);
                reference.iter_mut().zip(&g).for_each(|(r, &g)| r.update(&spec, &step, g));
                let [m, v, x] = s.get_disjoint_mut([0, 1, 2]).unwrap();
                optimizer_step(&spec, &step, &mut w, &g, Some(m), Some(v), Some(x)).unwrap();
                let [m, v, x] = s32.get_disjoint_mut([0, 1, 2]).unwrap();
                optimizer_step(&spec, &step, &mut w32, &singles(&g), Some(m), Some(v), Some(x)).unwrap();
            }
            for i in 0..n {
                close(w[i], reference[i].w, 1e-12, 1e-14, &format!("{rule:?}"));
                // Twenty roundings of a weight of 1; the centred variance cancels where gradients repeat.
                close(f64::from(w32[i]), reference[i].w, 2e-6, 5e-6, &format!("{rule:?} in f32"));
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
