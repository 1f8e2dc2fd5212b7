// maximum_backward: da[i] = dy[i] where a[i] > b[i], half of it where they are equal, else 0: the gradient of max(a, b) by a.
// i < n. One invocation per element, linear grid.

struct Params {
    a_at: u32,
    b_at: u32,
    dy_at: u32,
    da_at: u32,
    n: u32,
}

@group(0) @binding(0) var<storage, read> a: array<f32>;
@group(0) @binding(1) var<storage, read> b: array<f32>;
@group(0) @binding(2) var<storage, read> dy: array<f32>;
@group(0) @binding(3) var<storage, read_write> da: array<f32>;
@group(0) @binding(4) var<uniform> params: Params;

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
    let left = a[params.a_at + i];
    let right = b[params.b_at + i];
    let upstream = dy[params.dy_at + i];
    da[params.da_at + i] = select(select(0.0, 0.5 * upstream, left == right), upstream, left > right);
}
