// copy_block: y[i*y0 + j*y1 + k*y2] = x[i*x0 + j*x1 + k*x2] over i < n0, j < n1, k < n2, or += with ACCUMULATE. Copies
// bits (so it serves flags as well as numbers); ACCUMULATE adds f32. A stride of 0 in x repeats; positions in y differ.
// One invocation per element, k fastest, linear grid.

struct Params {
    x_at: u32,
    y_at: u32,
    n0: u32,
    n1: u32,
    n2: u32,
    x0: u32,
    x1: u32,
    x2: u32,
    y0: u32,
    y1: u32,
    y2: u32,
}

@group(0) @binding(0) var<storage, read> x: array<u32>;
@group(0) @binding(1) var<storage, read_write> y: array<u32>;
@group(0) @binding(2) var<uniform> params: Params;

override WORKGROUP: u32 = 64u;
override ACCUMULATE: bool = false;

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let e = linear_group(group, groups) * WORKGROUP + lane;
    // Remainders by subtraction: a division is slow.
    let row = e / params.n2;
    let k = e - row * params.n2;
    let i = row / params.n1;
    let j = row - i * params.n1;
    if i >= params.n0 {
        return;
    }
    let value = x[params.x_at + i * params.x0 + j * params.x1 + k * params.x2];
    let at = params.y_at + i * params.y0 + j * params.y1 + k * params.y2;
    if ACCUMULATE {
        y[at] = bitcast<u32>(bitcast<f32>(y[at]) + bitcast<f32>(value));
    } else {
        y[at] = value;
    }
}
