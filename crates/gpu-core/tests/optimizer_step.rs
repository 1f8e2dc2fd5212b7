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
    rules
}

/// Keras's step records: Adam's `alpha` corrects the bias of the first steps.
fn step(rule: UpdateRule, lr: f64, t: i32) -> StepParams {
    let alpha = match rule {
        UpdateRule::Adam { beta_1, beta_2, .. } => {
            lr * (1.0 - beta_2.powi(t)).sqrt() / (1.0 - beta_1.powi(t))
        }
        _ => lr,
    };
    StepParams { lr: lr as f32, alpha: alpha as f32, ..StepParams::default() }
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
    let steps: Vec<_> = (1..=5).map(|t| step(spec.rule, 0.01 * f64::from(t), t)).collect();
    let needed = spec.rule.slots();
    let start = Slots {
        weights: numbers(81, n, -1.0, 1.0),
        slots: std::array::from_fn(|i| needed[i].then(|| vec![0.0; n])),
    };
    let grads = numbers(82, n, -2.0, 2.0);
    let got = on_gpu(ctx, spec, &steps, &start, &grads);

    let mut weights = wide(&start.weights);
    let mut slots = start.slots.map(|slot| slot.map(|s| wide(&s)));
    for step in &steps {
        let [m, v, x] = slots.each_mut().map(|slot| slot.as_deref_mut());
        cpu_core::optimizer_step(&spec, step, &mut weights, &wide(&grads), m, v, x).unwrap();
    }
    // Five updates of a dozen roundings each, of numbers around 1; the centred denominator is a difference whose smallest
    // ratio to its terms here is 0.4.
    assert_close(&format!("{spec:?} {n}"), &got.weights, &weights, 5e-6, 5e-6);
    for (name, (got, want)) in ["m", "v", "x"].iter().zip(got.slots.iter().zip(&slots)) {
        if let (Some(got), Some(want)) = (got, want) {
            assert_close(&format!("{name} of {spec:?} {n}"), got, want, 5e-6, 1e-7);
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
