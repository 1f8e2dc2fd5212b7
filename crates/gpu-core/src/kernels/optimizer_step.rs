//! An optimiser's update of all parameters in one dispatch.
use super::operands::{ELEMENT_GROUP, apart, size};
use crate::buffer::expect_len;
use crate::{Call, Error, Groups, Recorder, Result, Slice};
use rnn_shaders::optimizer_step::{KERNEL, Params};
use rnn_shaders::vocabulary::{OptimizerSpec, UpdateRule};

/// Clips the gradients by value, decays the weights, updates them, in one pass: `params`, `grads` and the slots `m`, `v`,
/// `x` have `n` elements each; which slots the rule needs is [`UpdateRule::slots`], and others are left alone. `lr` and
/// `alpha` come from the step record.
///
/// # Errors
/// [`ShapeMismatch`](Error::ShapeMismatch) where a length is not `n`; [`InvalidArgument`](Error::InvalidArgument) where a
/// slot that the rule needs is absent.
pub fn optimizer_step(
    rec: &mut Recorder,
    spec: OptimizerSpec,
    n: usize,
    params: &Slice,
    grads: &Slice,
    m: Option<&Slice>,
    v: Option<&Slice>,
    x: Option<&Slice>,
) -> Result<()> {
    const NAME: &str = "optimizer_step";
    expect_len(NAME, "params", params, n)?;
    expect_len(NAME, "grads", grads, n)?;
    let mut slots = Vec::with_capacity(3);
    for ((name, slot), needed) in [("m", m), ("v", v), ("x", x)].into_iter().zip(spec.rule.slots()) {
        slots.push(match (needed, slot) {
            (true, Some(slot)) => {
                expect_len(NAME, name, slot, n)?;
                slot.clone()
            }
            (true, None) => {
                return Err(Error::InvalidArgument {
                    operation: NAME,
                    reason: format!("{:?} needs the slot {name}", spec.rule),
                });
            }
            // Written through its binding as far as the driver knows, so it cannot be the shared read-only dummy.
            (false, _) => rec.scratch(1)?,
        });
    }
    if n == 0 {
        return Ok(());
    }
    let flag = |on: bool| f64::from(u8::from(on));
    let (rule, [momentum, decay, epsilon]) = match spec.rule {
        UpdateRule::Sgd { momentum, .. } => (0.0, [momentum, 0.0, 0.0]),
        UpdateRule::RmsProp { rho, momentum, epsilon, .. } => (1.0, [momentum, rho, epsilon]),
        UpdateRule::Adam { beta_1, beta_2, epsilon, .. } => (2.0, [beta_1, beta_2, epsilon]),
        UpdateRule::Nadam { beta_1, beta_2, epsilon } => (3.0, [beta_1, beta_2, epsilon]),
        UpdateRule::Adagrad { epsilon, .. } => (4.0, [0.0, 0.0, epsilon]),
        UpdateRule::Adadelta { rho, epsilon } => (5.0, [0.0, rho, epsilon]),
        UpdateRule::Adamax { beta_1, beta_2, epsilon } => (6.0, [beta_1, beta_2, epsilon]),
        UpdateRule::Lion { beta_1, beta_2 } => (7.0, [beta_1, beta_2, 0.0]),
        UpdateRule::Lamb { beta_1, beta_2, epsilon } => (8.0, [beta_1, beta_2, epsilon]),
        UpdateRule::Ftrl { learning_rate_power, beta, .. } => (9.0, [-learning_rate_power, 0.0, beta]),
        UpdateRule::Adafactor { .. } => (10.0, [0.0; 3]),
    };
    if let UpdateRule::Adafactor { .. } = spec.rule {
        return Err(Error::InvalidArgument {
            operation: NAME,
            reason: "Adafactor works on matrices; call factored_step and trust_step".to_owned(),
        });
    }
    let (l1, l2, shrinkage) = match spec.rule {
        UpdateRule::Ftrl { l1, l2, l2_shrinkage, .. } => (l1, 2.0 * l2, 2.0 * l2_shrinkage),
        _ => (0.0, 0.0, 0.0),
    };
    let nesterov = matches!(spec.rule, UpdateRule::Sgd { nesterov: true, .. });
    let centered = matches!(spec.rule, UpdateRule::RmsProp { centered: true, .. });
    let amsgrad = matches!(spec.rule, UpdateRule::Adam { amsgrad: true, .. });
    let clip = spec.clip_value.is_finite();
    let grads = apart(rec, grads, &[params, &slots[0], &slots[1], &slots[2]])?;
    rec.call(Call {
        kernel: &KERNEL,
        overrides: &[
            ("RULE", rule),
            ("CLIP", flag(clip)),
            ("MOMENTUM", flag(rule <= 1.0 && momentum != 0.0)),
            ("NESTEROV", flag(nesterov)),
            ("CENTERED", flag(centered)),
            ("AMSGRAD", flag(amsgrad)),
        ],
        buffers: &[params, &grads, &slots[0], &slots[1], &slots[2]],
        params: bytemuck::bytes_of(&Params {
            n: size(NAME, n)?,
            clip_value: if clip { spec.clip_value } else { 0.0 },
            weight_decay: spec.weight_decay,
            momentum: momentum as f32,
            momentum_rest: (1.0 - momentum) as f32,
            decay: decay as f32,
            decay_rest: (1.0 - decay) as f32,
            epsilon: epsilon as f32,
            l1: l1 as f32,
            l2: l2 as f32,
            shrinkage: shrinkage as f32,
            ..Default::default()
        }),
        groups: Groups::linear(n, ELEMENT_GROUP),
        flops: 15.0 * n as f64,
    })
}
