// matmul_any: c[i, j] (+)= act(sum_k a(i, k) b(k, j) + bias[j]) for any strides and sizes; for odd or small products.
// One invocation owns 4 rows of one column; invocations count through columns first, then through blocks of rows.

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
@group(0) @binding(1) var<storage, read> b: array<f32>;
@group(0) @binding(2) var<storage, read> bias: array<f32>;
@group(0) @binding(3) var<storage, read_write> c: array<f32>;
@group(0) @binding(4) var<uniform> params: Params;

override WORKGROUP: u32 = 64u;

fn store(batch: u32, i: u32, j: u32, sum: f32) {
    if i >= params.m {
        return;
    }
    var y = sum;
    if params.has_bias != 0u {
        y += bias[params.bias_at + j];
    }
    let out = params.c_at + batch * params.stride_c + i * params.ldc + j;
    if params.accumulate != 0u {
        y += c[out];
    }
    c[out] = act(y);
}

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let e = linear_group(group, groups) * WORKGROUP + lane;
    let j = e % params.n;
    let i = e / params.n * 4u;
    if i >= params.m {
        return;
    }
    let last = params.m - 1u;
    var a0 = params.a_at + group.z * params.stride_a + i * params.a_row;
    var a1 = a0 + (min(i + 1u, last) - i) * params.a_row;
    var a2 = a0 + (min(i + 2u, last) - i) * params.a_row;
    var a3 = a0 + (min(i + 3u, last) - i) * params.a_row;
    var at = params.b_at + group.z * params.stride_b + j * params.b_col;
    var sum = vec4<f32>();
    var k = 0u;
    for (; k + 2u <= params.k; k += 2u) {
        sum += b[at] * vec4(a[a0], a[a1], a[a2], a[a3]);
        let next = params.a_k;
        sum += b[at + params.b_k] * vec4(a[a0 + next], a[a1 + next], a[a2 + next], a[a3 + next]);
        a0 += 2u * next;
        a1 += 2u * next;
        a2 += 2u * next;
        a3 += 2u * next;
        at += 2u * params.b_k;
    }
    if k < params.k {
        sum += b[at] * vec4(a[a0], a[a1], a[a2], a[a3]);
    }
    store(group.z, i, j, sum.x);
    store(group.z, i + 1u, j, sum.y);
    store(group.z, i + 2u, j, sum.z);
    store(group.z, i + 3u, j, sum.w);
}
