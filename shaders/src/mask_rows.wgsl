// mask_rows: y[r, c] = x[r, c] where flags[r] has VALID, else `fill` (whatever x holds there). x and y [rows, cols], n elements.
// With fill 0 the same call on dy gives dx. One invocation per element, linear grid.

struct Params {
    flags_at: u32,
    x_at: u32,
    y_at: u32,
    n: u32,
    cols: u32,
    fill: f32,
}

@group(0) @binding(0) var<storage, read> flags: array<u32>;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
@group(0) @binding(3) var<uniform> params: Params;

override WORKGROUP: u32 = 64u;
const VALID = 1u;

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = linear_group(group, groups) * WORKGROUP + lane;
    if i >= params.n {
        return;
    }
    let valid = (flags[params.flags_at + i / params.cols] & VALID) != 0u;
    y[params.y_at + i] = select(params.fill, x[params.x_at + i], valid);
}
