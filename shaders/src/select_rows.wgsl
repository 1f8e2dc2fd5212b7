// select_rows: y[r, c] = a[r, c] where flags[r] has `bit`, else b[r, c]; zeros stand for an array that is not there.
// a, b and y [rows, cols], n elements. The same with dy for a alone gives da, for b alone db. One invocation per element,
// linear grid.

struct Params {
    flags_at: u32,
    a_at: u32,
    b_at: u32,
    y_at: u32,
    n: u32,
    cols: u32,
    bit: u32,
    has_a: u32,
    has_b: u32,
}

@group(0) @binding(0) var<storage, read> flags: array<u32>;
@group(0) @binding(1) var<storage, read> a: array<f32>;
@group(0) @binding(2) var<storage, read> b: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;
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
    var value = 0.0;
    if (flags[params.flags_at + i / params.cols] & params.bit) != 0u {
        if params.has_a != 0u {
            value = a[params.a_at + i];
        }
    } else if params.has_b != 0u {
        value = b[params.b_at + i];
    }
    y[params.y_at + i] = value;
}
