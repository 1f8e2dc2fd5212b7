// copy: y[i] = x[i] for i < n, in vectors of four words, bit for bit. One invocation per vector, linear grid.
// Starts and n are multiples of 4; rearrange copies what is not.

struct Params {
    x_at: u32,
    y_at: u32,
    n: u32,
}

@group(0) @binding(0) var<storage, read> x: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read_write> y: array<vec4<u32>>;
@group(0) @binding(2) var<uniform> params: Params;

override WORKGROUP: u32 = 64u;

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = linear_group(group, groups) * WORKGROUP + lane;
    if i < params.n / 4u {
        y[params.y_at / 4u + i] = x[params.x_at / 4u + i];
    }
}
