//! Every update rule and option against the f64 twin over several steps, and Keras's golden number.
mod common;
use common::{Guarded, assert_close, numbers, refused, wide};
use gpu_core::vocabulary::{OptimizerSpec, StepParams, UpdateRule};
use gpu_core::{Context, kernels, testing};

fn rules() -> Vec<UpdateRule> {
    let mut rules = Vec::new();
    for momentum in [0.0, 0.9] {
        for flag in [false, true] {
            rules.push(UpdateRule::Sgd { momentum, nesterov: flag });
            rules.push(UpdateRule::RmsProp { rho: 0.9, momentum, epsilon: 1e-7, centered: flag });
        }
    }
    for amsgrad in [false, true] {
        rules.push(UpdateRule::Adam { beta_1: 0.9, beta_2: 0.999, epsilon: 1e-7, amsgrad });
    }
    rules.extend([
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
    ]);
    rules
}

fn step(rule: UpdateRule, lr: f64, t: u64) -> StepParams {
    let [alpha, beta, gamma] = rule.factors(lr, t).map(|x| x as f32);
    StepParams { lr: lr as f32, alpha, beta, gamma, ..StepParams::default() }
}

struct Slots {
    weights: Vec<f32>,
    slots: [Option<Vec<f32>>; 3],
}

fn on_gpu(ctx: &Context, spec: OptimizerSpec, steps: &[StepParams], start: &Slots, grads: &[f32]) -> Slots {
    let n = grads.len();
    let (weights, grads) = (Guarded::new(ctx, &start.weights), Guarded::new(ctx, grads));
    let slots = start.slots.each_ref().map(|slot| slot.as_ref().map(|s| Guarded::new(ctx, s)));
    let [m, v, x] = slots.each_ref().map(|slot| slot.as_ref().map(|s| &s.slice));
    let mut rec = ctx.recorder();
    kernels::optimizer_step(&mut rec, spec, n, &weights.slice, &grads.slice, m, v, x).unwrap();
    ctx.run(&rec.finish().unwrap(), steps).unwrap();
    Slots {
        weights: weights.read(ctx),
        slots: slots.each_ref().map(|slot| slot.as_ref().map(|s| s.read(ctx))),
    }
}

fn check(ctx: &Context, spec: OptimizerSpec, n: usize) {
    let steps: Vec<_> = (1..=5).map(|t| step(spec.rule, 0.01 * t as f64, t)).collect();
    let needed = spec.rule.slots();
    let start = Slots {
        weights: numbers(81, n, -1.0, 1.0),
        slots: std::array::from_fn(|i| needed[i].then(|| vec![spec.rule.start()[i]; n])),
    };
    let mut grads = numbers(82, n, -2.0, 2.0);
    if let UpdateRule::Lion { .. } = spec.rule {
        // A sum that is 0 but for rounding has either sign.
        grads.iter_mut().for_each(|g| *g += g.signum() * 0.01);
    }
    let got = on_gpu(ctx, spec, &steps, &start, &grads);

    let mut weights = wide(&start.weights);
    let mut slots = start.slots.map(|slot| slot.map(|s| wide(&s)));
    for step in &steps {
        let [m, v, x] = slots.each_mut().map(|slot| slot.as_deref_mut());
        cpu_core::optimizer_step(&spec, step, &mut weights, &wide(&grads), m, v, x).unwrap();
    }
    // Ftrl divides the growth of a power by the learning rate: pow is off by 16 units or so, of values up to 4.5, by 0.01.
    let ftrl = matches!(spec.rule, UpdateRule::Ftrl { .. });
    let (loose, loose_slot) = if ftrl { (1e-4, 5e-3) } else { (5e-6, 1e-7) };
    // Five updates of a dozen roundings each, of numbers around 1; the centred denominator is a difference whose smallest
    // ratio to its terms here is 0.4.
    assert_close(&format!("{spec:?} {n}"), &got.weights, &weights, loose, loose);
    for (name, (got, want)) in ["m", "v", "x"].iter().zip(got.slots.iter().zip(&slots)) {
        if let (Some(got), Some(want)) = (got, want) {
            assert_close(&format!("{name} of {spec:?} {n}"), got, want, 5e-6, loose_slot);
        }
    }
}

#[test]
fn every_rule_and_option() {
    let Some(ctx) = testing::context() else { return };
    for rule in rules() {
        for n in [1, 65, 4097] {
            check(&ctx, OptimizerSpec { rule, weight_decay: 0.0, clip_value: f32::INFINITY }, n);
        }
        check(&ctx, OptimizerSpec { rule, weight_decay: 0.1, clip_value: 0.75 }, 100);
    }
}

#[test]
fn keras_adam_golden() {
    let Some(ctx) = testing::context() else { return };
    let rule = UpdateRule::Adam { beta_1: 0.9, beta_2: 0.999, epsilon: 1e-7, amsgrad: false };
    let spec = OptimizerSpec { rule, weight_decay: 0.0, clip_value: f32::INFINITY };
    let start = Slots { weights: vec![1.0], slots: [Some(vec![0.0]), Some(vec![0.0]), None] };
    let got = on_gpu(&ctx, spec, &[step(rule, 0.1, 1)], &start, &[1e-4]);
    assert_close("w", &got.weights, &[0.903066], 1e-6, 0.0);
}

#[test]
fn nan_gradients_reach_the_weights_and_infinite_ones_are_clipped() {
    let Some(ctx) = testing::context() else { return };
    for rule in rules() {
        let spec = OptimizerSpec { rule, weight_decay: 0.0, clip_value: 1.0 };
        let needed = rule.slots();
        let start =
            Slots { weights: vec![1.0; 3], slots: std::array::from_fn(|i| needed[i].then(|| vec![0.0; 3])) };
        let got = on_gpu(&ctx, spec, &[step(rule, 0.1, 1)], &start, &[f32::NAN, f32::INFINITY, 1.0]).weights;
        if let UpdateRule::Lamb { .. } = rule {
            // It leaves the weights to the norms of whole variables.
            continue;
        }
        assert!(got[0].is_nan(), "{rule:?}: {got:?}");
        assert_eq!(got[1], got[2], "{rule:?}");
    }
}

#[test]
fn bad_arguments_are_refused() {
    let Some(ctx) = testing::context() else { return };
    let (five, two) = (ctx.alloc(5).unwrap().all(), ctx.alloc(2).unwrap().all());
    let rule = UpdateRule::Sgd { momentum: 0.5, nesterov: false };
    let spec = OptimizerSpec { rule, weight_decay: 0.0, clip_value: f32::INFINITY };
    let call = |m| refused(&ctx, |rec| kernels::optimizer_step(rec, spec, 5, &five, &five, m, None, None));
    assert_eq!(call(Some(&two)), "optimizer_step: m needs 5 elements, got 2");
    assert_eq!(call(None), format!("optimizer_step: {rule:?} needs the slot m"));
}

#[test]
fn a_step_on_hold_changes_nothing() {
    let Some(ctx) = testing::context() else { return };
    for rule in rules() {
        let spec = OptimizerSpec { rule, weight_decay: 0.1, clip_value: 1.0 };
        let start =
            Slots { weights: vec![1.0; 3], slots: rule.slots().map(|needed| needed.then(|| vec![0.5; 3])) };
        let hold = StepParams { phase: gpu_core::vocabulary::HOLD, ..step(rule, 0.1, 1) };
        let got = on_gpu(&ctx, spec, &[hold], &start, &[1.0; 3]);
        assert_eq!((got.weights, got.slots), (start.weights.clone(), start.slots.clone()), "{rule:?}");
    }
}
