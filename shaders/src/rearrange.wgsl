// rearrange: moves values by index, bit for bit (so it serves flags and indices as well as numbers).
// One invocation per element of y, linear grid, i < n in all.
//
// OP 0 copy           y[i] = x[i]
// OP 1 repeat_vector  y[t, j] = x[j]                x [inner],           y [time, inner]
// OP 2 reverse_time   y[t, j] = x[time - 1 - t, j]  x and y [time, inner]
// OP 3 transpose01    y[q, p, j] = x[p, q, j]       x [time, b, inner],  y [b, time, inner]
// OP 4 shift_append   y[t] = x[t + 1], y[time - 1] = tail    x and y [time, inner], tail [inner]

struct Params {
    x_at: u32,
    tail_at: u32,
    y_at: u32,
    n: u32,
    time: u32,
    inner: u32,
    b: u32,
}

@group(0) @binding(0) var<storage, read> x: array<u32>;
// Only shift_append reads it; the others bind x in its place.
@group(0) @binding(1) var<storage, read> tail: array<u32>;
@group(0) @binding(2) var<storage, read_write> y: array<u32>;
@group(0) @binding(3) var<uniform> params: Params;

override WORKGROUP: u32 = 64u;
override OP: u32 = 0u;

const OP_REPEAT = 1u;
const OP_REVERSE = 2u;
const OP_TRANSPOSE = 3u;
const OP_SHIFT = 4u;

// Where in x element i of y comes from. Remainders by subtraction: a division is slow.
fn source(i: u32) -> u32 {
    let inner = params.inner;
    switch OP {
        case OP_REPEAT: { return i % inner; }
        case OP_REVERSE: {
            let t = i / inner;
            return (params.time - 1u - t) * inner + (i - t * inner);
        }
        case OP_TRANSPOSE: {
            let row = i / inner;
            let q = row / params.time;
            return ((row - q * params.time) * params.b + q) * inner + (i - row * inner);
        }
        case OP_SHIFT: { return i + inner; }
        default: { return i; }
    }
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
    let origin = source(i);
    if OP == OP_SHIFT && origin >= params.n {
        y[params.y_at + i] = tail[params.tail_at + origin - params.n];
    } else {
        y[params.y_at + i] = x[params.x_at + origin];
    }
}
