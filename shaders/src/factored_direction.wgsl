// factored_direction: Adafactor's direction x = g / sqrt(v), g clipped by value. For a matrix [rows, cols] with the means r (in
// m) and c (in v) of factored_means, v = r[row] / mean(r) c[col]; for a vector v is kept: v = beta v + (1 - beta)(g^2 + epsilon).
// Weights decay on the way: w -= w weight_decay lr. One workgroup of 256 invocations per block of at most 4096 values of
// one matrix or vector; table[block] = (offset of the matrix, first, length, rows, cols), rows 0 for a vector. In a step on
// HOLD nothing is written.

struct Params {
    table_at: u32,
    grads_at: u32,
    m_at: u32,
    v_at: u32,
    x_at: u32,
    weights_at: u32,
    blocks: u32,
    epsilon: f32,
    clip_value: f32,
    weight_decay: f32,
}

@group(0) @binding(0) var<storage, read> table: array<u32>;
@group(0) @binding(1) var<storage, read> grads: array<f32>;
@group(0) @binding(2) var<storage, read_write> m: array<f32>;
@group(0) @binding(3) var<storage, read_write> v: array<f32>;
@group(0) @binding(4) var<storage, read_write> x: array<f32>;
@group(0) @binding(5) var<storage, read_write> weights: array<f32>;
@group(0) @binding(6) var<uniform> params: Params;
@group(1) @binding(0) var<uniform> step: StepParams;

const GROUP = 256u;

var<workgroup> partial: array<f32, 256>;

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let number = linear_group(group, groups);
    let entry = params.table_at + 5u * min(number, params.blocks - 1u);
    let offset = table[entry];
    let rows = table[entry + 3u];
    let cols = table[entry + 4u];
    var sum = 0.0;
    for (var r = lane; r < rows; r += GROUP) {
        sum += m[params.m_at + offset + r];
    }
    partial[lane] = sum;
    workgroupBarrier();
    for (var half = GROUP / 2u; half > 0u; half /= 2u) {
        if lane < half {
            partial[lane] += partial[lane + half];
        }
        workgroupBarrier();
    }
    let mean = partial[0] / f32(max(rows, 1u));
    if number >= params.blocks || (step.phase & HOLD) != 0u {
        return;
    }
    let first = table[entry + 1u];
    for (var i = first + lane; i < first + table[entry + 2u]; i += GROUP) {
        let raw = grads[params.grads_at + i];
        let g = keep_nan(raw, clamp(raw, -params.clip_value, params.clip_value));
        var square = 0.0;
        if rows == 0u {
            square = step.beta * v[params.v_at + i] + (1.0 - step.beta) * (g * g + params.epsilon);
            v[params.v_at + i] = square;
        } else {
            let within = i - offset;
            square = m[params.m_at + offset + within / cols] / mean * v[params.v_at + offset + within % cols];
        }
        x[params.x_at + i] = g / sqrt(square);
        let w = weights[params.weights_at + i];
        weights[params.weights_at + i] = w - w * params.weight_decay * step.lr;
    }
}
