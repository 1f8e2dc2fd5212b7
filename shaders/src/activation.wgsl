// activation: y[i] = act(x[i]), or BACKWARD: y[i] = dy[i] * act'(x[i]), where x is what act_grad needs (the output of
// the forward pass, or its input for silu and gelu). i < n, one invocation per element, linear grid.

struct Params {
    x_at: u32,
    dy_at: u32,
    y_at: u32,
    n: u32,
}

@group(0) @binding(0) var<storage, read> x: array<f32>;
// Forward: not used, x is bound in its place.
@group(0) @binding(1) var<storage, read> dy: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
@group(0) @binding(3) var<uniform> params: Params;

override WORKGROUP: u32 = 64u;
override BACKWARD: bool = false;

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
    let value = x[params.x_at + i];
    if BACKWARD {
        y[params.y_at + i] = dy[params.dy_at + i] * act_grad(value);
    } else {
        y[params.y_at + i] = act(value);
    }
}
