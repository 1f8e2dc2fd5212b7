// elementwise: y[i] = f(a[i], b[i]) for i < n. One invocation per element, linear grid.
//
// OP 0 add         y = a + b
// OP 1 scale       y = factor * a        (b is not used; a is bound in its place)
// OP 2 add_assign  y = y + a             (likewise)
// OP 3 sub         y = a - b
// OP 4 mul         y = a * b
// OP 5 div         y = a / b
// OP 6 maximum     y = max(a, b), NaN where either is
// OP 7 minimum     y = min(a, b), likewise

struct Params {
    a_at: u32,
    b_at: u32,
    y_at: u32,
    n: u32,
    factor: f32,
}

@group(0) @binding(0) var<storage, read> a: array<f32>;
@group(0) @binding(1) var<storage, read> b: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
@group(0) @binding(3) var<uniform> params: Params;

override WORKGROUP: u32 = 64u;
override OP: u32 = 0u;

const OP_ADD = 0u;
const OP_SCALE = 1u;
const OP_SUB = 3u;
const OP_MUL = 4u;
const OP_DIV = 5u;
const OP_MAX = 6u;
const OP_MIN = 7u;

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
    let value = a[params.a_at + i];
    let at = params.y_at + i;
    switch OP {
        case OP_ADD: { y[at] = value + b[params.b_at + i]; }
        case OP_SUB: { y[at] = value - b[params.b_at + i]; }
        case OP_MUL: { y[at] = value * b[params.b_at + i]; }
        case OP_DIV: { y[at] = value / b[params.b_at + i]; }
        case OP_MAX: {
            let other = b[params.b_at + i];
            y[at] = keep_nan(value, select(other, value, value > other));
        }
        case OP_MIN: {
            let other = b[params.b_at + i];
            y[at] = keep_nan(value, select(other, value, value < other));
        }
        case OP_SCALE: { y[at] = params.factor * value; }
        default: { y[at] += value; }
    }
}
