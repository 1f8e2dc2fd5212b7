// optimizer_step: one pass over all parameters: clip the gradient's value, decay the weight, update. The rules and their
// formulas are those of UpdateRule in vocabulary.rs; lr and alpha come from the step record. Slots that a rule does not
// use are bound to a dummy and left alone. In a step on HOLD nothing is written. One invocation per parameter, linear grid, i < n.

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
    // Ftrl: l1, 2 l2, 2 l2_shrinkage; momentum is -learning_rate_power, epsilon is beta
    l1: f32,
    l2: f32,
    shrinkage: f32,
}

@group(0) @binding(0) var<storage, read_write> weights: array<f32>;
@group(0) @binding(1) var<storage, read> grads: array<f32>;
@group(0) @binding(2) var<storage, read_write> m: array<f32>;
@group(0) @binding(3) var<storage, read_write> v: array<f32>;
@group(0) @binding(4) var<storage, read_write> x: array<f32>;
@group(0) @binding(5) var<uniform> params: Params;
@group(1) @binding(0) var<uniform> step: StepParams;

override WORKGROUP: u32 = 64u;
// 0 SGD, 1 RMSprop, 2 Adam, 3 Nadam, 4 Adagrad, 5 Adadelta, 6 Adamax, 7 Lion, 8 Lamb, 9 Ftrl
override RULE: u32 = 0u;
override CLIP: bool = false;
override MOMENTUM: bool = false;
override NESTEROV: bool = false;
override CENTERED: bool = false;
override AMSGRAD: bool = false;

// The running mean of the gradient and of its square, stored.
fn mean(i: u32, g: f32) -> f32 {
    let old = m[params.m_at + i];
    let new_m = old + (g - old) * params.momentum_rest;
    m[params.m_at + i] = new_m;
    return new_m;
}

fn mean_square(i: u32, g: f32) -> f32 {
    let old = v[params.v_at + i];
    let new_v = old + (g * g - old) * params.decay_rest;
    v[params.v_at + i] = new_v;
    return new_v;
}

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = linear_group(group, groups) * WORKGROUP + lane;
    // Gradients are being gathered: nothing moves.
    if i >= params.n || (step.phase & HOLD) != 0u {
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
        case 2u: {
            let new_m = mean(i, g);
            var scale = mean_square(i, g);
            if AMSGRAD {
                scale = keep_nan(scale, max(x[params.x_at + i], scale));
                x[params.x_at + i] = scale;
            }
            w -= step.alpha * new_m / (sqrt(scale) + params.epsilon);
        }
        case 3u: {
            let ahead = step.alpha * mean(i, g) + step.beta * g;
            w -= ahead / (sqrt(mean_square(i, g) * step.gamma) + params.epsilon);
        }
        case 4u: {
            let squares = v[params.v_at + i] + g * g;
            v[params.v_at + i] = squares;
            w -= step.lr * g / sqrt(squares + params.epsilon);
        }
        case 5u: {
            let squares = params.decay * v[params.v_at + i] + params.decay_rest * g * g;
            let moves = x[params.x_at + i];
            let d = g * sqrt(moves + params.epsilon) / sqrt(squares + params.epsilon);
            v[params.v_at + i] = squares;
            x[params.x_at + i] = params.decay * moves + params.decay_rest * d * d;
            w -= step.lr * d;
        }
        case 6u: {
            let largest = keep_nan(g, max(params.decay * v[params.v_at + i], abs(g)));
            v[params.v_at + i] = largest;
            w -= step.alpha * mean(i, g) / (largest + params.epsilon);
        }
        case 7u: {
            let old = m[params.m_at + i];
            let d = params.momentum * old + params.momentum_rest * g;
            m[params.m_at + i] = params.decay * old + params.decay_rest * g;
            w -= step.lr * keep_nan(d, sign(d));
        }
        case 8u: {
            let new_m = mean(i, g);
            x[params.x_at + i] = step.alpha * new_m / (sqrt(step.beta * mean_square(i, g)) + params.epsilon);
        }
        default: {
            let old = v[params.v_at + i];
            let squares = old + g * g;
            let grown = pow(squares, params.momentum);
            let growth = (grown - pow(old, params.momentum)) / step.lr;
            let linear = x[params.x_at + i] + (g + params.shrinkage * w - growth * w);
            v[params.v_at + i] = squares;
            x[params.x_at + i] = linear;
            let cut = clamp(linear, -params.l1, params.l1) - linear;
            // Nothing to move and nothing to divide by: a weight without a gradient yet.
            w = keep_nan(linear, select(cut / ((grown + params.epsilon) / step.lr + params.l2), 0.0, cut == 0.0));
        }
    }
    weights[params.weights_at + i] = w;
}
