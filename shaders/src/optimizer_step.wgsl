// optimizer_step: one pass over all parameters: clip the gradient's value, decay the weight, update. The rules and their
// formulas are those of UpdateRule in vocabulary.rs; lr and alpha come from the step record. Slots that a rule does not
// use are bound to a dummy and left alone. One invocation per parameter, linear grid, i < n.

struct Params {
    weights_at: u32,
    grads_at: u32,
    m_at: u32,
    v_at: u32,
    x_at: u32,
    n: u32,
    clip_value: f32,
    weight_decay: f32,
    // SGD and RMSprop: momentum; Adam: beta_1
    momentum: f32,
    // 1 - momentum, rounded once; likewise for decay
    momentum_rest: f32,
    // RMSprop: rho; Adam: beta_2
    decay: f32,
    decay_rest: f32,
    epsilon: f32,
}

@group(0) @binding(0) var<storage, read_write> weights: array<f32>;
@group(0) @binding(1) var<storage, read> grads: array<f32>;
@group(0) @binding(2) var<storage, read_write> m: array<f32>;
@group(0) @binding(3) var<storage, read_write> v: array<f32>;
@group(0) @binding(4) var<storage, read_write> x: array<f32>;
@group(0) @binding(5) var<uniform> params: Params;
@group(1) @binding(0) var<uniform> step: StepParams;

override WORKGROUP: u32 = 64u;
// 0 SGD, 1 RMSprop, 2 Adam
override RULE: u32 = 0u;
override CLIP: bool = false;
override MOMENTUM: bool = false;
override NESTEROV: bool = false;
override CENTERED: bool = false;
override AMSGRAD: bool = false;

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = linear_group(group, groups) * WORKGROUP + lane;
    if i >= params.n {
        return;
    }
    var g = grads[params.grads_at + i];
    if CLIP {
        g = keep_nan(g, clamp(g, -params.clip_value, params.clip_value));
    }
    var w = weights[params.weights_at + i];
    w -= w * params.weight_decay * step.lr;
    switch RULE {
        case 0u: {
            var increment = -step.lr * g;
            if MOMENTUM {
                let velocity = params.momentum * m[params.m_at + i] + increment;
                m[params.m_at + i] = velocity;
                if NESTEROV {
                    increment += params.momentum * velocity;
                } else {
                    increment = velocity;
                }
            }
            w += increment;
        }
        case 1u: {
            let mean_square = params.decay * v[params.v_at + i] + params.decay_rest * g * g;
            v[params.v_at + i] = mean_square;
            var centred = mean_square;
            if CENTERED {
                let mean = params.decay * x[params.x_at + i] + params.decay_rest * g;
                x[params.x_at + i] = mean;
                centred -= mean * mean;
            }
            var increment = step.lr * g / sqrt(centred + params.epsilon);
            if MOMENTUM {
                increment += params.momentum * m[params.m_at + i];
                m[params.m_at + i] = increment;
            }
            w -= increment;
        }
        default: {
            let old_m = m[params.m_at + i];
            let old_v = v[params.v_at + i];
            let new_m = old_m + (g - old_m) * params.momentum_rest;
            let new_v = old_v + (g * g - old_v) * params.decay_rest;
            m[params.m_at + i] = new_m;
            v[params.v_at + i] = new_v;
            var scale = new_v;
            if AMSGRAD {
                scale = keep_nan(new_v, max(x[params.x_at + i], new_v));
                x[params.x_at + i] = scale;
            }
            w -= step.alpha * new_m / (sqrt(scale) + params.epsilon);
        }
    }
    weights[params.weights_at + i] = w;
}
