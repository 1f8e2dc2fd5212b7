// penalty: the regulariser l1 |x| + l2 x^2.
// forward    y[s] = sum of l1 |x[i]| + l2 x[i]^2 over i = s, s + sums, ... of x [n]; the launcher adds the `sums` partial sums
// BACKWARD   y[i] += scale (l1 sign(x[i]) + 2 l2 x[i]), sign(0) = 0
// One invocation per element of y, linear grid.

struct Params {
    x_at: u32,
    y_at: u32,
    n: u32,
    sums: u32,
    l1: f32,
    l2: f32,
    scale: f32,
}

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@group(0) @binding(2) var<uniform> params: Params;

override WORKGROUP: u32 = 64u;
override BACKWARD: bool = false;

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = linear_group(group, groups) * WORKGROUP + lane;
    if BACKWARD {
        if i < params.n {
            let value = x[params.x_at + i];
            let side = select(select(0.0, -1.0, value < 0.0), 1.0, value > 0.0);
            y[params.y_at + i] += params.scale * (params.l1 * side + 2.0 * params.l2 * value);
        }
        return;
    }
    if i >= params.sums {
        return;
    }
    var sum = 0.0;
    for (var j = i; j < params.n; j += params.sums) {
        let value = x[params.x_at + j];
        sum += params.l1 * abs(value) + params.l2 * value * value;
    }
    y[params.y_at + i] = sum;
}
