// reset_mask: y[i] = (0 where the row's flag has RESET, else x[i]) * (mask[i % mask_len] where there is a mask)
// + (z[i] where there is z), rows of `cols` elements.

struct Params {
    flags_at: u32,
    x_at: u32,
    mask_at: u32,
    z_at: u32,
    y_at: u32,
    n: u32,
    cols: u32,
    mask_len: u32,
    has_flags: u32,
    has_z: u32,
}

@group(0) @binding(0) var<storage, read> flags: array<u32>;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> mask: array<f32>;
@group(0) @binding(3) var<storage, read> z: array<f32>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;
@group(0) @binding(5) var<uniform> params: Params;

override WORKGROUP: u32 = 64u;
const RESET = 2u;

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
    var value = x[params.x_at + i];
    if params.has_flags != 0u && (flags[params.flags_at + i / params.cols] & RESET) != 0u {
        value = 0.0;
    }
    if params.mask_len != 0u {
        value *= mask[params.mask_at + i % params.mask_len];
    }
    if params.has_z != 0u {
        value += z[params.z_at + i];
    }
    y[params.y_at + i] = value;
}
