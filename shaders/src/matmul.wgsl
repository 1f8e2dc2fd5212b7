// matmul: c[i, j] (+)= act(sum_k a(i, k) b[k, j] + bias[j]), i < m, j < n; b and c rows in vec4.
// One invocation owns 8 rows x 16 columns: a is read at uniform addresses, one number for all lanes; lanes lie along columns.
// This face suits software adapters (two vectors of weights feed 8 rows); columns past n are computed from clamped
// addresses and not stored. Strides of a are free, so a transpose of a costs nothing.

struct Params {
    a_at: u32,
    b_at: u32,
    bias_at: u32,
    c_at: u32,
    m: u32,
    n: u32,
    k: u32,
    a_row: u32,
    a_k: u32,
    b_k: u32,
    b_col: u32,
    ldc: u32,
    stride_a: u32,
    stride_b: u32,
    stride_c: u32,
    has_bias: u32,
    accumulate: u32,
}

@group(0) @binding(0) var<storage, read> a: array<f32>;
@group(0) @binding(1) var<storage, read> b: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> bias: array<f32>;
@group(0) @binding(3) var<storage, read_write> c: array<vec4<f32>>;
@group(0) @binding(4) var<uniform> params: Params;

const WORKGROUP = 8u;

var<workgroup> park: array<vec4<f32>, 256>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let row = group.y * 8u;
    let col = (group.x * WORKGROUP + lane) * 4u;
    let cols = params.n / 4u;
    let last = params.m - 1u;
    let origin = params.a_at + group.z * params.stride_a;
    let r0 = origin + min(row, last) * params.a_row;
    let r1 = origin + min(row + 1u, last) * params.a_row;
    let r2 = origin + min(row + 2u, last) * params.a_row;
    let r3 = origin + min(row + 3u, last) * params.a_row;
    let r4 = origin + min(row + 4u, last) * params.a_row;
    let r5 = origin + min(row + 5u, last) * params.a_row;
    let r6 = origin + min(row + 6u, last) * params.a_row;
    let r7 = origin + min(row + 7u, last) * params.a_row;
    let start = (params.b_at + group.z * params.stride_b) / 4u;
    let step = params.b_k / 4u;
    var b0 = start + min(col, cols - 1u);
    var b1 = start + min(col + 1u, cols - 1u);
    var b2 = start + min(col + 2u, cols - 1u);
    var b3 = start + min(col + 3u, cols - 1u);
    var t0 = mat4x4<f32>();
    var t1 = mat4x4<f32>();
    var t2 = mat4x4<f32>();
    var t3 = mat4x4<f32>();
    var t4 = mat4x4<f32>();
    var t5 = mat4x4<f32>();
    var t6 = mat4x4<f32>();
    var t7 = mat4x4<f32>();
    var at = 0u;
    for (var k = 0u; k < params.k; k++) {
        let w = mat4x4<f32>(b[b0], b[b1], b[b2], b[b3]);
        t0 += a[r0 + at] * w;
        t1 += a[r1 + at] * w;
        t2 += a[r2 + at] * w;
        t3 += a[r3 + at] * w;
        t4 += a[r4 + at] * w;
        t5 += a[r5 + at] * w;
        t6 += a[r6 + at] * w;
        t7 += a[r7 + at] * w;
        at += params.a_k;
        b0 += step;
        b1 += step;
        b2 += step;
        b3 += step;
    }
    // Indexed in a loop, accumulators must live in memory: each lane puts its own there once, after the products.
    let own = lane * 32u;
    park[own + 0u] = t0[0];
    park[own + 1u] = t0[1];
    park[own + 2u] = t0[2];
    park[own + 3u] = t0[3];
    park[own + 4u] = t1[0];
    park[own + 5u] = t1[1];
    park[own + 6u] = t1[2];
    park[own + 7u] = t1[3];
    park[own + 8u] = t2[0];
    park[own + 9u] = t2[1];
    park[own + 10u] = t2[2];
    park[own + 11u] = t2[3];
    park[own + 12u] = t3[0];
    park[own + 13u] = t3[1];
    park[own + 14u] = t3[2];
    park[own + 15u] = t3[3];
    park[own + 16u] = t4[0];
    park[own + 17u] = t4[1];
    park[own + 18u] = t4[2];
    park[own + 19u] = t4[3];
    park[own + 20u] = t5[0];
    park[own + 21u] = t5[1];
    park[own + 22u] = t5[2];
    park[own + 23u] = t5[3];
    park[own + 24u] = t6[0];
    park[own + 25u] = t6[1];
    park[own + 26u] = t6[2];
    park[own + 27u] = t6[3];
    park[own + 28u] = t7[0];
    park[own + 29u] = t7[1];
    park[own + 30u] = t7[2];
    park[own + 31u] = t7[3];
    let origin_c = (params.c_at + group.z * params.stride_c) / 4u;
    let live = min(8u, params.m - row) * 4u;
    for (var e = 0u; e < live; e++) {
        let i = row + e / 4u;
        let j = col + (e & 3u);
        if j < cols {
            var y = park[own + e];
            if params.has_bias != 0u {
                let at = params.bias_at + j * 4u;
                y += vec4(bias[at], bias[at + 1u], bias[at + 2u], bias[at + 3u]);
            }
            let out = origin_c + i * (params.ldc / 4u) + j;
            if params.accumulate != 0u {
                y += c[out];
            }
            c[out] = vec4(act(y.x), act(y.y), act(y.z), act(y.w));
        }
    }
}
