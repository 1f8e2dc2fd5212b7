// trust_step: weights[i] -= rate_s * direction[i] for i in segment s, where the rate depends on the norms of the whole
// segment (Trust in vocabulary/optimizer.rs): LAMB lr |w| / |x|, or lr where one of the norms is 0; Adafactor
// max(epsilon_2, rms(w)) alpha / max(1, rms(x) / clip_threshold).
// One workgroup of 256 invocations per block of at most 4096 values; table[block] = (offset, length, s, length of s).
// In a step on HOLD nothing is written.

struct Params {
    table_at: u32,
    weight_sumsq_at: u32,
    direction_sumsq_at: u32,
    direction_at: u32,
    weights_at: u32,
    blocks: u32,
    epsilon_2: f32,
    clip_threshold: f32,
}

@group(0) @binding(0) var<storage, read> table: array<u32>;
@group(0) @binding(1) var<storage, read> weight_sumsq: array<f32>;
@group(0) @binding(2) var<storage, read> direction_sumsq: array<f32>;
@group(0) @binding(3) var<storage, read> direction: array<f32>;
@group(0) @binding(4) var<storage, read_write> weights: array<f32>;
@group(0) @binding(5) var<uniform> params: Params;
@group(1) @binding(0) var<uniform> step: StepParams;

override LAMB: bool = true;

const GROUP = 256u;

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let block = linear_group(group, groups);
    if block >= params.blocks || (step.phase & HOLD) != 0u {
        return;
    }
    let entry = params.table_at + 4u * block;
    let segment = table[entry + 2u];
    let ww = weight_sumsq[params.weight_sumsq_at + segment];
    let xx = direction_sumsq[params.direction_sumsq_at + segment];
    var rate = step.lr;
    if LAMB {
        if ww > 0.0 && xx > 0.0 {
            rate *= sqrt(ww) / sqrt(xx);
        }
    } else {
        let n = f32(table[entry + 3u]);
        let clip = max(1.0, sqrt(xx / n) / params.clip_threshold);
        rate = max(params.epsilon_2, sqrt(ww / n)) * step.alpha / clip;
    }
    let first = table[entry];
    let end = first + table[entry + 1u];
    for (var i = first + lane; i < end; i += GROUP) {
        weights[params.weights_at + i] -= rate * direction[params.direction_at + i];
    }
}
