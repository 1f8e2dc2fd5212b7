// weight_penalty: out[block] = sum of l1 |w| + l2 w^2 over a block of a variable; where GRADIENT, its derivative
// l1 sign(w) + 2 l2 w is added to grads. One workgroup of 256 invocations per block of at most 4096 values;
// table[block] = (offset, length, bits of l1, bits of l2). Strided sums, then a tree.

struct Params {
    table_at: u32,
    weights_at: u32,
    grads_at: u32,
    out_at: u32,
    blocks: u32,
}

@group(0) @binding(0) var<storage, read> table: array<u32>;
@group(0) @binding(1) var<storage, read> weights: array<f32>;
@group(0) @binding(2) var<storage, read_write> grads: array<f32>;
@group(0) @binding(3) var<storage, read_write> out: array<f32>;
@group(0) @binding(4) var<uniform> params: Params;

override GRADIENT: bool = false;

const GROUP = 256u;

var<workgroup> partial: array<f32, 256>;

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let block = linear_group(group, groups);
    var sum = 0.0;
    if block < params.blocks {
        let entry = params.table_at + 4u * block;
        let first = table[entry];
        let end = first + table[entry + 1u];
        let l1 = bitcast<f32>(table[entry + 2u]);
        let l2 = bitcast<f32>(table[entry + 3u]);
        for (var i = first + lane; i < end; i += GROUP) {
            let w = weights[params.weights_at + i];
            sum += l1 * abs(w) + l2 * w * w;
            if GRADIENT {
                grads[params.grads_at + i] += l1 * keep_nan(w, sign(w)) + 2.0 * l2 * w;
            }
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
    if lane == 0u && block < params.blocks {
        out[params.out_at + block] = partial[0];
    }
}
