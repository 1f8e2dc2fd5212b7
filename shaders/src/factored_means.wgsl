// factored_means: the running means of squared gradients over rows and columns that Adafactor keeps in place of one per
// weight: out = beta out + (1 - beta) mean(g^2 + epsilon), g clipped by value, beta from the step record.
// One workgroup of 256 invocations per mean; table[entry] = (first, count, stride, place, into): a row (into m) or a
// column (into v) of a matrix. Strided sums, then a tree. In a step on HOLD nothing is written.

struct Params {
    table_at: u32,
    grads_at: u32,
    m_at: u32,
    v_at: u32,
    entries: u32,
    epsilon: f32,
    clip_value: f32,
}

@group(0) @binding(0) var<storage, read> table: array<u32>;
@group(0) @binding(1) var<storage, read> grads: array<f32>;
@group(0) @binding(2) var<storage, read_write> m: array<f32>;
@group(0) @binding(3) var<storage, read_write> v: array<f32>;
@group(0) @binding(4) var<uniform> params: Params;
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
    let inside = number < params.entries;
    let entry = params.table_at + 5u * min(number, params.entries - 1u);
    let count = table[entry + 1u];
    let stride = table[entry + 2u];
    var sum = 0.0;
    if inside {
        for (var i = lane; i < count; i += GROUP) {
            let raw = grads[params.grads_at + table[entry] + i * stride];
            let g = keep_nan(raw, clamp(raw, -params.clip_value, params.clip_value));
            sum += g * g + params.epsilon;
        }
    }
    partial[lane] = sum;
    workgroupBarrier();
    for (var half = GROUP / 2u; half > 0u; half /= 2u) {
        if lane < half {
            partial[lane] += partial[lane + half];
        }
        workgroupBarrier();
    }
    if lane == 0u && inside && (step.phase & HOLD) == 0u {
        let mean = (1.0 - step.beta) * (partial[0] / f32(count));
        let place = table[entry + 3u];
        if table[entry + 4u] == 0u {
            m[params.m_at + place] = step.beta * m[params.m_at + place] + mean;
        } else {
            v[params.v_at + place] = step.beta * v[params.v_at + place] + mean;
        }
    }
}
