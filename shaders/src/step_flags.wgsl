// step_flags: makes flags [time, batch] from numbers, x(t, b, c) = x[t * time_stride + b * batch_stride + c], c < cols:
// OP 0 values     VALID where any x(t, b, c) differs from `value` (NaN differs)
// OP 1 lengths    VALID where t < x[b]
// OP 2 segments   VALID where x(t, b, 0) is not 0; RESET at t = 0 and where that is so and x(t - 1, b, 0) is another number
// One invocation per flag, linear grid.

struct Params {
    x_at: u32,
    flags_at: u32,
    n: u32,
    batch: u32,
    cols: u32,
    time_stride: u32,
    batch_stride: u32,
    value: f32,
}

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> flags: array<u32>;
@group(0) @binding(2) var<uniform> params: Params;

override WORKGROUP: u32 = 64u;
override OP: u32 = 0u;

const VALID = 1u;
const RESET = 2u;

fn differs(a: f32, b: f32) -> bool {
    return a != b || is_nan(a) || is_nan(b);
}

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
    let t = i / params.batch;
    let b = i - t * params.batch;
    let at = params.x_at + t * params.time_stride + b * params.batch_stride;
    var flag = 0u;
    if OP == 0u {
        for (var c = 0u; c < params.cols && flag == 0u; c++) {
            flag = select(0u, VALID, differs(x[at + c], params.value));
        }
    } else if OP == 1u {
        flag = select(0u, VALID, f32(t) < x[params.x_at + b]);
    } else {
        flag = select(0u, VALID, differs(x[at], 0.0));
        if t == 0u {
            flag |= RESET;
        } else if flag != 0u && differs(x[at], x[at - params.time_stride]) {
            flag |= RESET;
        }
    }
    flags[params.flags_at + i] = flag;
}
