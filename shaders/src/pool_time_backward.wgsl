// pool_time_backward: dx[t, b, c] = dy[b, c] / count[b, c] at the VALID steps (all where there are no flags) that took part in
// pool_time: every one of an average, those with x = y of a MAX (equal shares); else 0. n = time * batch * cols.
// One invocation per element of dx, linear grid.

struct Params {
    flags_at: u32,
    x_at: u32,
    y_at: u32,
    count_at: u32,
    dy_at: u32,
    dx_at: u32,
    n: u32,
    batch: u32,
    cols: u32,
    has_flags: u32,
}

@group(0) @binding(0) var<storage, read> flags: array<u32>;
// MAX alone reads x and y; an average binds dy in their place.
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> y: array<f32>;
@group(0) @binding(3) var<storage, read> count: array<f32>;
@group(0) @binding(4) var<storage, read> dy: array<f32>;
@group(0) @binding(5) var<storage, read_write> dx: array<f32>;
@group(0) @binding(6) var<uniform> params: Params;

override WORKGROUP: u32 = 64u;
override MAX: bool = false;

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
    let row = i / params.cols;
    let j = (row % params.batch) * params.cols + (i - row * params.cols);
    var took_part = params.has_flags == 0u || (flags[params.flags_at + row] & VALID) != 0u;
    if MAX {
        took_part = took_part && x[params.x_at + i] == y[params.y_at + j];
    }
    var value = 0.0;
    if took_part {
        value = dy[params.dy_at + j] / count[params.count_at + j];
    }
    dx[params.dx_at + i] = value;
}
