// dropout: y[i] = x[i] / (1 - rate) where u[i] >= rate, else 0; u is a stream of philox.wgsl. i < n.
// The same call on dy gives dx. One invocation per block of four elements, linear grid.

struct Params {
    x_at: u32,
    y_at: u32,
    n: u32,
    seed_lo: u32,
    seed_hi: u32,
    stream: u32,
    rate: f32,
    // 1 / (1 - rate)
    scale: f32,
}

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@group(0) @binding(2) var<uniform> params: Params;
@group(1) @binding(0) var<uniform> step: StepParams;

override WORKGROUP: u32 = 64u;

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
    let counter = vec4(block, params.stream, step.rng_step, 0u);
    let u = unit_interval(philox(counter, vec2(params.seed_lo, params.seed_hi)));
    for (var j = 0u; j < min(4u, params.n - first); j++) {
        let i = first + j;
        y[params.y_at + i] = select(0.0, x[params.x_at + i] * params.scale, u[j] >= params.rate);
    }
}
