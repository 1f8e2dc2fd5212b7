// pack: y[i, j] = x[i * x_row + j * x_col] for j < cols, else 0; i < rows, j < ld. Copies a matrix into rows of ld
// elements, transposed where the strides say so: what the vector loads of other kernels want.

struct Params {
    x_at: u32,
    y_at: u32,
    rows: u32,
    cols: u32,
    ld: u32,
    x_row: u32,
    x_col: u32,
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
    let e = linear_group(group, groups) * WORKGROUP + lane;
    let i = e / params.ld;
    let j = e % params.ld;
    if i < params.rows {
        var value = 0.0;
        if j < params.cols {
            value = x[params.x_at + i * params.x_row + j * params.x_col];
        }
        y[params.y_at + e] = value;
    }
}
