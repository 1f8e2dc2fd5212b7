// clip_by_norm: x[i] *= max_norm / norm_s where norm_s = sqrt(sumsq[s]) > max_norm, for i in segment s.
// One workgroup of 256 invocations per block of at most 4096 values; table[block] = (offset, length, s).
// A norm of NaN makes the segment NaN.

struct Params {
    table_at: u32,
    sumsq_at: u32,
    x_at: u32,
    blocks: u32,
    max_norm: f32,
}

@group(0) @binding(0) var<storage, read> table: array<u32>;
@group(0) @binding(1) var<storage, read> sumsq: array<f32>;
@group(0) @binding(2) var<storage, read_write> x: array<f32>;
@group(0) @binding(3) var<uniform> params: Params;

const GROUP = 256u;

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let block = linear_group(group, groups);
    if block >= params.blocks {
        return;
    }
    let entry = params.table_at + 3u * block;
    let sum = sumsq[params.sumsq_at + table[entry + 2u]];
    let norm = keep_nan(sum, sqrt(sum));
    if norm <= params.max_norm && !is_nan(sum) {
        return;
    }
    let factor = keep_nan(sum, params.max_norm / norm);
    let first = params.x_at + table[entry];
    let end = first + table[entry + 1u];
    for (var i = first + lane; i < end; i += GROUP) {
        x[i] *= factor;
    }
}
