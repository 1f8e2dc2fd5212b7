// keep_largest: y[r, c] = x[r, c] where fewer than k elements of row r come before it, else `fill`. Before it come the larger
// ones, and of equal ones those in front. x and y [rows, cols], n elements. A NaN stays, and comes before nothing. One
// invocation per element, linear grid; each goes over its row.

struct Params {
    x_at: u32,
    y_at: u32,
    n: u32,
    cols: u32,
    k: u32,
    fill: f32,
}

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@group(0) @binding(2) var<uniform> params: Params;

override WORKGROUP: u32 = 64u;

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
    let own = x[params.x_at + i];
    let column = i % params.cols;
    let row = params.x_at + i - column;
    var before = 0u;
    for (var c = 0u; c < params.cols; c++) {
        let other = x[row + c];
        before += u32(other > own || (other == own && c < column));
    }
    y[params.y_at + i] = keep_nan(own, select(params.fill, own, before < params.k));
}
