// random: out[i] = element i of a random stream (philox.wgsl), uniform in [0, 1), or with BITS the raw word.
// One invocation per block of four elements, linear grid, i < n.

struct Params {
    out_at: u32,
    n: u32,
    seed_lo: u32,
    seed_hi: u32,
    // words 0, 1 and 3 of the counter of the first block; word 2 is the step record's rng_step
    block: u32,
    stream: u32,
    word3: u32,
}

@group(0) @binding(0) var<storage, read_write> out: array<u32>;
@group(0) @binding(1) var<uniform> params: Params;
@group(1) @binding(0) var<uniform> step: StepParams;

override WORKGROUP: u32 = 64u;
override BITS: bool = false;

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let block = linear_group(group, groups) * WORKGROUP + lane;
    let first = block * 4u;
    if first >= params.n {
        return;
    }
    let counter = vec4(params.block + block, params.stream, step.rng_step, params.word3);
    let bits = philox(counter, vec2(params.seed_lo, params.seed_hi));
    let words = select(bitcast<vec4<u32>>(unit_interval(bits)), bits, BITS);
    for (var j = 0u; j < min(4u, params.n - first); j++) {
        out[params.out_at + first + j] = words[j];
    }
}
